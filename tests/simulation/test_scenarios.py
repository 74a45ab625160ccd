"""The main job, step by step, on production objects and virtual time; the watcher looks on in each."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.domain.model import (
    FactKind,
    OnChange,
    PlacementState,
    ResidencyPolicy,
    SiteRule,
    WorkloadId,
    WorkloadState,
)
from hansa_sim.clock import EPOCH_MS
from hansa_sim.geography import FJORD, SKARGARD, THREE_OPERATORS, declared, nordic_spec
from hansa_sim.scenario import Stage
from stages import OCR, outcome_of, play_soundly

RUNNING, UNPLACEABLE = WorkloadState.RUNNING, WorkloadState.UNPLACEABLE


async def running_in(stage: Stage, operator: str = "fjord", timeout_s: float = 40) -> str:
    """Waits until the OCR workload runs; answers the zone that FindEndpoint tells."""
    await stage.world.until_state(operator, OCR, RUNNING, timeout_s)
    endpoint = stage.world.endpoint(operator, OCR)
    assert endpoint is not None
    return endpoint.zone


async def submitted(stage: Stage, replicas: int = 1, access: str = "osl") -> str:
    """A warm world in which the OCR workload of fjord runs; answers its zone."""
    await stage.world.pass_s(3)
    await stage.world.submit("fjord", OCR, nordic_spec(replicas, access))
    return await running_in(stage)


# --- placing --------------------------------------------------------------------------------------------------------


def test_a_workload_is_placed_in_the_nearest_own_zone() -> None:
    async def play(stage: Stage) -> None:
        assert await submitted(stage) == "fjord/oslo-1"
        await stage.calm()

    play_soundly(play)


def test_a_workload_is_placed_in_a_partners_zone_that_is_nearer() -> None:
    async def play(stage: Stage) -> None:
        assert await submitted(stage, access="sto") == "skargard/stockholm-1"
        await stage.calm()

    play_soundly(play)


def test_a_zone_with_a_foreign_parent_and_one_abroad_are_never_used() -> None:
    async def play(stage: Stage) -> None:
        world = stage.world
        await submitted(stage)
        for number in range(10):
            await world.submit("fjord", WorkloadId("acme", f"app-{number}"), nordic_spec(3))
        await world.pass_s(10)
        states = {held.state for held in world.operators["fjord"].plane.state.workloads.values()}  # type: ignore[union-attr]
        assert UNPLACEABLE in states
        assert not world.zone("rhein/frankfurt-1").machine.running()
        assert not world.zone("rhein/hamburg-1").machine.running()
        await stage.calm()

    play_soundly(play, profiles=THREE_OPERATORS)


def test_without_a_law_the_same_zone_is_used() -> None:
    async def play(stage: Stage) -> None:
        await stage.world.pass_s(3)
        spec = replace(nordic_spec(access="fra"), residency=ResidencyPolicy())
        await stage.world.submit("fjord", OCR, spec)
        assert await running_in(stage) == "rhein/frankfurt-1"
        await stage.calm()

    play_soundly(play, profiles=THREE_OPERATORS)


# --- loss -----------------------------------------------------------------------------------------------------------


def test_when_its_zone_dies_a_workload_moves_within_five_seconds_of_its_loss() -> None:
    async def play(stage: Stage) -> None:
        world = stage.world
        world.zone(await submitted(stage)).lose_power()
        died_us = world.loop.now_us
        await world.until(
            lambda: any(
                p.state is PlacementState.LOST or str(p.zone) != "fjord/oslo-1"
                for p in world.workload("fjord", OCR).placements  # type: ignore[union-attr]
            ),
            6,
            "loss noticed",
        )
        assert world.loop.now_us - died_us <= 5_000_000
        assert await running_in(stage) == "fjord/bergen-1"

    play_soundly(play)


def test_when_every_lawful_zone_dies_a_workload_is_unplaceable_and_comes_back_with_them() -> None:
    async def play(stage: Stage) -> None:
        world = stage.world
        await submitted(stage)
        for name, zone in world.zones.items():
            if not name.startswith("rhein/"):
                zone.lose_power()
        held = await world.until_state("fjord", OCR, UNPLACEABLE, 30)
        assert world.endpoint("fjord", OCR) is None
        assert {c.type: c.status.value for c in held.conditions}["Stranded"] == "TRUE"
        await world.pass_s(30)
        assert not world.zone("rhein/hamburg-1").machine.running()
        world.zone("skargard/stockholm-1").start()
        assert await running_in(stage) == "skargard/stockholm-1"
        for zone in world.zones.values():
            zone.start()
        await stage.calm()

    play_soundly(play, profiles=THREE_OPERATORS)


def test_an_agent_that_was_given_up_is_told_to_stop_what_now_runs_elsewhere() -> None:
    async def play(stage: Stage) -> None:
        world = stage.world
        first = await submitted(stage)
        world.zone(first).kill()
        await world.pass_s(5)
        assert await running_in(stage) != first
        assert len(world.zone(first).machine.running()) == 1
        world.zone(first).start()
        await stage.calm(20)
        assert not world.zone(first).machine.running()

    play_soundly(play)


def test_an_agent_that_comes_back_in_time_adopts_its_instance() -> None:
    async def play(stage: Stage) -> None:
        world = stage.world
        first = await submitted(stage)
        before = [instance.url for instance in world.zone(first).machine.running()]
        await stage.faults.kill_agent(first, 2)
        await world.pass_s(10)
        assert await running_in(stage) == first
        assert [instance.url for instance in world.zone(first).machine.running()] == before

    play_soundly(play)


def test_a_zone_that_returns_without_its_instances_is_not_said_to_answer() -> None:
    async def play(stage: Stage) -> None:
        world = stage.world
        await submitted(stage)
        for zone in world.zones.values():
            zone.lose_power()
        await world.until_state("fjord", OCR, UNPLACEABLE, 30)
        for zone in world.zones.values():
            zone.start()
        await stage.calm()

    lines = play_soundly(play).lines
    returned = max(index for index, line in enumerate(lines) if line.endswith("agent started"))
    answers = next(index for index, line in enumerate(lines) if index > returned and " answers c" in line)
    ready = next(index for index, line in enumerate(lines) if index > returned and " Ready: answers in" in line)
    assert answers < ready


def test_an_instance_that_fails_too_often_pauses_its_zone_for_the_workload() -> None:
    async def play(stage: Stage) -> None:
        world = stage.world
        await world.pass_s(3)
        world.zone("fjord/oslo-1").machine.broken_artefacts.add("ocr-server")
        await world.submit("fjord", OCR, nordic_spec())
        assert await running_in(stage) == "fjord/bergen-1"
        await stage.calm()

    assert any("InstanceFailed: fjord/oslo-1" in line for line in play_soundly(play).lines)


# --- law ------------------------------------------------------------------------------------------------------------


def changed_owner(stage: Stage, zone: str) -> None:
    """The zone's owner tells that it has a parent in the United States now."""
    node = stage.world.zone(zone)
    kept = tuple(fact for fact in node.profile.facts if fact.kind is not FactKind.ULTIMATE_PARENT_COUNTRY)
    node.change_facts((*kept, declared(FactKind.ULTIMATE_PARENT_COUNTRY, "US")))


