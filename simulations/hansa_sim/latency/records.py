"""Results as flat records, for tables of any kind: of each row, of each zone of a row, of each access point of a row.

A figure with an interval is two columns: the figure, and half the width of its interval under ``..._half_width``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from hansa_sim.latency.results import Interval, Mobility, PointResult, Results, Row, TokenRow, ZoneResult

Record = dict[str, Any]

LISTS = frozenset({"zones", "points", "cdf_ms", "predicted_ms", "over_time", "faults"})
"""What of a row has tables of its own or is no single figure."""

ALL_APPS = "*"
"""The app of rows that are of all apps together."""

PARTS: Mapping[str, type[TokenRow | Mobility]] = {"tokens": TokenRow, "mobility": Mobility}
"""What not every row has, and whose fields are columns of their own, which all rows have."""

INTERVALS = frozenset({"differs_ms", "regret_ms"})
"""Intervals that may be left out of a row."""


def row_records(results: Results) -> list[Record]:
    """One for each row, in the order of the table; then those of each app's own, where there are several."""
    effort = results.effort
    more: Record = {"replications": effort.replications if effort else results.scenario["run"]["replications"]}
    more["reached"] = effort.reached if effort else None
    return [
        {"app": app, "row": row.name, **_row(row), **more, "stable": not row.unstable} for app, row in _apps(results)
    ]


def zone_records(results: Results) -> list[Record]:
    """One for each zone of each row."""
    return [{"app": app, "row": row.name, **_plain(zone)} for app, row in _apps(results) for zone in row.zones]


def point_records(results: Results) -> list[Record]:
    """One for each access point of each row."""
    return [{"app": app, "row": row.name, **_plain(point)} for app, row in _apps(results) for point in row.points]


def _apps(results: Results) -> Iterator[tuple[str, Row]]:
    """Each row with the app that it is of."""
    yield from ((ALL_APPS if results.apps else results.scenario["apps"][0]["name"], row) for row in results.rows)
    yield from ((one.app, row) for one in results.apps for row in one.rows)


def _plain(one: ZoneResult | PointResult) -> Record:
    return {field.name: getattr(one, field.name) for field in fields(one)}


def _row(row: Row) -> Record:
    return {name: value for field in fields(row) for name, value in _columns(field.name, getattr(row, field.name))}


def _columns(name: str, value: object) -> Iterator[tuple[str, object]]:
    if name in PARTS:
        nothing = Interval(None, None) if name == "tokens" else None
        for field in fields(PARTS[name]):
            yield from _columns(f"{name}_{field.name}", nothing if value is None else getattr(value, field.name))
    elif isinstance(value, Interval) or name in INTERVALS:
        found = value if isinstance(value, Interval) else Interval(None, None)
        yield name, found.mean
        yield f"{name}_half_width", found.half_width
    elif isinstance(value, tuple) and name not in LISTS:
        yield name, " ".join(str(one) for one in value)
    elif name not in LISTS:
        yield name, value
