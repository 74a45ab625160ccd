"""What comes of a scenario: the same for the same seed, honest where a zone is overloaded, readable by itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest
from hansa_sim.latency.command import app
from hansa_sim.latency.replications import Progress
from hansa_sim.latency.report import report_of
from hansa_sim.latency.results import Interval, Results, as_json
from hansa_sim.latency.run import run_scenario
from hansa_sim.latency.scenario_file import load_scenario
from hansa_sim.latency.table import table_of, words_of
from hansa_sim.latency.world import build_world
from rich.console import Console
from scenario_texts import ROUND_TRIPS, world_of, written
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[3]
WORKED = sorted((ROOT / "simulations" / "scenarios").glob("*.yaml"))
ALL = (
    ("policies: [nearest]", "policies: [nearest, cheapest, greenest, least-loaded, least-latency, hansa, optimum]"),
    ("compare: {law: false, federation: false}", "compare: {law: true, federation: true}"),
    ("requests: 40000, replications: 4", "requests: 12000, replications: 3"),
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Every policy and both prices, on the small scenario."""
    return run_scenario(world_of(tmp_path_factory.mktemp("small"), *ALL))


def test_every_policy_has_a_row_and_the_two_prices_theirs(results: Results) -> None:
    names = [row.name for row in results.rows]
    assert names[:7] == ["nearest", "cheapest", "greenest", "least-loaded", "least-latency", "hansa", "optimum"]
    assert names[7:] == ["hansa, no residency", "hansa, each operator alone"]
    assert [price.what for price in results.prices] == ["law", "not federating"]
    assert {row.engine for row in results.rows if row.policy.startswith("least-")} == {"event"}


def test_all_policies_see_the_same_requests_and_differences_are_paired(results: Results) -> None:
    assert len({row.requests for row in results.rows}) == 1
    nearest, hansa = results.row("nearest"), results.row("hansa")
    assert nearest is not None
    assert hansa is not None
    assert nearest.differs_ms is not None
    assert nearest.mean_ms.mean is not None
    assert hansa.mean_ms.mean is not None
    assert nearest.differs_ms.mean == pytest.approx(nearest.mean_ms.mean - hansa.mean_ms.mean, abs=1e-6)
    assert nearest.regret_ms is not None
    assert hansa.differs_ms is None
    assert nearest.mean_ms.half_width is not None
    assert nearest.mean_ms.half_width > 0.01  # replications are not one and the same


def test_cost_power_and_carbon_are_those_of_the_devices_that_run(results: Results) -> None:
    prices = {"nordavind/oslo-1": (1.5, 30), "skargard/stockholm-1": (1.0, 40), "waldnetz/hamburg-1": (0.5, 350)}
    for row in results.rows:
        running = [(zone.replicas, *prices[zone.zone]) for zone in row.zones]
        assert row.cost_eur_per_hour == pytest.approx(sum(count * price for count, price, _ in running))
        assert row.power_kw == pytest.approx(sum(count * 0.3 for count, _, _ in running))
        assert row.carbon_g_per_hour == pytest.approx(sum(count * 0.3 * grams for count, _, grams in running))
    assert results.rows[0].cost_eur_per_hour > 0


def test_a_zone_that_is_asked_for_too_much_is_labelled_and_no_price_rests_on_it(tmp_path: Path) -> None:
    world = world_of(
        tmp_path, ("requests_per_s: 90", "requests_per_s: 170"), ("requests_per_s: 60", "requests_per_s: 10"), *ALL
    )
    found = run_scenario(world)
    row = found.row("nearest")
    assert row is not None
    hansa = found.row("hansa")
    assert hansa is not None
    assert hansa.is_sound
    assert row.unstable == ("skargard/stockholm-1",)
    assert row.differs_ms is not None
    assert row.differs_ms.mean is None
    words = " ".join(words_of(found))
    assert "nearest is UNSTABLE: more is asked of skargard/stockholm-1" in words
    assert "UNSTABLE" in report_of(found)


