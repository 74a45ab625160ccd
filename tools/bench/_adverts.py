"""Measures adverts per second: deltas of agents, each sent when the one before is acknowledged, hence on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import grpc
from hansa_control.adapters.system import SystemClock

from hansa.v1 import agent_service_pb2 as agent_pb2
from hansa.v1 import network_pb2
from tools.bench._agents import BenchAgent, advert, inventory
from tools.bench._echo import SERVICE
from tools.bench._load import Run, closed_loop, row
from tools.bench._world import OPERATOR, World, zone_name


class EchoStreams:
    """One stream to the echo for each agent, over connections of their own."""

    def __init__(self, world: World) -> None:
        self._channels = [world.channel("echo", certificate) for certificate in world.callers.agents]
        kind: Any = agent_pb2.SessionRequest
        path = f"/{SERVICE}/Stream"
        self._calls: list[Any] = [
            channel.stream_stream(path, kind.SerializeToString, kind.FromString)() for channel in self._channels
        ]

        self.cpu_s = world.echo.cpu_s

    async def exchange(self, stream: int, message: agent_pb2.SessionRequest) -> None:
        await self._calls[stream].write(message)
        if await self._calls[stream].read() is grpc.aio.EOF:
            raise EOFError("the echo ended the stream")

    async def close(self) -> None:
        for call in self._calls:
            call.cancel()
        for channel in self._channels:
            await channel.close()


Adverts = Callable[[BenchAgent, int], list[agent_pb2.Advert]]
"""What an agent advertises in its delta of that number."""


async def advert_rows(world: World, agents: Sequence[BenchAgent], delta_count: int) -> list[dict[str, object]]:
    """Adverts of probes, alone and 64 a delta, and of inventories; on one stream and on all of them side by side."""
    echo = EchoStreams(world)
    everywhere = len(agents)
    measured: list[tuple[str, int, Adverts, int]] = [
        (f"{size}_per_delta.{streams}_streams", streams, partial(probes, size=size), size)
        for streams in sorted({1, everywhere})
        for size in (1, 64)
    ]
    measured.append((f"inventory.{everywhere}_streams", everywhere, _inventory, 1))
    rows: list[dict[str, object]] = []
    try:
        await _side_by_side(agents, echo, (_inventory, 2), world.control_plane.cpu_s)
        for label, streams, adverts, size in measured:
            count = max(1, delta_count // streams // (1 if size == 1 else 4))
            run, floor = await _side_by_side(agents[:streams], echo, (adverts, count), world.control_plane.cpu_s)
            rows.append(row(f"adverts.{label}.rate", run.rate * size, "1/s", floor.rate * size))
            rows.append(row(f"adverts.{label}.p99", run.percentile_ms(99), "ms", floor.percentile_ms(99)))
            per_1000_s, floor_s = run.cpu_per_1000_s / size, floor.cpu_per_1000_s / size
            rows.append(row(f"adverts.{label}.cpu_per_1000", per_1000_s, "s", floor_s))
    finally:
        await echo.close()
    return rows


async def _side_by_side(
    agents: Sequence[BenchAgent], echo: EchoStreams, work: tuple[Adverts, int], cpu_s: Callable[[], float]
) -> tuple[Run, Run]:
    """So many deltas on every agent's stream, and the same messages through the echo before and after."""
    adverts, count = work

    async def advertise(stream: int, number: int) -> None:
        await agents[stream].advertise(adverts(agents[stream], number))

    async def through_echo(stream: int, number: int) -> None:
        delta = agent_pb2.AdvertDelta(updated=adverts(agents[stream], number), nonce=str(number))
        await echo.exchange(stream, agent_pb2.SessionRequest(adverts=delta))

    size = (len(agents), count)
    before = await _streams(size, through_echo, echo.cpu_s)
    run = await _streams(size, advertise, cpu_s)
    return run, before + await _streams(size, through_echo, echo.cpu_s)


async def _streams(
    size: tuple[int, int], send: Callable[[int, int], Awaitable[None]], cpu_s: Callable[[], float]
) -> Run:
    """``send(stream, number)`` for each number below a count on each stream, in turn; all streams side by side."""
    stream_count, count = size
    numbers = [iter(range(count)) for _ in range(stream_count)]
    free: asyncio.Queue[int] = asyncio.Queue()
    for stream in range(stream_count):
        free.put_nowait(stream)

    async def on_a_free_stream(_: int) -> None:
        stream = free.get_nowait()
        await send(stream, next(numbers[stream], 0))
        free.put_nowait(stream)

    return await closed_loop(on_a_free_stream, count * stream_count, stream_count, cpu_s)


def _inventory(agent: BenchAgent, number: int) -> list[agent_pb2.Advert]:
    """A price that changed, of which everybody is told: waiting workloads, other agents, partners."""
    return [advert("inventory", inventory(agent.node, 1_001 + number))]


def probes(agent: BenchAgent, number: int, size: int) -> list[agent_pb2.Advert]:
    """What a zone's prober finds anew of so many others, the number-th time."""
    now_ms = SystemClock().wall_ms()
    others = [zone_name(at) for at in range(100) if zone_name(at) != agent.zone][:size]
    return [
        advert(
            f"probes/{OPERATOR}/{other}",
            network_pb2.ProbeResult(
                source_zone=f"{OPERATOR}/{agent.zone}",
                target_zone=f"{OPERATOR}/{other}",
                rtt=network_pb2.RoundTrip(
                    p50_us=9_000 + number % 1_000,
                    p95_us=10_000 + number % 1_000,
                    p99_us=11_000 + number % 1_000,
                    basis=network_pb2.LATENCY_BASIS_MEASURED,
                    sample_count=240,
                    observed_at_ms=now_ms,
                ),
                min_us=8_000,
                jitter_us=150,
            ),
        )
        for other in others
    ]
