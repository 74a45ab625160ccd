"""The benchmarks: rows have the agreed columns, loads are what they say, and the whole measures at tiny counts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
PARTS = {"submit", "find_endpoint", "rest", "adverts", "partner"}


@pytest.fixture(autouse=True)
def tools_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def small_run() -> list[Mapping[str, Any]]:
    rpc, submit = import_module("tools.bench.rpc"), import_module("tools.bench._submit")
    few = (submit.Level(2, 4),)
    return list(rpc.rows(rpc.Counts(zones=2, submits=few, finds=few, rest_s=0.1, deltas=4, partner_trips=few)))


@pytest.mark.slow
def test_a_small_run_over_the_wire_gives_agreed_columns_and_true_ratios() -> None:
    columns = set(import_module("tools.run_benchmarks").COLUMNS)
    rows = small_run()
    names = [row["name"] for row in rows]
    assert all(set(row) == columns for row in rows)
    assert len(set(names)) == len(names)
    assert {name.partition(".")[0] for name in names} == PARTS
    for row in rows:
        assert row["value"] >= 0
        assert row["ratio"] == (row["value"] / row["floor"] if row["floor"] else None)
        assert (row["target"], row["met"]) == (None, None)


def test_a_closed_loop_keeps_so_many_calls_in_flight_and_makes_each_once() -> None:
    under_way, most, called = 0, 0, []

    async def call(number: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        called.append(number)
        under_way -= 1

    run = asyncio.run(import_module("tools.bench._load").closed_loop(call, 20, 4))
    assert (most, sorted(called), len(run.calls_ms)) == (4, list(range(20)), 20)


def test_a_call_that_fails_ends_the_run_instead_of_counting() -> None:
    async def call(number: int) -> None:
        if number == 3:
            raise ValueError("refused")

    with pytest.raises(ExceptionGroup, match="unhandled errors") as group:
        asyncio.run(import_module("tools.bench._load").closed_loop(call, 5, 1))
    assert group.group_contains(ValueError, match="refused")


def test_a_row_without_a_counterpart_has_neither_floor_nor_ratio() -> None:
    load = import_module("tools.bench._load")
    assert load.row("rest", 3.0, "%") == {
        "name": "rest", "value": 3.0, "unit": "%", "floor": None, "ratio": None, "target": None, "met": None,
    }  # fmt: skip
    assert load.row("submit", 3.0, "1/s", 6.0)["ratio"] == 0.5


def test_the_table_aligns_names_left_and_numbers_right() -> None:
    load, runner = import_module("tools.bench._load"), import_module("tools.run_benchmarks")
    lines = list(runner.format_table([load.row("submit.rate", 1234.5, "1/s", 2469.0), load.row("rest", 0.25, "%")]))
    assert [line.split() for line in lines[1:]] == [
        ["submit.rate", "1,234", "1/s", "2,469", "0.50", "-", "-"],
        ["rest", "0.25", "%", "-", "-", "-", "-"],
    ]
    assert len({len(line) for line in lines}) == 1
