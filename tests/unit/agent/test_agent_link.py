"""What keeps a session going, over streams that a test makes up; and what keeps measuring."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from agent_orders import Middle, at, order
from hansa_agent.link import SessionLink
from hansa_agent.ports import Instant, UplinkLost
from hansa_agent.prober import Prober, ProbeSettings, Ways
from hansa_agent.session import AgentSession, Identity
from structlog.testing import capture_logs

from hansa.v1.agent_service_pb2 import AgentWelcome, Order, OrderDelta, SessionRequest, SessionResponse
from hansa.v1.common_pb2 import Fact
from hansa.v1.instance_pb2 import ProbeTarget

WELCOME = SessionResponse(welcome=AgentWelcome(heartbeat_interval_ms=1_000))


class QuickClock:
    """Time passes by being slept, at once; after ``naps`` pauses it stands still and the test is done."""

    def __init__(self, naps: int = 10**6) -> None:
        self.now_ms = 0
        self.pauses_s: list[float] = []
        self._naps = naps
        self.done = asyncio.Event()

    def now(self) -> Instant:
        return at(self.now_ms)

    def monotonic_ns(self) -> int:
        return self.now_ms * 1_000_000

    def wall_ns(self) -> int:
        return self.now().wall_ms * 1_000_000

    async def sleep(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1_000)
        self.pauses_s.append(seconds)
        if len(self.pauses_s) >= self._naps:
            self.done.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)


async def until_done(work: Coroutine[Any, Any, None], clock: QuickClock) -> None:
    """Lets ``work`` run until time stands still."""
    task = asyncio.create_task(work)
    async with asyncio.timeout(30):
        await clock.done.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


class Scripted:
    """An uplink whose streams say what is written down, and then break."""

    def __init__(self, *streams: list[SessionResponse]) -> None:
        self.endpoints = ("a:1", "b:2")
        self.dialled: list[str] = []
        self.sent: list[SessionRequest] = []
        self.closed = 0
        self._streams = list(streams)

    def connect(self, endpoint: str) -> Scripted:
        self.dialled.append(endpoint)
        if not self._streams:
            raise UplinkLost("nobody there")
        self._messages = self._streams.pop(0)
        return self

    async def send(self, message: SessionRequest) -> None:
        self.sent.append(message)

    async def receive(self) -> SessionResponse:
        for _ in range(2):
            await asyncio.sleep(0)
        if not self._messages:
            raise UplinkLost("broken")
        return self._messages.pop(0)

    async def close(self) -> None:
        self.closed += 1


class TakesAll:
    def refusal(self, order: Order, held: object) -> None:
        return None


def session() -> AgentSession:
    return AgentSession(Identity("a/b", "boot"), TakesAll())


async def run_link(uplink: Scripted, naps: int, on_orders: Callable[..., None] = lambda orders: None) -> QuickClock:
    clock = QuickClock(naps)
    link = SessionLink(session(), uplink, clock, on_orders)
    link.advertise({"facts/SITE_COUNTRY/0": Fact(value="NO")})
    await until_done(link.run(Middle()), clock)
    return clock


async def test_unreachable_operator_is_dialled_in_turn_with_growing_pauses_and_told_once() -> None:
    uplink = Scripted()
    with capture_logs() as logs:
        clock = await run_link(uplink, naps=6)
    assert uplink.dialled == ["a:1", "b:2"] * 3
    assert clock.pauses_s == [0.075, 0.15, 0.3, 0.6, 0.75, 0.75]
    assert [line["event"] for line in logs] == ["operator not reached"]
    assert logs[0]["message"] == "nobody there"


async def test_endpoint_that_welcomed_is_dialled_again_at_once() -> None:
    uplink = Scripted([], [WELCOME], [WELCOME])
    with capture_logs() as logs:
        await run_link(uplink, naps=400)
    assert uplink.dialled[:4] == ["a:1", "b:2", "b:2", "b:2"]
    assert uplink.closed == 3
    assert [line["event"] for line in logs].count("session begun") == 2


async def test_orders_are_handed_on_and_acknowledged() -> None:
    told: list[dict[str, Order]] = []
    orders = SessionResponse(orders=OrderDelta(updated=[order()], nonce="n1"))
    uplink = Scripted([WELCOME, orders])
    await run_link(uplink, naps=100, on_orders=lambda held: told.append(dict(held)))
    assert [list(each) for each in told] == [["instances/c1-0"]]
    bodies = {message.WhichOneof("body"): message for message in uplink.sent}
    assert uplink.sent[0].HasField("hello") and bodies["order_ack"].order_ack.nonce == "n1"


async def test_operator_that_breaks_the_protocol_is_left_and_dialled_again() -> None:
    uplink = Scripted([WELCOME, WELCOME], [WELCOME])
    with capture_logs() as logs:
        await run_link(uplink, naps=200)
    assert len(uplink.dialled) >= 2
    assert any("WELCOME is not expected while SYNCED" in line.get("message", "") for line in logs)


async def test_clock_an_hour_off_is_told() -> None:
    ahead = SessionResponse(welcome=AgentWelcome(wall_clock_ms=at(3_600_000).wall_ms))
    with capture_logs() as logs:
        await run_link(Scripted([ahead]), naps=100)
    told = [line for line in logs if line["event"] == "clocks differ"]
    assert len(told) == 1 and told[0]["operator_ahead_ms"] > 3_500_000


class Answers:
    """A sender that gives every target the same times, and may do something meanwhile."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.meanwhile = meanwhile
        self.rtts_us: list[int | None] = [10_000, 10_000]

    async def measure_both(
        self, address: str, *, count: int, spacing_ms: int, timeout_ms: int, key: bytes
    ) -> tuple[list[int | None], list[None]]:
        self.meanwhile()
        return self.rtts_us, []


