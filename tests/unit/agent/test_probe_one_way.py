"""One-way delays: told only where both clocks are synchronised and err by less than what is told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hansa_agent.clock_error import kernel_error_us, vouched
from hansa_agent.ports import Instant
from hansa_agent.probe_one_way import OneWaySample, OneWayWindow, sample_of
from hansa_agent.probe_stamp import Sender, reflect
from hansa_agent.stamp_packet import (
    ERROR_ESTIMATE,
    ReflectorPacket,
    SenderPacket,
    error_us_of,
    estimate_of,
    ntp_difference_us,
    ntp_of,
    parse_reflector,
    parse_sender,
)
from hypothesis import given
from hypothesis import strategies as st

MS_NS = 1_000_000
AT_NS = 1_800_000_000 * 1_000 * MS_NS


@given(st.integers(1, 10_000_000))
def test_an_error_estimate_is_never_smaller_than_the_error_and_at_most_a_hundredth_larger(error_us: int) -> None:
    told = error_us_of(estimate_of(error_us))
    assert told is not None and error_us <= told <= error_us + error_us // 100 + 1


def test_a_clock_that_nobody_vouches_for_is_said_to_be_unsynchronised() -> None:
    assert estimate_of(None) == ERROR_ESTIMATE
    assert error_us_of(ERROR_ESTIMATE) is None


@given(st.integers(-10_000_000, 10_000_000))
def test_differences_of_timestamps_are_right_across_the_era_of_2036(shift_us: int) -> None:
    era_ns = 2_085_978_496 * 1_000_000_000
    assert abs(ntp_difference_us(ntp_of(era_ns + shift_us * 1_000), ntp_of(era_ns)) - shift_us) <= 1


def answered(
    there_ms: int, back_ms: int, skew_ms: int = 0, own: int | None = 50, theirs: int | None = 50
) -> OneWaySample | None:
    """A probe over a way that takes so long, to a reflector whose clock is ahead by ``skew_ms``."""
    met_ns = AT_NS + (there_ms + skew_ms) * MS_NS
    content = reflect(SenderPacket(1, ntp_of(AT_NS)).pack(), met_ns, estimate=estimate_of(theirs))
    assert content is not None
    rtt_ms = there_ms + back_ms
    moments = ntp_of(AT_NS), ntp_of(AT_NS + rtt_ms * MS_NS)
    return sample_of(parse_reflector(content), moments, rtt_ms * 1_000, own)


def told(*samples: OneWaySample | None, copies: int = 10) -> tuple[int, ...] | None:
    window = OneWayWindow(100)
    for sample in samples * copies:
        window.add(sample)
    found = window.result()
    return None if found is None else (found.there_p50_us, found.back_p50_us, found.error_us, found.sample_count)


def test_an_uneven_way_is_told_as_it_is_and_not_as_half_of_the_round_trip() -> None:
    found = told(answered(3, 9))
    assert found is not None
    there_us, back_us, error_us, count = found
    assert abs(there_us - 3_000) <= 1 and abs(back_us - 9_000) <= 1 and count == 10
    assert 100 <= error_us <= 103


@pytest.mark.parametrize(("own", "theirs"), [(None, 50), (50, None), (None, None)])
def test_nothing_is_told_where_a_clock_follows_no_time_source(own: int | None, theirs: int | None) -> None:
    assert told(answered(3, 9, own=own, theirs=theirs)) is None


def test_nothing_is_told_that_is_no_larger_than_the_error_of_both_clocks() -> None:
    assert told(answered(3, 9, own=1_400, theirs=1_500)) is not None
    assert told(answered(3, 9, own=1_500, theirs=1_500)) is None


@pytest.mark.parametrize("skew_ms", [-4, 10, 3_600_000])
def test_a_reflector_whose_clock_contradicts_what_it_says_of_it_is_not_believed(skew_ms: int) -> None:
    assert told(answered(3, 9, skew_ms=skew_ms)) is None
    assert told(*[answered(3, 9)] * 9, answered(3, 9, skew_ms=skew_ms), copies=1) is None


def test_a_few_samples_tell_nothing_and_a_way_that_has_changed_begins_anew() -> None:
    assert told(answered(3, 9), copies=9) is None
    window = OneWayWindow(100)
    for _ in range(20):
        window.add(answered(3, 9))
    window.clear()
    assert window.result() is None


@dataclass
class Ticking:
    """A clock on which nothing passes by itself."""

    at_ns: int = AT_NS
    sent: list[bytes] = field(default_factory=list)

    def now(self) -> Instant:
        return Instant(self.at_ns // MS_NS, self.at_ns // MS_NS)

    def monotonic_ns(self) -> int:
        return self.at_ns

    def wall_ns(self) -> int:
        return self.at_ns

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class Least:
    def uniform(self, low: float, high: float) -> float:
        return low

    def integer(self, low: int, high: int) -> int:
        return low


def test_a_sender_says_how_far_its_clock_may_be_off_with_the_bits_that_it_draws() -> None:
    assert parse_sender(Sender(Ticking(), Least()).next_packet().pack()).error_estimate == ERROR_ESTIMATE
    vouching = Sender(Ticking(), Least(), vouched(50)).next_packet()
    assert error_us_of(vouching.error_estimate) in (66, 67)


def test_a_reflectors_own_estimate_is_read_back() -> None:
    packet = ReflectorPacket(1, 2, 3, SenderPacket(1, 2), error_estimate=estimate_of(70))
    assert parse_reflector(packet.pack()) == packet


def test_the_kernel_is_asked_without_changing_anything() -> None:
    error_us = kernel_error_us()
    assert error_us is None or error_us > 0
