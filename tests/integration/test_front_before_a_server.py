"""The front of a server that knows nothing of hansa: who may call, over real sockets and real certificates."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from agent_harness import CALLER, Certificates, free_ports
from hansa_agent import front as front_module
from hansa_agent.front import Front, FrontSettings

REQUEST = b"GET /v1/models HTTP/1.1\r\nHost: llama\r\n\r\n"


class Zone:
    """A plain server, and what a client and its front need."""

    def __init__(self, folder: Path) -> None:
        self.clients, self.zone = Certificates(folder / "clients"), Certificates(folder / "zone")
        self.cert, self.key = self.zone.issue("instance", "spiffe://nordavind/osl-1/instance")
        self.heard: list[bytes] = []
        self.server_port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000)
        await writer.drain()
        writer.close()

    def environment(self, ids: str = CALLER) -> dict[str, str]:
        return {
            "HANSA_LISTEN_HOST": "127.0.0.1",
            "HANSA_LISTEN_PORT": "0",
            "HANSA_TLS_CERT": str(self.cert),
            "HANSA_TLS_KEY": str(self.key),
            "HANSA_CLIENT_CA": str(self.clients.ca),
            "HANSA_CLIENT_IDS": ids,
            "HANSA_FRONT_PORT": str(self.server_port),
        }

    def client(self, pair: tuple[Path, Path] | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.zone.ca))
        if pair is not None:
            context.load_cert_chain(*pair)
        return context


@pytest.fixture
async def zone(tmp_path: Path) -> AsyncIterator[Zone]:
    built = Zone(tmp_path)
    server = await asyncio.start_server(built.answer, "127.0.0.1", 0)
    built.server_port = server.sockets[0].getsockname()[1]
    async with server:
        yield built


async def asked(port: int, context: ssl.SSLContext) -> bytes:
    """The whole answer; empty where there is none."""
    try:
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
            writer.write(REQUEST)
            found = await reader.read()
            writer.close()
            return found
    except (OSError, ssl.SSLError):
        return b""


async def test_client_that_the_order_names_is_answered_whole(zone: Zone) -> None:
    async with Front(FrontSettings.of(zone.environment(f"spiffe://nordfjell/app/other,{CALLER}"))) as front:
        answer = await asked(front.port, zone.client(zone.clients.issue("caller", CALLER)))
    assert answer.startswith(b"HTTP/1.1 200 OK") and answer.endswith(b"x" * 1_000) and len(answer) > 200_000
    assert zone.heard == [REQUEST]


async def test_anybody_else_reaches_nothing(zone: Zone) -> None:
    strangers = Certificates(zone.clients.folder.with_name("strangers"))
    callers = {
        "no certificate": None,
        "another authority": strangers.issue("caller", CALLER),
        "another identity": zone.clients.issue("other", "spiffe://nordfjell/app/other"),
        "a longer identity": zone.clients.issue("longer", f"{CALLER}/more"),
        "the instance itself": (zone.cert, zone.key),
    }
    async with Front(FrontSettings.of(zone.environment())) as front:
        for who, pair in callers.items():
            assert await asked(front.port, zone.client(pair)) == b"", who
    assert zone.heard == []


async def test_server_that_is_not_there_ends_the_connection_and_nothing_else(zone: Zone) -> None:
    client = zone.client(zone.clients.issue("caller", CALLER))
    environment = zone.environment()
    async with Front(FrontSettings.of(environment | {"HANSA_FRONT_PORT": "9"})) as front:
        assert await asked(front.port, client) == b""
        assert await asked(front.port, client) == b""


async def test_front_that_is_full_takes_nobody_more_until_somebody_leaves(
    zone: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_module, "CONNECTIONS_MAX", 1)
    client = zone.client(zone.clients.issue("caller", CALLER))
    async with Front(FrontSettings.of(zone.environment())) as front:
        _, first = await asyncio.open_connection("127.0.0.1", front.port, ssl=client, server_hostname="localhost")
        assert await asked(front.port, client) == b""
        first.close()
        async with asyncio.timeout(10):
            while not await asked(front.port, client):
                await asyncio.sleep(0.05)


async def test_renewed_certificate_is_served_with_from_the_next_connection_on(zone: Zone) -> None:
    client = zone.client(zone.clients.issue("caller", CALLER))
    async with Front(FrontSettings.of(zone.environment())) as front:

        async def serial() -> object:
            _, writer = await asyncio.open_connection("127.0.0.1", front.port, ssl=client, server_hostname="localhost")
            found = writer.get_extra_info("peercert")["serialNumber"]
            writer.close()
            return found

        first = await serial()
        zone.zone.issue("instance", "spiffe://nordavind/osl-1/instance")
        await asked(front.port, client)
        assert await serial() != first


async def test_front_as_a_process_ends_when_it_is_told_and_refuses_an_empty_contract(zone: Zone) -> None:
    async def spawned(environment: dict[str, str]) -> asyncio.subprocess.Process:
        command = (sys.executable, "-m", "hansa_agent.front")
        paths = {"PYTHONPATH": ":".join(sys.path)}
        return await asyncio.create_subprocess_exec(*command, env=environment | paths, stderr=asyncio.subprocess.PIPE)

    for environment in ({}, zone.environment(ids=""), zone.environment() | {"HANSA_FRONT_PORT": "x"}):
        process = await spawned(environment)
        _, told = await process.communicate()
        assert process.returncode == 78 and b"no environment of an instance" in told
    port = free_ports(1)
    process = await spawned(zone.environment() | {"HANSA_LISTEN_PORT": str(port)})
    client = zone.client(zone.clients.issue("caller", CALLER))
    async with asyncio.timeout(20):
        while not (answer := await asked(port, client)):
            await asyncio.sleep(0.05)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


async def test_certificate_with_two_identities_is_let_in_by_neither(zone: Zone) -> None:
    both = zone.clients.issue("both", CALLER, "spiffe://nordfjell/app/other")
    async with Front(FrontSettings.of(zone.environment())) as front:
        assert await asked(front.port, zone.client(both)) == b""
    assert zone.heard == []


async def test_renewal_that_is_half_written_leaves_what_was_served_with_before(zone: Zone) -> None:
    client = zone.client(zone.clients.issue("caller", CALLER))
    async with Front(FrontSettings.of(zone.environment())) as front:
        former = zone.key.read_bytes()
        zone.zone.issue("instance", "spiffe://nordavind/osl-1/instance")
        renewed = zone.key.read_bytes()
        zone.key.write_bytes(former)
        assert [bool(await asked(front.port, client)) for _ in range(3)] == [True, True, True]
        zone.key.write_bytes(renewed)
        assert await asked(front.port, client)


async def test_those_who_never_finish_their_handshake_give_way_to_who_does(
    zone: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_module, "HANDSHAKES_MAX", 2)
    client = zone.client(zone.clients.issue("caller", CALLER))
    async with Front(FrontSettings.of(zone.environment())) as front:
        silent = [await asyncio.open_connection("127.0.0.1", front.port) for _ in range(5)]
        async with asyncio.timeout(5):
            for reader, _ in silent[:3]:
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b"", "the oldest are ended, before any time is over"
        assert await asked(front.port, client)
        for _, writer in silent:
            writer.close()


async def test_what_strangers_leave_behind_takes_no_memory(zone: Zone) -> None:
    async with Front(FrontSettings.of(zone.environment())) as front:
        for _ in range(200):
            _, writer = await asyncio.open_connection("127.0.0.1", front.port)
            writer.write(b"\x16\x03\x01")
            writer.transport.abort()
        async with asyncio.timeout(5):
            while left := sum(isinstance(each, ssl.SSLObject) for each in gc.get_objects()):
                if left <= 2 * front_module.HANDSHAKES_MAX:
                    break
                await asyncio.sleep(0.05)


async def test_client_that_vanishes_is_asked_for(zone: Zone) -> None:
    taken: list[socket.socket] = []

    class Seen(Front):
        async def _serve(self, connection: socket.socket) -> None:
            taken.append(connection.dup())
            await super()._serve(connection)

    async with Seen(FrontSettings.of(zone.environment())) as front:
        assert await asked(front.port, zone.client(zone.clients.issue("caller", CALLER)))
    with taken[0] as seen:
        assert seen.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert seen.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 60
        assert seen.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
