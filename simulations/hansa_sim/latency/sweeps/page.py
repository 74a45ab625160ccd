"""A sweep as one HTML file: best settings, and charts of a figure over the first key, a line for each row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from math import isclose

from hansa_sim.latency.report_charts import (
    BOTTOM,
    DASHES,
    HEIGHT,
    LEFT,
    RIGHT,
    SERIES,
    TOP,
    WIDTH,
    Scale,
    legend,
    scale_over,
    svg,
)
from hansa_sim.latency.report_page import page_of, table_html
from hansa_sim.latency.sweeps.study import Swept
from hansa_sim.latency.sweeps.summary import SEED, SHOWN, Figure, Setting, Summary, words_of_sweep
from hansa_sim.latency.table_texts import interval_text

CHARTS_MAX = 12
TICKS_MAX = 12


def page_of_sweep(done: Swept, summary: Summary, title: str) -> str:
    """The page."""
    head = f"{title}: {' × '.join(done.keys) or 'one point'}"
    return page_of(head, "".join(_sections(done, summary, head)))


def _sections(done: Swept, summary: Summary, head: str) -> Iterator[str]:
    yield f"<h1>{escape(head)}</h1>"
    yield "".join(f"<p>{escape(words)}</p>" for words in words_of_sweep(done, summary))
    key = summary.keys[0] if summary.keys else SEED
    yield f"<h2>{escape(summary.figure)} over {escape(key)}</h2>{_charts(summary)}"
    yield f"<h2>Least {escape(summary.figure)}</h2>{_least(summary)}"
    bad = [(n, one) for n, one in enumerate(done.outcomes, 1) if one.error]
    if bad:
        lines = ([str(n), one.status.value, one.error] for n, one in bad[:SHOWN])
        yield f"<h2>Points without a result</h2>{table_html(('point', 'status', 'why'), lines)}"
    yield (
        f"<p class='note'>{len(done.points)} points. Over several seeds, intervals are of the seeds; with one seed, of "
        "its replications. A row that is unstable at any seed has no figure. rows.jsonl has all rows of all points.</p>"
    )


def _least(summary: Summary) -> str:
    order = sorted((one for one in summary.figures if one.is_sound), key=lambda one: one.value.mean or 0.0)
    cells = (
        [one.row, *(str(v) for v in one.setting), interval_text(one.value), str(one.seeds)] for one in order[:SHOWN]
    )
    return table_html(("row", *summary.keys, summary.figure, "seeds"), cells)


def _charts(summary: Summary) -> str:
    """A chart for each setting of the keys after the first."""
    sound = [one for one in summary.figures if one.is_sound]
    if not sound or not summary.keys:
        return "<p>Nothing to draw: no row is sound, or nothing but the seed was changed.</p>"
    ends = [end for one in sound for end in _ends(one)]
    height = scale_over([end for end in ends if end > 0], (HEIGHT - BOTTOM, TOP))
    rest = list(dict.fromkeys(one.setting[1:] for one in summary.figures))
    drawn = "".join(_chart(summary, each, height) for each in rest[:CHARTS_MAX])
    left = len(rest) - CHARTS_MAX
    return drawn + (f"<p class='note'>{left} more settings are in rows.jsonl.</p>" if left > 0 else "")


def _chart(summary: Summary, rest: Setting, height: Scale) -> str:
    at = [one for one in summary.figures if one.setting[1:] == rest]
    places = _places(list(dict.fromkeys(one.setting[0] for one in at)))
    parts = [*_frame(places, height, (summary.keys[0], summary.figure))]
    for n, row in enumerate(summary.rows):
        parts += _line([one for one in at if one.row == row], places, height, n)
        parts.append(legend(row, n))
    words = ", ".join(f"{key}={value}" for key, value in zip(summary.keys[1:], rest, strict=True))
    title = f"{summary.figure} over {summary.keys[0]}, by row" + (f", at {words}" if words else "")
    return (f"<p>{escape(words)}</p>" if words else "") + svg(parts, (WIDTH, HEIGHT), title)


def _places(values: Sequence[object]) -> dict[object, float]:
    """Pixels of the values: in proportion where they are numbers, evenly in their order where not."""
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    begin, end = LEFT + 20, WIDTH - RIGHT - 20
    if len(numbers) < len(values) or isclose(min(numbers), max(numbers)):
        step = (end - begin) / max(1, len(values) - 1)
        return {value: begin + n * step for n, value in enumerate(values)}
    low, high = min(numbers), max(numbers)
    return {value: begin + (n - low) / (high - low) * (end - begin) for value, n in zip(values, numbers, strict=True)}


def _frame(places: dict[object, float], height: Scale, names: tuple[str, str]) -> Iterable[str]:
    shown = list(places.items())[:: -(-len(places) // TICKS_MAX)]
    for value, x in shown:
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        text = escape(str(value))
        yield f'<text class="tick" text-anchor="middle" x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}">{text}</text>'
    for tick in height.ticks():
        y = height.at(tick)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="tick" text-anchor="end" x="{LEFT - 6}" y="{y + 4:.1f}">{tick:g}</text>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    words = f"{names[1]} (logarithmic) over {names[0]}"
    yield f'<text class="axis" text-anchor="middle" x="{middle}" y="{HEIGHT - 8}">{escape(words)}</text>'


def _line(figures: Sequence[Figure], places: dict[object, float], height: Scale, n: int) -> Iterator[str]:
    """A polyline with whiskers; where the row is not sound it is broken off."""
    look = f'class="line c{n % SERIES}" stroke-dasharray="{DASHES[n % SERIES]}"'
    for stretch in _stretches(figures):
        points = [(places[one.setting[0]], height.at(max(one.value.mean or 0.0, height.low))) for one in stretch]
        yield f'<polyline {look} points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'
        for (x, y), one in zip(points, stretch, strict=True):
            low, high = (height.at(max(end, height.low)) for end in _ends(one))
            yield f'<line class="line c{n % SERIES}" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
            yield f'<circle class="f{n % SERIES}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'


def _stretches(figures: Sequence[Figure]) -> Iterator[list[Figure]]:
    stretch: list[Figure] = []
    for one in figures:
        if one.is_sound:
            stretch.append(one)
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


def _ends(one: Figure) -> tuple[float, float]:
    mean, half = one.value.mean or 0.0, one.value.half_width or 0.0
    return mean - half, mean + half