def test_users_without_a_lawful_place_are_counted_and_named(tmp_path: Path) -> None:
    change = ("- {access_point: oslo,", "- {access_point: reef, requests_per_s: 50}\n  - {access_point: oslo,")
    found = run_scenario(world_of(tmp_path, change))
    row = found.row("nearest")
    assert row is not None
    assert row.unserved_share == pytest.approx(50 / 250, rel=0.05)
    assert row.miss_share.mean is not None
    assert row.miss_share.mean >= row.unserved_share * 0.9
    assert {point.access_point: point.why_not for point in row.points}["reef"].startswith("unreachable")
    assert any("Not served by nearest: reef: unreachable" in words for words in words_of(found))
    assert 'class="cross"' not in report_of(found)  # this network has no places


def test_the_same_seed_gives_the_same_bytes_under_any_hash_seed_and_another_seed_others(tmp_path: Path) -> None:
    path = written(tmp_path, *ALL)
    code = f"from hansa_sim.latency.command import app; app(['run', {str(path)!r}, '-o', 'json'])"
    seen = [_ran(code, hash_seed) for hash_seed in ("1", "2")]
    assert seen[0] == seen[1]
    other = CliRunner().invoke(app, ["run", str(path), "-o", "json", "--seed", "8"])
    assert json.loads(other.stdout)["rows"][0]["mean_ms"] != json.loads(seen[0])["rows"][0]["mean_ms"]


def _ran(code: str, hash_seed: str) -> str:
    env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}  # noqa: TID251
    done = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)
    return done.stdout


def test_results_are_plain_json_and_say_their_version(results: Results) -> None:
    document = json.loads(json.dumps(as_json(results), allow_nan=False))
    assert document["version"] == 1
    assert len(document["rows"][0]["cdf_ms"]) == len(document["cdf_percents"])
    assert document["scenario"]["name"] == "small"


