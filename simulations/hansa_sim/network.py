"""An in-memory network between hosts: latency, jitter, loss, doubles, cuts, resets; connections behave and break as
TCP's do.

What is sent on a connection arrives in order or the connection breaks; what is lost on it is sent again, so it and
all behind it come late. Calls know no order: one may be lost, there or back, arrive twice, or long after others. A cut
stops what is under way: healed soon, it arrives late; healed too late, each end has found out by itself and given the
connection up. A killed process resets its connections; a host without power says nothing any more.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from hansa_sim.kernel import Process, VirtualLoop
from hansa_sim.streams import Stream

AnswerT = TypeVar("AnswerT")


class ConnectionBroken(Exception):
    """The connection is no more; the text says why."""


class Unreachable(Exception):
    """A call was not answered in time; whether it was carried out is unknown."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How the network is. One-way times in microseconds; a cut is noticed by each end after a time between two."""

    latency_us: int = 8_000
    jitter_us: int = 4_000
    connect_timeout_us: int = 2_000_000
    notice_cut_us: tuple[int, int] = (1_500_000, 6_000_000)
    late_share: float = 0.5
    """Share of the calls under way at a cut that arrive after it is healed; the others never do."""
    loss_share: float = 0.0
    """Share of requests, of answers and of packets of a connection that are lost."""
    resend_us: int = 300_000
    """How long it takes until a lost packet of a connection has been sent again."""
    double_share: float = 0.0
    """Share of the calls whose request arrives twice; both are carried out, and the first answer counts."""
    straggler_share: float = 0.0
    """Share of requests and answers that are overtaken by others."""
    straggler_us: int = 3_000_000
    """How much later than usual these arrive, at most."""


class End:
    """One end of a connection. ``receive`` and ``send`` raise ConnectionBroken."""

    def __init__(self, network: Network, host: str, peer_host: str, process: Process) -> None:
        self.host = host
        self.peer_host = peer_host
        self.process = process
        self.broken = ""
        self.peer: End | None = None
        self.under_way: deque[tuple[int, object]] = deque()
        self.last_due_us = 0
        self._network = network
        self._inbox: asyncio.Queue[object] = asyncio.Queue()

    def send(self, message: object) -> None:
        if self.broken:
            raise ConnectionBroken(self.broken)
        self._network.carry(self, message)

    async def receive(self) -> Any:
        if self.broken and self._inbox.empty():
            raise ConnectionBroken(self.broken)
        message = await self._inbox.get()
        if isinstance(message, ConnectionBroken):
            raise message
        return message

    def deliver(self, message: object) -> None:
        if not self.broken:
            self._inbox.put_nowait(message)

    def break_off(self, why: str) -> None:
        """The connection ends at this end."""
        if not self.broken:
            self.broken = why
            self._inbox.put_nowait(ConnectionBroken(why))

    def close(self) -> None:
        """Ends the connection; the peer learns of it if it can be reached."""
        self.break_off("closed")
        self._network.tell_peer(self, "closed by peer")


@dataclass(slots=True)
class _Listener:
    process: Process
    accept: Callable[[End], Coroutine[Any, Any, None]]


