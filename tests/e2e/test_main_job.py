"""The main job, one test a step, in order, on one world of real processes. A step that fails fails those after it."""

from __future__ import annotations

import stat

import pytest
from hansa_demo import recovery, story
from hansa_demo.scenario import OPERATORS
from hansa_demo.stage import Stage

pytestmark = pytest.mark.timeout(240)


def test_1_four_control_planes_and_ten_agents_start_and_keys_are_private(stage: Stage) -> None:
    story.start_operators(stage)
    keys = list(stage.prepared.directory.rglob("*-key.pem"))
    assert len(keys) == 4 + 2 * 10 + 1
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_2_every_zone_is_seen_at_home_and_pairs_are_probed(stage: Stage) -> None:
    story.look_around(stage)
    assert {op.name for op in OPERATORS} == {zone["name"].split("/")[1] for zone in story.zones_seen(stage)}


def test_3_a_workload_is_placed_lawfully_and_reads_container_numbers(stage: Stage) -> None:
    story.submit_first(stage)
    assert stage.zone_of(story.YARD) == "nordavind/oslo-1"


def test_4_each_refusal_has_its_constraint(stage: Stage) -> None:
    story.explain_first(stage)


def test_5_a_partner_holds_confirms_and_starts(stage: Stage) -> None:
    story.submit_second(stage)


def test_6_a_dead_zone_is_left_and_no_law_is_broken_when_none_remains(stage: Stage) -> None:
    story.lose_zones(stage)
    assert stage.endpoint(story.YARD) is None


def test_7_killed_processes_lose_nothing(stage: Stage) -> None:
    recovery.kill_and_recover(stage)


def test_8_a_zone_that_was_lost_and_returns_takes_the_waiting_workload(stage: Stage) -> None:
    stage.processes.start_agent("nordavind", "oslo-1")
    zone, _ = stage.wait("the workload answers again", lambda: stage.zone_of(story.YARD), 60)
    assert zone == "nordavind/oslo-1"


def test_9_deleting_stops_every_instance(stage: Stage) -> None:
    for name in (story.YARD, story.GATE):
        zone = stage.zone_of(name)
        pids = stage.processes.instance_pids(zone)
        assert pids
        assert stage.processes.hansa("delete", name, "--wait").exit_code == 0
        stage.wait(f"the instance of {name} ends", lambda zone=zone: not stage.processes.instance_pids(zone), 30)
    answer = stage.processes.hansa("get", "-o", "json").json()
    assert answer["workloads"] == []
