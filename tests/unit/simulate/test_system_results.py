"""What users felt in a day, in the one form of results, against figures that are worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hansa_sim.engines.analytic import Station, mean_wait_ns
from hansa_sim.latency.command import app
from hansa_sim.latency.report import report_of
from hansa_sim.latency.results import Results, Row, as_json
from hansa_sim.latency.scenario_file import ScenarioError
from hansa_sim.latency.system.figures import run_day
from hansa_sim.latency.table import words_of
from hansa_sim.latency.transient_words import transient_words
from hansa_sim.latency.transients import Happening, Move, Transients
from hansa_sim.latency.views import ViewName, view_of
from scenario_texts import TWO_APPS, written
from system_days import OSLO_FALLS, ROOMY, RUN, day_world
from typer.testing import CliRunner

SERVICE_MS = 20.0
RATE_RPS = {"bergen": 50, "malmo": 90, "oslo": 60}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run_day(day_world(tmp_path_factory.mktemp("day"), OSLO_FALLS))


@pytest.fixture(scope="module")
def row(results: Results) -> Row:
    found = results.row("hansa")
    assert found is not None
    return found


def seen_of(row: Row) -> Transients:
    assert row.transients is not None
    return row.transients


# --- the row ---


def test_row_is_that_of_hansa_by_the_system_engine(row: Row, results: Results) -> None:
    assert (row.policy, row.view, row.engine) == ("hansa", "together", "system")
    assert (results.base, results.seed, results.simulated_s) == ("hansa", 7, 1_000.0)
    assert row.is_sound


def test_every_request_of_the_day_is_served_or_lost(row: Row) -> None:
    seen = seen_of(row)
    assert row.requests == 1_000 * sum(RATE_RPS.values())
    assert row.unserved_share == pytest.approx(seen.requests_lost / row.requests)
    assert seen.requests_lost == pytest.approx(RATE_RPS["bergen"] * seen.replace_s["p50"])


def test_mean_is_way_wait_and_service_weighed_by_requests(tmp_path: Path) -> None:
    """A calm day: each point's round trip by the view, M/M/c by its formula, and the mean service."""
    world = day_world(tmp_path)
    found = run_day(world).rows[0]
    rtt_ns = view_of(world, ViewName.TOGETHER).rtt_ns
    zones = [str(zone.id) for zone in world.zones]
    running = {zone.zone: zone.replicas for zone in found.zones}
    total = 0.0
    for n, point in enumerate(found.points):
        alone = [other for other in found.points if other.zone == point.zone]
        # Each access point has a workload with instances of its own, as many as users of the zone share them.
        servers = running[point.zone] if len(alone) == 1 else None
        rtt_ms = rtt_ns[n, zones.index(point.zone)] / 1e6
        assert point.mean_ms is not None
        if servers is not None:
            wait_ns = mean_wait_ns(Station(point.requests_per_s, SERVICE_MS * 1e6, servers))
            # Service times are drawn: 1,024 exponential ones are within a tenth of their mean.
            assert point.mean_ms == pytest.approx(rtt_ms + wait_ns / 1e6 + SERVICE_MS, abs=SERVICE_MS / 10)
        total += point.mean_ms * point.requests_per_s
    assert found.mean_ms.mean == pytest.approx(total / sum(RATE_RPS.values()), rel=1e-6)
    assert found.mean_ms.half_width is None


def test_percentiles_rise_and_the_curve_goes_through_them(row: Row) -> None:
    figures = [one.mean for one in (row.p50_ms, row.p95_ms, row.p99_ms, row.p999_ms)]
    assert None not in figures
    assert figures == sorted(figures)  # type: ignore[type-var]
    assert list(row.cdf_ms) == sorted(row.cdf_ms)
    assert row.cdf_ms[49] == pytest.approx(row.p50_ms.mean, abs=1e-4)


def test_requests_over_the_bound_and_lost_ones_are_misses(row: Row) -> None:
    assert row.miss_share.mean is not None
    assert row.unserved_share <= row.miss_share.mean < row.unserved_share + 0.01


def test_zones_share_the_requests_and_are_used_as_the_replicas_allow(row: Row) -> None:
    assert sum(zone.request_share for zone in row.zones) == pytest.approx(1.0)
    stockholm = next(zone for zone in row.zones if zone.zone == "skargard/stockholm-1")
    assert 0 < stockholm.utilisation < 1
    assert stockholm.stability == "STABLE"
    german = next(zone for zone in row.zones if zone.zone == "waldnetz/hamburg-1")
    assert (german.replicas, german.request_share, german.stability) == (0, 0.0, "IDLE")


def test_cost_is_that_of_the_replicas_that_ran(row: Row) -> None:
    prices = {"nordavind/oslo-1": 1.5, "skargard/stockholm-1": 1.0, "waldnetz/hamburg-1": 0.5}
    roughly = sum(prices[zone.zone] * zone.replicas for zone in row.zones)
    assert row.cost_eur_per_hour == pytest.approx(roughly, abs=1.0)


def test_points_have_the_zone_that_served_most_of_the_day(row: Row) -> None:
    bergen = next(point for point in row.points if point.access_point == "bergen")
    assert bergen.zone in {"nordavind/oslo-1", "skargard/stockholm-1"}
    assert bergen.why_not == ""


