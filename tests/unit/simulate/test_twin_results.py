"""When a prediction holds, and what a person and a program are told of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hansa_sim.latency.twin.predicted import Percentiles
from hansa_sim.latency.twin.results import Account, Point, TwinResult, as_json, table_of, words_of
from rich.console import Console

NAN = float("nan")
ACCOUNT = Account(12_000, 3, {"p50": 40.0, "p99": 130.0, "p100": 900.0}, 420.0)


def point(measured_ms: Percentiles, *, failed: int = 0, predicted_ms: Percentiles = (40.0, 80.0, 100.0)) -> Point:
    return Point("oslo", ("nordavind/oslo-1",), 20.0, 540, failed, predicted_ms, measured_ms)


def result(*points: Point, differs: tuple[str, ...] = ()) -> TwinResult:
    left_out = {"breivika": "no lawful path to any zone"}
    return TwinResult("small", 7, 30.0, 9, {"nordavind/oslo-1": 2}, differs, points, left_out, {}, ACCOUNT)


@pytest.mark.parametrize(
    ("measured_ms", "within"),
    [
        ((40.0, 80.0, 100.0), True),
        ((43.9, 91.9, 400.0), True),
        ((36.1, 68.1, 10.0), True),
        ((44.1, 80.0, 100.0), False),
        ((35.9, 80.0, 100.0), False),
        ((40.0, 92.1, 100.0), False),
        ((40.0, 67.9, 100.0), False),
        ((NAN, NAN, NAN), False),
    ],
)
def test_a_prediction_holds_within_a_tenth_of_the_median_and_15_percent_of_the_95th(
    measured_ms: Percentiles, within: bool
) -> None:
    assert point(measured_ms).is_within is within
    assert result(point(measured_ms)).holds is within


def test_a_prediction_does_not_hold_where_a_request_failed() -> None:
    assert not point((40.0, 80.0, 100.0), failed=1).is_within


def test_one_place_where_it_does_not_hold_is_enough() -> None:
    good, bad = point((40.0, 80.0, 100.0)), point((50.0, 80.0, 100.0))
    assert result(good, good).holds
    assert not result(good, bad).holds


def test_a_twin_that_drove_nobody_shows_nothing() -> None:
    nobody = result()
    assert not nobody.holds
    assert as_json(nobody)["holds"] is False
    assert "No access point was driven: nothing is known of the prediction." in list(words_of(nobody))
    assert not any("driven: nothing" in words for words in words_of(result(point((40.0, 80.0, 100.0)))))


def test_another_placement_than_planned_is_a_prediction_that_failed() -> None:
    same = result(point((40.0, 80.0, 100.0)))
    other = replace(same, differs=("nordavind/oslo-1 runs 1 replicas, planned were 2",))
    assert same.holds and not other.holds
    assert "Other than planned: nordavind/oslo-1 runs 1 replicas, planned were 2" in list(words_of(other))
    assert "as the simulation had planned" in next(words_of(same))
    assert "as the simulation had planned" not in next(words_of(other))


def test_misses_have_their_sign_and_are_of_what_was_predicted() -> None:
    assert point((42.0, 72.0, 100.0)).misses_percent == pytest.approx((5.0, -10.0, 0.0))


def test_the_document_is_json_with_the_verdict_and_nulls_for_what_was_not_measured() -> None:
    document = json.loads(json.dumps(as_json(result(point((NAN, 80.0, 100.0)))), allow_nan=False))
    [row] = document["points"]
    assert (document["holds"], document["version"], row["within"]) == (False, 1, False)
    assert row["measured_ms"] == [None, 80.0, 100.0]
    assert row["misses_percent"] == [None, 0.0, 0.0]
    assert document["percents"] == [50.0, 95.0, 99.0]
    assert document["within_percent"] == {"50.0": 10.0, "95.0": 15.0}


def test_the_table_shows_predicted_and_measured_side_by_side() -> None:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table_of(result(point((42.0, 80.0, 99.0)), point((60.0, 80.0, 99.0)))))
    shown = console.export_text()
    assert "40.0 / 42.0  +5.0 %" in shown
    assert "100.0 / 99.0  -1.0 %" in shown
    assert shown.count("yes") == 1 and shown.count("NO ") == 1


def test_words_name_who_was_left_out_what_failed_and_how_late_the_measuring_was() -> None:
    failed = replace(result(point((40.0, 80.0, 100.0), failed=2)), failures={"TimeoutError: ": 2})
    words = "\n".join(words_of(failed))
    assert "Not driven: breivika: no lawful path to any zone." in words
    assert "2 requests failed: 2 x TimeoutError: ." in words
    assert "0 of 1 access points within 10 % at p50, 15 % at p95." in words
    assert "12000 packets relayed, 3 lost; released 40 us late in the median, 130 us at p99" in words
