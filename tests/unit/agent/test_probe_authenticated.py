"""Authenticated STAMP packets, laid out as RFC 8762 has them, and who is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hansa_agent.probe_keys import ProbeKeys, read_key, read_keys
from hansa_agent.probe_stamp import Reflector, reflect
from hansa_agent.probe_statistics import RateLimit
from hansa_agent.stamp_auth import (
    PACKET_BYTES,
    StrangerPacket,
    pack_reflector,
    pack_sender,
    parse_reflector,
    parse_sender,
)
from hansa_agent.stamp_packet import MalformedPacket, ReflectorPacket, SenderPacket
from hansa_agent.system import SystemClock

KEY, OTHER = b"k" * 32, b"o" * 32
REQUEST = SenderPacket(0x01020304, 0x1112131415161718)
ANSWER = ReflectorPacket(7, 0x21, 0x31, REQUEST, sender_ttl=61)
ONLY_KNOWN = ProbeKeys((("svea/*", KEY),), strangers=False)


def hmac_by_hand(key: bytes, content: bytes) -> bytes:
    """RFC 2104 in its own words."""
    padded = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + content).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + inner).digest()[:16]


def test_a_request_is_laid_out_as_the_rfc_has_it() -> None:
    packet = pack_sender(REQUEST, KEY)
    assert len(packet) == PACKET_BYTES == 112
    assert packet[0:4] == b"\x01\x02\x03\x04" and packet[4:16] == bytes(12)
    assert packet[16:24] == REQUEST.ntp.to_bytes(8, "big")
    assert packet[24:26] == REQUEST.error_estimate.to_bytes(2, "big") and packet[26:96] == bytes(70)
    assert packet[96:] == hmac_by_hand(KEY, packet[:96])


def test_an_answer_is_laid_out_as_the_rfc_has_it() -> None:
    packet = pack_reflector(ANSWER, KEY)
    assert len(packet) == 112
    assert packet[0:4] == (7).to_bytes(4, "big") and packet[16:24] == (0x21).to_bytes(8, "big")
    assert packet[32:40] == (0x31).to_bytes(8, "big") and packet[48:52] == b"\x01\x02\x03\x04"
    assert packet[64:72] == REQUEST.ntp.to_bytes(8, "big")
    assert packet[72:74] == REQUEST.error_estimate.to_bytes(2, "big") and packet[80] == 61
    for unused in (slice(4, 16), slice(26, 32), slice(40, 48), slice(52, 64), slice(74, 80), slice(81, 96)):
        assert not any(packet[unused])
    assert packet[96:] == hmac_by_hand(KEY, packet[:96])


def test_packets_read_back_with_the_key_that_made_them() -> None:
    assert parse_sender(pack_sender(REQUEST, KEY), (OTHER, KEY)) == (REQUEST, KEY)
    assert parse_reflector(pack_reflector(ANSWER, KEY), KEY) == ANSWER


@pytest.mark.parametrize("at", range(0, 112, 5))
def test_a_packet_in_which_one_bit_was_changed_is_a_strangers(at: int) -> None:
    packet = bytearray(pack_sender(REQUEST, KEY))
    packet[at] ^= 1
    with pytest.raises(StrangerPacket):
        parse_sender(bytes(packet), (KEY,))


def test_an_answer_sent_as_a_request_is_not_answered_so_that_two_reflectors_do_not_talk_for_ever() -> None:
    with pytest.raises(MalformedPacket):
        parse_sender(pack_reflector(ANSWER, KEY), (KEY,))
    assert reflect(pack_reflector(ANSWER, KEY), 1, ONLY_KNOWN) is None


@pytest.mark.parametrize("request_", [pack_sender(REQUEST, OTHER), REQUEST.pack()])
def test_strangers_are_refused_and_counted(request_: bytes) -> None:
    reflector = Reflector(SystemClock(), RateLimit(100), ONLY_KNOWN)
    assert reflector.answer(request_, "192.0.2.9") is None
    assert (reflector.stranger_count, reflector.reflected_count) == (1, 0)
    assert reflector.answer(pack_sender(REQUEST, KEY), "192.0.2.9") is not None
    assert (reflector.stranger_count, reflector.reflected_count) == (1, 1)


def test_strangers_do_not_use_up_the_rate_of_those_who_may_ask() -> None:
    reflector = Reflector(SystemClock(), RateLimit(1), ONLY_KNOWN)
    for _ in range(50):
        reflector.answer(REQUEST.pack(), "192.0.2.9")
    assert reflector.answer(pack_sender(REQUEST, KEY), "192.0.2.9") is not None


def test_an_answer_has_as_many_bytes_as_its_request_in_both_modes() -> None:
    keys = ProbeKeys((("svea/*", KEY),))
    for request in (pack_sender(REQUEST, KEY), REQUEST.pack()):
        answer = reflect(request, 1, keys)
        assert answer is not None and len(answer) == len(request)


def test_the_first_pattern_that_fits_a_zone_gives_the_key() -> None:
    keys = ProbeKeys((("svea/sto-1", KEY), ("svea/*", OTHER)))
    assert (keys.key_for("svea/sto-1"), keys.key_for("svea/sto-2"), keys.key_for("x/y")) == (KEY, OTHER, b"")


def test_a_key_is_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b" " + KEY + b"\n")
    keys = read_keys([("*/*", path)], strangers=False)
    assert keys.known == (KEY,) and "kkk" not in repr(keys)


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 5_000])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="32 to 4096 bytes"):
        read_key(path)