def test_users_whom_the_law_leaves_without_a_zone_are_named_and_lost(tmp_path: Path) -> None:
    island = ("  - {access_point: malmo, requests_per_s: 90}\n", "  - {access_point: island, requests_per_s: 5}\n")
    found = run_day(day_world(tmp_path, "", island)).rows[0]
    point = next(point for point in found.points if point.access_point == "island")
    assert (point.zone, point.mean_ms) == ("", None)
    assert "unreachable" in point.why_not
    assert found.unserved_share == pytest.approx(5 / 115)
    seen = seen_of(found)
    assert (seen.unplaced, seen.broken) == (1, ())
    assert seen.unavailable_s_max == pytest.approx(1_000)


# --- what happened ---


def test_transients_sum_up_the_day(row: Row) -> None:
    seen = seen_of(row)
    assert (seen.duration_s, seen.workloads, seen.unplaced, seen.outages) == (1_000.0, 3, 0, 1)
    assert set(seen.detect_s) == set(seen.replace_s) == {"p50", "p99", "p100"}
    assert seen.detect_s["p100"] < seen.replace_s["p50"]
    assert seen.unavailable_s_max == pytest.approx(seen.replace_s["p100"])
    assert seen.unavailable_s_mean == pytest.approx(seen.replace_s["p100"] * 50 / 200)
    assert [one.kind for one in seen.timeline] == ["fault", "detected", "re-placed", "mended"]
    assert seen.leapt_s == 720


def test_several_apps_have_rows_of_their_own_beside_that_of_all(tmp_path: Path) -> None:
    found = run_day(day_world(tmp_path, OSLO_FALLS, *TWO_APPS))
    assert [one.app for one in found.apps] == ["asr", "ocr"]
    whole, alone = found.rows[0], [one.rows[0] for one in found.apps]
    assert whole.requests == sum(one.requests for one in alone) == 100_000
    assert whole.cost_eur_per_hour == pytest.approx(sum(one.cost_eur_per_hour for one in alone))
    assert whole.mean_ms.mean is not None
    assert whole.transients is not None
    served = [one.requests * (1 - one.unserved_share) for one in alone]
    mean = sum(n * (one.mean_ms.mean or 0) for n, one in zip(served, alone, strict=True)) / sum(served)
    assert whole.mean_ms.mean == pytest.approx(mean, rel=1e-6)
    assert {point.access_point for point in whole.points} == {"bergen", "malmo", "oslo"}


def test_results_are_plain_values_and_make_a_report(results: Results) -> None:
    document = json.loads(json.dumps(as_json(results), allow_nan=False))
    assert document["rows"][0]["transients"]["timeline"][0]["kind"] == "fault"
    assert document["rows"][0]["transients"]["moves"][0]["after"] == "skargard/stockholm-1"
    assert "<table" in report_of(results)


# --- in words ---


def test_words_say_how_soon_and_how_long(results: Results) -> None:
    said = "\n".join(words_of(results))
    assert "A day of 1,000 s with 3 workloads, of which 720 s were left out as quiet." in said
    assert "Zones were known to be gone after 3.9 s at p50" in said
    assert "Workloads moved 1 times, 0 of them back; 0 are nowhere in the end." in said


def test_words_tell_broken_promises_and_moves_back() -> None:
    moves = (Move(1.0, "w", "a/x", "b/y", False), Move(9.0, "w", "b/y", "a/x", True))
    happenings = (Happening(0.5, "fault", "zone a/x"),)
    broken = tuple(f"at {n} s: oversold" for n in range(7))
    seen = Transients(60.0, 0.0, 1, 0, {}, {}, 0, 0.0, 0.0, 0.0, moves, happenings, broken, "")
    said = list(transient_words(seen))
    assert any("moved 2 times, 1 of them back" in words for words in said)
    assert sum(words.startswith("PROMISE BROKEN") for words in said) == 5
    assert not any("known to be gone" in words or "served again" in words for words in said)


# --- the command ---


def test_command_runs_a_day(tmp_path: Path) -> None:
    day = (("policies:", f"faults: [{OSLO_FALLS}]\npolicies:"), (RUN, "run: {duration_s: 1000, seed: 7}"), ROOMY)
    path = written(tmp_path, *day)
    done = CliRunner().invoke(app, ["run", str(path), "--engine", "system", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "left out as quiet" in done.output
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert document["rows"][0]["engine"] == "system"
    assert np.isclose(document["rows"][0]["transients"]["duration_s"], 1_000)
    assert (tmp_path / "out" / "report.html").exists()


def test_a_zone_at_the_node_of_another_operator_is_refused_before_the_day_begins(tmp_path: Path) -> None:
    path = written(tmp_path, ("node: stockholm", "node: bergen"))
    assert CliRunner().invoke(app, ["check", str(path)]).exit_code == 0
    done = CliRunner().invoke(app, ["run", str(path), "--engine", "system"])
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "node: bergen" in text)
    assert done.exit_code == 2
    assert done.stderr.startswith(
        f"{path}:{line}: operators[1].zones[0].node: skargard/stockholm-1 stands at bergen, a "
    )
    assert "a node of nordavind; a real operator has zones at nodes of its own" in done.stderr


def test_command_refuses_an_engine_that_there_is_not(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["run", str(written(tmp_path)), "--engine", "steam"])
    assert done.exit_code == 2


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("workloads: 0", "run.system.workloads"),
        ("workloads: 20000", "run.system.workloads"),
        ("start_s: -1", "run.system.start_s"),
        ("message_ms: 0", "run.system.message_ms"),
        ("workload: 3", "run.system.workload: unknown key; did you mean workloads?"),
    ],
)
def test_bad_keys_of_the_engine_are_named(tmp_path: Path, key: str, words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        day_world(tmp_path, run=f"system: {{{key}}}")
    assert words in str(caught.value)