def test_a_workload_drains_from_a_zone_that_has_become_unlawful_without_a_gap() -> None:
    async def play(stage: Stage) -> None:
        world = stage.world
        first = await submitted(stage)
        changed_owner(stage, first)
        seen: list[str] = []
        for _ in range(300):
            await world.pass_s(0.02)
            endpoint = world.endpoint("fjord", OCR)
            seen.append(endpoint.zone if endpoint else "nowhere")
        assert list(dict.fromkeys(seen)) == [first, "fjord/bergen-1"]
        await stage.calm()

    play_soundly(play)


@pytest.mark.parametrize(
    ("on_change", "state"), [(OnChange.KEEP_AND_ALERT, RUNNING), (OnChange.TERMINATE, UNPLACEABLE)]
)
def test_evidence_that_runs_out_everywhere_keeps_or_terminates_as_the_policy_says(
    on_change: OnChange, state: WorkloadState
) -> None:
    until_ms = EPOCH_MS + 12_000
    profiles = tuple(
        replace(
            profile,
            zones=tuple(
                replace(zone, facts=tuple(declared(fact.kind, fact.value, until_ms) for fact in zone.facts))
                for zone in profile.zones
            ),
        )
        for profile in (FJORD, SKARGARD)
    )

    async def play(stage: Stage) -> None:
        world = stage.world
        await world.pass_s(3)
        await world.submit("fjord", OCR, nordic_spec(on_change=on_change))
        await running_in(stage)
        await world.pass_s(20)
        held = world.workload("fjord", OCR)
        assert held is not None
        assert held.state is state
        assert {c.type: c.status.value for c in held.conditions}["Lawful"] == "FALSE"
        running = [i for zone in world.zones.values() for i in zone.machine.running()]
        assert len(running) == (1 if state is RUNNING else 0)

    play_soundly(play, profiles=profiles)


def test_a_workload_whose_law_holds_again_is_not_called_stranded_any_more() -> None:
    site_only = replace(nordic_spec(), residency=ResidencyPolicy(site=SiteRule(frozenset({"NO"}))))

    async def play(stage: Stage) -> None:
        world = stage.world
        await world.pass_s(3)
        await world.submit("fjord", OCR, site_only)
        first = await running_in(stage)
        facts = {name: world.zone(name).profile.facts for name in ("fjord/oslo-1", "fjord/bergen-1")}
        for name in facts:
            world.zone(name).change_facts((declared(FactKind.SITE_COUNTRY, "SE"),))
        await world.pass_s(12)
        assert conditions(stage)["Stranded"] == "TRUE"
        for name, told in facts.items():
            world.zone(name).change_facts(told)
        await world.pass_s(12)
        assert await running_in(stage) == first
        assert conditions(stage) == {"Lawful": "TRUE", "Placed": "TRUE", "Ready": "TRUE", "Stranded": "FALSE"}

    play_soundly(play)