class Network:
    """Hosts by name; every pair can reach the other unless it is cut, per direction."""

    def __init__(self, loop: VirtualLoop, stream: Stream, weather: Weather | None = None) -> None:
        self.weather = weather or Weather()
        self._local: dict[tuple[str, str], Weather] = {}
        self._loop = loop
        self._stream = stream
        self._context = contextvars.copy_context()
        self._listeners: dict[str, _Listener] = {}
        self._services: dict[str, tuple[Process, object]] = {}
        self._cut: dict[tuple[str, str], int] = {}
        self._cut_count = 0
        self._dark: set[str] = set()
        self._ends: list[End] = []
        self._waiting: dict[tuple[str, str], list[Callable[[], None]]] = {}

    def set_weather(self, one: str, other: str, weather: Weather | None) -> None:
        """The weather between two hosts, both ways; None for that of everywhere."""
        for path in ((one, other), (other, one)):
            if weather is None:
                self._local.pop(path, None)
            else:
                self._local[path] = weather

    def repair(self) -> None:
        """Every cut is healed, and the weather is fair everywhere."""
        self._local.clear()
        for path in sorted(self._cut):
            self.heal(*path)

    def weather_on(self, path: tuple[str, str]) -> Weather:
        return self._local.get(path, self.weather)

    def delay_us(self, path: tuple[str, str] = ("", "")) -> int:
        weather = self.weather_on(path)
        jitter_us = self._stream.integer(0, weather.jitter_us) if weather.jitter_us else 0
        return weather.latency_us + jitter_us

    def _resent_us(self, path: tuple[str, str]) -> int:
        """How much later a packet of a connection arrives because it was lost, perhaps more than once."""
        weather, late_us = self.weather_on(path), 0
        while weather.loss_share and late_us < 4 * weather.resend_us and self._stream.chance(weather.loss_share):
            late_us += weather.resend_us
        return late_us

    def _straggles_us(self, path: tuple[str, str]) -> int:
        weather = self.weather_on(path)
        if weather.straggler_share and self._stream.chance(weather.straggler_share):
            return self._stream.integer(0, weather.straggler_us)
        return 0

    def _after(self, delay_us: int, callback: Callable[..., object], *args: object) -> None:
        self._loop.call_at_us(self._loop.now_us + delay_us, callback, *args, context=self._context)

    # --- hosts and cuts ---

    def listen(self, address: str, process: Process, accept: Callable[[End], Coroutine[Any, Any, None]]) -> None:
        """``address`` is "host" or "host:service"; ``accept`` runs in ``process`` for each connection."""
        self._listeners[address] = _Listener(process, accept)

    def offer(self, host: str, process: Process, service: object) -> None:
        """Makes ``service`` callable at ``host``."""
        self._services[host] = (process, service)

    def is_cut(self, source: str, target: str) -> bool:
        return (source, target) in self._cut or source in self._dark or target in self._dark

    def cut(self, source: str, target: str) -> None:
        """From now on nothing gets from source to target; connections between them break if it lasts."""
        self._cut_count += 1
        self._cut[(source, target)] = self._cut_count
        self._expect_breaks([end for end in self._open_ends() if {end.host, end.peer_host} == {source, target}])

    def heal(self, source: str, target: str) -> None:
        self._cut.pop((source, target), None)
        for end in self._open_ends():
            if (end.host, end.peer_host) == (source, target):
                self._after(self.delay_us(), self._pump, end)
        for arrive in self._waiting.pop((source, target), []):
            self._after(self.delay_us(), arrive)

    def darken(self, host: str) -> None:
        """The host loses power: nobody is told."""
        self._dark.add(host)
        for end in self._ends:
            if end.host == host:
                end.break_off("no power")
        self._expect_breaks([end for end in self._open_ends() if end.peer_host == host])

    def light(self, host: str) -> None:
        self._dark.discard(host)

    def drop_process(self, process: Process) -> None:
        """A process has died: its host tells the peers, as far as they can be reached."""
        for end in self._open_ends():
            if end.process is process:
                end.break_off("process died")
                self.tell_peer(end, "reset by peer")

    def reset(self, one: str, other: str) -> None:
        """Every connection between two hosts breaks at both ends; what was under way is lost."""
        for end in self._open_ends():
            if {end.host, end.peer_host} == {one, other}:
                end.under_way.clear()
                end.break_off("connection reset")

    def _open_ends(self) -> list[End]:
        self._ends = [end for end in self._ends if not end.broken]
        return list(self._ends)

    def _expect_breaks(self, ends: list[End]) -> None:
        low_us, high_us = self.weather.notice_cut_us
        for end in ends:
            mark = self._cut_marks(end)
            self._after(self._stream.integer(low_us, high_us), self._notice, end, mark)

    def _cut_marks(self, end: End) -> tuple[object, ...]:
        there, back = (end.host, end.peer_host), (end.peer_host, end.host)
        return self._cut.get(there), self._cut.get(back), end.peer_host in self._dark

    def _notice(self, end: End, mark: tuple[object, ...]) -> None:
        if any(mark) and self._cut_marks(end) == mark:
            end.break_off("timed out")

    def tell_peer(self, end: End, why: str) -> None:
        self._after(self.delay_us(), self._reset_peer, end, why)

    def _reset_peer(self, end: End, why: str) -> None:
        if end.peer is not None and not self.is_cut(end.host, end.peer_host):
            end.peer.break_off(why)

    # --- connections ---

    def connect(self, host: str, process: Process, address: str) -> End:
        """Begins a connection; problems show when it is used."""
        target = address.partition(":")[0]
        end = End(self, host, target, process)
        self._ends.append(end)
        delay_us = self.delay_us()
        end.last_due_us = self._loop.now_us + delay_us
        self._after(delay_us, self._establish, end, address)
        return end

    def _establish(self, end: End, address: str) -> None:
        if self.is_cut(end.host, end.peer_host) or self.is_cut(end.peer_host, end.host):
            self._after(self.weather.connect_timeout_us, end.break_off, "connect timed out")
            return
        listener = self._listeners.get(address)
        if listener is None or not listener.process.alive:
            self._after(self.delay_us(), end.break_off, "connection refused")
            return
        if end.broken:
            return
        peer = End(self, end.peer_host, end.host, listener.process)
        end.peer, peer.peer = peer, end
        self._ends.append(peer)
        listener.process.spawn(listener.accept(peer))

    def carry(self, end: End, message: object) -> None:
        path = (end.host, end.peer_host)
        due_us = max(end.last_due_us, self._loop.now_us + self.delay_us(path) + self._resent_us(path))
        end.last_due_us = due_us
        end.under_way.append((due_us, message))
        self._loop.call_at_us(due_us, self._pump, end, context=self._context)

    def _pump(self, end: End) -> None:
        """Delivers what has arrived by now; what a cut stops waits for its end."""
        while end.under_way and end.under_way[0][0] <= self._loop.now_us and not self.is_cut(end.host, end.peer_host):
            _, message = end.under_way.popleft()
            if end.peer is None:
                return
            if end.peer.broken or not end.peer.process.alive:
                self._after(self.delay_us(), end.break_off, "reset by peer")
                return
            end.peer.deliver(message)

    # --- calls ---

    async def call(
        self, path: tuple[str, str], work: Callable[[Any], Awaitable[AnswerT]], timeout_ms: int = 3_000
    ) -> AnswerT:
        """Calls the service of ``path[1]`` from ``path[0]``: ``work`` gets the service and runs in its process.

        What ``work`` raises is raised here. Unreachable if no answer comes in time; the callee is then told to give
        up, if it can be reached, and may have acted all the same. In foul weather ``work`` may run twice.
        """
        call = _Call(self, path, asyncio.get_running_loop().create_future())
        for _ in range(self._copies(path)):
            self._after(self.delay_us(path) + self._straggles_us(path), call.arrive, work)
        try:
            answer: AnswerT = await asyncio.wait_for(call.answer, timeout_ms / 1_000)
        except TimeoutError:
            self._after(self.delay_us(), call.abandon)
            raise Unreachable(f"{path[1]} did not answer within {timeout_ms} ms") from None
        return answer

    def _copies(self, path: tuple[str, str]) -> int:
        """How often a request arrives."""
        weather = self.weather_on(path)
        if weather.loss_share and self._stream.chance(weather.loss_share):
            return 0
        return 2 if weather.double_share and self._stream.chance(weather.double_share) else 1

    def answer_later(self, path: tuple[str, str], settle: Callable[..., object], *args: object) -> None:
        """An answer on its way along ``path``; it may be lost."""
        weather = self.weather_on(path)
        if not (weather.loss_share and self._stream.chance(weather.loss_share)):
            self._after(self.delay_us(path) + self._straggles_us(path), settle, *args)

    def service(self, host: str) -> tuple[Process, object] | None:
        """The service of a host, if a living process offers one."""
        process, service = self._services.get(host, (None, None))
        return (process, service) if process is not None and process.alive else None

    def hold_back(self, path: tuple[str, str], arrive: Callable[[], None]) -> None:
        """A request meets a cut: it is lost, or waits for the end of the cut."""
        if self._stream.chance(self.weather.late_share):
            self._waiting.setdefault(path, []).append(arrive)


