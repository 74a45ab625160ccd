"""The report: one HTML file that needs nothing else, to be read in light and in dark, on paper and aloud."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from hansa_sim.latency.report_charts import latency_curves, tails
from hansa_sim.latency.report_map import map_svg
from hansa_sim.latency.report_page import page_of, table_html
from hansa_sim.latency.report_time import happenings, over_time
from hansa_sim.latency.results import Results, Row
from hansa_sim.latency.table import FAULT_COLUMNS, bound_ms_of, fault_cells, percentiles_of, words_of
from hansa_sim.latency.table_texts import figure_text, interval_text, share_text
from hansa_sim.latency.token_table import HEAD, token_cells

POINTS_SHOWN = 25

TOKENS_NOTE = (
    "<p class='note'>Of apps that serve tokens in batches: from sending until the first token is with the user, and "
    "the mean time between the tokens of an answer, of answers with two at least.</p>"
)


def report_of(results: Results) -> str:
    """The page."""
    return page_of(results.scenario["title"], "".join(_sections(results)))


def _sections(results: Results) -> Iterator[str]:
    scenario = results.scenario
    yield f"<h1>{escape(scenario['title'])}</h1>"
    yield "".join(f"<p>{escape(words)}</p>" for words in words_of(results))
    whole = _policies(results.base, bound_ms_of(results), results.rows)
    yield f"<h2>Policies side by side</h2>{whole}{_policies_note(results)}"
    for app in results.apps:
        yield f"<h2>{escape(app.app)} by itself</h2>{_policies(results.base, app.response_ms_max, app.rows)}"
    tokens = list(token_cells(results.rows))
    if tokens:
        yield f"<h2>Tokens</h2>{table_html(('policy', *HEAD), tokens)}{TOKENS_NOTE}"
    yield f"<h2>Latency</h2>{latency_curves(results)}"
    if any(row.over_time for row in results.rows):
        yield f"<h2>Over time</h2>{over_time(results)}{_time_note(results)}"
    if results.events:
        yield f"<h2>While something was down</h2>{table_html(_FAULT_HEAD, fault_cells(results))}{happenings(results)}"
    yield f"<h2>The slowest hundredth, and what it costs</h2>{tails(results)}"
    yield f"<h2>Map: {escape(results.base)}</h2>{map_svg(results.map)}"
    base = results.row(results.base)
    if base is not None:
        yield f"<h2>Zones under {escape(results.base)}</h2>{_zones(base)}"
        yield f"<h2>Users under {escape(results.base)}</h2>{_points(base)}"
    for app in results.apps:
        yield from (f"<h3>Zones of {escape(app.app)}</h3>{_zones(row)}" for row in app.rows if _is_base(row, results))
    yield f"<h2>What this rests on</h2>{_grounds(results)}"


def _policies(base: str, bound_ms: float | None, rows: Iterable[Row]) -> str:
    over = "over the app's bound" if bound_ms is None else f"over {bound_ms:g} ms"
    head = ("policy", "mean ms", "p50", "p95", "p99", "p99.9", over, "unserved")
    more = (f"against {base}, ms", "regret, ms", "EUR/h", "kW", "kg CO2/h")
    return table_html((*head, *more), (_policy(row) for row in rows))


def _policy(row: Row) -> list[str]:
    times = ["UNSTABLE", *("-",) * 4]
    if not row.unstable:
        middle = [figure_text(one.mean) for one in percentiles_of(row)]
        times = [interval_text(row.mean_ms), *middle[:2], interval_text(row.p99_ms), middle[3]]
    differs = [interval_text(one, signed=True) for one in (row.differs_ms, row.regret_ms)]
    running = [f"{row.cost_eur_per_hour:.2f}", f"{row.power_kw:.1f}", f"{row.carbon_g_per_hour / 1_000:.2f}"]
    return [row.name, *times, share_text(row.miss_share), f"{100 * row.unserved_share:.1f} %", *differs, *running]


def _is_base(row: Row, results: Results) -> bool:
    return (row.policy, row.view) == (results.base, "together")


def _policies_note(results: Results) -> str:
    run, effort = results.scenario["run"], results.effort
    count = effort.replications if effort is not None else run["replications"]
    return (
        f"<p class='note'>Intervals are {run['confidence_percent']} % confidence intervals of {count} "
        "independent replications; differences are paired on the same requests and count users that both rows serve. "
        "Regret is against the best fixed split of users over zones with every device running; a router that looks at "
        "queues may do better than that. Requests of users without a zone count as over the bound. Cost, power and "
        "carbon are of the replicas that run, under load.</p>"
    )


_FAULT_HEAD = [name.lower() for name in FAULT_COLUMNS]


def _time_note(results: Results) -> str:
    scheduled = all(fault["at_s"] is not None for fault in results.scenario["faults"])
    drawn = (
        "" if scheduled else " Faults by chance fall at other times in each; what is listed is the first replication's."
    )
    return f"<p class='note'>All replications together, by when a request was first sent.{drawn}</p>"


def _zones(row: Row) -> str:
    head = ("zone", "replicas", "serves at once", "share of requests", "utilisation", "mean wait, ms", "state")
    cells = (
        [
            zone.zone,
            str(zone.replicas),
            str(zone.servers),
            f"{100 * zone.request_share:.1f} %",
            f"{100 * zone.utilisation:.1f} %",
            "-" if zone.wait_ms is None else f"{zone.wait_ms:.2f}",
            zone.stability.lower() if zone.stability != "UNSTABLE" else zone.stability,
        ]
        for zone in row.zones
    )
    return table_html(head, cells)


def _points(row: Row) -> str:
    def key(at: int) -> tuple[bool, float, str]:
        point = row.points[at]
        return (not point.why_not, -(point.mean_ms or 0.0), point.access_point)

    order = sorted(range(len(row.points)), key=key)
    shown = [row.points[at] for at in order[:POINTS_SHOWN]]
    cells = (
        [
            point.access_point,
            f"{point.requests_per_s:g}",
            point.zone or "-",
            "-" if point.mean_ms is None else f"{point.mean_ms:.2f}",
            point.why_not or "",
        ]
        for point in shown
    )
    table = table_html(("access point", "requests/s", "most go to", "mean, ms", "why not served"), cells)
    left = len(row.points) - len(shown)
    return f"{table}<p class='note'>{left} more are in results.json.</p>" if left > 0 else table


def _grounds(results: Results) -> str:
    scenario = results.scenario
    total = sum(row.requests for row in results.rows)
    return (
        f"<p>Scenario <code>{escape(scenario['name'])}</code>, facts and groups of countries as of "
        f"{escape(scenario['as_of'])}, seed {results.seed}. {total:,} requests measured in {len(results.rows)} rows, "
        f"{results.simulated_s:,.0f} simulated seconds each. Law, ways, round trips and the decision of hansa are the "
        "control plane's own code. Round trips are the medians of its latency model and do not vary from request to "
        "request; zones serve in the order of arrival. Little's law and utilisation within 0 and 1 were checked in "
        "every run. What is not simulated here: jitter, and loss but by faults.</p>"
    )
