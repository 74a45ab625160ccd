"""Virtual time: an event loop whose clock jumps, and processes that can be killed as kill -9 kills.

Nothing waits for real. When nothing is ready, time jumps to the next timer. Order is that of scheduling, for timers of
the same microsecond too, so a run depends on its seed and on nothing else. There is no input or output; what would run
in a thread runs at once.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")

STEPS_MAX = 2_000_000
TEARDOWN_STEPS_MAX = 200_000

_process: contextvars.ContextVar[Process] = contextvars.ContextVar("hansa_sim_process")


class Deadlock(Exception):
    """Nothing is ready and nothing is scheduled, but the main task is not done."""


class StepLimit(Exception):
    """More steps than any sound run takes: something goes round in circles without letting time pass."""


class Process:
    """Tasks that live and die together. Killed, none of them ever takes another step: no ``finally`` runs either."""

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        self.name = name
        self.alive = True
        self.frozen = False
        self.step_count = 0
        self._fuse: tuple[int, Callable[[], None]] | None = None
        self._backlog: list[tuple[asyncio.Handle, contextvars.Context]] = []
        self._loop = loop
        self._context = contextvars.copy_context()
        self._context.run(_process.set, self)
        loop.processes.append(self)

    def spawn(self, work: Coroutine[Any, Any, ResultT]) -> asyncio.Task[ResultT]:
        """Runs ``work`` in this process; whatever it starts belongs to the process, too."""
        if not self.alive:
            raise RuntimeError(f"process {self.name} is dead")
        return self._loop.create_task(work, context=self._context.copy())

    def kill(self) -> None:
        self.alive = False

    def at_step(self, number: int, act: Callable[[], None]) -> None:
        """Calls ``act`` in place of the ``number``-th step from now, before it: tasks wait at an await between any two
        steps, so a process that ``act`` kills has died at that await. A later call replaces an earlier one.
        """
        self._fuse = (self.step_count + number, act)

    def defuse(self) -> None:
        """Nothing happens at any step any more."""
        self._fuse = None

    def freeze(self) -> None:
        """Stops it as a suspended virtual machine is stopped: time goes on, and it does not notice."""
        self.frozen = True

    def thaw(self) -> None:
        """Everything that became due meanwhile happens now, in its order."""
        self.frozen = False
        backlog, self._backlog = self._backlog, []
        self._loop.take_over(backlog)

    def takes(self, step: tuple[asyncio.Handle, contextvars.Context]) -> bool:
        """Whether a step may be taken now; a frozen process keeps it for later, a dead one never takes it."""
        if self.alive and not self.frozen:
            self.step_count += 1
            if self._fuse is None or self.step_count < self._fuse[0]:
                return True
            act, self._fuse = self._fuse[1], None
            act()
            if self.alive and not self.frozen:
                return True
        self._backlog.append(step)
        return False


class _Step(asyncio.Handle):
    """A handle without the notes that a loop under debugging takes of each."""

    def __init__(
        self, callback: Callable[..., object], args: Any, loop: VirtualLoop, context: contextvars.Context
    ) -> None:
        self._callback, self._args, self._loop, self._context = callback, args, loop, context
        self._cancelled, self._repr, self._source_traceback = False, None, None


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop on virtual time, in whole microseconds from 0. ``on_quiet`` is called before each jump of time.

    ``leap`` leaves out a stretch of the day: calendars go on, while what runs notices no more of it than a computer
    that is suspended. ``wall_ahead_ms`` is how much later than usual the day begins on every wall clock.
    """

    def __init__(self, steps_max: int = STEPS_MAX) -> None:
        super().__init__()
        self.now_us = 0
        self.leapt_us = 0
        self.wall_ahead_ms = 0
        self.step_count = 0
        self.complaints: list[str] = []
        self.processes: list[Process] = []
        self.on_quiet: Callable[[], None] = lambda: None
        self._steps_max = steps_max
        self._soon: deque[tuple[asyncio.Handle, contextvars.Context]] = deque()
        self._timers: list[tuple[int, int, asyncio.TimerHandle, contextvars.Context]] = []
        self._order = count()
        self._born: list[asyncio.Task[Any]] = []
        self._tearing_down = False
        self.set_debug(False)

    @property
    def day_us(self) -> int:
        """Time since the beginning, with what was left out."""
        return self.now_us + self.leapt_us

    def leap(self, duration_us: int) -> None:
        """Leaves out that much of the day: nothing happens in it, and everything that is due keeps its time to wait."""
        self.leapt_us += duration_us

    # --- what asyncio asks of a loop ---

    def time(self) -> float:
        return self.now_us / 1_000_000

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        context = contextvars.copy_context() if context is None else context
        handle = _Step(callback, args, self, context)
        self._soon.append((handle, context))
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at_us(self.now_us + max(0, round(delay * 1_000_000)), callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at_us(round(when * 1_000_000), callback, *args, context=context)

    def call_at_us(
        self, at_us: int, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Calls back at a virtual time in microseconds; what is past is called as soon as possible."""
        context = contextvars.copy_context() if context is None else context
        handle = asyncio.TimerHandle(at_us / 1_000_000, callback, args, self, context)
        heapq.heappush(self._timers, (max(at_us, self.now_us), next(self._order), handle, context))
        return handle

    async def pass_us(self, duration_us: int) -> None:
        """Returns that much later; with less ado than ``asyncio.sleep``, for most of a simulation is waiting."""
        waiter: asyncio.Future[None] = self.create_future()
        self.call_at_us(self.now_us + max(0, duration_us), _wake, waiter)
        await waiter

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are passed over when their time comes."""

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, **options)
        self._born.append(task)
        if len(self._born) % 4_096 == 0:
            self._born = [other for other in self._born if not other.done()]
        return task

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., ResultT], *args: Any
    ) -> asyncio.Future[ResultT]:
        """There are no threads: the function runs now."""
        answer: asyncio.Future[ResultT] = self.create_future()
        try:
            answer.set_result(func(*args))
        except Exception as error:
            answer.set_exception(error)
        return answer

    def call_exception_handler(self, context: Any) -> None:
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    def take_over(self, steps: list[tuple[asyncio.Handle, contextvars.Context]]) -> None:
        """Steps that a process has kept back."""
        self._soon.extend(steps)

    # --- running ---

    def run_main(self, main: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Runs until ``main`` is done, then ends everything that is left, and closes the loop."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            task: asyncio.Task[ResultT] = self.create_task(main)
            while not task.done():
                self._take_step()
            return task.result()
        finally:
            self._tear_down()
            events._set_running_loop(before)
            self.close()

    def _take_step(self) -> None:
        if not self._soon:
            self.on_quiet()
        if not self._soon:
            self._jump()
        handle, context = self._soon.popleft()
        process = context.get(_process)
        if handle.cancelled() or not (process is None or self._tearing_down or process.takes((handle, context))):
            return
        self.step_count += 1
        if self.step_count > self._steps_max:
            raise StepLimit(f"{self.step_count} steps at {self.now_us / 1_000_000:.6f} s")
        handle._run()

    def _jump(self) -> None:
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if not self._timers:
            raise Deadlock(f"nothing is scheduled at {self.now_us / 1_000_000:.6f} s")
        self.now_us = self._timers[0][0]
        while self._timers and self._timers[0][0] == self.now_us:
            _, _, handle, context = heapq.heappop(self._timers)
            self._soon.append((handle, context))

    def _tear_down(self) -> None:
        """Cancels what is left, in the order in which it was born, so that no task is destroyed while it waits."""
        self._tearing_down = True
        self.on_quiet = lambda: None
        self._steps_max = self.step_count + TEARDOWN_STEPS_MAX
        for process in self.processes:
            process.thaw()
        for _ in range(20):
            left = [task for task in self._born if not task.done()]
            if not left:
                return
            for task in left:
                task.cancel()
            while self._soon:
                self._take_step()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, ResultT]], steps_max: int = STEPS_MAX) -> ResultT:
    """Runs ``main(loop)`` on a fresh virtual loop. Deadlock or StepLimit if it cannot come to its end."""
    loop = VirtualLoop(steps_max)
    return loop.run_main(main(loop))
