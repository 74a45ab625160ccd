"""Days of operators that are played by their own code: what a fault does, how soon it is seen, who moves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hansa_control.application.settings import Settings
from hansa_sim.latency.system.day import Played, play_day
from hansa_sim.latency.system.diary import Diary
from scenario_texts import TWO_APPS
from system_days import OSLO_FALLS, day_world, kinds, played_day, told

DETECTED_S_MAX = (Settings("x").lost_after_ms + Settings("x").tick_ms) / 1_000 + 0.02
START_S = 10.0
RATE_RPS = {"bergen": 50, "malmo": 90, "oslo": 60}


def outages_s(played: Played) -> list[float]:
    return [(one.end_us - one.begin_us) / 1e6 for one in played.diary.outages if one.end_us is not None]


# --- a day without faults ---


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return played_day(tmp_path_factory.mktemp("calm"))


def test_day_without_faults_serves_everybody_all_day(calm: Played) -> None:
    (sums,) = calm.diary.sums
    assert sums.lost == {}
    assert sum(sums.served.values()) == pytest.approx(1_000 * sum(RATE_RPS.values()))
    assert (calm.diary.moves, calm.diary.outages, calm.diary.happenings) == ([], [], [])
    assert (calm.broken, calm.unplaced) == ((), 0)


def test_whole_periods_of_a_calm_day_are_left_out(calm: Played) -> None:
    assert calm.leapt_s == 960
    assert calm.leapt_s % 60 == 0


# --- a zone falls ---


@pytest.fixture(scope="module")
def fallen(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return played_day(tmp_path_factory.mktemp("fallen"), OSLO_FALLS)


def test_who_ran_in_a_zone_that_falls_moves_and_nobody_else(fallen: Played) -> None:
    assert told(fallen.diary.moves) == [("w-0", "nordavind/oslo-1", "skargard/stockholm-1")]
    assert fallen.unplaced == 0


def test_what_happens_is_told_in_its_order(fallen: Played) -> None:
    assert kinds(fallen) == [
        ("fault", "zone nordavind/oslo-1"),
        ("detected", "nordavind has lost nordavind/oslo-1"),
        ("re-placed", "all 1 workloads that zone nordavind/oslo-1 hit are served again"),
        ("mended", "zone nordavind/oslo-1"),
    ]
    times = [one.at_s for one in fallen.diary.happenings]
    assert times == sorted(times)
    assert (times[0], times[-1]) == (400.3, 700.3)


def test_workloads_that_are_seen_to_lack_only_later_are_counted_with_the_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Diary, "look_at_all", lambda self: None)
    told_late = [what for kind, what in kinds(played_day(tmp_path, OSLO_FALLS)) if kind == "re-placed"]
    assert told_late == ["all 1 workloads that zone nordavind/oslo-1 hit are served again"]


def test_a_zone_is_known_to_be_gone_when_the_product_says_so(fallen: Played) -> None:
    """After the last beat plus ``lost_after_ms``, at the next tick; a beat comes every second."""
    (detected_us,) = fallen.diary.detect_us
    assert DETECTED_S_MAX - 1.3 <= detected_us / 1e6 <= DETECTED_S_MAX


def test_users_wait_for_detection_and_for_the_start_of_an_instance(fallen: Played) -> None:
    (outage_s,), (detected_us,) = outages_s(fallen), fallen.diary.detect_us
    assert detected_us / 1e6 + START_S < outage_s < detected_us / 1e6 + START_S + 1.0


def test_requests_that_are_lost_are_the_rate_times_the_outage(fallen: Played) -> None:
    (sums,), (outage_s,) = fallen.diary.sums, outages_s(fallen)
    assert sums.lost == {0: pytest.approx(RATE_RPS["bergen"] * outage_s)}
    total = sum(sums.served.values()) + sum(sums.lost.values())
    assert total == pytest.approx(1_000 * sum(RATE_RPS.values()))


def test_no_promise_is_broken_by_a_fall(fallen: Played) -> None:
    assert fallen.broken == ()


def test_instances_that_start_slowly_keep_users_waiting(tmp_path: Path, fallen: Played) -> None:
    slow = played_day(tmp_path, OSLO_FALLS, run="system: {start_s: 45}")
    assert outages_s(slow)[0] - outages_s(fallen)[0] == pytest.approx(35.0, abs=0.2)


def test_a_fall_that_nobody_notices_moves_nobody(tmp_path: Path) -> None:
    """Power that is back before an agent counts as lost; its instances are started anew where they were."""
    short = played_day(tmp_path, "{zone: nordavind/oslo-1, at_s: 400.3, for_s: 1}")
    assert short.diary.detect_us == []
    assert short.diary.moves == []
    assert START_S < outages_s(short)[0] < START_S + 4
    assert short.broken == ()


def test_a_zone_that_two_faults_take_is_back_after_both(tmp_path: Path) -> None:
    both = "{zone: nordavind/oslo-1, at_s: 200, for_s: 300}, {country: NO, parts: zones, at_s: 300, for_s: 400}"
    played = played_day(tmp_path, both)
    assert [one.at_s for one in played.diary.happenings if one.kind == "mended"] == [500.0, 700.0]
    assert len(played.diary.moves) == 1
    assert played.broken == ()


# --- an operator, a link ---


def test_operator_that_is_cut_off_is_waited_for_as_the_policy_says(tmp_path: Path) -> None:
    """Nothing is asked on partition, so what may run on over there is not started twice."""
    played = played_day(tmp_path, "{operator: skargard, at_s: 300, for_s: 200}")
    assert played.diary.moves == []
    # Malmo and Oslo are served by Stockholm, and wait until it is back and its instances have started.
    assert sorted(one.workload for one in played.diary.outages) == [1, 2]
    assert all(200 + START_S < each < 200 + START_S + 5 for each in outages_s(played))
    assert played.broken == ()


def test_users_without_a_lawful_way_left_are_lost_until_it_is_mended(tmp_path: Path) -> None:
    played = played_day(tmp_path, "{link: [malmo, stockholm], at_s: 300, for_s: 100}")
    (sums,) = played.diary.sums
    assert sums.lost == {1: pytest.approx(RATE_RPS["malmo"] * 100)}
    assert outages_s(played) == [pytest.approx(100.0)]
    assert played.diary.detect_us == []


# --- several apps ---


def test_apps_of_several_operators_share_the_day(tmp_path: Path) -> None:
    played = played_day(tmp_path, OSLO_FALLS, *TWO_APPS)
    asr, ocr = played.diary.sums
    assert sum(asr.served.values()) + sum(asr.lost.values()) == pytest.approx(30_000)
    assert sum(ocr.served.values()) + sum(ocr.lost.values()) == pytest.approx(70_000)
    assert {one.home for one in played.asked} == {"nordavind", "skargard"}
    assert played.broken == ()


# --- always the same ---


def test_same_seed_gives_the_same_day(tmp_path: Path, fallen: Played) -> None:
    again = played_day(tmp_path, OSLO_FALLS)
    assert again.digest == fallen.digest
    assert again.diary.moves == fallen.diary.moves


def test_the_day_does_not_hang_on_the_order_of_hashing(tmp_path: Path, fallen: Played) -> None:
    world = day_world(tmp_path, OSLO_FALLS)
    code = (
        "import sys; from pathlib import Path\n"
        "from hansa_sim.latency.scenario_file import load_scenario\n"
        "from hansa_sim.latency.system.day import play_day\n"
        "from hansa_sim.latency.world import build_world\n"
        "print(play_day(build_world(load_scenario(Path(sys.argv[1])))).digest)\n"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(world.loaded.path)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    assert {one.communicate()[0].strip() for one in running} == {fallen.digest}


def test_progress_is_told(tmp_path: Path) -> None:
    heard: list[tuple[float, float]] = []
    play_day(day_world(tmp_path, OSLO_FALLS), lambda done_s, of_s: heard.append((done_s, of_s)))
    assert heard == [(pytest.approx(400.3), 1_000), (pytest.approx(700.3), 1_000)]
