"""The fault proxy does to bytes what it says, and nothing else: the matrix is only as true as this."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from fault_proxy import FaultProxy, Way

pytestmark = pytest.mark.timeout(60)


class Echo:
    """Answers every byte with itself and keeps what it heard."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.ends: list[str] = []
        self.news = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65_536):
                self.heard += chunk
                self.news.set()
                writer.write(chunk)
                await writer.drain()
            self.ends.append("end")
        except OSError:
            self.ends.append("reset")
        self.news.set()
        writer.close()

    async def until(self, length: int) -> None:
        while len(self.heard) < length:
            self.news.clear()
            await self.news.wait()


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, FaultProxy]]:
    answering = Echo()
    server = await asyncio.start_server(answering.serve, "127.0.0.1", 0)
    async with FaultProxy(server.sockets[0].getsockname()) as proxy:
        yield answering, proxy
    server.close()


async def connect(proxy: FaultProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def test_bytes_pass_both_ways_as_they_are_and_are_counted(echo: tuple[Echo, FaultProxy]) -> None:
    answering, proxy = echo
    sent = os.urandom(1_000_000)
    reader, writer = await connect(proxy)
    writer.write(sent)
    assert await reader.readexactly(len(sent)) == sent
    assert bytes(answering.heard) == sent
    assert (proxy.passed_bytes(Way.TO), proxy.passed_bytes(Way.FROM)) == (len(sent), len(sent))
    writer.close()


async def test_the_end_of_one_way_is_told_and_the_other_way_goes_on(echo: tuple[Echo, FaultProxy]) -> None:
    answering, proxy = echo
    reader, writer = await connect(proxy)
    writer.write(b"last words")
    writer.write_eof()
    assert await reader.read(-1) == b"last words"
    assert answering.ends == ["end"]


async def test_a_cut_resets_what_is_open_and_whoever_comes_until_it_is_healed(echo: tuple[Echo, FaultProxy]) -> None:
    _, proxy = echo
    reader, writer = await connect(proxy)
    writer.write(b"a")
    await reader.readexactly(1)
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    refused, _ = await connect(proxy)
    with pytest.raises(ConnectionResetError):
        await refused.readexactly(1)
    proxy.heal()
    reader, writer = await connect(proxy)
    writer.write(b"b")
    assert await reader.readexactly(1) == b"b"


async def test_half_open_to_the_target_nothing_arrives_though_nobody_is_told(echo: tuple[Echo, FaultProxy]) -> None:
    answering, proxy = echo
    reader, writer = await connect(proxy)
    writer.write(b"a")
    await reader.readexactly(1)
    proxy.swallow(Way.TO)
    writer.write(b"lost")
    await asyncio.wait_for(swallowed(proxy, Way.TO, 4), 30)
    assert (bytes(answering.heard), answering.ends, proxy.connection_count) == (b"a", [], 1)
    proxy.heal()
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)


async def test_half_open_from_the_target_it_hears_and_its_answers_are_lost(echo: tuple[Echo, FaultProxy]) -> None:
    answering, proxy = echo
    reader, writer = await connect(proxy)
    proxy.swallow(Way.FROM)
    writer.write(b"heard")
    await answering.until(5)
    await asyncio.wait_for(swallowed(proxy, Way.FROM, 5), 30)
    assert proxy.passed_bytes(Way.FROM) == 0
    proxy.heal()
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)


async def test_what_is_held_back_arrives_in_order_when_it_is_healed(echo: tuple[Echo, FaultProxy]) -> None:
    answering, proxy = echo
    reader, writer = await connect(proxy)
    proxy.hold(Way.TO)
    writer.write(b"first ")
    await writer.drain()
    writer.write(b"second")
    proxy.heal()
    assert await reader.readexactly(12) == b"first second"
    assert bytes(answering.heard) == b"first second"


async def test_what_is_held_back_does_not_arrive_before(echo: tuple[Echo, FaultProxy]) -> None:
    answering, proxy = echo
    held_reader, held = await connect(proxy)
    held.write(b"a")
    await held_reader.readexactly(1)
    proxy.hold(Way.TO)
    held.write(b"later")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(held_reader.readexactly(1), 0.1)
    assert bytes(answering.heard) == b"a"


async def test_a_delay_is_one_way_and_does_not_narrow(echo: tuple[Echo, FaultProxy]) -> None:
    _, proxy = echo
    proxy.slow(delay_ms=100)
    reader, writer = await connect(proxy)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for _ in range(20):
        writer.write(b"x" * 1_000)
        await writer.drain()
    await reader.readexactly(20_000)
    took_s = loop.time() - began_s
    assert 0.2 <= took_s < 2.0, "there and back once, not once for each chunk"


async def test_a_narrow_way_takes_as_long_as_its_bandwidth_says(echo: tuple[Echo, FaultProxy]) -> None:
    _, proxy = echo
    proxy.slow(bytes_per_s=50_000)
    reader, writer = await connect(proxy)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    writer.write(b"x" * 20_000)
    await reader.readexactly(20_000)
    assert loop.time() - began_s >= 0.4


async def test_an_action_happens_once_before_the_byte_that_triggers_it_is_passed(echo: tuple[Echo, FaultProxy]) -> None:
    answering, proxy = echo
    seen: list[int] = []
    proxy.after_bytes(Way.TO, 3, lambda: seen.append(len(answering.heard)))
    reader, writer = await connect(proxy)
    for letter in (b"ab", b"c", b"d"):
        writer.write(letter)
        await reader.readexactly(len(letter))
    assert seen == [2]


async def test_a_cut_may_be_triggered_by_bytes(echo: tuple[Echo, FaultProxy]) -> None:
    _, proxy = echo
    proxy.after_bytes(Way.FROM, 2, proxy.cut)
    reader, writer = await connect(proxy)
    writer.write(b"a")
    await reader.readexactly(1)
    writer.write(b"b")
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)


async def test_whoever_connects_while_the_target_is_away_is_reset() -> None:
    async with FaultProxy(("127.0.0.1", 1)) as proxy:
        reader, _ = await connect(proxy)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)


async def swallowed(proxy: FaultProxy, way: Way, count: int) -> None:
    while proxy.swallowed_bytes(way) < count:
        await asyncio.sleep(0)