class _Tags(HTMLParser):
    """Tags of a page that were opened and not closed, and every address that it names."""

    VOID = frozenset({"meta", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.names: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"}]
        if tag not in self.VOID:
            self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag


def test_the_report_needs_nothing_else_and_is_whole(results: Results) -> None:
    page = report_of(results)
    tags = _Tags()
    tags.feed(page)
    assert tags.opened == []
    assert tags.addresses == []
    assert "script" not in tags.names
    assert not re.search(r"https?://|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page
    for row in results.rows:
        assert row.name in page


def test_what_a_scenario_writes_cannot_break_out_of_the_report(tmp_path: Path) -> None:
    title = ("A small world", "'</title><script>alert(1)</script>'")
    user = ("- {access_point: oslo,", "- {access_point: <script>x, requests_per_s: 5}\n  - {access_point: oslo,")
    node = ("island: SE,", 'island: SE, "<script>x": SE,')
    found = run_scenario(world_of(tmp_path, title, user, node, trips=f"{ROUND_TRIPS}<script>x,reef,4,-,skargard\n"))
    page = report_of(found)
    assert "<script>" not in page
    assert "&lt;script&gt;x" in page


def test_a_narrow_terminal_gets_a_table_that_fits(results: Results) -> None:
    console = Console(width=90, file=StringIO())
    console.print(table_of(results, 90))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 90
    assert not any("…" in line for line in lines)
    assert len(table_of(results).columns) == 13


def test_lines_of_policies_differ_in_more_than_colour(results: Results) -> None:
    dashes = re.findall(r'<polyline class="line c\d" stroke-dasharray="([^"]*)"', report_of(results))
    assert len(dashes) == 7
    assert len(set(dashes)) == 7


def test_intervals_are_students_and_nothing_measured_is_none() -> None:
    found = Interval.of([1.0, 2.0, 3.0], 95)
    assert found.mean == 2.0
    assert found.half_width == pytest.approx(4.303 * 1.0 / 3**0.5, rel=1e-3)
    assert Interval.of([float("nan"), 1.0], 95) == Interval(None, None)


def test_progress_rises_to_the_whole_for_every_row(tmp_path: Path) -> None:
    seen: list[Progress] = []
    run_scenario(world_of(tmp_path), seen.append)
    done = [one.done for one in seen]
    assert done == sorted(done)
    assert done[-1] >= 0.95 * seen[-1].total


def test_run_writes_its_files_and_check_says_what_there_is(tmp_path: Path) -> None:
    path = str(written(tmp_path))
    ran = CliRunner().invoke(app, ["run", path, "--requests", "2000", "--out", str(tmp_path / "out")])
    assert ran.exit_code == 0, ran.output
    assert "nearest" in ran.stdout
    assert json.loads((tmp_path / "out" / "results.json").read_text())["scenario"]["run"]["requests"] == 2000
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!doctype html>")
    checked = CliRunner().invoke(app, ["check", path])
    assert "3 zones of 3 operators, 3 of 3 access points have a lawful zone" in checked.stdout


def test_check_says_the_same_as_json(tmp_path: Path) -> None:
    path = str(written(tmp_path, ("data: [NO, SE], control: [NO, SE]", "data: [FI], control: [NO, SE]")))
    checked = CliRunner().invoke(app, ["check", path, "-o", "json"])
    assert checked.exit_code == 0, checked.output
    found = json.loads(checked.stdout)
    assert [found[key] for key in ("zones", "operators", "scenario", "snapshot")] == [3, 3, "small", None]
    (ocr,) = found["apps"]
    assert (ocr["app"], ocr["access_points"], ocr["lawful"]) == ("ocr", 3, 0)
    assert sorted(ocr["why_not"]) == ["bergen", "malmo", "oslo"] and all(ocr["why_not"].values())
    assert CliRunner().invoke(app, ["check", path, "-o", "xml"]).exit_code == 2


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_run(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    ended = CliRunner().invoke(app, ["run", str(written(tmp_path)), "--out", str(tmp_path / "taken")])
    assert ended.exit_code == 2
    assert "File exists" in ended.stderr


UNSERVABLE = {
    "no law": ("{data: [NO, SE], control: [NO, SE], transit: [NO, SE]}", "{data: [FI]}"),
    "no accelerator": ("  - name: ocr\n", "  - name: ocr\n    accelerators: {any_of: [H200]}\n"),
}


@pytest.mark.parametrize("change", UNSERVABLE.values(), ids=UNSERVABLE)
def test_a_world_in_which_nobody_can_be_served_is_a_result(tmp_path: Path, change: tuple[str, str]) -> None:
    found = run_scenario(world_of(tmp_path, change, *ALL))
    assert {row.unserved_share for row in found.rows if row.view == "together"} == {1.0}
    words = list(words_of(found))
    assert words[0] == "No policy serves anybody."
    assert words[-1].startswith("Not served by hansa: bergen, malmo, oslo: no zone may serve: ")
    json.dumps(as_json(found), allow_nan=False)
    assert "No policy is stable" not in report_of(found)


def test_a_bad_scenario_ends_with_two_and_its_problem(tmp_path: Path) -> None:
    path = written(tmp_path, ("requests: 40000", "reqests: 40000"))
    for command in ("run", "check"):
        ended = CliRunner().invoke(app, [command, str(path)])
        assert ended.exit_code == 2
        assert "did you mean requests?" in ended.stderr


@pytest.mark.parametrize("path", WORKED, ids=[path.stem for path in WORKED])
def test_every_worked_scenario_runs_and_serves(path: Path) -> None:
    loaded = load_scenario(path)
    short = loaded.with_run(replications=2)
    if loaded.scenario.run.duration_s is None:
        short = loaded.with_run(requests=8_000, replications=2)
    found = run_scenario(build_world(short))
    base = found.row(found.base)
    assert base is not None
    assert base.message == ""
    assert base.mean_ms.mean is not None
    assert base.unserved_share < (0.15 if loaded.scenario.faults else 0.1)
    assert "<svg" in report_of(found)
