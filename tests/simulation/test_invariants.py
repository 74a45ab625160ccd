"""The watcher sees what it is there to see: each test breaks the product on purpose and expects to be told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.application.journal import Journal
from hansa_control.application.owner import OwnerService
from hansa_control.application.reconcile import Reconciler
from hansa_control.domain import feasibility, ledger
from hansa_control.domain.filters import Question
from hansa_control.domain.ledger import ClaimEvent
from hansa_control.domain.model import ClaimState, ResidencyPolicy, Workload, WorkloadId, WorkloadState
from hansa_sim.geography import THREE_OPERATORS, nordic_spec
from hansa_sim.scenario import Stage
from stages import OCR, outcome_of


async def crowd(stage: Stage) -> None:
    """More workloads than lawful zones can take."""
    await stage.world.pass_s(3)
    for number in range(12):
        await stage.world.submit("fjord", WorkloadId("acme", f"app-{number}"), nordic_spec(2))
    await stage.world.pass_s(15)


async def come_and_go(stage: Stage) -> None:
    await stage.world.pass_s(3)
    await stage.world.submit("fjord", OCR, nordic_spec())
    await stage.world.until_state("fjord", OCR, WorkloadState.RUNNING, 30)
    await stage.world.delete("fjord", OCR)
    await stage.calm(20)


def test_the_same_plays_are_sound_when_nothing_is_broken() -> None:
    assert outcome_of(crowd, profiles=THREE_OPERATORS).broken == ()
    assert outcome_of(come_and_go).broken == ()


def test_overselling_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "free", lambda total, claims: total)
    broken = outcome_of(crowd).broken
    assert any("is oversold" in what for what in broken)


def test_an_unlawful_placement_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = feasibility.Verdicts.__init__

    def judged_without_law(self: feasibility.Verdicts, question: Question) -> None:
        lawless = replace(question.spec, residency=ResidencyPolicy())
        judged(self, question._replace(spec=lawless))

    monkeypatch.setattr(feasibility.Verdicts, "__init__", judged_without_law)
    assert any("which its policy forbids" in what for what in outcome_of(crowd, profiles=THREE_OPERATORS).broken)


def test_capacity_freed_while_something_runs_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def settle_at_once(self: OwnerService, zone: str) -> None:
        for claim in self._world.claims_in(zone):
            if claim.state is ClaimState.RELEASING:
                self.put(ledger.advance(claim, ClaimEvent.STOPPED))

    monkeypatch.setattr(OwnerService, "_settle", settle_at_once)
    assert any("whose claim was freed" in what for what in outcome_of(come_and_go).broken)


def test_an_order_that_outruns_its_confirmation_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OwnerService, "_is_kept", lambda self, claim: True)
    monkeypatch.setattr(
        OwnerService, "put", _ordering_at_once(OwnerService.put)
    )  # as it was: the agent is told with the change, not with its commit

    def crashing(number: int):  # type: ignore[no-untyped-def]
        async def play(stage: Stage) -> None:
            await stage.world.pass_s(3)
            stage.world.operators["fjord"].pause_us = (20_000, 200_000)
            stage.faults.crash_at_commit("fjord", number, 0.4, later_s=0.019)
            await stage.world.submit("fjord", OCR, nordic_spec())
            await stage.world.pass_s(10)

        return play

    broken = [what for number in range(1, 13) for what in outcome_of(crashing(number)).broken]
    assert any("whose claim was freed" in what for what in broken)


def _ordering_at_once(put):  # type: ignore[no-untyped-def]
    def put_and_order(self, claim) -> None:  # type: ignore[no-untyped-def]
        put(self, claim)
        self.on_orders(claim.zone)

    return put_and_order


def test_a_forgotten_deletion_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def overwrite(self: Journal, seen: Workload) -> Workload:
        self.put(seen)
        return seen

    async def play(stage: Stage) -> None:
        world = stage.world
        await world.pass_s(3)
        for operator in world.operators.values():
            operator.pause_us = (20_000, 200_000)
        await world.submit("fjord", OCR, nordic_spec(access="sto"))
        await world.delete("fjord", OCR)
        await world.pass_s(5)

    assert outcome_of(play).broken == ()
    monkeypatch.setattr(Journal, "record", overwrite)
    assert any("deletion of" in what for what in outcome_of(play).broken)


def test_what_never_settles_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(self: Reconciler, workload: Workload) -> Workload:
        return workload

    monkeypatch.setattr(Reconciler, "_release_given_up", never)
    assert any("not settled" in what for what in outcome_of(come_and_go).broken)


def test_a_process_that_dies_of_itself_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(self: Reconciler, key: str) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(Reconciler, "look", fails)

    async def play(stage: Stage) -> None:
        await stage.world.pass_s(3)
        await stage.world.submit("fjord", OCR, nordic_spec())
        await stage.world.pass_s(3)

    assert any("died of itself" in what for what in outcome_of(play).broken)
