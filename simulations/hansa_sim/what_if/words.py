"""An answer as a table for people and as plain values for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hansa_control.domain.model import Rejection
from rich.table import Table
from rich.text import Text

from hansa.names import short_workload
from hansa.printable import printable
from hansa_sim.what_if.answer import Answer, Change, Outcome
from hansa_sim.what_if.sides import AccessFelt, Side

QUIET = frozenset({Outcome.STAYS, Outcome.WAITS})
ACCESS_POINTS_SHOWN_MAX = 20
LISTED_MAX = 3
VERSION = 1
"""Of the JSON; grows whenever a key changes its meaning or goes."""


def lines_of(answer: Answer) -> Iterator[str]:
    """The answer in a few sentences: what was supposed, and how many workloads fare how."""
    yield f"what if: {'; '.join(answer.supposed) or 'nothing'}"
    total = len(answer.changes)
    counts = [(outcome, len(answer.of(outcome))) for outcome in Outcome]
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts if count)
    yield f"{total} workload{'' if total == 1 else 's'}: {told or 'none'}"
    yield from _effects(answer)
    if answer.unsettled:
        yield f"on the move even without it: {', '.join(map(short_workload, answer.unsettled))}"
    yield "no promise is broken" if not answer.breaks_promise else "promises are broken: see BREAKS"


def _effects(answer: Answer) -> Iterator[str]:
    gained = sum(change.gains_fallback for change in answer.changes)
    lost = sum(change.loses_fallback for change in answer.changes)
    if gained or lost:
        yield f"fallbacks: {gained} gained, {lost} lost"
    before = sum(change.before.price_millieur_per_hour for change in answer.changes)
    after = sum(change.after.price_millieur_per_hour for change in answer.changes)
    yield f"price: EUR {before / 1_000:.3f}/h before, EUR {after / 1_000:.3f}/h after ({(after - before) / 1_000:+.3f})"
    yield f"zones in use: {answer.zones_before} before, {answer.zones_after} after"


def table_of(answer: Answer) -> Table | None:
    """A row for each workload of which anything changes; None where nothing does."""
    rows = [change for change in answer.changes if _is_told(change)]
    if not rows:
        return None
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("WORKLOAD", "WHAT", "FROM", "TO", "SLOWEST RTT ms", "BOUND", "EUR/h", "FALLBACK", "BREAKS"):
        table.add_column(title, overflow="fold", justify="right" if title in {"BOUND", "EUR/h"} else "left")
    for change in rows:
        table.add_row(*(_cell(text) for text in _row(change)))
    return table


def _is_told(change: Change) -> bool:
    says = change.gains_fallback or change.loses_fallback or change.breaks_promise
    return change.outcome not in QUIET or says or _slowest(change.before) != _slowest(change.after)


def _row(change: Change) -> tuple[str, ...]:
    before, after = change.before, change.after
    return (
        short_workload(change.workload),
        str(change.outcome),
        _where(before),
        _where(after),
        _both(_slowest(before), _slowest(after)),
        f"{change.rtt_us_max / 1_000:g}",
        f"{(after.price_millieur_per_hour - before.price_millieur_per_hour) / 1_000:+.3f}",
        _both(str(before.fallback or "none"), str(after.fallback or "none")),
        "; ".join(breaks(change)),
    )


def _cell(text: str) -> Text:
    return Text(printable(text))


def _where(side: Side) -> str:
    return ", ".join(side.names) or "nowhere"


def _slowest(side: Side) -> str:
    slowest = side.slowest_rtt_us
    if slowest is None:
        return "no way" if side.felt else "-"
    return f"{slowest / 1_000:.1f}"


def _both(before: str, after: str) -> str:
    return before if before == after else f"{before} -> {after}"


def breaks(change: Change) -> Iterator[str]:
    """What is promised and would be kept no more, or why a workload has no place, in production's words."""
    if change.gave_way_to:
        yield f"stops for {short_workload(change.gave_way_to)}"
    if change.outcome is Outcome.UNHEARD:
        yield "on_partition keep: it is not placed elsewhere while its owner is silent"
    if change.home_is_silent:
        yield "its home operator is silent, and nobody else places it"
    cut_off = [at.access_point for at in change.over_budget if at.rtt_us is None]
    if cut_off:
        yield f"no lawful way from {_listed(cut_off)}"
    late = [_over(change, at) for at in change.over_budget if at.rtt_us is not None]
    if late:
        yield _listed(late)
    if change.breaks_law:
        yield f"runs on against {_listed([_reason(found) for found in change.after.broken])}"
    if change.why and not change.gave_way_to:
        yield change.why
    if change.nearest_fix:
        yield f"nearest fix: {change.nearest_fix}"


