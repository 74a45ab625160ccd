"""What a person reads of results: a page that runs nothing and names nothing elsewhere, whole pictures, and words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources
from io import StringIO
from math import isfinite
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hansa_sim.latency.command import app
from hansa_sim.latency.report import report_of
from hansa_sim.latency.report_charts import scale_over
from hansa_sim.latency.report_map import map_svg
from hansa_sim.latency.results import Effort, Interval, Mobility, PointResult, Price, Results, Row, as_json
from hansa_sim.latency.run import run_scenario
from hansa_sim.latency.table import tables_of, words_of
from hansa_sim.latency.table_texts import figure_text, interval_text, share_text
from rich.console import Console
from scenario_texts import ROUND_TRIPS, TWO_APPS, world_of, written
from typer.testing import CliRunner

FEW = ("requests: 40000, replications: 4", "requests: 2000, replications: 2")
THREE = ("policies: [nearest]", "policies: [nearest, least-latency, hansa]")
BOTH = ("compare: {law: false, federation: false}", "compare: {law: true, federation: true}")
HOSTILE = "\"'><img src=x onerror=alert(1)></svg></title><script>alert(2)</script>&amp;{{7*7}}"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Three policies and both prices on the small scenario."""
    return run_scenario(world_of(tmp_path_factory.mktemp("pages"), FEW, THREE, BOTH))


def _with_points(results: Results, points: tuple[PointResult, ...], **more: Any) -> Results:
    """The same, where every row has these access points."""
    return replace(results, rows=tuple(replace(row, points=points, **more) for row in results.rows))


def _shown(results: Results, width: int = 190) -> str:
    text = StringIO()
    console = Console(width=width, file=text)
    for table in tables_of(results, width):
        console.print(table)
    return text.getvalue()


def _base(results: Results) -> Row:
    row = results.row(results.base)
    assert row is not None
    return row


# --- the page -------------------------------------------------------------------------------------------------------


