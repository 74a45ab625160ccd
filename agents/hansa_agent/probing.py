"""Puts together what measures and what answers measurements, as the configuration asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc.aio

from hansa.v1.network_pb2 import PROBED_KIND_UNSPECIFIED, ProbedKind
from hansa_agent.clock_error import ClockError, kernel_error_us, vouched
from hansa_agent.config import LoadedConfig
from hansa_agent.config_probe import ProbeTargetSection
from hansa_agent.ports import Clock, Random
from hansa_agent.probe_echo import EchoPinger, open_echo
from hansa_agent.probe_stamp import Sender, open_reflector
from hansa_agent.probe_statistics import RateLimit
from hansa_agent.prober import FixedTarget, Prober, ProbeSettings, Ways


def prober_of(loaded: LoadedConfig, clock: Clock, random: Random, on_change: Callable[[], None]) -> Prober:
    """What measures."""
    probe = loaded.config.probe
    settings = ProbeSettings(
        probe.interval_s,
        probe.count,
        probe.spacing_ms,
        probe.timeout_ms,
        probe.window_count,
        probe.interval_s_max,
        probe.packets_per_second_max,
    )
    sender = Sender(clock, random, clock_error_of(loaded))
    pinger = EchoPinger(clock, sender)
    ways = Ways(sender, pinger if probe.grpc else None, loaded.probe_keys, pinger)
    return Prober(loaded.config.zone, settings, ways, on_change, map(_fixed, probe.targets))


def _fixed(section: ProbeTargetSection) -> FixedTarget:
    kind = (
        PROBED_KIND_UNSPECIFIED if section.kind == "agent" else ProbedKind.Value(f"PROBED_KIND_{section.kind.upper()}")
    )
    return FixedTarget(section.name, section.address, kind, section.grpc, section.key_as)


def clock_error_of(loaded: LoadedConfig) -> ClockError:
    """By how much the clock may be off: what the configuration vouches for, else what the kernel says."""
    error_us = loaded.config.probe.clock_error_us
    return kernel_error_us if error_us is None else vouched(error_us)


class Answering:
    """What answers, while the agent runs. ``address`` is where others find it; empty where nothing is answered."""

    def __init__(self) -> None:
        self.address = ""
        self._reflector: asyncio.DatagramTransport | None = None
        self._echo: grpc.aio.Server | None = None

    async def open(self, loaded: LoadedConfig, clock: Clock) -> None:
        """Listens where the configuration says; raises OSError if that is not possible."""
        probe = loaded.config.probe
        if probe.listen is None:
            return
        limit = RateLimit(probe.reflected_per_second_max)
        self._reflector, reflector = await open_reflector(
            probe.listen, clock, limit, loaded.probe_keys, clock_error_of(loaded)
        )
        host, port = self._reflector.get_extra_info("sockname")[:2]
        listened = f"{f'[{host}]' if ':' in host else host}:{port}"
        if probe.grpc:
            self._echo = await open_echo(listened, reflector)
        self.address = probe.advertise or listened

    async def close(self) -> None:
        if self._reflector is not None:
            self._reflector.close()
        if self._echo is not None:
            await self._echo.stop(None)
