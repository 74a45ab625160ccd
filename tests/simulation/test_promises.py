"""What operators promise at every instant is watched: each test breaks one promise by hand and expects to be told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.application.control_plane import ControlPlane
from hansa_control.application.deciding import Decider
from hansa_control.application.owner import OwnerService
from hansa_control.application.ports import HoldRequest
from hansa_control.domain import feasibility
from hansa_control.domain.filters import Question
from hansa_control.domain.model import FactKind, PlacementState, ResidencyPolicy, WorkloadState
from hansa_sim.disks import DiskFault
from hansa_sim.geography import THREE_OPERATORS, declared, nordic_spec, spread_spec
from hansa_sim.scenario import Stage
from stages import OCR, outcome_of, play_soundly


async def running(stage: Stage) -> str:
    """The OCR workload of fjord runs; answers its zone."""
    await stage.world.pass_s(3)
    await stage.world.submit("fjord", OCR, nordic_spec())
    await stage.world.until_state("fjord", OCR, WorkloadState.RUNNING, 40)
    endpoint = stage.world.endpoint("fjord", OCR)
    assert endpoint is not None
    return endpoint.zone


def plane_of(stage: Stage, operator: str = "fjord") -> ControlPlane:
    plane = stage.world.plane(operator)
    assert plane is not None
    return plane


def told(broken: tuple[str, ...], words: str) -> bool:
    return any(words in what for what in broken)


async def hold_and_vanish(stage: Stage) -> None:
    """A home operator holds capacity and never says anything again."""
    await stage.world.pass_s(3)
    request = HoldRequest("c-forgotten", "goteborg-1", nordic_spec(), 4_000)
    await stage.world.network.call(("fjord", "skargard"), lambda plane: plane.owner.hold("fjord", request))
    assert plane_of(stage, "skargard").state.claims
    await stage.world.pass_s(12)


def test_a_hold_that_nobody_confirms_ends_with_its_lease() -> None:
    play_soundly(hold_and_vanish)


def test_a_hold_that_outlives_its_lease_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OwnerService, "expire_holds", lambda self: None)
    assert told(outcome_of(hold_and_vanish).broken, "still holds c-forgotten")


def test_a_replica_that_runs_twice_is_seen() -> None:
    async def play(stage: Stage) -> None:
        zone = stage.world.zone(await running(stage))
        order = zone.machine.running()[0].order
        stage.world.zone("skargard/goteborg-1").machine.start(order)
        await stage.world.pass_s(1)

    assert told(outcome_of(play).broken, "runs twice")


def test_who_gives_up_what_answers_before_anything_else_does_is_seen() -> None:
    async def play(stage: Stage) -> None:
        await running(stage)
        plane = plane_of(stage)
        held = plane.state.workloads[str(OCR)]
        given_up = tuple(replace(part, state=PlacementState.RELEASING) for part in held.placements)
        plane.journal.record(replace(held, placements=given_up))
        await stage.world.pass_s(1)

    assert told(outcome_of(play).broken, "before anything else does")


def test_an_instance_that_is_to_end_while_its_claim_serves_is_seen() -> None:
    async def play(stage: Stage) -> None:
        machine = stage.world.zone(await running(stage)).machine
        machine.ask_to_end(machine.running()[0])
        await stage.world.pass_s(0.01)

    assert told(outcome_of(play).broken, "whose claim is serving")


def test_what_is_chosen_and_what_stands_by_against_the_policy_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = feasibility.Verdicts.__init__

    def judged_without_law(self: feasibility.Verdicts, question: Question) -> None:
        judged(self, question._replace(spec=replace(question.spec, residency=ResidencyPolicy())))

    async def play(stage: Stage) -> None:
        await stage.world.pass_s(3)
        await stage.world.submit("fjord", OCR, spread_spec(("osl", "sto")))
        await stage.world.pass_s(3)

    assert outcome_of(play, profiles=THREE_OPERATORS).broken == ()
    monkeypatch.setattr(feasibility.Verdicts, "__init__", judged_without_law)
    broken = outcome_of(play, profiles=THREE_OPERATORS).broken
    assert told(broken, "as a choice, which its policy forbids")


def test_what_runs_against_its_policy_untold_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(stage: Stage) -> None:
        node = stage.world.zone(await running(stage))
        for zone in stage.world.zones.values():
            kept = tuple(fact for fact in zone.profile.facts if fact.kind is not FactKind.ULTIMATE_PARENT_COUNTRY)
            zone.change_facts((*kept, declared(FactKind.ULTIMATE_PARENT_COUNTRY, "US")))
        await stage.world.pass_s(15)
        assert node.machine.running()
        await stage.calm(5)

    assert outcome_of(play).broken == ()
    monkeypatch.setattr(Decider, "unlawful", lambda self, workload, placement: ())
    assert told(outcome_of(play).broken, "nobody says so")


# --- what the new faults do -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", list(DiskFault))
def test_a_control_plane_whose_commit_fails_stops_and_starts_again(fault: DiskFault) -> None:
    async def play(stage: Stage) -> None:
        await running(stage)
        stage.faults.fail_commit("fjord", fault)
        await stage.world.submit("fjord", OCR, nordic_spec(2))
        await stage.world.until_state("fjord", OCR, WorkloadState.RUNNING, 40)
        await stage.calm()
        assert sum(len(zone.machine.running()) for zone in stage.world.zones.values()) == 2

    lines = play_soundly(play).lines
    assert any("control plane stops: " in line for line in lines)
    assert sum("control plane started" in line for line in lines) == 3


def test_a_full_disk_keeps_what_runs_and_goes_on_when_there_is_room() -> None:
    async def play(stage: Stage) -> None:
        zone = await running(stage)
        await stage.faults.fill_disk("fjord", 8)
        assert len(stage.world.zone(zone).machine.running()) == 1
        await stage.calm()

    play_soundly(play)


def test_a_disk_that_is_taken_away_stops_the_control_plane_at_once() -> None:
    async def play(stage: Stage) -> None:
        await running(stage)
        stage.faults.take_disk("fjord")
        await stage.world.pass_s(0.1)
        assert stage.world.plane("fjord") is None
        await stage.calm()

    play_soundly(play)


def test_a_host_without_power_is_not_started_by_anybody() -> None:
    async def play(stage: Stage) -> None:
        await running(stage)
        fjord = stage.world.operators["fjord"]
        fjord.lose_power()
        fjord.start()
        assert fjord.process is None
        await stage.world.pass_s(3)
        fjord.get_power()
        await stage.calm()

    play_soundly(play)


@pytest.mark.parametrize("by_ms", [-250_000, 250_000, -3_600_000, 3_600_000])
def test_a_wall_clock_that_jumps_moves_nothing(by_ms: int) -> None:
    async def play(stage: Stage) -> None:
        zone = await running(stage)
        before = [instance.url for instance in stage.world.zone(zone).machine.running()]
        await stage.faults.jump_clock("fjord", by_ms, 10)
        assert [instance.url for instance in stage.world.zone(zone).machine.running()] == before
        await stage.calm()

    play_soundly(play)


def test_repairing_leaves_nothing_broken_and_nothing_that_may_break() -> None:
    async def play(stage: Stage) -> None:
        world, faults = stage.world, stage.faults
        await running(stage)
        world.network.cut("fjord", "skargard")
        world.zone("fjord/bergen-1").lose_power()
        world.operators["skargard"].lose_power()
        world.operators["fjord"].disk.is_full = True
        world.operators["fjord"].skew.ms = 9_000_000
        faults.crash_operator_at_await("fjord", 100, 1)
        faults.repair()
        await stage.calm()
        assert not world.network.is_cut("fjord", "skargard")
        assert all(node.process is not None for node in (*world.operators.values(), *world.zones.values()))

    lines = play_soundly(play).lines
    repaired = next(index for index, line in enumerate(lines) if "everything is repaired" in line)
    assert not any("killed" in line or "stops" in line for line in lines[repaired:])
