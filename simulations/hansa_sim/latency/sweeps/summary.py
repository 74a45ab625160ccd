"""What a sweep comes to: each row at each setting, over all seeds, and which setting is best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.table import Table

from hansa_sim.engines.confidence import interval
from hansa_sim.latency.records import ALL_APPS, Record
from hansa_sim.latency.results import FORMAT_VERSION, Interval
from hansa_sim.latency.sweeps.playing import Status
from hansa_sim.latency.sweeps.study import Swept, records_of
from hansa_sim.latency.table_texts import interval_text

SEED = "run.seed"
SHOWN = 20
PERCENT = 95

Setting = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A row at a setting of all keys but the seed: the figure over ``seeds`` seeds, or with one seed as its own run
    knows it; nothing where a seed has no sound row."""

    setting: Setting
    row: str
    value: Interval
    seeds: int
    is_sound: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """``figure`` at every setting of ``keys`` for every row, in the order of the grid; less is better. Keys with
    one value only are not among them."""

    figure: str
    keys: tuple[str, ...]
    figures: tuple[Figure, ...]

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of rows, in the order of the table."""
        return tuple(dict.fromkeys(one.row for one in self.figures))

    def best(self, row: str) -> Figure | None:
        """The setting at which a row has the least; the first of equals, None where it is never sound."""
        sound = [one for one in self.figures if one.row == row and one.is_sound]
        return min(sound, key=lambda one: one.value.mean or 0.0, default=None)

    def words(self, setting: Setting) -> str:
        """A setting as it is written."""
        return ", ".join(f"{key}={value}" for key, value in zip(self.keys, setting, strict=True))


def summary_of(done: Swept, figure: str) -> Summary:
    """The summary of a sweep by one figure of its rows, such as ``p99_ms``."""
    columns = zip(done.keys, zip(*done.values, strict=True), strict=True)
    keys = tuple(key for key, values in columns if key != SEED and len(set(values)) > 1)
    groups: dict[tuple[Setting, str], list[Record]] = {}
    records = [record for record in records_of(done) if "row" in record]
    several = any(record["app"] == ALL_APPS for record in records)
    for record in records:
        is_of_one = several and record["app"] != ALL_APPS
        row = f"{record['row']}, {record['app']}" if is_of_one else record["row"]
        groups.setdefault((tuple(record[key] for key in keys), row), []).append(record)
    return Summary(figure, keys, tuple(_figure(*at, records, figure) for at, records in groups.items()))


def figures_of(done: Swept) -> list[str]:
    """What can be asked for: every figure of a row that is a number."""
    row = next((outcome.rows[0] for outcome in done.outcomes if outcome.rows), {})
    return [name for name, value in row.items() if isinstance(value, float) and not name.endswith("_half_width")]


def as_json(done: Swept, summary: Summary) -> dict[str, Any]:
    """Plain values: every row at every setting, what is best for each, and which points gave nothing, and why."""
    counts = {status.value: done.count(status) for status in Status}
    errors = [
        {"point": number, "status": outcome.status.value, "error": outcome.error}
        for number, outcome in enumerate(done.outcomes, 1)
        if outcome.error
    ]
    best = {row: _plain(summary, found) for row in summary.rows if (found := summary.best(row)) is not None}
    return {
        "version": FORMAT_VERSION,
        "figure": summary.figure,
        "points": {**counts, "before": done.before},
        "figures": [_plain(summary, one) for one in summary.figures],
        "best": best,
        "errors": errors,
    }


def _plain(summary: Summary, one: Figure) -> dict[str, Any]:
    return {
        "setting": dict(zip(summary.keys, one.setting, strict=True)),
        "row": one.row,
        "mean": one.value.mean if one.is_sound else None,
        "half_width": one.value.half_width if one.is_sound else None,
        "seeds": one.seeds,
        "stable": one.is_sound,
    }


def table_of_sweep(summary: Summary) -> Table:
    """The settings with the least of the figure, over all rows."""
    table = Table(title=f"least {summary.figure}", title_justify="left", show_edge=False, pad_edge=False)
    for name in (*summary.keys, "ROW"):
        table.add_column(name, no_wrap=True)
    for name in (summary.figure, "SEEDS"):
        table.add_column(name, justify="right", no_wrap=True)
    order = sorted(summary.figures, key=lambda one: (not one.is_sound, one.value.mean or 0.0))
    for one in order[:SHOWN]:
        value = interval_text(one.value) if one.is_sound else "UNSTABLE"
        table.add_row(*(escape(str(each)) for each in (*one.setting, one.row, value, one.seeds)))
    return table


def words_of_sweep(done: Swept, summary: Summary) -> Iterator[str]:
    """What is best, and what went wrong."""
    for row in summary.rows:
        best = summary.best(row)
        where = (summary.words(best.setting) or "the scenario as it is") if best else ""
        least = f"least {summary.figure} {interval_text(best.value)} at {where}" if best else "stable at no point"
        yield f"{row}: {least}."
    for status in (Status.REFUSED, Status.FAILED):
        errors = [(n, one.error) for n, one in enumerate(done.outcomes, 1) if one.status is status]
        if errors:
            yield f"{len(errors)} of {len(done.outcomes)} points {status.value}; point {errors[0][0]}: {errors[0][1]}"


def _figure(setting: Setting, row: str, records: Sequence[Record], figure: str) -> Figure:
    values = [record.get(figure) for record in records]
    known = [float(value) for value in values if value is not None]
    is_sound = len(known) == len(values) and all(record["stable"] for record in records)
    if len(records) == 1:
        value = Interval(known[0] if known else None, records[0].get(f"{figure}_half_width"))
    else:
        found = interval(known, PERCENT / 100)
        value = Interval(found.mean, found.half_width) if is_sound else Interval(None, None)
    return Figure(setting, row, value, len(records), is_sound)
