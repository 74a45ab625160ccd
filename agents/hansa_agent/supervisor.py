"""Carries out what ``Reconciliation`` decides, one instance at a time and all instances at once.

Every instance has a worker that does its actions in order, so that an order withdrawn while its instance is being
started stops it afterwards. What an instance does by itself (become ready, end) comes back as happenings.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import replace
from typing import Any

import structlog

from hansa.v1.agent_service_pb2 import Order
from hansa.v1.instance_pb2 import DesiredInstance, InstanceStatus
from hansa_agent.instance_life import Act, Phase
from hansa_agent.instance_store import InstanceRecord, InstanceStore
from hansa_agent.journal import Journal, is_no_room
from hansa_agent.ports import Clock, PlatformSilent, Random, Running, Runtime, StartRefused
from hansa_agent.reconciliation import Action, Life, Reconciliation, RestartPolicy

_log = structlog.get_logger(__name__)
READY_POLL_S = 0.1
TICK_S = 0.1
HOUSEKEEPING_S = 10.0
ROOM_LOOK_MS = 1_000
NO_ADDRESS = "it runs, but the platform gives it no address at which it could be called"


class Supervisor:
    """Runs what is ordered. ``on_change`` is called whenever ``statuses`` may have changed."""

    def __init__(self, runtime: Runtime, store: InstanceStore, clock: Clock, on_change: Callable[[], None]) -> None:
        self._runtime = runtime
        self._store = store
        self._journal = Journal(store)
        self._held: dict[str, Action] = {}
        self._try_again_ms = 0
        self._clock = clock
        self._on_change = on_change
        self._running: dict[str, Running] = {}
        self._queues: dict[str, asyncio.Queue[Action]] = {}
        self._orders: dict[str, Order] = {}
        self._group = asyncio.TaskGroup()
        self._idle = asyncio.Event()
        self._heard = False
        self._stirred = asyncio.Event()

    async def adopt(self, policy: RestartPolicy, random: Random) -> tuple[Order, ...]:
        """Takes over what a former agent process left; returns the orders that it held. To be called first.

        Readiness is looked at here, so that an undisturbed instance is reported exactly as it was before.
        """
        self._running = dict(await self._runtime.adopt())
        now = self._clock.now()
        records = self._store.records
        due_ms = now.monotonic_ms + policy.ready_timeout_ms if policy.ready_timeout_ms else None
        lives = {
            name: _life(record, now.monotonic_ms, due_ms, runs=name in self._running)
            for name, record in records.items()
        }
        self._reconciliation = Reconciliation(policy, random, lives)
        self._orders = {name: record.parsed_order() for name, record in records.items() if record.ordered}
        for name, running in self._running.items():
            _log.info("instance adopted", instance=name, endpoint_url=running.endpoint_url)
            if await running.ready() and running.endpoint_url:
                self._reconciliation.on_ready(name, now)
        return tuple(order for _, order in sorted(self._orders.items()))

    @property
    def trouble(self) -> str:
        """Why nothing new can be begun at present, for a person; empty if it can."""
        return self._journal.trouble

    def tokens(self) -> dict[str, int]:
        """Highest fencing token seen per claim."""
        return self._reconciliation.tokens()

    def statuses(self) -> dict[str, InstanceStatus]:
        """What to report, by instance."""
        return self._reconciliation.statuses({name: running.endpoint_url for name, running in self._running.items()})

    def desire(self, orders: Mapping[str, Order]) -> None:
        """``orders``, by order name, is from now on all that must run; takes effect while ``run`` runs."""
        self._heard = True
        self._orders = {order.instance.instance: order for order in orders.values() if order.HasField("instance")}
        self._compare()

    def _compare(self) -> None:
        desired = {name: order.instance for name, order in self._orders.items()}
        self._follow(self._reconciliation.desire(desired, self._clock.now()))

    async def run(self) -> None:
        """Supervises until it is cancelled; what runs then goes on running."""
        async with self._group:
            self._group.create_task(self._run_runtime())
            self._group.create_task(self._housekeep())
            for name, running in self._running.items():
                self._watch(name, running)
            self._compare()
            while True:
                await self._clock.sleep(TICK_S)
                if self._is_at_rest():
                    self._stirred.clear()
                    await self._stirred.wait()
                    continue
                self._pass_over_silence()
                self._go_on_once_there_is_room()
                actions = self._reconciliation.tick(self._clock.now())
                if actions:
                    self._follow(actions)

    def _is_at_rest(self) -> bool:
        """Whether no tick changes anything before something else happens."""
        return self._reconciliation.next_due_ms() is None and not self._held and not self._journal.trouble

    async def stop_all(self) -> None:
        """Withdraws every order and waits until nothing runs; ``run`` must run meanwhile."""
        self.desire({})
        while self._reconciliation.lives or self._queues:
            self._idle.clear()
            await self._idle.wait()

    def _follow(self, actions: tuple[Action, ...]) -> None:
        self._stirred.set()
        unwritten = self._write_down({action.instance for action in actions if action.act is Act.FORGET})
        for action in actions:
            if action.act is Act.START and action.instance in unwritten:
                self._hold(action)
            elif action.instance in self._held and action.act is not Act.START:
                self._drop_held(action.instance)
            else:
                self._queue_of(action.instance).put_nowait(action)
        self._on_change()

    def _write_down(self, forgotten: set[str]) -> frozenset[str]:
        lives = self._reconciliation.lives.items()
        return self._journal.write([self._record(name, life) for name, life in lives if name not in forgotten])

    def _hold(self, action: Action) -> None:
        """A start that cannot be written down is not begun; it is kept until it can."""
        self._stirred.set()
        self._held[action.instance] = action
        self._reconciliation.on_trouble(action.instance, self._journal.trouble)

    def _drop_held(self, instance: str) -> None:
        """Nothing was begun of it, so there is nothing to end."""
        del self._held[instance]
        now = self._clock.now()
        self._follow(self._reconciliation.on_start_refused(instance, "not begun", now, permanent=False))

    def _go_on_once_there_is_room(self) -> None:
        now = self._clock.now()
        for name in self._held:
            self._reconciliation.on_silence(name, now)  # its time to become ready has not begun
        if not self._journal.trouble or now.monotonic_ms < self._try_again_ms:
            return
        self._try_again_ms = now.monotonic_ms + ROOM_LOOK_MS
        if self._journal.has_recovered():
            held, self._held = self._held, {}
            self._follow(tuple(held[name] for name in sorted(held)))

    def _record(self, name: str, life: Life) -> InstanceRecord:
        former = self._store.records.get(name, InstanceRecord(name))
        order = self._orders.get(name)
        return InstanceRecord(
            instance=name,
            order=order.SerializeToString(deterministic=True) if order is not None else former.order,
            ordered=order is not None,
            port=former.port,
            restarts=life.restarts,
            failures=life.failures,
            started_at_ms=life.started_at_ms,
            process=former.process,
            handle=former.handle,
        )

    def _queue_of(self, instance: str) -> asyncio.Queue[Action]:
        if instance not in self._queues:
            self._queues[instance] = asyncio.Queue()
            self._group.create_task(self._work(instance, self._queues[instance]))
        return self._queues[instance]

    async def _work(self, instance: str, queue: asyncio.Queue[Action]) -> None:
        while True:
            action = await queue.get()
            if action.act is Act.START:
                await self._start(instance, action.order)
            elif action.act is Act.FORGET:
                await self._forget(instance)
                if queue.empty():
                    del self._queues[instance]
                    self._idle.set()
                    return
            elif instance in self._running:
                await self._tell_to_end(instance, action.act)

    async def _start(self, instance: str, order: DesiredInstance) -> None:
        try:
            running = await self._begun(order)
        except StartRefused as refused:
            _log.warning("instance not started", instance=instance, message=refused.message)
            if is_no_room(refused) and self._is_starting(instance):
                self._journal.failed(refused.message)
                self._hold(Action(Act.START, instance, order))
                self._on_change()
                return
            now = self._clock.now()
            self._follow(
                self._reconciliation.on_start_refused(instance, refused.message, now, permanent=refused.permanent)
            )
            return
        _log.info("instance started", instance=instance, workload=order.workload, endpoint_url=running.endpoint_url)
        self._running[instance] = running
        self._watch(instance, running)

    async def _begun(self, order: DesiredInstance) -> Running:
        """A start; what nobody expected of a platform is a refusal that may pass, and no end of the agent."""
        try:
            return await self._runtime.start(order)
        except StartRefused:
            raise
        except Exception as defect:
            _log.exception("defect at a start", instance=order.instance)
            raise StartRefused(f"a defect: {type(defect).__name__}: {defect}", permanent=False) from defect

    async def _tell_to_end(self, instance: str, act: Act) -> None:
        _log.info("instance told to end", instance=instance, act=act)
        running = self._running[instance]
        # Where it is not done, the grace passes, and it is told again.
        try:
            with _contained("ending"):
                await (running.kill() if act is Act.KILL else running.terminate())
        except PlatformSilent as silent:
            _log.warning("platform silent", instance=instance, act=act, message=str(silent))

    async def _forget(self, instance: str) -> None:
        if instance not in self._reconciliation.lives:
            with contextlib.suppress(PlatformSilent), _contained("forgetting"):
                await self._runtime.forget(instance)

    def _watch(self, instance: str, running: Running) -> None:
        self._group.create_task(self._await_end(instance, running))

    async def _await_end(self, instance: str, running: Running) -> None:
        async with _background(self._follow_readiness(instance, running)):
            message = await running.exited()
        self._running.pop(instance, None)
        _log.info("instance ended", instance=instance, message=message)
        self._follow(self._reconciliation.on_exited(instance, message, self._clock.now()))

    async def _follow_readiness(self, instance: str, running: Running) -> None:
        while True:
            while not await self._find_ready(instance, running):
                await self._clock.sleep(READY_POLL_S)
            why = await running.unready()
            _log.warning("instance not ready any more", instance=instance, message=why)
            self._follow(self._reconciliation.on_unready(instance, why, self._clock.now()))
            if instance not in self._starting():
                return

    def _is_starting(self, instance: str) -> bool:
        return instance in self._starting()

    def _starting(self) -> set[str]:
        return {name for name, life in self._reconciliation.lives.items() if life.phase is Phase.STARTING}

    async def _find_ready(self, instance: str, running: Running) -> bool:
        life = self._reconciliation.lives.get(instance)
        if life is None or life.phase is not Phase.STARTING:
            return True
        is_ready = await running.ready()
        if not is_ready or not running.endpoint_url:
            trouble = NO_ADDRESS if is_ready else running.trouble
            if self._reconciliation.on_trouble(instance, trouble):
                self._on_change()
            return False
        self._follow(self._reconciliation.on_ready(instance, self._clock.now()))
        return True

    async def _housekeep(self) -> None:
        while True:
            await self._clock.sleep(HOUSEKEEPING_S)
            if self._heard or not self._runtime.collects:
                with contextlib.suppress(PlatformSilent), _contained("housekeeping"):
                    await self._runtime.housekeep()

    async def _run_runtime(self) -> None:
        while True:
            with _contained("runtime"):
                await self._runtime.run()
                return
            await self._clock.sleep(HOUSEKEEPING_S)

    def _pass_over_silence(self) -> None:
        now = self._clock.now()
        for name, running in self._running.items():
            if running.silent:
                self._reconciliation.on_silence(name, now)


@contextlib.contextmanager
def _contained(what: str) -> Iterator[None]:
    """Tells of a defect and goes on: what one answer of a platform does must not end the agent of all instances."""
    try:
        yield
    except PlatformSilent:
        raise
    except Exception:
        _log.exception("defect", at=what)


@contextlib.asynccontextmanager
async def _background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _life(record: InstanceRecord, now_ms: int, ready_due_ms: int | None, *, runs: bool) -> Life:
    life = Life(
        order=record.parsed_order().instance,
        phase=Phase.STARTING if runs else Phase.PENDING,
        due_ms=ready_due_ms if runs else now_ms,
        restarts=record.restarts,
        failures=record.failures,
        started_ms=now_ms,
        started_at_ms=record.started_at_ms,
    )
    return life if runs else replace(life, restarts=record.restarts + 1, message="ended while no agent watched")
