"""What a sweep comes to, as a table and as a page: by setting and row, over seeds, honest where a row is unstable."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest
from hansa_sim.latency.records import Record
from hansa_sim.latency.sweeps.bundle import Bundle
from hansa_sim.latency.sweeps.grid import Axis, points_of
from hansa_sim.latency.sweeps.page import page_of_sweep
from hansa_sim.latency.sweeps.playing import Outcome, Status
from hansa_sim.latency.sweeps.study import Swept
from hansa_sim.latency.sweeps.summary import Summary, figures_of, summary_of, table_of_sweep, words_of_sweep
from rich.console import Console

BUNDLE = Bundle(".", "small.yaml", ())
Found = Mapping[tuple[str, ...], Sequence[Record] | str]


def _row(mean_ms: float | None, row: str = "nearest", **more: object) -> Record:
    return {"app": "ocr", "row": row, "mean_ms": mean_ms, "mean_ms_half_width": 0.5, "stable": True, **more}


def _swept(assignments: Sequence[str], found: Found) -> Swept:
    """A sweep whose points came out as ``found`` has it by their values: rows, or why there are none."""
    points = points_of([Axis.of(one) for one in assignments])
    outcomes = []
    for changes in points:
        what = found[tuple(change.text for change in changes)]
        rows = () if isinstance(what, str) else tuple(what)
        outcomes.append(Outcome("", Status.OK if rows else Status.REFUSED, "" if rows else str(what), rows))
    return Swept(BUNDLE, tuple(points), tuple(outcomes), 0, 0)


def _page(done: Swept) -> str:
    return page_of_sweep(done, summary_of(done, "mean_ms"), "small")


def _lines(page: str) -> list[list[tuple[float, float]]]:
    """The points of every polyline, in pixels."""
    texts = re.findall(r'<polyline [^>]*points="([^"]*)"', page)
    return [[(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())] for text in texts]


def _text(summary: Summary) -> str:
    console = Console(width=150, file=StringIO())
    console.print(table_of_sweep(summary))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


RATES = {("10",): [_row(5.0)], ("20",): [_row(6.0)], ("40",): [_row(9.0)]}


def test_numbers_lie_in_proportion_and_less_lies_lower() -> None:
    (line,) = _lines(_page(_swept(["rate=10,20,40"], RATES)))
    (x10, y10), (x20, y20), (x40, y40) = line
    assert (x40 - x10) == pytest.approx(3 * (x20 - x10), abs=0.2)
    assert y10 > y20 > y40  # pixels count from the top


def test_values_that_are_no_numbers_lie_evenly_in_their_order() -> None:
    found = {("b",): [_row(5.0)], ("a",): [_row(6.0)], ("c",): [_row(9.0)]}
    page = _page(_swept(["kind=b,a,c"], found))
    (line,) = _lines(page)
    assert line[1][0] - line[0][0] == pytest.approx(line[2][0] - line[1][0], abs=0.2)
    ticks = re.findall(r'text-anchor="middle"[^>]*>([abc])<', page)
    assert ticks == ["b", "a", "c"]


def test_whiskers_are_the_interval() -> None:
    page = _page(_swept(["rate=10,20,40"], RATES))
    whiskers = re.findall(r'<line class="line c0" x1="([\d.]+)" x2="([\d.]+)" y1="([\d.]+)" y2="([\d.]+)"/>', page)
    assert len(whiskers) == 3
    for x1, x2, low, high in whiskers:
        assert x1 == x2
        assert float(low) > float(high)


def test_a_line_is_broken_off_where_its_row_is_unstable() -> None:
    found = {**RATES, ("20",): [_row(6.0, stable=False)], ("50",): [_row(10.0)]}
    page = _page(_swept(["rate=10,20,40,50"], found))
    assert [len(line) for line in _lines(page)] == [1, 2]
    assert page.count("<circle") == 3


def test_every_row_has_a_line_that_differs_in_more_than_colour() -> None:
    found = {key: [_row(5.0), _row(6.0, "hansa"), _row(7.0, "optimum")] for key in RATES}
    page = _page(_swept(["rate=10,20,40"], found))
    looks = re.findall(r'<polyline class="line c(\d)" stroke-dasharray="([^"]*)"', page)
    assert len(set(looks)) == len({dashes for _, dashes in looks}) == 3
    assert all(f">{name}</text>" in page for name in ("nearest", "hansa", "optimum"))


def test_other_keys_have_a_chart_for_each_of_their_settings() -> None:
    found = {(rate, law): [_row(5.0)] for rate in ("1", "2") for law in ("x", "y", "z")}
    page = _page(_swept(["rate=1,2", "law=x,y,z"], found))
    assert page.count("<svg") == 3
    for law in "xyz":
        assert f"<p>law={law}</p>" in page


def test_charts_beyond_the_first_dozen_are_counted() -> None:
    found = {(rate, str(n)): [_row(5.0)] for rate in ("1", "2") for n in range(15)}
    page = _page(_swept(["rate=1,2", "n=0..14"], found))
    assert page.count("<svg") == 12
    assert "3 more settings are in rows.jsonl" in page


def test_long_axes_do_not_name_every_value() -> None:
    found = {(str(n),): [_row(5.0 + n)] for n in range(1, 101)}
    page = _page(_swept(["n=1..100"], found))
    names = re.findall(r'text-anchor="middle" x="[\d.]+" y="\d+">(\d+)<', page)
    assert 5 <= len(names) <= 12
    assert len(_lines(page)[0]) == 100


@pytest.mark.parametrize("found", [{("1",): [_row(5.0, stable=False)]}, {("1",): [_row(None)]}, {("1",): "no"}])
def test_where_nothing_is_sound_the_page_says_so(found: Found) -> None:
    done = _swept(["rate=1"], found)
    assert "Nothing to draw" in _page(done)
    assert not any(one.is_sound for one in summary_of(done, "mean_ms").figures)


def test_the_page_is_whole_and_names_nothing_elsewhere() -> None:
    class Tags(HTMLParser):
        opened: list[str]

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert not {"src", "href"} & {name for name, _ in attrs}
            if tag != "meta":
                self.opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.opened.pop() == tag

    tags = Tags()
    tags.opened = []
    page = _page(_swept(["rate=10,20,40", "run.seed=1"], {(*key, "1"): rows for key, rows in RATES.items()}))
    tags.feed(page)
    assert tags.opened == []
    assert not re.search(r"https?://|@import|url\(|<script", page)
    assert "prefers-color-scheme: dark" in page


def test_seeds_are_joined_and_an_interval_is_of_them() -> None:
    found = {("1", str(seed)): [_row(10.0 + seed)] for seed in range(1, 5)}
    (figure,) = summary_of(_swept(["rate=1", "run.seed=1..4"], found), "mean_ms").figures
    assert figure.seeds == 4
    assert figure.value.mean == pytest.approx(12.5)
    assert figure.value.half_width == pytest.approx(3.182 * 1.29099 / 2, rel=1e-3)


def test_one_seed_keeps_the_interval_of_its_replications() -> None:
    figures = summary_of(_swept(["rate=10,20,40"], RATES), "mean_ms").figures
    assert [one.value.half_width for one in figures] == [0.5, 0.5, 0.5]


def test_a_seed_that_was_refused_does_not_count_among_seeds() -> None:
    found: Found = {("1", "1"): [_row(5.0)], ("1", "2"): "no"}
    done = _swept(["rate=1", "run.seed=1,2"], found)
    assert [one.seeds for one in summary_of(done, "mean_ms").figures] == [1]
    words = list(words_of_sweep(done, summary_of(done, "mean_ms")))
    assert words[-1] == "1 of 2 points refused; point 2: no"


def test_the_best_of_equals_is_the_first_and_an_unstable_one_is_never_best() -> None:
    found = {("1",): [_row(7.0)], ("2",): [_row(5.0)], ("3",): [_row(5.0)], ("4",): [_row(1.0, stable=False)]}
    summary = summary_of(_swept(["rate=1..4"], found), "mean_ms")
    best = summary.best("nearest")
    assert best is not None
    assert best.setting == (2,)
    assert summary.best("hansa") is None


def test_the_table_begins_with_the_least_and_ends_with_what_is_unstable() -> None:
    found = {("1",): [_row(7.0)], ("2",): [_row(5.0)], ("3",): [_row(1.0, stable=False)]}
    text = _text(summary_of(_swept(["rate=1..3"], found), "mean_ms"))
    rows = [line.split()[0] for line in text.splitlines() if "nearest" in line]
    assert rows == ["2", "1", "3"]
    assert "UNSTABLE" in text


def test_values_in_brackets_are_shown_as_they_are() -> None:
    found = {("[nearest]",): [_row(7.0)], ("[hansa,nearest]",): [_row(5.0)]}
    text = _text(summary_of(_swept(["policies=[nearest],[hansa,nearest]"], found), "mean_ms"))
    assert "[hansa,nearest]" in text


def test_apps_of_one_scenario_have_rows_of_their_own() -> None:
    rows = [_row(7.0, app="*"), _row(6.0, app="ocr"), _row(8.0, app="asr")]
    summary = summary_of(_swept(["rate=1"], {("1",): rows}), "mean_ms")
    assert summary.rows == ("nearest", "nearest, ocr", "nearest, asr")


def test_figures_that_can_be_asked_for_are_numbers_of_rows() -> None:
    done = _swept(["rate=1,2"], {("1",): "no", ("2",): [_row(5.0, p99_ms=9.0, requests=100, policy="nearest")]})
    assert figures_of(done) == ["mean_ms", "p99_ms"]
    assert figures_of(_swept(["rate=1"], {("1",): "no"})) == []


def test_points_without_a_result_are_listed_with_their_reason() -> None:
    page = _page(_swept(["rate=1,2"], {("1",): [_row(5.0)], ("2",): "line 3: <b>wrong</b>"}))
    assert "Points without a result" in page
    assert "line 3: &lt;b&gt;wrong&lt;/b&gt;" in page


def test_a_scenario_without_a_grid_is_one_point() -> None:
    done = Swept(BUNDLE, ((),), (Outcome("", Status.OK, "", (_row(5.0),)),), 0, 0)
    assert next(words_of_sweep(done, summary_of(done, "mean_ms"))) == (
        "nearest: least mean_ms 5.00 ± 0.50 at the scenario as it is."
    )
    assert "one point" in _page(done)


def test_a_page_is_the_same_wherever_it_is_written(tmp_path: Path) -> None:
    first, second = (_page(_swept(["rate=10,20,40"], RATES)) for _ in range(2))
    assert first == second
    assert str(tmp_path) not in first
