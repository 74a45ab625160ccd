"""Round-trip probes over real UDP sockets, and as adverts of two agents that measure each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from agent_harness import zone_world
from hansa_agent.probe_stamp import Reflector, Sender, _Round, open_reflector
from hansa_agent.probe_statistics import RateLimit
from hansa_agent.stamp_packet import PACKET_BYTES, ReflectorPacket, SenderPacket, parse_reflector
from hansa_agent.system import SystemClock, SystemRandom

from hansa.v1.agent_service_pb2 import Order
from hansa.v1.instance_pb2 import ProbeTarget
from hansa.v1.network_pb2 import LATENCY_BASIS_MEASURED

ROUND = {"count": 5, "spacing_ms": 1, "timeout_ms": 2_000}


class Peer(asyncio.DatagramProtocol):
    """A bare UDP socket that keeps what it gets and may answer."""

    def __init__(self, answer: object = None) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.received.put_nowait(data)
        if callable(self._answer):
            for each in self._answer(data):
                self.transport.sendto(each, addr)  # type: ignore[attr-defined]


@asynccontextmanager
async def reflecting(per_second: int = 1_000) -> AsyncIterator[tuple[str, Reflector]]:
    transport, reflector = await open_reflector("127.0.0.1:0", SystemClock(), RateLimit(per_second))
    try:
        yield f"127.0.0.1:{transport.get_extra_info('sockname')[1]}", reflector
    finally:
        transport.close()


@asynccontextmanager
async def peer(address: str | None = None, answer: object = None) -> AsyncIterator[tuple[Peer, str]]:
    loop = asyncio.get_running_loop()
    remote = ("127.0.0.1", int(address.rpartition(":")[2])) if address else None
    local = None if address else ("127.0.0.1", 0)
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: Peer(answer), local_addr=local, remote_addr=remote
    )
    try:
        yield protocol, f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    finally:
        transport.close()


async def test_every_probe_comes_back_with_a_round_trip_time() -> None:
    async with reflecting() as (address, reflector):
        rtts_us = await Sender(SystemClock(), SystemRandom()).measure(address, **ROUND)
    assert len(rtts_us) == 5 and all(rtt is not None and 0 < rtt < 2_000_000 for rtt in rtts_us)
    assert reflector.reflected_count == 5


async def test_answer_is_as_long_as_the_request_and_repeats_it() -> None:
    async with reflecting() as (address, _), peer(address) as (probe, _):
        request = SenderPacket(41, 0x1234_5678_9ABC_DEF0)
        probe.transport.sendto(request.pack())  # type: ignore[attr-defined]
        answer = await asyncio.wait_for(probe.received.get(), 5)
    assert len(answer) == PACKET_BYTES
    parsed = parse_reflector(answer)
    assert parsed.sender == request and parsed.sequence == 41


async def test_malformed_packets_are_dropped_and_the_reflector_goes_on() -> None:
    good = SenderPacket(1, 2).pack()
    reflected = ReflectorPacket(1, 2, 3, SenderPacket(1, 2)).pack()
    no_multiplier = good[:13] + b"\0" + good[14:]
    async with reflecting() as (address, reflector), peer(address) as (probe, _):
        for bad in (b"x", good[:-1], good + b"\0", b"\xff" * 1_400, reflected, no_multiplier):
            probe.transport.sendto(bad)  # type: ignore[attr-defined]
        probe.transport.sendto(good)  # type: ignore[attr-defined]
        await asyncio.wait_for(probe.received.get(), 5)
        assert probe.received.empty()
    assert reflector.dropped_count == 6 and reflector.reflected_count == 1


async def test_source_that_asks_too_often_is_not_answered() -> None:
    async with reflecting(per_second=2) as (address, reflector), peer(address) as (probe, _):
        for sequence in range(20):
            probe.transport.sendto(SenderPacket(sequence, 1).pack())  # type: ignore[attr-defined]
        for _ in range(4):
            await asyncio.wait_for(probe.received.get(), 5)
        while reflector.reflected_count + reflector.dropped_count < 20:
            await asyncio.sleep(0.005)
    assert reflector.reflected_count <= 5


async def test_closed_port_is_loss() -> None:
    async with peer() as (_, address):
        pass
    rtts_us = await Sender(SystemClock(), SystemRandom()).measure(address, count=3, spacing_ms=1, timeout_ms=50)
    assert rtts_us == [None, None, None]


async def test_unresolvable_host_is_loss() -> None:
    rtts_us = await Sender(SystemClock(), SystemRandom()).measure(
        "no-such-host.invalid:862", count=2, spacing_ms=1, timeout_ms=50
    )
    assert rtts_us == [None, None]


@pytest.mark.parametrize("lie", ["other sequence", "other timestamp", "truncated", "garbage"])
async def test_forged_answers_do_not_count(lie: str) -> None:
    def answer(request: bytes) -> list[bytes]:
        sequence, ntp = int.from_bytes(request[:4], "big"), int.from_bytes(request[4:12], "big")
        forged = {
            "other sequence": SenderPacket((sequence + 1_000) & 0xFFFF_FFFF, ntp),
            "other timestamp": SenderPacket(sequence, ntp ^ 1),
        }.get(lie, SenderPacket(sequence, ntp))
        packet = ReflectorPacket(sequence, 5, 5, forged).pack()
        return [packet[:40]] if lie == "truncated" else [b"\xff" * 43 + b"?"] if lie == "garbage" else [packet]

    async with peer(answer=answer) as (_, address):
        rtts_us = await Sender(SystemClock(), SystemRandom()).measure(address, count=2, spacing_ms=1, timeout_ms=100)
    assert rtts_us == [None, None]


def test_doubled_answer_does_not_lengthen_the_round_trip() -> None:
    class Stepping(SystemClock):
        now_ns = 0

        def monotonic_ns(self) -> int:
            return self.now_ns

    clock = Stepping()
    probes = _Round(clock)
    request = SenderPacket(7, 9)
    probes.expect(request)
    answer = ReflectorPacket(0, 5, 5, request).pack()
    for clock.now_ns in (1_000_000, 5_000_000):
        probes.receive(answer)
    assert probes.rtts_us == {7: 1_000}


async def test_agent_measures_ordered_targets_and_advertises_them(tmp_path: Path) -> None:
    async with zone_world(tmp_path) as world, reflecting() as (address, _):
        await world.spawn(world.config(probe={"listen": "127.0.0.1:0", "interval_s": 0.1, "spacing_ms": 1}))
        await world.operator.until(lambda: "inventory" in world.operator.adverts)
        own = world.operator.adverts["inventory"].inventory.probe_address
        assert own.startswith("127.0.0.1:") and not own.endswith(":0")
        await world.operator.order(ProbeTarget(zone="svea/sto-1", address=address))
        await world.operator.until(lambda: "probes/svea/sto-1" in world.operator.adverts)
        result = world.operator.adverts["probes/svea/sto-1"].probe
        assert (result.source_zone, result.target_zone) == ("nordfjell/osl-1", "svea/sto-1")
        assert result.rtt.basis == LATENCY_BASIS_MEASURED and result.rtt.sample_count == 10
        assert 0 < result.min_us <= result.rtt.p50_us + 10 and result.rtt.p50_us <= result.rtt.p99_us
        async with reflecting():
            assert await _answers(own)
        await world.operator.order()
        await world.operator.until(lambda: "probes/svea/sto-1" not in world.operator.adverts)


async def test_malformed_target_is_refused(tmp_path: Path) -> None:
    async with zone_world(tmp_path) as world:
        await world.spawn(world.config())
        await world.operator.until(lambda: "inventory" in world.operator.adverts)
        target = ProbeTarget(zone="svea/sto-1", address="nowhere")
        world.operator.orders = {
            "probe-targets/svea/sto-1": Order(name="probe-targets/svea/sto-1", etag="1", probe_target=target)
        }
        await world.operator.notify()
        ack = (await world.operator.until(lambda: world.operator.of("order_ack")))[0]
    assert ack.refusals[0].field == "probe_target.address"


async def _answers(address: str) -> bool:
    rtts_us = await Sender(SystemClock(), SystemRandom()).measure(address, **ROUND)
    return None not in rtts_us