def conditions(stage: Stage) -> dict[str, str]:
    held = stage.world.workload("fjord", OCR)
    assert held is not None
    return {condition.type: condition.status.value for condition in held.conditions}


# --- crashes and cuts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "number"), [*(("fjord", n) for n in range(1, 25)), *(("skargard", n) for n in range(1, 19))]
)
def test_a_control_plane_killed_at_any_commit_loses_nothing(operator: str, number: int) -> None:
    async def play(stage: Stage) -> None:
        world = stage.world
        await world.pass_s(3)
        stage.faults.crash_at_commit(operator, number, 0.4)
        await world.submit("fjord", OCR, nordic_spec(2, "sto"))
        await world.pass_s(6)
        await running_in(stage)
        await world.delete("fjord", OCR)
        await stage.calm()
        assert world.workload("fjord", OCR) is None

    assert any("control plane killed" in line for line in play_soundly(play, seed=number).lines)


@pytest.mark.parametrize("number", range(1, 11))
def test_a_control_plane_killed_while_its_disk_is_at_work_loses_nothing(number: int) -> None:
    async def play(stage: Stage) -> None:
        world = stage.world
        await world.pass_s(3)
        for operator in world.operators.values():
            operator.pause_us = (20_000, 200_000)
        stage.faults.crash_at_commit("fjord", number, 0.4, later_s=0.019)
        await world.submit("fjord", OCR, nordic_spec())
        await world.pass_s(12)
        await running_in(stage)
        await stage.calm()

    assert any("control plane killed" in line for line in play_soundly(play, seed=number).lines)


def test_a_killed_control_plane_leaves_the_running_instance_alone() -> None:
    async def play(stage: Stage) -> None:
        world = stage.world
        first = await submitted(stage)
        before = [instance.url for instance in world.zone(first).machine.running()]
        await stage.faults.crash_operator("fjord", 3)
        await world.pass_s(10)
        assert await running_in(stage) == first
        assert [instance.url for instance in world.zone(first).machine.running()] == before
        await stage.calm()

    play_soundly(play)


def test_a_partition_between_operators_heals_and_what_runs_goes_on() -> None:
    async def play(stage: Stage) -> None:
        first = await submitted(stage, access="sto")
        await stage.faults.cut("fjord", "skargard", 20)
        assert await running_in(stage) == first
        await stage.calm()
        assert await running_in(stage) == first

    play_soundly(play)


def test_a_workload_deleted_during_a_partition_is_released_after_it() -> None:
    async def play(stage: Stage) -> None:
        world = stage.world
        first = await submitted(stage, access="sto")
        for path in (("fjord", "skargard"), ("skargard", "fjord")):
            world.network.cut(*path)
        await world.delete("fjord", OCR)
        await world.pass_s(10)
        assert len(world.zone(first).machine.running()) == 1
        stage.faults.heal("fjord", "skargard")
        await stage.calm()
        assert not world.zone(first).machine.running()
        assert world.workload("fjord", OCR) is None

    play_soundly(play)


def test_a_new_spec_moves_a_workload_without_a_gap() -> None:
    async def play(stage: Stage) -> None:
        world = stage.world
        await submitted(stage)
        await world.submit("fjord", OCR, nordic_spec(2, "brg"))
        for _ in range(200):
            await world.pass_s(0.02)
            assert world.endpoint("fjord", OCR) is not None
        assert await running_in(stage) == "fjord/bergen-1"
        await stage.calm()

    play_soundly(play)


def test_a_wall_clock_an_hour_off_is_refused_and_harms_nobody_else() -> None:
    async def play(stage: Stage) -> None:
        world = stage.world
        world.zone("fjord/oslo-1").kill()
        world.zone("fjord/oslo-1").skew.ms = 3_600_000
        world.zone("fjord/oslo-1").start()
        await world.pass_s(3)
        await world.submit("fjord", OCR, nordic_spec())
        assert await running_in(stage) == "fjord/bergen-1"

    play_soundly(play)


def test_a_play_that_fails_is_told_as_broken() -> None:
    async def play(stage: Stage) -> None:
        await stage.world.until(lambda: False, 1, "never")

    assert any("never" in what for what in outcome_of(play).broken)


def test_a_control_plane_that_is_frozen_again_and_again_still_has_its_own_zones() -> None:
    async def play(stage: Stage) -> None:
        await stage.world.pass_s(3)
        for _ in range(4):
            await stage.faults.freeze_operator("fjord", 8)
            await stage.world.pass_s(4)
        await stage.world.submit("fjord", OCR, nordic_spec(1, "osl"))
        assert await running_in(stage, timeout_s=5) == "fjord/oslo-1"
        await stage.calm()

    play_soundly(play)
