"""Packets, percentiles, and when a measurement is worth telling."""

from __future__ import annotations

import pytest
from agent_orders import Middle
from hansa_agent.link import backoff_ms
from hansa_agent.probe_stamp import reflect
from hansa_agent.probe_statistics import ProbeWindow, RateLimit, jitter_us, percentile, worth_telling
from hansa_agent.stamp_packet import (
    ERROR_ESTIMATE,
    PACKET_BYTES,
    MalformedPacket,
    ReflectorPacket,
    SenderPacket,
    ntp_of,
    parse_reflector,
    parse_sender,
)
from hypothesis import given
from hypothesis import strategies as st

from hansa.v1.network_pb2 import LATENCY_BASIS_MEASURED, ProbeResult, RoundTrip

UINT32, UINT64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)


def result(p50_us: int = 10_000, p95_us: int = 12_000, loss: int = 0, at_ms: int = 0) -> ProbeResult:
    return ProbeResult(rtt=RoundTrip(p50_us=p50_us, p95_us=p95_us, observed_at_ms=at_ms), loss_permille=loss)


def test_request_has_the_layout_of_rfc_8762_figure_2() -> None:
    packet = SenderPacket(0x01020304, 0x1112131415161718).pack()
    assert packet[:14].hex() == "01020304" + "1112131415161718" + f"{ERROR_ESTIMATE:04x}"
    assert packet[14:] == bytes(30)


def test_answer_has_the_layout_of_rfc_8762_figure_5() -> None:
    packet = ReflectorPacket(1, 2, 3, SenderPacket(4, 5), sender_ttl=64).pack()
    assert len(packet) == PACKET_BYTES
    assert packet[:4].hex() == "00000001" and packet[4:12].hex() == f"{2:016x}"
    assert packet[14:16] == bytes(2) and packet[16:24].hex() == f"{3:016x}"
    assert packet[24:28].hex() == f"{4:08x}" and packet[28:36].hex() == f"{5:016x}"
    assert packet[38:40] == bytes(2) and packet[40] == 64 and packet[41:] == bytes(3)


def test_ntp_timestamp_counts_from_1900() -> None:
    assert ntp_of(0) == 2_208_988_800 << 32
    assert ntp_of(1_500_000_000) == (2_208_988_801 << 32) + (1 << 31)


@given(UINT32, UINT64)
def test_answer_repeats_the_request_whatever_it_says(sequence: int, ntp: int) -> None:
    request = SenderPacket(sequence, ntp)
    answer = reflect(request.pack(), 0)
    assert answer is not None and parse_reflector(answer).sender == request


@given(UINT32, UINT64)
def test_answer_is_never_taken_for_a_request(sequence: int, ntp: int) -> None:
    answer = reflect(SenderPacket(sequence, ntp).pack(), 1)
    assert answer is not None and reflect(answer, 2) is None, "two reflectors must not answer each other"


@given(st.binary(max_size=100))
def test_noise_is_answered_with_as_many_bytes_or_not_at_all(noise: bytes) -> None:
    answer = reflect(noise, 0)
    assert answer is None or len(answer) == len(noise) == PACKET_BYTES
    try:
        parse_reflector(noise)
    except MalformedPacket:
        pass
    else:
        assert len(noise) == PACKET_BYTES


def test_session_identifier_of_rfc_8972_is_tolerated() -> None:
    packet = bytearray(SenderPacket(1, 2).pack())
    packet[14:16] = b"\x12\x34"
    assert parse_sender(bytes(packet)) == SenderPacket(1, 2)


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (95, 95), (99, 99), (100, 100), (1, 1)])
def test_percentile_is_the_nearest_rank(percent: int, value: int) -> None:
    assert percentile(list(range(1, 101)), percent) == value


@given(st.lists(st.integers(1, 10**6), min_size=1), st.integers(1, 100))
def test_percentile_is_a_member_with_the_right_rank(values: list[int], percent: int) -> None:
    ordered = sorted(values)
    found = percentile(ordered, percent)
    assert found in ordered
    assert 100 * sum(value <= found for value in ordered) >= percent * len(ordered)
    assert 100 * sum(value < found for value in ordered) < percent * len(ordered)


def test_jitter_is_the_mean_of_successive_differences() -> None:
    assert jitter_us([100, 200, 150]) == 75 and jitter_us([5]) == 0 and jitter_us([]) == 0


def test_figures_are_over_the_window_and_loss_is_told() -> None:
    window = ProbeWindow(4)
    window.add([9_000_000, None, 1_000, 3_000, 2_000])
    figures = window.result("a/b", "c/d", 77)
    assert figures is not None
    assert figures.rtt.sample_count == 3 and figures.loss_permille == 250
    assert (figures.rtt.p50_us, figures.rtt.p95_us, figures.min_us) == (2_000, 3_000, 1_000)
    assert figures.rtt.basis == LATENCY_BASIS_MEASURED and figures.rtt.observed_at_ms == 77
    assert figures.jitter_us == 1_500


def test_nothing_answered_is_no_measurement() -> None:
    window = ProbeWindow(3)
    assert window.result("a/b", "c/d", 0) is None
    window.add([5, None, None, None])
    assert window.result("a/b", "c/d", 0) is None


@pytest.mark.parametrize(
    ("fresh", "told"),
    [
        (result(at_ms=1), False),
        (result(p50_us=10_999, at_ms=1), False),
        (result(p50_us=11_001, at_ms=1), True),
        (result(p50_us=8_999, at_ms=1), True),
        (result(p95_us=13_201, at_ms=1), True),
        (result(loss=19, at_ms=1), False),
        (result(loss=20, at_ms=1), True),
        (result(at_ms=29_999), False),
        (result(at_ms=30_000), True),
    ],
)
def test_measurement_is_told_when_it_moved_or_grew_old(fresh: ProbeResult, told: bool) -> None:
    assert worth_telling(result(), fresh) is told
    assert worth_telling(None, fresh)


def test_small_times_may_wobble() -> None:
    assert not worth_telling(result(p50_us=100, p95_us=150), result(p50_us=290, p95_us=340, at_ms=1))


def test_rate_is_limited_by_source_and_recovers() -> None:
    limit = RateLimit(10)
    assert sum(limit.allows("a", 0) for _ in range(50)) == 20
    assert limit.allows("b", 0), "another source has its own bucket"
    assert sum(limit.allows("a", 500) for _ in range(50)) == 5
    assert sum(limit.allows("a", 10**6) for _ in range(50)) == 20


def test_rate_limit_remembers_a_bounded_number_of_sources() -> None:
    limit = RateLimit(1, sources_max=10)
    for number in range(1_000):
        assert limit.allows(str(number), 0)
    assert len(limit._buckets) == 10


def test_dials_back_off_to_a_second_at_most() -> None:
    delays = [backoff_ms(failures, Middle()) for failures in range(12)]
    assert delays[:4] == [37, 75, 150, 300] and delays[5:] == [750] * 7
