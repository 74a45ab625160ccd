"""Authenticated probes over real sockets, and gRPC where UDP is not answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from agent_harness import free_ports, zone_world
from hansa_agent.clock_error import unknown_error, vouched
from hansa_agent.probe_echo import EchoPinger, open_echo
from hansa_agent.probe_keys import NO_KEYS, ProbeKeys
from hansa_agent.probe_stamp import Reflector, Sender, open_reflector
from hansa_agent.probe_statistics import RateLimit
from hansa_agent.prober import FixedTarget, Prober, ProbeSettings, Ways, advert_of
from hansa_agent.system import SystemClock, SystemRandom

from hansa.v1.instance_pb2 import ProbeTarget
from hansa.v1.network_pb2 import PROBED_KIND_ACCESS_POINT, PROBED_KIND_GATEWAY

KEY, OTHER = b"k" * 32, b"o" * 32
ONLY_KNOWN = ProbeKeys((("svea/*", KEY),), strangers=False)
ROUND = {"count": 5, "spacing_ms": 1, "timeout_ms": 500}


@asynccontextmanager
async def reflecting(keys: ProbeKeys, *, udp: bool = True, echo: bool = False) -> AsyncIterator[tuple[str, Reflector]]:
    """A reflector over UDP, over gRPC, or both, on one port."""
    address = f"127.0.0.1:{free_ports(1)}"
    transport, reflector = None, Reflector(SystemClock(), RateLimit(1_000), keys)
    if udp:
        transport, reflector = await open_reflector(address, SystemClock(), RateLimit(1_000), keys)
    server = await open_echo(address, reflector) if echo else None
    try:
        yield address, reflector
    finally:
        if transport is not None:
            transport.close()
        if server is not None:
            await server.stop(None)


def sender() -> Sender:
    return Sender(SystemClock(), SystemRandom())


async def test_authenticated_probes_come_back_with_a_round_trip_time() -> None:
    async with reflecting(ONLY_KNOWN) as (address, reflector):
        rtts_us = await sender().measure(address, key=KEY, **ROUND)
    assert len(rtts_us) == 5 and all(rtt is not None and 0 < rtt < 500_000 for rtt in rtts_us)
    assert (reflector.reflected_count, reflector.stranger_count) == (5, 0)


@pytest.mark.parametrize("key", [OTHER, b""])
async def test_strangers_are_not_answered_and_are_counted(key: bytes) -> None:
    async with reflecting(ONLY_KNOWN) as (address, reflector):
        assert await sender().measure(address, key=key, count=3, spacing_ms=1, timeout_ms=100) == [None] * 3
        assert reflector.stranger_count == 3


async def test_answers_without_authentication_do_not_count_where_it_was_asked_for() -> None:
    class Careless(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: object) -> None:
            self.transport.sendto(data, addr)  # type: ignore[attr-defined]

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Careless, local_addr=("127.0.0.1", 0))
    address = f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    assert await sender().measure(address, key=KEY, count=2, spacing_ms=1, timeout_ms=50) == [None, None]
    transport.close()


@pytest.mark.parametrize(("keys", "key"), [(NO_KEYS, b""), (ONLY_KNOWN, KEY)])
async def test_probes_over_grpc_come_back_with_a_round_trip_time(keys: ProbeKeys, key: bytes) -> None:
    async with reflecting(keys, udp=False, echo=True) as (address, reflector):
        rtts_us = await EchoPinger(SystemClock(), sender()).measure(address, key=key, **ROUND)
    assert len(rtts_us) == 5 and all(rtt is not None and 0 < rtt < 500_000 for rtt in rtts_us)
    assert reflector.reflected_count == 6


async def test_strangers_are_refused_over_grpc_too() -> None:
    async with reflecting(ONLY_KNOWN, udp=False, echo=True) as (address, reflector):
        assert await EchoPinger(SystemClock(), sender()).measure(address, key=OTHER, **ROUND) == [None] * 5
    assert reflector.stranger_count == 1


async def test_nobody_who_listens_is_loss_over_grpc() -> None:
    pinger = EchoPinger(SystemClock(), sender())
    assert await pinger.measure(f"127.0.0.1:{free_ports(1)}", count=2, spacing_ms=1, timeout_ms=200) == [None] * 2


async def test_a_way_that_answers_no_udp_is_measured_over_grpc() -> None:
    settings = ProbeSettings(interval_s=0.05, count=3, spacing_ms=1, timeout_ms=50, window_count=30)
    told = asyncio.Event()
    async with reflecting(ONLY_KNOWN, udp=False, echo=True) as (address, _):
        ways = Ways(sender(), EchoPinger(SystemClock(), sender()), ONLY_KNOWN)
        prober = Prober("nordfjell/osl-1", settings, ways, told.set)
        prober.aim({"svea/sto-1": ProbeTarget(zone="svea/sto-1", address=address)})
        running = asyncio.create_task(prober.run(SystemClock(), SystemRandom()))
        await asyncio.wait_for(told.wait(), 10)
        result = prober.results()["svea/sto-1"]
        running.cancel()
    assert result.rtt.sample_count == 3 and result.loss_permille > 500


async def test_an_agent_answers_authenticated_probes_over_udp_and_grpc(tmp_path: Path) -> None:
    (tmp_path / "probe.key").write_bytes(KEY)
    keys = [{"zones": "svea/*", "key_file": "probe.key"}]
    async with zone_world(tmp_path) as world:
        probe = {"listen": f"127.0.0.1:{free_ports(1)}", "grpc": True, "keys": keys, "strangers": False}
        await world.spawn(world.config(probe=probe))
        await world.operator.until(lambda: "inventory" in world.operator.adverts)
        address = world.operator.adverts["inventory"].inventory.probe_address
        assert None not in await sender().measure(address, key=KEY, **ROUND)
        assert None not in await EchoPinger(SystemClock(), sender()).measure(address, key=KEY, **ROUND)
        assert await sender().measure(address, count=1, spacing_ms=1, timeout_ms=100) == [None]


async def test_one_way_delays_are_measured_where_both_ends_vouch_for_their_clocks() -> None:
    clock = SystemClock()
    for theirs, expected in ((vouched(5), 5), (unknown_error, 0)):
        address = f"127.0.0.1:{free_ports(1)}"
        transport, _ = await open_reflector(address, clock, RateLimit(1_000), NO_KEYS, theirs)
        try:
            rtts_us, one_way = await Sender(clock, SystemRandom(), vouched(5)).measure_both(address, **ROUND)
        finally:
            transport.close()
        told = [sample for sample in one_way if sample is not None]
        assert len(told) == expected
        assert all(sample.is_possible and sample.error_us in (10, 11) for sample in told)
        assert None not in rtts_us


async def test_gateways_and_access_points_of_the_configuration_are_probed_and_told_as_nodes() -> None:
    async with reflecting(ONLY_KNOWN) as (udp, _), reflecting(NO_KEYS, udp=False, echo=True) as (tcp, _):
        fixed = [
            FixedTarget("bergen", udp, PROBED_KIND_ACCESS_POINT, key_as="svea/sto-1"),
            FixedTarget("svea-sto", tcp, PROBED_KIND_GATEWAY, is_grpc_only=True),
            FixedTarget("svea/sto-1", udp),
            FixedTarget("no-key", udp, PROBED_KIND_GATEWAY),
        ]
        told = asyncio.Event()
        ways = Ways(sender(), None, ONLY_KNOWN, EchoPinger(SystemClock(), sender()))
        settings = ProbeSettings(0.05, 5, 1, 200, 100)
        prober = Prober("nordfjell/osl-1", settings, ways, told.set, fixed)
        running = asyncio.create_task(prober.run(SystemClock(), SystemRandom()))
        async with asyncio.timeout(20):
            while len(prober.results()) < 3:
                told.clear()
                await told.wait()
        prober.aim({})
        running.cancel()
    found = {advert_of(result): result for result in prober.results().values()}
    assert sorted(found) == ["node-probes/bergen", "node-probes/svea-sto", "probes/svea/sto-1"]
    assert found["node-probes/svea-sto"].target_kind == PROBED_KIND_GATEWAY
    assert found["node-probes/bergen"].target_zone == ""
    assert all(result.rtt.p50_us > 0 and result.source_zone == "nordfjell/osl-1" for result in found.values())
