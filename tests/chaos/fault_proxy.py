"""A TCP proxy that fails on purpose: it stands between two real ports, and what passes through stays what it is.

TLS goes through untouched, so nothing here knows what is said; what happens to the bytes is all there is to choose:

- ``cut``: every connection is reset, and whoever connects is reset at once, until ``heal``.
- ``swallow``: what is sent one way is thrown away, its end too, while the other way works: a half-open connection. A
  stream of which bytes are missing is never continued: ``heal`` resets it.
- ``hold``: what is sent one way waits, in order, and arrives after ``heal``.
- ``delay_ms`` and ``bytes_per_s``: a long and a narrow way, for what is sent from then on.
- ``after_bytes``: does something, once, as soon as so many bytes more have passed one way.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import NamedTuple, Self

CHUNK_BYTES = 65_536
WAITING_CHUNKS_MAX = 64
SLICES_PER_S = 50
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Way(Enum):
    """TO the target, or FROM it back to whoever connected."""

    TO = "to"
    FROM = "from"


class _Trigger(NamedTuple):
    way: Way
    at_bytes: int
    action: Callable[[], object]


@dataclass(slots=True)
class _Conditions:
    """What happens at present to what is sent one way."""

    delay_ms: int = 0
    bytes_per_s: int = 0
    swallows: bool = False
    open: asyncio.Event = field(default_factory=asyncio.Event)
    passed_bytes: int = 0
    swallowed_bytes: int = 0


class FaultProxy:
    """Listens on a free port of loopback and connects on to ``target``. Use as an asynchronous context manager."""

    def __init__(self, target: tuple[str, int], name: str = "") -> None:
        self.name = name
        self.port = 0
        self.accepted_count = 0
        """Connections that were ever asked for, those that were reset at once among them."""
        self._target = target
        self._ways = {way: _Conditions() for way in Way}
        for conditions in self._ways.values():
            conditions.open.set()
        self._is_cut = False
        self._triggers: list[_Trigger] = []
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Listens from now on at ``port``."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Resets every connection and listens no more."""
        if self._server is not None:
            self._server.close()
        self._reset_all(list(self._connections))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- what is seen ---

    @property
    def connection_count(self) -> int:
        """Connections that are open at present."""
        return len(self._connections)

    def passed_bytes(self, way: Way) -> int:
        """Bytes that have arrived that way so far, over all connections."""
        return self._ways[way].passed_bytes

    def swallowed_bytes(self, way: Way) -> int:
        """Bytes that were thrown away."""
        return self._ways[way].swallowed_bytes

    # --- what is done to it ---

    def cut(self) -> None:
        """Resets every connection, and every new one, until ``heal``."""
        self._is_cut = True
        self._reset_all(list(self._connections))

    def swallow(self, way: Way) -> None:
        """Throws away what is sent that way, until ``heal``."""
        self._ways[way].swallows = True

    def hold(self, way: Way) -> None:
        """Keeps back what is sent that way, until ``heal``."""
        self._ways[way].open.clear()

    def slow(self, delay_ms: int = 0, bytes_per_s: int = 0) -> None:
        """Makes both ways long (one way's delay) and narrow, 0 for not at all; stays so after ``heal``."""
        for conditions in self._ways.values():
            conditions.delay_ms, conditions.bytes_per_s = delay_ms, bytes_per_s

    def heal(self) -> None:
        """Ends cut, swallow and hold. Connections of which bytes are missing are reset."""
        self._is_cut = False
        for conditions in self._ways.values():
            conditions.swallows = False
            conditions.open.set()
        self._reset_all([one for one in self._connections if one.is_torn])

    def after_bytes(self, way: Way, count: int, action: Callable[[], object]) -> None:
        """Does something once, before the byte that makes it ``count`` from now on is passed on."""
        self._triggers.append(_Trigger(way, self._ways[way].passed_bytes + count, action))

    # --- parts ---

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.accepted_count += 1
        if self._is_cut:
            _reset(writer)
            return
        try:
            away_reader, away_writer = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(writer)
            return
        connection = _Connection(self, (reader, writer), (away_reader, away_writer))
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)

    def _reset_all(self, connections: list[_Connection]) -> None:
        for connection in connections:
            connection.reset()

    def conditions(self, way: Way) -> _Conditions:
        return self._ways[way]

    def about_to_pass(self, way: Way, count: int) -> None:
        """Counts, and does what was to be done by then."""
        self._ways[way].passed_bytes += count
        due = [one for one in self._triggers if one.way is way and one.at_bytes <= self._ways[way].passed_bytes]
        self._triggers = [one for one in self._triggers if one not in due]
        for trigger in due:
            trigger.action()


class _Connection:
    """Two sockets and what is on its way between them."""

    def __init__(
        self,
        proxy: FaultProxy,
        near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._near, self._far = near, far
        self._group: list[asyncio.Task[None]] = []
        self.is_torn = False

    async def run(self) -> None:
        """Until both sides have ended, or one of them was reset."""
        self._group = [
            *self._pump(Way.TO, self._near[0], self._far[1]),
            *self._pump(Way.FROM, self._far[0], self._near[1]),
        ]
        try:
            await asyncio.gather(*self._group)
        except (OSError, asyncio.CancelledError):
            self.reset()
        finally:
            await asyncio.gather(*self._group, return_exceptions=True)
            for _, writer in (self._near, self._far):
                writer.close()

    def reset(self) -> None:
        for task in self._group:
            task.cancel()
        for _, writer in (self._near, self._far):
            _reset(writer)

    def _pump(
        self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[asyncio.Task[None], asyncio.Task[None]]:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WAITING_CHUNKS_MAX)
        return (
            asyncio.create_task(self._take(way, reader, waiting)),
            asyncio.create_task(self._give(way, writer, waiting)),
        )

    async def _take(self, way: Way, reader: asyncio.StreamReader, waiting: asyncio.Queue[tuple[float, bytes]]) -> None:
        """Reads until the end, which is an empty chunk, and notes when each chunk is due."""
        loop = asyncio.get_running_loop()
        chunk = b"first"
        while chunk:
            chunk = await reader.read(CHUNK_BYTES)
            await waiting.put((loop.time() + self._proxy.conditions(way).delay_ms / 1000, chunk))

    async def _give(self, way: Way, writer: asyncio.StreamWriter, waiting: asyncio.Queue[tuple[float, bytes]]) -> None:
        loop, conditions = asyncio.get_running_loop(), self._proxy.conditions(way)
        while True:
            due_s, chunk = await waiting.get()
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            await conditions.open.wait()
            if conditions.swallows or self.is_torn:
                # Once bytes are missing nothing that follows makes sense; the end is not told either.
                self.is_torn = True
                conditions.swallowed_bytes += len(chunk)
                if not chunk:
                    return
                continue
            if not chunk:
                with contextlib.suppress(OSError):
                    writer.write_eof()
                return
            await self._write(way, writer, chunk)

    async def _write(self, way: Way, writer: asyncio.StreamWriter, chunk: bytes) -> None:
        bytes_per_s = self._proxy.conditions(way).bytes_per_s
        slice_bytes = max(1, bytes_per_s // SLICES_PER_S) if bytes_per_s else len(chunk)
        for start in range(0, len(chunk), slice_bytes):
            part = chunk[start : start + slice_bytes]
            if bytes_per_s:
                await asyncio.sleep(len(part) / bytes_per_s)  # first: a part has arrived when its last bit has
            self._proxy.about_to_pass(way, len(part))
            writer.write(part)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection as a crash does: the other side is told at once that it is gone."""
    found = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