def _listed(found: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    rest = len(found) - LISTED_MAX
    return ", ".join(found[:LISTED_MAX]) + (f" and {rest} more" if rest > 0 else "")


def _over(change: Change, at: AccessFelt) -> str:
    rtt_us = at.rtt_us or 0
    if rtt_us > change.rtt_us_max:
        return f"{at.access_point}: p{change.percentile} {rtt_us / 1_000:.1f} ms > {change.rtt_us_max / 1_000:g} ms"
    response_ms = (at.response_us or 0) / 1_000
    return f"{at.access_point}: response {response_ms:.1f} ms > {change.response_us_max / 1_000:g} ms"


def _reason(found: Rejection) -> str:
    return f"{found.result.constraint}: {found.result.measured}, bound {found.result.bound}"


def access_table(answer: Answer) -> Table | None:
    """Access points whose longest round trip changes, those that lose most first; None where none does."""
    rows = sorted(_points(answer).items(), key=lambda item: (-item[1][2], item[0]))
    if not rows:
        return None
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("ACCESS POINT", "WORKLOADS", "SLOWEST RTT ms", "CHANGE ms"):
        table.add_column(title, justify="left" if title == "ACCESS POINT" else "right")
    for point, (count, both, change_ms) in rows[:ACCESS_POINTS_SHOWN_MAX]:
        told = "cut off" if change_ms == float("inf") else f"{change_ms:+.1f}"
        table.add_row(_cell(point), str(count), _cell(both), told)
    return table


def _points(answer: Answer) -> dict[str, tuple[int, str, float]]:
    """By access point: workloads whose users there feel it, the longest round trip on both sides, and its change."""
    found: dict[str, list[tuple[int | None, int | None]]] = {}
    for change in answer.changes:
        before = {at.access_point: at.rtt_us for at in change.before.felt}
        after = {at.access_point: at.rtt_us for at in change.after.felt}
        for point in before.keys() | after.keys():
            pair = (before.get(point), after.get(point))
            if pair[0] != pair[1]:
                found.setdefault(point, []).append(pair)
    return {point: _worst(pairs) for point, pairs in found.items()}


def _worst(pairs: list[tuple[int | None, int | None]]) -> tuple[int, str, float]:
    before, after = ([pair[side] for pair in pairs] for side in (0, 1))
    longest = [None if None in side else max(one for one in side if one is not None) for side in (before, after)]
    told = ["none" if one is None else f"{one / 1_000:.1f}" for one in longest]
    if longest[1] is None:
        return len(pairs), _both(*told), float("inf")
    gain = longest[1] - longest[0] if longest[0] is not None else -longest[1]
    return len(pairs), _both(*told), gain / 1_000


# --- for programs ---------------------------------------------------------------------------------------------------


def as_json(answer: Answer) -> dict[str, Any]:
    """Everything that the answer says."""
    return {
        "version": VERSION,
        "supposed": list(answer.supposed),
        "breaks_promise": answer.breaks_promise,
        "counts": {outcome.name.lower(): len(answer.of(outcome)) for outcome in Outcome},
        "unsettled": list(answer.unsettled),
        "zones_in_use": {"before": answer.zones_before, "after": answer.zones_after},
        "workloads": [_change(change) for change in answer.changes],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "workload": change.workload,
        "outcome": change.outcome.name.lower(),
        "breaks_promise": change.breaks_promise,
        "over_budget": [at.access_point for at in change.over_budget],
        "loses_fallback": change.loses_fallback,
        "gains_fallback": change.gains_fallback,
        "breaks": list(breaks(change)),
        "gave_way_to": change.gave_way_to,
        "nearest_fix": change.nearest_fix,
        "percentile": change.percentile,
        "rtt_us_max": change.rtt_us_max,
        "response_us_max": change.response_us_max,
        "before": _side(change.before),
        "after": _side(change.after),
        "rejections": [
            {"zone": str(one.zone), "reason": one.reason.value, **one.result._asdict()} for one in change.rejections
        ],
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "zones": [{"zone": str(zone), "replicas": replicas} for zone, replicas in side.zones],
        "felt": [
            {"access_point": at.access_point, "rtt_us": at.rtt_us, "response_us": at.response_us} for at in side.felt
        ],
        "price_millieur_per_hour": side.price_millieur_per_hour,
        "carbon_mg_per_hour": side.carbon_mg_per_hour,
        "fallback": str(side.fallback) if side.fallback else None,
        "broken": [_reason(found) for found in side.broken],
    }
