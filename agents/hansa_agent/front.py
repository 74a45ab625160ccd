"""Ends mutual TLS in front of a server that knows nothing of hansa, in the same pod: ``python -m hansa_agent.front``.

The instance's contract (``launch.ENVIRONMENT``) is kept here on the server's behalf: connections are taken with the
instance's certificate, only from clients of the order's authority whose SPIFFE identity the order names, and handed to
127.0.0.1:``HANSA_FRONT_PORT`` as they are. Bytes are not looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hansa_agent.system import environment

PORT = "HANSA_FRONT_PORT"
_CHUNK_BYTES = 64 << 10
_HANDSHAKE_S, _CONNECT_S, _DRAIN_S = 10.0, 5.0, 8.0
_LOOPBACK = "127.0.0.1"


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
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_cert_chain(settings.cert, settings.key)
        self._context.load_verify_locations(settings.client_ca)
        self._context.set_alpn_protocols(["http/1.1"])
        self._loaded = self._stamp()
        self._busy: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None  # noqa: S101 - while it is entered
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Front:
        host, port = self._settings.listen
        self._server = await asyncio.start_server(
            self._serve, host, port, ssl=self._context, ssl_handshake_timeout=_HANDSHAKE_S
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Takes nothing new and lets what runs end within the grace."""
        assert self._server is not None  # noqa: S101 - entered
        self._server.close()
        if self._busy:
            await asyncio.wait(self._busy, timeout=_DRAIN_S)
        for task in self._busy:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        self._busy.add(task)
        try:
            self._renew()
            if self._may_call(writer):
                await self._lead(reader, writer)
        except (OSError, TimeoutError):
            pass
        finally:
            self._busy.discard(task)
            writer.close()

    def _may_call(self, writer: asyncio.StreamWriter) -> bool:
        """Whether the client's certificate, which its authority vouches for, bears an identity of the order."""
        certificate = writer.get_extra_info("peercert") or {}
        told = {value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"}
        return bool(told & self._settings.client_ids)

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

    def _renew(self) -> None:
        """A certificate that was renewed in its file is served with from the next connection on."""
        stamp = self._stamp()
        if stamp != self._loaded:
            with contextlib.suppress(ssl.SSLError):
                self._context.load_cert_chain(self._settings.cert, self._settings.key)
                self._loaded = stamp

    def _stamp(self) -> tuple[int, int]:
        return Path(self._settings.cert).stat().st_mtime_ns, Path(self._settings.key).stat().st_mtime_ns


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()


async def _run(settings: FrontSettings) -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with Front(settings):
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
