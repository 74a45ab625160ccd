"""Results as a table for a terminal, and the plain words that belong to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from hansa.printable import printable
from hansa_sim.latency.arrival_words import arrival_words
from hansa_sim.latency.results import Effort, Interval, PointResult, Price, Results, Row
from hansa_sim.latency.table_texts import NOTHING, figure_text, interval_text, share_text
from hansa_sim.latency.token_table import HEAD, token_cells
from hansa_sim.latency.transient_words import transient_words

POINTS_SHOWN = 8
FAULT_COLUMNS = ("POLICY", "OVER BOUND OR LOST", "LOST", "TRIES CUT", "TRIES STRUCK", "SENT AGAIN", "MOVES")
WIDE = 150
"""Columns that the whole table takes."""


def tables_of(results: Results, width: int = WIDE) -> Iterator[Table]:
    """The table of everything, then one for each app where there are several."""
    yield table_of(results, width)
    if any(row.faults for row in results.rows):
        yield faults_table(results)
    for app in results.apps:
        yield _table(app.app, (app.response_ms_max, results.base), app.rows, width)
    yield from _token_tables(results)


def _token_tables(results: Results) -> Iterator[Table]:
    """What users see of tokens: of everything, and of each app that serves them where there are several."""
    named = [(f"{app.app}: tokens", app.rows) for app in results.apps] or [("Tokens", results.rows)]
    for title, rows in named:
        cells = list(token_cells(rows))
        if cells:
            table = _empty(title)
            table.add_column("POLICY", no_wrap=True)
            for name in HEAD:
                table.add_column(name, justify="right", no_wrap=True)
            for each in cells:
                table.add_row(*each)
            yield table


def table_of(results: Results, width: int = WIDE) -> Table:
    """A row for each policy, then those of the two prices; times in ms, with intervals. Where the width is less than
    ``WIDE``, only what is asked first.
    """
    return _table(results.scenario["title"], (bound_ms_of(results), results.base), results.rows, width)


def _empty(title: str) -> Table:
    """A table without columns; brackets and colons of a title are what a scenario wrote, and no markup."""
    text = Text(printable(title), style="table.title")
    return Table(title=text, title_justify="left", show_edge=False, pad_edge=False)


def _table(title: str, against: tuple[float | None, str], rows: Iterable[Row], width: int) -> Table:
    """``against`` are the bound, None where rows have several, and the base policy."""
    bound, base = against
    table = _empty(title)
    table.add_column("POLICY", no_wrap=True)
    over = "> bound" if bound is None else f"> {bound:g} ms"
    first = ("MEAN ms", "p99", over, "UNSERVED", "EUR/h")
    whole = ("MEAN ms", "p50", "p95", "p99", "p99.9", over, "UNSERVED", f"vs {base}", "REGRET")
    for name in (*whole, "EUR/h", "kW", "kgCO2/h") if width >= WIDE else first:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(_cells(row) if width >= WIDE else _first_cells(row)))
    return table


def faults_table(results: Results) -> Table:
    """What faults did to each row."""
    table = _empty("While something was down")
    for name in FAULT_COLUMNS:
        table.add_column(name, justify="left" if name == "POLICY" else "right", no_wrap=True)
    for cells in fault_cells(results):
        table.add_row(*cells)
    return table


def fault_cells(results: Results) -> Iterator[list[str]]:
    """The cells under ``FAULT_COLUMNS`` of rows under faults."""
    for row in results.rows:
        if (felt := row.faults) is not None:
            missed = NOTHING if felt.miss_share is None else f"{100 * felt.miss_share:.2f} %"
            counts = (felt.lost, felt.cut, felt.struck, felt.retried)
            yield [row.name, missed, *(f"{count:,}" for count in counts), str(len(felt.moves))]


def bound_ms_of(results: Results) -> float | None:
    """The app's bound on the response; None where there are several apps."""
    apps = results.scenario["apps"]
    return float(apps[0]["latency"]["response_ms_max"]) if len(apps) == 1 else None


def _first_cells(row: Row) -> Iterator[str]:
    yield row.name
    yield "UNSTABLE" if row.unstable else interval_text(row.mean_ms)
    yield NOTHING if row.unstable else figure_text(row.p99_ms.mean)
    yield share_text(row.miss_share)
    yield _unserved_text(row)
    yield f"{row.cost_eur_per_hour:.2f}"


