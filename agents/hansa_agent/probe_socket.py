"""A UDP socket that knows how long each packet waited on this host before it was read.

The kernel stamps a packet when it comes in (SO_TIMESTAMPNS, socket(7)), so that a busy host does not make the way look
longer. Where there is no stamp, the packet counts as read at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable

from hansa_agent.ports import Clock

SO_TIMESTAMPNS = 35
PACKET_BYTES_MAX = 2_048
LATE_NS_MAX = 1_000_000_000
_TIMESPEC = struct.Struct("@qq")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)

Received = Callable[[bytes, int], None]
"""What is told of a packet: its content, and for how many nanoseconds it had waited."""


class ProbeSocket:
    """Connected to one address."""

    def __init__(self, opened: socket.socket, clock: Clock, received: Received) -> None:
        self._socket = opened
        self._clock = clock
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(opened, self._read)

    def send(self, content: bytes) -> None:
        """A packet that cannot be sent is lost like any other."""
        with contextlib.suppress(OSError):
            self._socket.send(content)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        while True:
            try:
                content, ancillary, _, _ = self._socket.recvmsg(PACKET_BYTES_MAX, _ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError:
                continue  # A port that is closed (ICMP) is a lost probe like any other.
            self._received(content, self._late_ns(ancillary))

    def _late_ns(self, ancillary: list[tuple[int, int, bytes]]) -> int:
        for level, kind, content in ancillary:
            if (level, kind, len(content)) == (socket.SOL_SOCKET, SO_TIMESTAMPNS, _TIMESPEC.size):
                seconds, rest_ns = _TIMESPEC.unpack(content)
                late_ns = self._clock.wall_ns() - (seconds * 1_000_000_000 + rest_ns)
                # Beyond that somebody has set the clock meanwhile.
                return int(late_ns) if 0 <= late_ns <= LATE_NS_MAX else 0
        return 0


async def open_probe_socket(address: str, clock: Clock, received: Received) -> ProbeSocket:
    """Opens one towards "host:port"; raises OSError, also where the host has no address."""
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    family, kind, protocol, _, target = (await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM))[0]
    opened = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
    try:
        with contextlib.suppress(OSError):
            opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        opened.connect(target)
    except OSError:
        opened.close()
        raise
    return ProbeSocket(opened, clock, received)
