"""Keeps measuring the way to every zone that the operator named, and advertises what moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from hansa.v1.instance_pb2 import ProbeTarget
from hansa.v1.network_pb2 import ProbeResult
from hansa_agent.ports import Clock, Random
from hansa_agent.probe_stamp import Sender
from hansa_agent.probe_statistics import ProbeWindow, worth_telling

_log = structlog.get_logger(__name__)
TARGETS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """A round of ``count`` probes ``spacing_ms`` apart every ``interval_s``; figures over the last ``window_count``."""

    interval_s: float
    count: int
    spacing_ms: int
    timeout_ms: int
    window_count: int


class Prober:
    """Measures from ``zone`` ("operator/zone"). ``on_change`` is called when ``results`` has changed."""

    def __init__(self, zone: str, settings: ProbeSettings, sender: Sender, on_change: Callable[[], None]) -> None:
        self._zone = zone
        self._settings = settings
        self._sender = sender
        self._on_change = on_change
        self.on_measured: Callable[[ProbeResult], None] = lambda result: None
        """Told the figures after every round that was answered, whether they are worth an advert or not."""
        self._targets: dict[str, ProbeTarget] = {}
        self._windows: dict[str, ProbeWindow] = {}
        self._told: dict[str, ProbeResult] = {}
        self._changed = asyncio.Event()

    def results(self) -> dict[str, ProbeResult]:
        """What is told, by target zone."""
        return dict(sorted(self._told.items()))

    def aim(self, targets: Mapping[str, ProbeTarget]) -> None:
        """``targets``, by zone, is from now on all that is measured. Another address begins anew."""
        gone = [zone for zone, target in self._targets.items() if targets.get(zone) != target]
        for zone in gone:
            self._windows.pop(zone, None)
        self._targets = {zone: target for zone, target in sorted(targets.items()) if zone != self._zone}
        told = self._told.keys() & gone
        for zone in told:
            del self._told[zone]
        if told:
            self._on_change()
        self._changed.set()

    async def run(self, clock: Clock, random: Random) -> None:
        """Measures until it is cancelled; only a few targets at once, so that probes do not disturb each other."""
        while True:
            self._changed.clear()
            await self._round(clock)
            await self._pause(clock, self._settings.interval_s * random.uniform(0.9, 1.1))

    async def _round(self, clock: Clock) -> None:
        free = asyncio.Semaphore(TARGETS_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for zone, target in self._targets.items():
                group.create_task(self._measure_in_turn(free, zone, target, clock))

    async def _measure_in_turn(self, free: asyncio.Semaphore, zone: str, target: ProbeTarget, clock: Clock) -> None:
        async with free:
            await self._measure(zone, target, clock)

    async def _pause(self, clock: Clock, seconds: float) -> None:
        """Waits for the next round, or for other targets."""
        pause = asyncio.ensure_future(clock.sleep(seconds))
        change = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((pause, change), return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
            change.cancel()

    async def _measure(self, zone: str, target: ProbeTarget, clock: Clock) -> None:
        settings = self._settings
        rtts_us = await self._sender.measure(
            target.address, count=settings.count, spacing_ms=settings.spacing_ms, timeout_ms=settings.timeout_ms
        )
        if self._targets.get(zone) != target:
            return
        window = self._windows.setdefault(zone, ProbeWindow(settings.window_count))
        window.add(rtts_us)
        fresh = window.result(self._zone, zone, clock.now().wall_ms)
        told = self._told.get(zone)
        if fresh is not None:
            self.on_measured(fresh)
        if fresh is None:
            if self._told.pop(zone, None) is not None:
                _log.warning("probes unanswered", target=zone)
                self._on_change()
        elif worth_telling(told, fresh):
            self._told[zone] = fresh
            self._on_change()