def _cells(row: Row) -> Iterator[str]:
    yield row.name
    if row.unstable:
        yield "UNSTABLE"
        yield from (NOTHING,) * 4
    else:
        yield from (interval_text(row.mean_ms), *(figure_text(one.mean) for one in percentiles_of(row)))
    yield share_text(row.miss_share)
    yield _unserved_text(row)
    yield interval_text(row.differs_ms, signed=True)
    yield interval_text(row.regret_ms, signed=True)
    yield f"{row.cost_eur_per_hour:.2f}"
    yield f"{row.power_kw:.1f}"
    yield f"{row.carbon_g_per_hour / 1_000:.2f}"


def _unserved_text(row: Row) -> str:
    return f"{100 * row.unserved_share:.1f} %" if row.unserved_share else NOTHING


def percentiles_of(row: Row) -> tuple[Interval, ...]:
    """The medians and the tails of a row."""
    return (row.p50_ms, row.p95_ms, row.p99_ms, row.p999_ms)


def words_of(results: Results) -> Iterator[str]:
    """What a planner reads first: best and worst, prices, who is not served, where the numbers mean nothing."""
    yield from _ranking(results)
    if not results.apps:
        yield _bound_words(results.scenario["apps"][0], results.rows)
    for app, one in zip(results.scenario["apps"], results.apps, strict=False):
        yield f"{one.app}: {_bound_words(app, one.rows)}"
    yield from arrival_words(results)
    yield from _predicted_words(results)
    for row in results.rows:
        if row.transients is not None:
            yield from transient_words(row.transients)
    yield from (_price_words(price) for price in results.prices)
    yield from _fault_words(results)
    yield from _effort_words(results.effort)
    for row in results.rows:
        if row.message:
            yield f"{row.name}: no plan for {row.message}"
        if row.unstable:
            zones = ", ".join(row.unstable[:3]) + (" and others" if len(row.unstable) > 3 else "")
            yield f"{row.name} is UNSTABLE: more is asked of {zones} than can be done, so that waits grow without end."
    yield from _moving_words(results)
    yield from _unserved(results)


def _fault_words(results: Results) -> Iterator[str]:
    """What faults did to the users of the base policy, and who of them had it worst."""
    row = results.row(results.base)
    if row is None or row.faults is None:
        return
    felt, total = row.faults, max(row.requests, 1)
    missed = "" if felt.miss_share is None else f", {100 * felt.miss_share:.1f} % over the bound or lost meanwhile"
    yield (
        f"Faults under {row.name}: {felt.lost:,} of {total:,} requests lost, {felt.retried:,} tries sent again{missed}."
    )
    worst = sorted(
        (point for point in row.points if point.lost_share), key=lambda one: (-one.lost_share, one.access_point)
    )
    if worst:
        names = [f"{one.access_point} {100 * one.lost_share:.1f} %" for one in worst[:POINTS_SHOWN]]
        yield f"Not served, of their requests: {', '.join(names)}{' and others' if len(worst) > POINTS_SHOWN else ''}."


def _moving_words(results: Results) -> Iterator[str]:
    """What moving costs under the base policy, of each app that has users that move."""
    named = [(f"{app.app}: ", app.rows) for app in results.apps] or [("", results.rows)]
    for of, rows in named:
        row = next(row for row in rows if (row.policy, row.view) == (results.base, "together"))
        moved = row.mobility
        if moved is None or moved.hand_overs_per_hour is None:
            continue
        late = ""
        if moved.stale_ms is not None and moved.looked_up_ms is not None:
            times = f"{figure_text(moved.stale_ms)} ms against {figure_text(moved.looked_up_ms)} ms"
            late = f", in {times} of those who have looked up there"
        lost = f" {100 * moved.lost_share:.2f} % are lost before they have." if moved.lost_share else ""
        who = f"{of}Under {row.name}, {100 * moved.moving_share:.0f} % of the requests are of users that move"
        changes = f"one changes its zone {moved.hand_overs_per_hour:.1f} times an hour"
        stale = f"{100 * moved.stale_share:.2f} % of all requests still go to the zone of the place before"
        yield f"{who}; {changes}. {stale}{late}.{lost}"


