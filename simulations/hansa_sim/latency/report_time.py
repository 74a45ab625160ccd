"""The report's pictures and lists of what happened over time: the slowest hundredth, who got nothing, events, moves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from hansa_sim.latency.report_charts import BOTTOM, DASHES, LEFT, RIGHT, SERIES, TOP, WIDTH, Scale, scale_over, svg
from hansa_sim.latency.results import Event, Move, Results, Row

UPPER, LOWER, GAP = 250, 110, 30
HEIGHT = TOP + UPPER + GAP + LOWER + BOTTOM
TICKS = 10
MOVES_SHOWN = 12
BANDS_NAMED = 6
EVENT_WORDS = {
    "notice": "is announced: users are moved away",
    "begins": "falls",
    "known": "is known to have fallen",
    "ends": "is mended",
    "over": "is known to be mended",
}


def over_time(results: Results) -> str:
    """p99 over time for each row, on a logarithmic scale, and below it the share of requests that nobody served; bands
    where something has fallen, if it falls at the same times in every replication.
    """
    rows = [row for row in results.rows if row.over_time is not None and row.view in ("together", "unharmed", "sudden")]
    known = [ms for row in rows if row.over_time for ms in row.over_time.p99_ms if ms is not None]
    if not known:
        return "<p>Nothing was served.</p>"
    end_s = _end_s(rows)
    axis = scale_over(known, (TOP + UPPER, TOP))
    worst = max((max(_lost(row)) for row in rows), default=0.0)
    top = max(worst, 0.01)
    parts = [*_bands(results, end_s), *_frame(axis, top, end_s)]
    for n, row in enumerate(rows):
        parts += _lines(row, axis, (top, end_s), n)
        parts.append(_legend(row, n))
    return svg(parts, (WIDTH, HEIGHT), "99th percentile and share of requests not served over time, by policy")


def _end_s(rows: Sequence[Row]) -> float:
    series = [row.over_time for row in rows if row.over_time]
    return max(one.bin_s * len(one.requests) for one in series)


def _lost(row: Row) -> list[float]:
    series = row.over_time
    if series is None:
        return [0.0]
    return [lost / sent if sent else 0.0 for lost, sent in zip(series.lost, series.requests, strict=True)]


def _x(at_s: float, end_s: float) -> float:
    return LEFT + (WIDTH - RIGHT - LEFT) * min(at_s, end_s) / end_s


def _y_of_share(share: float, top: float) -> float:
    return TOP + UPPER + GAP + LOWER * (1 - share / top)


def _bands(results: Results, end_s: float) -> Iterator[str]:
    """Where something has fallen; surges have bands of their own."""
    found: list[tuple[str, tuple[float, float], str]] = []
    if all(fault["at_s"] is not None for fault in results.scenario["faults"]):
        found += [("fallen", (begin_s, until_s), title) for begin_s, until_s, title in _spans(results.events, end_s)]
    for users in results.scenario["users"]:
        for surge in users["surges"]:
            span = (surge["at_s"], surge["at_s"] + surge["for_s"])
            found.append(("surge", span, f"surge, times {surge['times']:g}"))
    for n, (kind, span, title) in enumerate(found):
        yield _band(kind, (_x(span[0], end_s), _x(span[1], end_s)), title, n)


def _spans(events: Sequence[Event], end_s: float) -> Iterator[tuple[float, float, str]]:
    for event in events:
        if event.what == "begins":
            ends = [one.at_s for one in events if (one.what, one.title) == ("ends", event.title)]
            yield event.at_s, min((at_s for at_s in ends if at_s > event.at_s), default=end_s), event.title


def _band(kind: str, ends: tuple[float, float], title: str, n: int) -> str:
    """The n-th band, its title below those before."""
    x, width = ends[0], max(ends[1] - ends[0], 1.0)
    box = f'x="{x:.1f}" width="{width:.1f}" y="{TOP}" height="{UPPER + GAP + LOWER}"'
    text = f'<text class="tick" x="{x + 4:.1f}" y="{TOP + 12 + 13 * (n % BANDS_NAMED)}">{escape(title)}</text>'
    return f'<rect class="{kind}" {box}><title>{escape(title)}</title></rect>{text}'


def _frame(axis: Scale, top: float, end_s: float) -> Iterator[str]:
    for tick in axis.ticks():
        yield from _level(axis.at(tick), f"{tick:g}")
    for share in (0.0, top):
        yield from _level(_y_of_share(share, top), f"{100 * share:.3g} %")
    step = next(step for step in _round_steps() if end_s / step <= TICKS)
    for n in range(int(end_s / step) + 1):
        x = _x(n * step, end_s)
        foot = TOP + UPPER + GAP + LOWER
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{foot}"/>'
        yield f'<text class="tick" text-anchor="middle" x="{x:.1f}" y="{foot + 16}">{n * step:g}</text>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield f'<text class="axis" text-anchor="middle" x="{middle}" y="{HEIGHT - 8}">time of sending, s</text>'
    yield f'<text class="axis" x="{LEFT}" y="{TOP + UPPER + GAP - 8}">share not served</text>'
    yield f'<text class="axis" x="{LEFT}" y="{TOP - 4}">p99, ms (logarithmic)</text>'


def _round_steps() -> Iterator[float]:
    power = 0.1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10


def _level(y: float, text: str) -> Iterable[str]:
    yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    yield f'<text class="tick" text-anchor="end" x="{LEFT - 6}" y="{y + 4:.1f}">{text}</text>'


def _lines(row: Row, axis: Scale, scale: tuple[float, float], n: int) -> Iterator[str]:
    """A line for each stretch of bins in which something was served, and the share below."""
    series, (top, end_s) = row.over_time, scale
    if series is None:
        return
    middles = [_x((at + 0.5) * series.bin_s, end_s) for at in range(len(series.requests))]
    points: list[str] = []
    for x, ms in zip([*middles, 0.0], [*series.p99_ms, None], strict=True):
        if ms is not None:
            points.append(f"{x:.1f},{axis.at(ms):.1f}")
        elif points:
            yield _polyline(points, n)
            points = []
    yield _polyline([f"{x:.1f},{_y_of_share(share, top):.1f}" for x, share in zip(middles, _lost(row), strict=True)], n)


def _polyline(points: Sequence[str], n: int) -> str:
    look = f'class="line thin c{n % SERIES}" stroke-dasharray="{DASHES[n % SERIES]}"'
    return f'<polyline {look} points="{" ".join(points)}"/>'


def _legend(row: Row, n: int) -> str:
    x, y = WIDTH - RIGHT + 14, TOP + 16 + 22 * n
    look = f'class="line c{n % SERIES}" stroke-dasharray="{DASHES[n % SERIES]}"'
    line = f'<line {look} x1="{x}" x2="{x + 34}" y1="{y}" y2="{y}"/>'
    return f'{line}<text x="{x + 42}" y="{y + 4}">{escape(row.name)}</text>'


def happenings(results: Results) -> str:
    """What happened when, with the moves of the base row between, as a list."""
    base = results.row(results.base)
    moves = base.faults.moves if base and base.faults else ()
    told = [(event.at_s, 0, f"{event.title} {EVENT_WORDS[event.what]}") for event in results.events]
    told += [(move.at_s, 1, f"{results.base} {move_words(move)}") for move in moves[:MOVES_SHOWN]]
    items = "".join(f"<li><b>{at_s:.1f} s</b> {escape(words)}</li>" for at_s, _, words in sorted(told))
    left = len(moves) - MOVES_SHOWN
    more = f"<p class='note'>{left} more moves are in results.json.</p>" if left > 0 else ""
    return f"<ul>{items}</ul>{more}"


def move_words(move: Move) -> str:
    """A move in words."""
    changes = ", ".join(f"{count:+d} in {zone}" for zone, count in sorted(move.replicas.items())) or "no replica"
    served = f"; {100 * move.unserved_share:.1f} % of the demand has no place" if move.unserved_share else ""
    return f"moves {100 * move.moved_share:.1f} % of the demand ({changes}){served}"