def prober(sender: Answers, on_change: Callable[[], None]) -> Prober:
    settings = ProbeSettings(interval_s=5.0, count=2, spacing_ms=1, timeout_ms=1, window_count=4)
    return Prober("a/own", settings, Ways(sender), on_change)  # type: ignore[arg-type]


async def run_prober(subject: Prober, naps: int) -> None:
    clock = QuickClock(naps)
    await until_done(subject.run(clock, Middle()), clock)


def targets(*zones: str, address: str = "h:1") -> dict[str, ProbeTarget]:
    return {zone: ProbeTarget(zone=zone, address=address) for zone in zones}


async def test_steady_times_are_told_once_and_the_own_zone_is_left_out() -> None:
    changes: list[int] = []
    subject = prober(Answers(), lambda: changes.append(1))
    subject.aim(targets("a/own", "a/x", "b/y"))
    await run_prober(subject, naps=5)
    assert list(subject.results()) == ["a/x", "b/y"] and len(changes) == 2


async def test_measurement_of_a_target_that_is_gone_meanwhile_is_dropped() -> None:
    sender, asked = Answers(), asyncio.Event()
    subject = prober(sender, lambda: None)

    def leave() -> None:
        subject.aim({})
        asked.set()

    sender.meanwhile = leave
    subject.aim(targets("a/x"))
    running = asyncio.create_task(subject.run(QuickClock(), Middle()))
    await asyncio.wait_for(asked.wait(), 5)
    for _ in range(5):
        await asyncio.sleep(0)
    assert subject.results() == {} and not running.done()
    running.cancel()


async def test_target_that_stops_answering_is_withdrawn_once_the_window_is_empty() -> None:
    sender = Answers()
    subject = prober(sender, lambda: None)
    subject.aim(targets("a/x"))
    await run_prober(subject, naps=2)
    assert list(subject.results()) == ["a/x"]
    sender.rtts_us = [None, None]
    await run_prober(subject, naps=6)
    assert subject.results() == {}


async def test_another_address_of_a_zone_begins_anew() -> None:
    changes: list[int] = []
    subject = prober(Answers(), lambda: changes.append(1))
    subject.aim(targets("a/x"))
    await run_prober(subject, naps=2)
    subject.aim(targets("a/x", address="h:2"))
    assert subject.results() == {} and len(changes) == 2
    subject.aim(targets("a/x", address="h:2"))
    assert len(changes) == 2
