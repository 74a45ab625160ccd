"""Keeps measuring the way to every zone that the operator named, and advertises what moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from hansa.v1.instance_pb2 import ProbeTarget
from hansa.v1.network_pb2 import PROBED_KIND_UNSPECIFIED, ProbedKind, ProbeResult
from hansa_agent.ports import Clock, Random
from hansa_agent.probe_echo import EchoPinger
from hansa_agent.probe_keys import NO_KEYS, ProbeKeys
from hansa_agent.probe_one_way import OneWayWindow
from hansa_agent.probe_pace import Budget, Pace, StepDetector
from hansa_agent.probe_stamp import Sender
from hansa_agent.probe_statistics import ProbeWindow, worth_telling

_log = structlog.get_logger(__name__)
TARGETS_AT_ONCE = 4
UNANSWERED_MAX = 2


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """A round of ``count`` probes ``spacing_ms`` apart every ``interval_s`` or, while nothing happens on a way, up to
    ``interval_s_max``; figures over the last ``window_count``; no more than ``packets_per_s`` to all targets together.
    """

    interval_s: float
    count: int
    spacing_ms: int
    timeout_ms: int
    window_count: int
    interval_s_max: float = 0.0
    packets_per_s: int = 1_000


@dataclass(frozen=True, slots=True)
class Ways:
    """How is probed: over UDP, and by ``echo`` (None: not at all) where UDP is not answered.

    ``pinger`` is for targets that answer over gRPC only.
    """

    sender: Sender
    echo: EchoPinger | None = None
    keys: ProbeKeys = NO_KEYS
    pinger: EchoPinger | None = None


@dataclass(frozen=True, slots=True)
class FixedTarget:
    """What the configuration names: another zone's agent, whose ``kind`` is unspecified, or a node of the network."""

    name: str
    address: str
    kind: ProbedKind.ValueType = PROBED_KIND_UNSPECIFIED
    is_grpc_only: bool = False
    key_as: str = ""


def advert_of(result: ProbeResult) -> str:
    """The name of the advert that tells a measurement."""
    return f"node-probes/{result.target_node}" if result.target_node else f"probes/{result.target_zone}"


class _Course:
    """What is known of one way."""

    def __init__(self, target: ProbeTarget, settings: ProbeSettings, fixed: FixedTarget | None = None) -> None:
        self.target = target
        self.fixed = fixed
        self.window = ProbeWindow(settings.window_count)
        self.one_way = OneWayWindow(settings.window_count)
        self.pace = Pace(int(settings.interval_s * 1_000), int(settings.interval_s_max * 1_000))
        self.steps = StepDetector()
        self.unanswered_rounds = 0

    def add(self, rtts_us: list[int | None]) -> bool:
        """Takes a round; whether the way has changed, so that what was before does not count any more."""
        self.unanswered_rounds = 0 if any(rtts_us) else self.unanswered_rounds + 1
        stepped = False
        for rtt_us in rtts_us:
            self.window.add([rtt_us])
            since = 0 if rtt_us is None else self.steps.add(rtt_us)
            if since:
                stepped = True
                self.window.keep_last(since)
                self.one_way.clear()
        return stepped