class _Call:
    """One call under way: the request there, the answer back."""

    def __init__(self, network: Network, path: tuple[str, str], answer: asyncio.Future[Any]) -> None:
        self.answer = answer
        self._network = network
        self._path = path
        self._back = (path[1], path[0])
        self._tasks: list[asyncio.Task[Any]] = []

    def arrive(self, work: Callable[[Any], Awaitable[Any]]) -> None:
        if self._network.is_cut(*self._path):
            self._network.hold_back(self._path, lambda: self.arrive(work))
            return
        service = self._network.service(self._path[1])
        if service is None:
            refused = Unreachable(f"{self._path[1]} refuses connections")
            self._network.answer_later(self._back, self._settle, refused, None)
            return
        process, target = service
        self._tasks.append(process.spawn(self._serve(work, target)))

    async def _serve(self, work: Callable[[Any], Awaitable[Any]], target: object) -> None:
        try:
            answer = await work(target)
        except Exception as error:
            self._network.answer_later(self._back, self._settle, error, None)
        else:
            self._network.answer_later(self._back, self._settle, None, answer)

    def _settle(self, error: Exception | None, answer: object) -> None:
        if self._network.is_cut(*self._back) or self.answer.done():
            return
        if error is not None:
            self.answer.set_exception(error)
        else:
            self.answer.set_result(answer)

    def abandon(self) -> None:
        if not self._network.is_cut(*self._path):
            for task in self._tasks:
                task.cancel()
