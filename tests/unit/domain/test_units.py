from __future__ import annotations

import pytest
from hansa_control.domain.model import LatencyBasis, RoundTrip
from hansa_control.domain.units import (
    attachment_rtt,
    format_ms,
    format_ms_exact,
    format_set,
    format_utc_date,
    great_circle_km,
    modelled_link_rtt,
    physical_link_rtt,
)


def test_oslo_to_stockholm_is_about_417_kilometres_by_great_circle() -> None:
    assert great_circle_km(59.9139, 10.7522, 59.3293, 18.0686) == pytest.approx(417, abs=2)


def test_a_quarter_of_the_equator_is_a_quarter_of_the_circumference() -> None:
    assert great_circle_km(0, 0, 0, 90) == pytest.approx(40_030.23 / 4, rel=1e-4)


def test_antipodes_and_identical_points_do_not_break_the_formula() -> None:
    assert great_circle_km(90, 0, -90, 0) == pytest.approx(20_015.1, rel=1e-4)
    assert great_circle_km(59.9, 10.7, 59.9, 10.7) == 0


def test_a_thousand_kilometres_take_ten_ms_there_and_back_at_the_speed_of_light_in_fibre() -> None:
    assert physical_link_rtt(1_000_000) == RoundTrip(10_000, 10_000, 10_000, LatencyBasis.PHYSICAL)


def test_a_thousand_kilometres_take_19_4_ms_by_the_calibrated_model_and_its_bands_lie_above() -> None:
    assert modelled_link_rtt(1_000_000) == RoundTrip(19_400, 25_608, 27_160, LatencyBasis.MODELLED)


def test_the_fixed_part_of_a_path_is_5_4_ms_with_the_same_bands() -> None:
    assert attachment_rtt() == RoundTrip(5_400, 7_128, 7_560, LatencyBasis.MODELLED)


def test_the_model_is_never_faster_than_physics_even_over_a_metre() -> None:
    for length_m in (0, 1, 7, 99, 12_345, 9_999_999):
        assert modelled_link_rtt(length_m).p50_us >= physical_link_rtt(length_m).p50_us


def test_rounding_goes_up_so_that_no_path_looks_faster_than_its_formula() -> None:
    assert physical_link_rtt(1).p50_us == 1
    assert modelled_link_rtt(101).p50_us == 2


def test_a_negative_length_is_refused() -> None:
    with pytest.raises(ValueError, match="never negative"):
        modelled_link_rtt(-1)
    with pytest.raises(ValueError, match="never negative"):
        physical_link_rtt(-1)


def test_a_figure_just_over_its_bound_does_not_read_as_within_it() -> None:
    assert format_ms(25_001) == "25.1 ms"
    assert format_ms(25_000) == "25 ms"
    assert format_ms_exact(25_040) == "25.04 ms"
    assert format_ms_exact(25_000) == "25 ms"


def test_dates_and_sets_read_the_same_everywhere() -> None:
    assert format_utc_date(1_800_000_000_000) == "2027-01-15"
    assert format_set(frozenset({"SE", "NO"})) == "{NO,SE}"