class Prober:
    """Measures from ``zone`` ("operator/zone"). ``on_change`` is called when ``results`` has changed."""

    def __init__(
        self,
        zone: str,
        settings: ProbeSettings,
        ways: Ways,
        on_change: Callable[[], None],
        fixed: Iterable[FixedTarget] = (),
    ) -> None:
        self._zone = zone
        self._fixed = {target.name: target for target in fixed}
        self._settings = settings
        self._ways = ways
        self._on_change = on_change
        self.on_measured: Callable[[ProbeResult], None] = lambda result: None
        """Told the figures after every round that was answered, whether they are worth an advert or not."""
        self._budget = Budget(settings.packets_per_s)
        self._free = asyncio.Semaphore(TARGETS_AT_ONCE)
        self._courses: dict[str, _Course] = {}
        self._told: dict[str, ProbeResult] = {}
        self._changed = asyncio.Event()
        self.aim({})

    def results(self) -> dict[str, ProbeResult]:
        """What is told, by target zone."""
        return dict(sorted(self._told.items()))

    def aim(self, targets: Mapping[str, ProbeTarget]) -> None:
        """``targets``, by zone, is from now on all that is measured. Another address begins anew."""
        fixed = {name: ProbeTarget(zone=name, address=target.address) for name, target in self._fixed.items()}
        wanted = {zone: target for zone, target in sorted({**targets, **fixed}.items()) if zone != self._zone}
        gone = [zone for zone, course in self._courses.items() if wanted.get(zone) != course.target]
        for zone in gone:
            del self._courses[zone]
        for zone, target in wanted.items():
            self._courses.setdefault(zone, _Course(target, self._settings, self._fixed.get(zone)))
        told = self._told.keys() & gone
        for zone in told:
            del self._told[zone]
        if told:
            self._on_change()
        self._changed.set()

    async def run(self, clock: Clock, random: Random) -> None:
        """Measures until it is cancelled; only a few targets at once, so that probes do not disturb each other."""
        followed: dict[str, tuple[_Course, asyncio.Task[None]]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                for zone, (course, task) in list(followed.items()):
                    if self._courses.get(zone) is not course:
                        task.cancel()
                        del followed[zone]
                for zone, course in self._courses.items():
                    if zone not in followed:
                        followed[zone] = course, group.create_task(self._follow(zone, course, clock, random))
                await self._changed.wait()

    async def _follow(self, zone: str, course: _Course, clock: Clock, random: Random) -> None:
        pause_ms = int(self._settings.interval_s * 100)
        while True:
            await clock.sleep(pause_ms * random.uniform(0.9, 1.1) / 1_000)
            async with self._free:
                wait_ms = self._budget.wait_ms(self._settings.count, clock.now().monotonic_ms)
                if wait_ms:
                    await clock.sleep(wait_ms / 1_000)
                rtts_us = await self._measured(zone, course)
            if self._courses.get(zone) is not course:
                return
            pause_ms = self._take(zone, course, rtts_us, clock)

    async def _measured(self, zone: str, course: _Course) -> list[int | None]:
        """A round; all lost where a target is such that measuring fails, since one target must not end the others."""
        try:
            return await self._measure(zone, course)
        except Exception as defect:
            _log.error("a target cannot be probed", target=zone, message=f"{type(defect).__name__}: {defect}")
            return [None] * self._settings.count

    async def _measure(self, zone: str, course: _Course) -> list[int | None]:
        settings, ways = self._settings, self._ways
        by_echo = ways.echo is not None and course.unanswered_rounds >= UNANSWERED_MAX
        asked = {"count": settings.count, "spacing_ms": settings.spacing_ms, "timeout_ms": settings.timeout_ms}
        address, key = course.target.address, ways.keys.key_for((course.fixed and course.fixed.key_as) or zone)
        if course.fixed is not None and course.fixed.is_grpc_only and ways.pinger is not None:
            return await ways.pinger.measure(address, key=key, **asked)
        if by_echo and ways.echo is not None:
            rtts_us = await ways.echo.measure(address, key=key, **asked)
            if any(rtts_us):
                _log.info("probed over gRPC, since UDP is not answered", target=zone)
            return rtts_us
        rtts_us, one_way = await ways.sender.measure_both(address, key=key, **asked)
        for sample in one_way:
            course.one_way.add(sample)
        return rtts_us

    def _take(self, zone: str, course: _Course, rtts_us: list[int | None], clock: Clock) -> int:
        """Draws the conclusions from a round; milliseconds until the next."""
        stepped = course.add(rtts_us)
        if stepped:
            _log.info("way has changed", target=zone)
        fresh = course.window.result(self._zone, zone, clock.now().wall_ms)
        if fresh is not None:
            if course.fixed is not None and course.fixed.kind:
                fresh.target_zone, fresh.target_node = "", course.fixed.name
                fresh.target_kind = course.fixed.kind
            if (one_way := course.one_way.result()) is not None:
                fresh.one_way.CopyFrom(one_way)
            self.on_measured(fresh)
        self._tell(zone, fresh)
        return course.pace.after_round(rtts_us.count(None), stepped=stepped)

    def _tell(self, zone: str, fresh: ProbeResult | None) -> None:
        if fresh is None:
            if self._told.pop(zone, None) is not None:
                _log.warning("probes unanswered", target=zone)
                self._on_change()
        elif worth_telling(self._told.get(zone), fresh):
            self._told[zone] = fresh
            self._on_change()
