"""Ends mutual TLS in front of a server that knows nothing of hansa, in the same pod: ``python -m hansa_agent.front``.

The instance's contract (``launch.ENVIRONMENT``) is kept here on the server's behalf: connections are taken with the
instance's certificate, only from clients of the order's authority whose SPIFFE identity the order names, and handed to
127.0.0.1:``HANSA_FRONT_PORT`` as they are. Bytes are not looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import ssl
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from hansa_agent.system import SystemClock, environment

PORT = "HANSA_FRONT_PORT"
CONNECTIONS_MAX = 160
"""Of clients that may call, at the same time. Each may hold half a MiB of what one side sends and the other does not
take yet; with the handshakes this is what ``serving.Front.memory_mib`` is for."""
HANDSHAKES_MAX = 64
"""Of anybody, at the same time, some 300 KiB each; the one that has taken longest gives way to a new one."""
_TIDY_EACH = 16
_CHUNK_BYTES = 32 << 10
_HANDSHAKE_S, _FAREWELL_S, _CONNECT_S, _DRAIN_S, _ACCEPT_AGAIN_S = 10.0, 10.0, 5.0, 8.0, 0.1
_LOOPBACK = "127.0.0.1"
_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)
"""Seconds and counts (tcp(7)): a client that vanished without a word holds its place for two minutes."""


@dataclass(frozen=True, slots=True)
class FrontSettings:
    """Where it listens and leads to, and who may call."""

    listen: tuple[str, int]
    server_port: int
    cert: str
    key: str
    client_ca: str
    client_ids: frozenset[str]

    @classmethod
    def of(cls, told: Mapping[str, str]) -> FrontSettings:
        """From the environment of an instance; raises ``KeyError`` and ``ValueError`` for what is missing."""
        ids = frozenset(filter(None, told["HANSA_CLIENT_IDS"].split(",")))
        return cls(
            (told["HANSA_LISTEN_HOST"], int(told["HANSA_LISTEN_PORT"])),
            int(told[PORT]),
            told["HANSA_TLS_CERT"],
            told["HANSA_TLS_KEY"],
            told["HANSA_CLIENT_CA"],
            ids,
        )


class Front:
    """Takes connections while it is entered."""

    def __init__(self, settings: FrontSettings) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._loaded = _stamp(settings)
        self._context = _context(settings)
        self._greeting: dict[asyncio.Task[None], None] = {}
        self._greeted_count = 0
        self._busy: set[asyncio.Task[None]] = set()
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._listening is not None  # noqa: S101 - while it is entered
        return int(self._listening.getsockname()[1])

    async def __aenter__(self) -> Front:
        family = socket.AF_INET6 if ":" in self._settings.listen[0] else socket.AF_INET
        self._listening = socket.create_server(self._settings.listen, family=family, backlog=HANDSHAKES_MAX)
        self._listening.settimeout(0)
        self._accepting = asyncio.create_task(self._accept(self._listening))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Takes nothing new and lets what runs end within the grace."""
        assert self._listening is not None and self._accepting is not None  # noqa: S101 - entered
        await _ended([self._accepting])
        self._listening.close()
        await _ended(self._greeting)
        if self._busy:
            await asyncio.wait(self._busy, timeout=_DRAIN_S)
        await _ended(self._busy)

    async def _accept(self, listening: socket.socket) -> None:
        """Not a server of asyncio's, which tells of a connection after its handshake: too late to bound how many."""
        while True:
            try:
                connection, _ = await asyncio.get_running_loop().sock_accept(listening)
            except OSError:  # no descriptor is left, or whoever called is gone
                await self._clock.sleep(_ACCEPT_AGAIN_S)
                continue
            if len(self._greeting) >= HANDSHAKES_MAX:
                oldest = next(iter(self._greeting))
                del self._greeting[oldest]
                oldest.cancel()
            task = asyncio.create_task(self._serve(connection))
            self._greeting[task] = None
            await self._clock.sleep(0)  # it begins before it can be told to end, and closes what it was given

    async def _serve(self, connection: socket.socket) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        try:
            reader, writer = await self._greeted(connection)
        except (OSError, TimeoutError):
            return
        finally:
            self._greeting.pop(task, None)
            self._tidy()
        self._busy.add(task)
        try:
            if len(self._busy) <= CONNECTIONS_MAX and self._may_call(writer):
                await self._lead(reader, writer)
                writer.close()
                await writer.wait_closed()  # what the client is yet to take is part of its answer
        except (OSError, TimeoutError):
            pass
        finally:
            self._busy.discard(task)
            writer.transport.abort()

    def _tidy(self) -> None:
        """What is left of a connection refers to itself, and holds more memory than the collector knows of."""
        self._greeted_count += 1
        if self._greeted_count % _TIDY_EACH == 0:
            gc.collect()

    async def _greeted(self, connection: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The connection after its handshake; ``OSError`` where that fails, and the connection is closed then."""
        with contextlib.ExitStack() as closing:
            closing.callback(connection.close)
            for level, option, value in _OPTIONS:
                connection.setsockopt(level, option, value)
            loop = asyncio.get_running_loop()
            reader = asyncio.StreamReader(loop=loop)
            protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self._renewed(),
                ssl_handshake_timeout=_HANDSHAKE_S,
                ssl_shutdown_timeout=_FAREWELL_S,
            )
            closing.pop_all()
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    def _may_call(self, writer: asyncio.StreamWriter) -> bool:
        """Whether the client's certificate, which its authority vouches for, bears one identity, and that of the order.

        X509-SVID, section 5.2: a certificate with more than one URI is refused.
        """
        certificate = writer.get_extra_info("peercert") or {}
        told = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]
        return len(told) == 1 and told[0] in self._settings.client_ids

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_CONNECT_S):
            to_server = await asyncio.open_connection(_LOOPBACK, self._settings.server_port)
        pumps = {
            asyncio.ensure_future(_pump(reader, to_server[1])),
            asyncio.ensure_future(_pump(to_server[0], writer)),
        }
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            to_server[1].close()

    def _renewed(self) -> ssl.SSLContext:
        """What was renewed in its files counts from the next connection on; what does not fit, as when only one of two
        files is written yet, leaves what was read before."""
        with contextlib.suppress(OSError):  # ssl.SSLError is one
            stamp = _stamp(self._settings)
            if stamp != self._loaded:
                self._context, self._loaded = _context(self._settings), stamp
        return self._context


def _context(settings: FrontSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(settings.cert, settings.key)
    context.load_verify_locations(settings.client_ca)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _stamp(settings: FrontSettings) -> tuple[int, ...]:
    files = (settings.cert, settings.key, settings.client_ca)
    return tuple(Path(file).stat().st_mtime_ns for file in files)


async def _ended(tasks: Collection[asyncio.Task[None]]) -> None:
    for task in (told := list(tasks)):
        task.cancel()
    await asyncio.gather(*told, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()


async def _run(settings: FrontSettings) -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with Front(settings):
        gc.freeze()  # what was loaded stays, and is not looked through again and again
        await told.wait()


def main() -> None:
    """Until it is told to end; 78 (EX_CONFIG of sysexits(3)) for an environment that is no instance's."""
    try:
        settings = FrontSettings.of(environment())
        if not settings.client_ids:
            raise ValueError("HANSA_CLIENT_IDS names nobody who may call")
    except (KeyError, ValueError) as error:
        sys.stderr.write(f"no environment of an instance: {error!r}\n")
        sys.exit(78)
    asyncio.run(_run(settings))


if __name__ == "__main__":
    main()
