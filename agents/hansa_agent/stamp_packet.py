"""Packets of the Simple Two-Way Active Measurement Protocol, unauthenticated mode (RFC 8762, section 4).

Pure. Both directions are 44 bytes, so a reflector amplifies nothing. Times are NTP timestamps (RFC 5905, section 6):
seconds since 1900 and a fraction of 2^-32 s.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

PACKET_BYTES = 44
ERROR_ESTIMATE = (16 << 8) | 1
"""Not synchronised, NTP format, scale 16, multiplier 1: 15 µs, the width of the random bits of a sender's timestamp."""
RANDOM_BITS = 16
RANDOM_BITS_US = 16

_NTP_EPOCH_S = 2_208_988_800
_SENDER = struct.Struct("!IQH30x")
_REFLECTOR = struct.Struct("!IQHxxQIQHxxBxxx")
_MULTIPLIER_MASK = 0xFF
_SYNCHRONISED = 0x8000
_REFLECTED_PART = slice(16, PACKET_BYTES)


class MalformedPacket(Exception):
    """Not a STAMP packet of the expected direction; the text says why."""


@dataclass(frozen=True, slots=True)
class SenderPacket:
    """What a session-sender sends; ``ntp`` is its own timestamp, 64 bits."""

    sequence: int
    ntp: int
    error_estimate: int = ERROR_ESTIMATE

    def pack(self) -> bytes:
        return _SENDER.pack(self.sequence, self.ntp, self.error_estimate)


@dataclass(frozen=True, slots=True)
class ReflectorPacket:
    """What a stateless session-reflector answers: its own times, and the sender's packet repeated."""

    sequence: int
    ntp: int
    received_ntp: int
    sender: SenderPacket
    sender_ttl: int = 255
    error_estimate: int = ERROR_ESTIMATE

    def pack(self) -> bytes:
        sender = self.sender
        times = (self.sequence, self.ntp, self.error_estimate, self.received_ntp)
        return _REFLECTOR.pack(*times, sender.sequence, sender.ntp, sender.error_estimate, self.sender_ttl)


def ntp_of(wall_ns: int) -> int:
    """The NTP timestamp of nanoseconds since the Unix epoch; wraps with the NTP era (next in 2036)."""
    seconds, rest_ns = divmod(wall_ns, 1_000_000_000)
    return ((seconds + _NTP_EPOCH_S) & 0xFFFF_FFFF) << 32 | (rest_ns << 32) // 1_000_000_000


def estimate_of(error_us: int | None) -> int:
    """The error estimate (RFC 4656, section 4.1.2) of a clock that is off by so much at most; None: not synchronised.

    Multiplier * 2^(scale - 32) seconds, rounded up.
    """
    if error_us is None:
        return ERROR_ESTIMATE
    units, scale = -(-(error_us << 32) // 1_000_000), 0
    while units > _MULTIPLIER_MASK:
        units, scale = (units + 1) >> 1, scale + 1
    return _SYNCHRONISED | min(scale, 63) << 8 | max(units, 1)


def error_us_of(estimate: int) -> int | None:
    """By how much the clock that stamped a packet may be off, microseconds, rounded up; None: not synchronised."""
    if not estimate & _SYNCHRONISED:
        return None
    units = (estimate & _MULTIPLIER_MASK) << (estimate >> 8 & 63)
    return (units * 1_000_000 + 0xFFFF_FFFF) >> 32


def ntp_difference_us(later: int, earlier: int) -> int:
    """Microseconds from one NTP timestamp to another, negative if it is before; right across an era."""
    difference = (later - earlier) & 0xFFFF_FFFF_FFFF_FFFF
    if difference >> 63:
        difference -= 1 << 64
    return difference * 1_000_000 >> 32


def parse_sender(content: bytes) -> SenderPacket:
    """Reads a request. Raises ``MalformedPacket``.

    What a reflector fills must be zero: otherwise two reflectors, told of each other by a forged source address, would
    answer each other for ever. The two bytes after the error estimate are left to the session id of RFC 8972.
    """
    _check(content)
    if any(content[_REFLECTED_PART]):
        raise MalformedPacket("not from a session-sender")
    return SenderPacket(*_SENDER.unpack(content))


def parse_reflector(content: bytes) -> ReflectorPacket:
    """Reads an answer. Raises ``MalformedPacket``."""
    _check(content)
    sequence, ntp, estimate, received_ntp, *sender, ttl = _REFLECTOR.unpack(content)
    return ReflectorPacket(sequence, ntp, received_ntp, SenderPacket(*sender), ttl, estimate)


def _check(content: bytes) -> None:
    if len(content) != PACKET_BYTES:
        raise MalformedPacket(f"{len(content)} bytes instead of {PACKET_BYTES}")
    if not content[13] & _MULTIPLIER_MASK:
        raise MalformedPacket("the error estimate's multiplier is zero (RFC 4656, section 4.1.2)")
