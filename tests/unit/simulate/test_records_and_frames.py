"""Results as records, frames and files: nothing lost, nothing renamed, empty where nothing is known."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import polars
import pytest
from hansa_sim.latency.frames import columns_of, csv_of, frame_of, write_lines, write_table
from hansa_sim.latency.records import ALL_APPS, point_records, row_records, zone_records
from hansa_sim.latency.results import AppRows, Interval, Mobility, PointResult, Results, Row, ZoneResult

MEASURED = Interval(10.0, 0.5)
UNKNOWN = Interval(None, None)


def _row(policy: str, mean_ms: Interval = MEASURED, unstable: tuple[str, ...] = ()) -> Row:
    figures = dict.fromkeys(("p50_ms", "p95_ms", "p99_ms", "p999_ms", "miss_share", "wait_ms"), MEASURED)
    return Row(
        policy=policy,
        view="together",
        engine="static",
        requests=100,
        mean_ms=mean_ms,
        **figures,
        unserved_share=0.0,
        cost_eur_per_hour=1.5,
        power_kw=0.3,
        carbon_g_per_hour=9.0,
        unstable=unstable,
        message="",
        predicted_ms={"p50": 9.0},
        zones=(ZoneResult("skargard/malmo-1", 2, 4, 1.0, 0.5, None, "STABLE"),),
        points=(PointResult("oslo", 5.0, "skargard/malmo-1", 10.0, ""), PointResult("reef", 1.0, "", None, "no way")),
        cdf_ms=(1.0, 2.0),
    )


def _results(*rows: Row, apps: tuple[AppRows, ...] = ()) -> Results:
    document = {"apps": [{"name": "ocr"}], "run": {"replications": 8}}
    return Results(document, 1, 10.0, "nearest", rows, (), apps=apps)


def test_every_figure_of_a_row_is_a_column_and_intervals_are_two() -> None:
    (record,) = row_records(_results(_row("nearest")))
    assert (record["mean_ms"], record["mean_ms_half_width"]) == (10.0, 0.5)
    assert (record["app"], record["row"], record["policy"], record["view"]) == ("ocr", "nearest", "nearest", "together")
    assert record["cost_eur_per_hour"] == 1.5
    assert not {"zones", "points", "cdf_ms", "predicted_ms"} & set(record)
    assert all(value is None or isinstance(value, str | int | float | bool) for value in record.values())


def test_what_moving_costs_has_columns_also_beside_rows_without_it() -> None:
    moved = Mobility(1.0, 0.2, 0.01, 0.0, 35.6, None)
    frame = frame_of(row_records(_results(replace(_row("nearest"), mobility=moved), _row("hansa"))))
    assert frame["mobility_hand_overs_per_hour"].to_list() == [0.2, None]
    assert frame["mobility_looked_up_ms"].to_list() == [None, None]


def test_what_was_not_measured_is_none_and_what_is_unstable_is_named() -> None:
    (record,) = row_records(_results(_row("nearest", UNKNOWN, ("a/one-1", "b/two-2"))))
    assert record["mean_ms"] is None
    assert record["mean_ms_half_width"] is None
    assert record["differs_ms"] is None
    assert record["unstable"] == "a/one-1 b/two-2"
    assert record["stable"] is False


def test_a_difference_that_is_there_has_the_columns_of_one_that_is_not() -> None:
    one, other = row_records(_results(_row("nearest"), replace(_row("hansa"), differs_ms=Interval(-1.0, 0.1))))
    assert list(one) == list(other)
    assert (other["differs_ms"], other["differs_ms_half_width"]) == (-1.0, 0.1)


def test_zones_and_access_points_have_tables_of_their_own() -> None:
    results = _results(_row("nearest"), _row("hansa"))
    zones = zone_records(results)
    assert [(zone["row"], zone["zone"], zone["replicas"]) for zone in zones] == [
        ("nearest", "skargard/malmo-1", 2), ("hansa", "skargard/malmo-1", 2),
    ]  # fmt: skip
    points = point_records(results)
    assert [(point["access_point"], point["mean_ms"], point["why_not"]) for point in points[:2]] == [
        ("oslo", 10.0, ""), ("reef", None, "no way"),
    ]  # fmt: skip


def test_rows_of_all_apps_come_before_those_of_each() -> None:
    apps = tuple(AppRows(name, 100.0, (_row("nearest"),)) for name in ("ocr", "asr"))
    records = row_records(_results(_row("nearest"), apps=apps))
    assert [record["app"] for record in records] == [ALL_APPS, "ocr", "asr"]
    assert [zone["app"] for zone in zone_records(_results(_row("nearest"), apps=apps))] == [ALL_APPS, "ocr", "asr"]


def test_columns_are_in_the_order_of_the_longest_record_and_none_is_left_out() -> None:
    assert columns_of([{"a": 1}, {"a": 1, "c": 2, "b": 3}, {"z": 1, "d": 2}]) == ["a", "c", "b", "d", "z"]
    assert columns_of([]) == []


def test_a_frame_has_nothing_where_a_record_has_nothing() -> None:
    frame = frame_of([{"a": 1}, {"a": 2, "b": "x", "c": None}])
    assert frame["b"].to_list() == [None, "x"]
    assert frame["c"].dtype == polars.Float64
    assert frame.columns == ["a", "b", "c"]
    assert frame_of([]).is_empty()


def test_whole_numbers_and_fractions_of_one_column_are_fractions() -> None:
    assert frame_of([{"a": 1}, {"a": 2.5}])["a"].to_list() == [1.0, 2.5]


@pytest.mark.parametrize("text", ["a,b", 'say "x"', "two\nlines", "Öresund", "=1+1"])
def test_csv_gives_back_every_text(text: str) -> None:
    (row,) = csv.DictReader(io.StringIO(csv_of([{"name": text, "known": True, "none": None, "n": 1.25}]), newline=""))
    assert row == {"name": text, "known": "true", "none": "", "n": "1.25"}


def test_lines_are_one_record_each(tmp_path: Path) -> None:
    records = [{"a": 1.5, "b": None}, {"a": 2, "b": "ö\n"}]
    lines = write_lines(records, tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == records


def test_a_figure_that_is_no_number_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_lines([{"a": float("nan")}], tmp_path / "rows.jsonl")


def test_parquet_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    records = row_records(_results(_row("nearest"), _row("hansa", UNKNOWN)))
    paths = [write_table(records, tmp_path / name) for name in ("one", "two")]
    assert paths[0].name == "one.parquet"
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert polars.read_parquet(paths[0]).to_dicts() == records
