"""Packets of the Simple Two-Way Active Measurement Protocol, authenticated mode (RFC 8762, sections 4.2.2, 4.3.2, 4.4).

Pure. Both directions are 112 bytes, of which the last 16 are an HMAC-SHA-256, truncated, over the 96 before.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Iterable

from hansa_agent.stamp_packet import MalformedPacket, ReflectorPacket, SenderPacket

PACKET_BYTES = 112
HMAC_BYTES = 16
_COVERED = PACKET_BYTES - HMAC_BYTES
_SENDER = struct.Struct("!I12xQH70x")
_REFLECTOR = struct.Struct("!I12xQH6xQ8xI12xQH6xB15x")
_MULTIPLIER_AT = 25
_REFLECTED_PART = slice(28, _COVERED)


class StrangerPacket(Exception):
    """No key of ours has made this packet's HMAC, or it has none where one is needed."""


def pack_sender(packet: SenderPacket, key: bytes) -> bytes:
    """A request."""
    return _signed(_SENDER.pack(packet.sequence, packet.ntp, packet.error_estimate), key)


def pack_reflector(packet: ReflectorPacket, key: bytes) -> bytes:
    """An answer."""
    sender = packet.sender
    times = (packet.sequence, packet.ntp, packet.error_estimate, packet.received_ntp)
    content = _REFLECTOR.pack(*times, sender.sequence, sender.ntp, sender.error_estimate, packet.sender_ttl)
    return _signed(content, key)


def parse_sender(content: bytes, keys: Iterable[bytes]) -> tuple[SenderPacket, bytes]:
    """Reads a request, and which key it was made with. Raises ``MalformedPacket`` or ``StrangerPacket``.

    What a reflector fills must be zero, as without authentication: two reflectors could otherwise be set on each other.
    """
    key = _key_of(content, keys)
    if any(content[_REFLECTED_PART]):
        raise MalformedPacket("not from a session-sender")
    return SenderPacket(*_SENDER.unpack(content[:_COVERED])), key


def parse_reflector(content: bytes, key: bytes) -> ReflectorPacket:
    """Reads an answer. Raises ``MalformedPacket`` or ``StrangerPacket``."""
    _key_of(content, (key,))
    sequence, ntp, estimate, received_ntp, *sender, ttl = _REFLECTOR.unpack(content[:_COVERED])
    return ReflectorPacket(sequence, ntp, received_ntp, SenderPacket(*sender), ttl, estimate)


def _signed(content: bytes, key: bytes) -> bytes:
    return content + hmac.digest(key, content, "sha256")[:HMAC_BYTES]


def _key_of(content: bytes, keys: Iterable[bytes]) -> bytes:
    if len(content) != PACKET_BYTES:
        raise MalformedPacket(f"{len(content)} bytes instead of {PACKET_BYTES}")
    for key in keys:
        if hmac.compare_digest(hmac.digest(key, content[:_COVERED], "sha256")[:HMAC_BYTES], content[_COVERED:]):
            if not content[_MULTIPLIER_AT]:
                raise MalformedPacket("the error estimate's multiplier is zero (RFC 4656, section 4.1.2)")
            return key
    raise StrangerPacket("no key of ours")