class _Page(HTMLParser):
    """Tags with their attributes, and the texts between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def _hostile(results: Results) -> Results:
    """Every text of results that a scenario, a network or a message can have, made into an attack."""
    points = (PointResult(HOSTILE, 5.0, HOSTILE, 10.0, ""), PointResult(HOSTILE, 1.0, "", None, HOSTILE))
    zones = tuple(replace(zone, zone=f"{HOSTILE}/{at}") for at, zone in enumerate(_base(results).zones))
    scenario = results.scenario | {"title": HOSTILE, "name": HOSTILE, "as_of": HOSTILE}
    ground: dict[str, Any] = {"nodes": {HOSTILE: [1.0, 2.0, HOSTILE, False], "b": [3.0, 4.0, HOSTILE, True]}}
    ground |= {"links": [[HOSTILE, "b"]], "zones": {f"{HOSTILE}/1": "b"}}
    ground |= {"ways": {HOSTILE: [HOSTILE, "b"]}, "unserved": [HOSTILE]}
    named = _with_points(results, points, zones=zones, message=HOSTILE, unstable=(HOSTILE,))
    return replace(named, scenario=scenario, map=ground)


def test_no_text_of_a_scenario_becomes_markup_wherever_it_is_shown(found: Results) -> None:
    plain, attacked = _Page(report_of(found)), _Page(report_of(_hostile(found)))
    assert not {"script", "img", "iframe", "link", "object", "a", "form"} & set(attacked.tags)
    assert [name for name, _ in attacked.attributes if name.startswith("on")] == []
    assert {name for name, _ in attacked.attributes} <= {name for name, _ in plain.attributes} | MAP_ATTRIBUTES
    shown = "".join(attacked.texts)
    assert shown.count(HOSTILE) > 10  # it is there, as text, and not doubly escaped
    assert "&amp;amp;" in report_of(_hostile(found))


MAP_ATTRIBUTES = frozenset({"cx", "cy", "r", "d", "points"})


def test_the_page_names_no_address_but_has_words_for_those_who_hear_it(found: Results) -> None:
    page = _Page(report_of(found))
    assert [pair for pair in page.attributes if pair[0] in {"src", "href", "xlink:href", "action", "srcset"}] == []
    assert not re.search(r"url\(|@import|@font-face|https?:|//[a-z]", report_of(found))
    pictures = page.tags.count("svg")
    assert pictures >= 2
    assert [name for name, _ in page.attributes].count("aria-label") == pictures
    assert ("lang", "en") in page.attributes
    assert ("charset", "utf-8") in page.attributes


def _style() -> str:
    return resources.files("hansa_sim").joinpath("data", "report.css").read_text(encoding="utf-8")


def _luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb``, as WCAG 2.1 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _schemes() -> Iterator[dict[str, str]]:
    for block in re.findall(r":root \{(.*?)\}", _style(), re.DOTALL):
        yield dict(re.findall(r"(--\w+): (#[0-9a-f]{6})", block))


def test_light_and_dark_have_the_same_colours_and_every_one_stands_out_from_the_paper() -> None:
    light, dark = _schemes()
    assert set(light) == set(dark) == set(re.findall(r"var\((--\w+)\)", _style()))
    assert _luminance(light["--paper"]) > 0.9
    assert _luminance(dark["--paper"]) < 0.02
    for scheme in (light, dark):
        paper = _luminance(scheme["--paper"])
        for name in sorted(set(scheme) - {"--paper", "--rule", "--shade"}):
            other = _luminance(scheme[name])
            contrast = (max(paper, other) + 0.05) / (min(paper, other) + 0.05)
            assert contrast >= (4.5 if name in ("--ink", "--soft", "--bad") else 3.0), (name, scheme[name], contrast)


def test_every_class_of_the_page_and_of_a_map_has_a_look(found: Results) -> None:
    page = _Page(report_of(replace(found, map=GROUND)))
    used = {one for name, value in page.attributes if name == "class" for one in value.split()}
    styled = set(re.findall(r"\.([a-z][\w-]*)", _style()))
    assert used - styled == {"figure"}  # cells of tables are figures unless they are something else
    assert {"closed", "way", "way-none", "cross", "zone", "f0", "f1", "fx"} <= used


# --- pictures -------------------------------------------------------------------------------------------------------

GROUND: dict[str, Any] = {
    "nodes": {
        "a": [10.0, 60.0, "nord", False],
        "b": [18.0, 59.0, "carrier", False],
        "c": [13.0, 55.0, "nord", True],
        "d": [25.0, 60.0, "carrier", False],
    },
    "links": [["a", "b"], ["b", "c"]],
    "zones": {"nord/one": "a", "syd/one": "b"},
    "ways": {"a": ["a"], "c": ["c", "b", "a"]},
    "unserved": ["d"],
}
"""Syd has a zone at a node of a carrier, and no node of its own."""


def _numbers(picture: ElementTree.Element) -> Iterator[tuple[str, float, float]]:
    """Every place in a picture, with what is there."""
    for each in picture.iter():
        for x, y in (("x", "y"), ("x1", "y1"), ("x2", "y2"), ("cx", "cy")):
            if x in each.attrib:
                yield each.tag, float(each.attrib[x]), float(each.attrib[y])
        for pair in each.attrib.get("points", "").split():
            left, _, down = pair.partition(",")
            yield each.tag, float(left), float(down)


def test_every_picture_is_valid_and_all_of_it_lies_inside(found: Results) -> None:
    pictures = re.findall(r"<svg.*?</svg>", report_of(replace(found, map=GROUND)), re.DOTALL)
    assert len(pictures) >= 3
    for text in pictures:
        picture = ElementTree.fromstring(text)
        _, _, width, height = (float(one) for one in picture.attrib["viewBox"].split())
        places = list(_numbers(picture))
        assert len(places) > 10
        for tag, x, y in places:
            assert isfinite(x) and isfinite(y), tag
            assert -8 <= x <= width, (tag, x, picture.attrib["aria-label"])
            assert -8 <= y <= height, (tag, y, picture.attrib["aria-label"])
        assert picture.findtext("title") == picture.attrib["aria-label"]


def _map(**changes: Any) -> ElementTree.Element:
    return ElementTree.fromstring(map_svg(GROUND | changes))


def _of_class(picture: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [each for each in picture.iter() if name in each.attrib.get("class", "").split()]


def test_a_map_shows_zones_of_operators_that_have_no_node_and_names_them_below() -> None:
    picture = _map()
    titles = [each.findtext("title") for each in picture.iter("g")]
    assert titles == ["nord/one", "syd/one"]
    assert {"nord", "syd"} <= {each.text for each in picture.iter("text")}
    assert "carrier" not in {each.text for each in picture.iter("text")}


def test_a_map_has_north_above_and_east_to_the_right_and_counts_what_it_shows() -> None:
    picture = _map()
    dots = [each for each in picture.iter("circle") if float(each.attrib["r"]) < 2.5]
    (ax, ay), (bx, _), (_, cy), (dx, dy) = ((float(one.attrib["cx"]), float(one.attrib["cy"])) for one in dots)
    assert ax < bx < dx
    assert cy > ay == dy
    assert [len(_of_class(picture, name)) for name in ("closed", "way-none", "cross")] == [2, 2, 2]  # legend with them
    ways = [each for each in _of_class(picture, "way") if each.tag == "polyline"]
    assert [len(each.attrib["points"].split()) for each in ways] == [3]  # who is served at home has no way to draw
    assert _of_class(picture, "cross")[0].findtext("title") == "d: not served"


@pytest.mark.parametrize("places", [{"a": (10.0, 60.0)}, {"a": (10.0, 60.0), "b": (10.0, 50.0)}, {"a": (5.0, 90.0)}])
def test_a_map_of_one_place_or_one_meridian_is_a_map(places: dict[str, tuple[float, float]]) -> None:
    nodes = {name: [*place, "nord", False] for name, place in places.items()}
    picture = _map(nodes=nodes, links=[], zones={"nord/one": "a"}, ways={}, unserved=[])
    assert all(isfinite(x) and isfinite(y) for _, x, y in _numbers(picture))


@pytest.mark.parametrize("ground", [{}, {"nodes": {"a": [0, 0, "nord", False]}}])
def test_without_places_there_are_words_instead_of_a_map(ground: dict[str, Any]) -> None:
    assert map_svg(ground) == "<p>The network tells no places, so there is no map.</p>"


@pytest.mark.parametrize("values", [[0.2, 900.0], [30.0], [30.0, 30.1], [], [0.0, 5.0]])
def test_an_axis_holds_its_values_and_has_at_least_two_marks(values: list[float]) -> None:
    axis = scale_over(values, (0.0, 100.0))
    assert all(0 <= axis.at(value) <= 100 for value in [*values, 1e-9, 1e9])
    ticks = axis.ticks()
    assert len(ticks) >= 2
    assert ticks == sorted(ticks)
    assert [axis.at(one) for one in ticks] == sorted(axis.at(one) for one in ticks)


# --- table and words ------------------------------------------------------------------------------------------------


def test_brackets_and_colons_of_a_scenario_are_shown_as_they_are_written(tmp_path: Path) -> None:
    node = "x[/b]:smile:"
    changes = (
        FEW,
        ("A small world", "'[red]A [/b] world :smile:'"),
        ("- {access_point: oslo,", f"- {{access_point: '{node}', requests_per_s: 5}}\n  - {{access_point: oslo,"),
        ("island: SE,", f"island: SE, '{node}': SE,"),
    )
    path = written(tmp_path, *changes, trips=f"{ROUND_TRIPS}{node},reef,4,-,skargard\n")
    ran = CliRunner().invoke(app, ["run", str(path)])
    assert ran.exit_code == 0, ran.output
    assert "[red]A [/b] world :smile:" in ran.stdout
    assert f"Not served by nearest: {node}: unreachable" in ran.stdout


def test_a_title_cannot_command_the_terminal(found: Results) -> None:
    titled = replace(found, scenario=found.scenario | {"title": "a\x1b[2Jb\x07"})
    assert "\x1b" not in _shown(titled)
    assert "a\\x1b[2Jb" in _shown(titled)


def _unknown(results: Results) -> Results:
    """Results in which nothing could be measured."""
    none = Interval(None, None)
    figures = ("mean_ms", "p50_ms", "p95_ms", "p99_ms", "p999_ms", "miss_share", "wait_ms", "differs_ms", "regret_ms")
    empty: dict[str, Any] = dict.fromkeys(figures, none)
    rows = tuple(replace(row, **empty, cdf_ms=(), predicted_ms=None) for row in results.rows)
    prices = tuple(replace(price, mean_ms=none, mean_percent=None) for price in results.prices)
    return replace(results, rows=rows, prices=prices)


@pytest.mark.parametrize("width", [60, 190])
def test_what_was_not_measured_is_a_dash_and_never_a_word_of_python(found: Results, width: int) -> None:
    for results in (found, _unknown(found)):
        shown = [_shown(results, width), *words_of(results), "".join(_Page(report_of(results)).texts)]
        assert not re.search(r"\b(nan|inf|None|True|False|np\.)\b", "\n".join(shown))
    assert next(words_of(_unknown(found))) == "No policy serves anybody."


def test_figures_have_their_places_signs_and_widths() -> None:
    assert [interval_text(one) for one in (None, Interval(None, None), Interval(1.005, None))] == ["-", "-", "1.00"]
    assert interval_text(Interval(12.345, 0.456)) == "12.35 ± 0.46"
    assert interval_text(Interval(12.0, 0.5), signed=True) == "+12.00 ± 0.50"
    assert interval_text(Interval(-12.0, None), signed=True) == "-12.00"
    assert [share_text(Interval(0.1234, 0.01)), share_text(Interval(1.0, None))] == ["12.34 ± 1.00 %", "100.00 %"]
    assert [figure_text(value) for value in (None, 0.0, 9.95, 1234.56)] == ["-", "0.0", "9.9", "1234.6"]


def test_users_without_a_zone_are_named_by_reason_and_the_rest_of_many_is_counted(found: Results) -> None:
    far = [PointResult(f"far-{n:02}", 1.0, "", None, "no lawful path to any zone") for n in range(10)]
    reef = PointResult("reef", 1.0, "", None, "a reef")
    words = [one for one in words_of(_with_points(found, (*far, reef))) if one.startswith("Not served")]
    names = ", ".join(f"far-{n:02}" for n in range(8))
    assert words == [
        "Not served by hansa: reef: a reef.",
        f"Not served by hansa: {names} and 2 others: no lawful path to any zone.",
    ]


def test_the_report_lists_who_is_not_served_first_and_then_the_slowest(found: Results) -> None:
    points = [PointResult(f"user-{n:02}", 1.0, "a/z", float(n), "") for n in range(30)]
    page = report_of(_with_points(found, (*points, PointResult("zulu", 1.0, "", None, "no way"))))
    users = re.findall(r"<td class='name'>(user-\d+|zulu)</td>", page)
    assert users == ["zulu", *(f"user-{n:02}" for n in range(29, 5, -1))]
    assert "6 more are in results.json." in page


def test_overloaded_zones_are_named_up_to_three(found: Results) -> None:
    for zones, said in (
        (("a/1",), "asked of a/1 than"),
        (("a/1", "a/2", "a/3", "a/4"), "a/1, a/2, a/3 and others than"),
    ):
        rows = (replace(found.rows[0], unstable=zones), *found.rows[1:])
        results = replace(found, rows=rows)
        assert any(said in words for words in words_of(results))
        assert re.search(r"nearest +│ +UNSTABLE │ +- │ +- │", _shown(results))
        assert "<td class='bad'>UNSTABLE</td>" in report_of(results)
    assert not any("Lowest p99: nearest" in words for words in words_of(results))


@pytest.mark.parametrize(
    ("effort", "said"),
    [
        (Effort(8, 8, 1.0), ()),
        (Effort(8, 8, 1.0, True), ("too short for MSER-5",)),
        (
            Effort(9, 20, 1.0, False, 2.5, True, "p99 of hansa", 2.4),
            ("within 2.5 % to each side reached after 9", "2.40 %, the p99 of hansa"),
        ),
        (Effort(20, 20, 1.0, False, 2.5, False, "mean", 3.0), ("not reached after 20 replications of at most 20",)),
        (Effort(2, 20, 1.0, False, 2.5, False), ("Stopped after 2 replications of at most 20: no row is sound",)),
    ],
)
def test_words_say_whether_intervals_are_as_narrow_as_asked_for(
    found: Results, effort: Effort, said: tuple[str, ...]
) -> None:
    before, words = list(words_of(replace(found, effort=None))), list(words_of(replace(found, effort=effort)))
    more = [one for one in words if one not in before]
    assert len(more) == bool(said)
    assert all(part in more[0] for part in said)


def test_a_price_is_more_or_less_and_says_who_is_left_out(found: Results) -> None:
    price = Price("law", "hansa", "hansa, no residency", Interval(-1.5, 0.25), -4.0, 0.125, -2.0)
    words = next(one for one in words_of(replace(found, prices=(price,))) if one.startswith("Price"))
    assert words == (
        "Price of law: -1.50 ± 0.25 ms in the mean (-4.0 %) and EUR -2.00 an hour, and leaves 12.5 % more of the "
        "requests unserved (hansa against hansa, no residency, users that both serve)."
    )


def test_moving_is_told_in_shares_and_hours_and_only_where_it_was_measured(found: Results) -> None:
    moved = Mobility(0.25, 3.14, 0.0125, 0.001, 50.0, 40.0)
    rows = tuple(replace(row, mobility=moved) for row in found.rows)
    words = [one for one in words_of(replace(found, rows=rows)) if "users that move" in one]
    assert words == [
        "Under hansa, 25 % of the requests are of users that move; one changes its zone 3.1 times an hour. 1.25 % of "
        "all requests still go to the zone of the place before, in 50.0 ms against 40.0 ms of those who have looked up "
        "there. 0.10 % are lost before they have."
    ]
    routed = tuple(replace(row, mobility=Mobility(0.25, None, 0.0, 0.0, None, None)) for row in found.rows)
    assert not any("users that move" in one for one in words_of(replace(found, rows=routed)))


# --- results.json ---------------------------------------------------------------------------------------------------

KEYS = "scenario seed simulated_s base rows prices map effort version cdf_percents"
ROW_KEYS = """policy view engine requests mean_ms p50_ms p95_ms p99_ms p999_ms miss_share wait_ms unserved_share
cost_eur_per_hour power_kw carbon_g_per_hour unstable message predicted_ms zones points cdf_ms differs_ms regret_ms"""


def _leaves(value: object) -> Iterator[object]:
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _leaves(each)
    if not isinstance(value, dict | list):
        yield value


def test_results_of_one_app_have_the_keys_that_others_read(found: Results) -> None:
    document = json.loads(json.dumps(as_json(found), allow_nan=False))
    assert set(KEYS.split()) <= set(document)
    assert "apps" not in document
    for row in document["rows"]:
        assert set(ROW_KEYS.split()) <= set(row)
        assert "mobility" not in row
        assert sorted(row["cdf_ms"]) == row["cdf_ms"]
    assert all(value is None or isinstance(value, str | int | float) for value in _leaves(document))
    assert document["cdf_percents"] == sorted(document["cdf_percents"])


def test_what_was_not_measured_is_null_in_results(found: Results) -> None:
    document = json.loads(json.dumps(as_json(_unknown(found)), allow_nan=False))
    assert document["rows"][0]["mean_ms"] == {"mean": None, "half_width": None}
    assert document["prices"][0]["mean_percent"] is None


def test_rows_of_several_apps_stand_beside_those_of_all(tmp_path: Path) -> None:
    document = as_json(run_scenario(world_of(tmp_path, FEW, *TWO_APPS)))
    assert [one["app"] for one in document["apps"]] == ["asr", "ocr"]
    (whole,), parts = document["rows"], [one["rows"][0] for one in document["apps"]]
    assert whole["requests"] == sum(part["requests"] for part in parts)
    assert whole["cost_eur_per_hour"] == pytest.approx(sum(part["cost_eur_per_hour"] for part in parts))
    served = sum(part["requests"] * part["mean_ms"]["mean"] for part in parts) / whole["requests"]
    assert whole["mean_ms"]["mean"] == pytest.approx(served, rel=0.02)