def _ranking(results: Results) -> Iterator[str]:
    sound = [row for row in results.rows if row.view == "together" and row.is_sound]
    if not sound:
        if not any(row.requests for row in results.rows):
            yield "No request came in while it was measured: give more run.requests, or a longer run.duration_s."
            return
        served = any(row.mean_ms.mean is not None for row in results.rows if row.view == "together")
        yield "No policy keeps every zone stable." if served else "No policy serves anybody."
        return
    fastest = min(sound, key=lambda row: row.p99_ms.mean or 0.0)
    cheapest = min(sound, key=lambda row: row.cost_eur_per_hour)
    cost = f"EUR {fastest.cost_eur_per_hour:.2f} an hour"
    yield f"Lowest p99: {fastest.name} with {figure_text(fastest.p99_ms.mean)} ms at {cost}."
    if cheapest is not fastest:
        what = f"p99 {figure_text(cheapest.p99_ms.mean)} ms"
        yield f"Least cost: {cheapest.name} with EUR {cheapest.cost_eur_per_hour:.2f} an hour, {what}."


def _bound_words(app: dict[str, Any], rows: Iterable[Row]) -> str:
    """Who keeps the app's bound on the response at its percentile."""
    bound = app["latency"]
    at = {50: "p50_ms", 95: "p95_ms", 99: "p99_ms"}[bound["percentile"]]
    names: dict[bool, list[str]] = {True: [], False: []}
    for row in rows:
        if row.view == "together":
            mean = getattr(row, at).mean
            names[row.is_sound and mean is not None and mean <= bound["response_ms_max"]].append(row.name)
    text = f"p{bound['percentile']} within {bound['response_ms_max']:g} ms for those who are served"
    missed = f"; not under {', '.join(names[False])}" if names[False] else ""
    return f"{text}: under {', '.join(names[True]) or 'no policy'}{missed}."


def _predicted_words(results: Results) -> Iterator[str]:
    """What the control plane itself would have told the app team, beside what came of it."""
    row = results.row("hansa")
    if row is not None and row.predicted_ms is not None and row.is_sound:
        figures = [f"{name} {row.predicted_ms[name]:.1f} ms" for name in ("p50", "p95", "p99")]
        yield f"The control plane's own prediction for hansa, at its slowest access point: {', '.join(figures)}."


def _effort_words(effort: Effort | None) -> Iterator[str]:
    """Whether intervals came to be as narrow as was asked for, and how much that took."""
    if effort is not None and effort.warm_up_is_short:
        yield "Replications are too short for MSER-5 to see the end of the warm-up: give more requests to each."
    if effort is None or effort.half_width_percent is None:
        return
    run = f"{effort.replications} replications of at most {effort.replications_max}"
    if effort.widest_percent is None:
        yield f"Stopped after {run}: no row is sound, so that no interval would become narrower."
        return
    reached = "reached" if effort.reached else "not reached"
    wanted = f"{effort.half_width_percent:g} % to each side {reached} after {run}"
    yield f"Intervals within {wanted}; widest {effort.widest_percent:.2f} %, the {effort.widest}."


def _price_words(price: Price) -> str:
    title = f"Price of {price.what}"
    if price.mean_ms.mean is None or price.mean_percent is None:
        return f"{title}: not known, because a row is unstable or serves nobody."
    ms = f"{interval_text(price.mean_ms, signed=True)} ms in the mean ({price.mean_percent:+.1f} %)"
    left = ""
    if price.unserved_share > 0:
        left = f", and leaves {100 * price.unserved_share:.1f} % more of the requests unserved"
    rows = f"({price.row} against {price.against}, users that both serve)"
    return f"{title}: {ms} and EUR {price.cost_eur_per_hour:+.2f} an hour{left} {rows}."


def _unserved(results: Results) -> Iterator[str]:
    """Users whom the law or the network leaves without a zone, under the base policy."""
    base = results.row(results.base)
    points = [point for point in base.points if point.why_not] if base else []
    by_reason: dict[str, list[PointResult]] = {}
    for point in points:
        by_reason.setdefault(point.why_not, []).append(point)
    for reason, those in sorted(by_reason.items()):
        names = ", ".join(point.access_point for point in those[:POINTS_SHOWN])
        more = f" and {len(those) - POINTS_SHOWN} others" if len(those) > POINTS_SHOWN else ""
        yield f"Not served by {results.base}: {names}{more}: {reason}."
