"""Which promises of partners are counted as broken, what comes of it, and that it is forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.application.ports import OwnerUnreachable, RefusalError
from hansa_control.domain.agreement import AgreementState, Standing
from hansa_control.domain.model import ClaimState, Reason
from hansa_control.domain.record import verify
from hansa_control.domain.reputation import WEIGHTS_MILLI, Breach
from home_stage import OTHER, OWNER, YARD, Stage, home_stage, spec

HALF_LIFE_MS = 21_600_000


async def offered(**changes: int) -> Stage:
    stage = await home_stage(**changes)
    await stage.offer(OWNER, "oslo-9")
    return stage


async def placed(stage: Stage) -> Stage:
    await stage.submit()
    await stage.look()
    return stage


def broken(stage: Stage, operator: str = OWNER) -> dict[str, int]:
    held = stage.plane.state.reputations.get(operator)
    return {breach.value: count for breach, count in held.counts} if held else {}


def against(stage: Stage) -> dict[str, int]:
    return dict(stage.plane.world.snapshot().promises)


async def test_a_promise_that_is_kept_is_not_held_against_anybody() -> None:
    stage = await placed(await offered())
    await stage.tell(ClaimState.SERVING)
    await stage.look()
    assert against(stage) == broken(stage) == {}


async def test_a_refusal_after_an_offer_counts() -> None:
    stage = await offered()
    stage.owners[OWNER].refuse("oslo-9")
    await placed(stage)
    assert broken(stage) == {"REFUSED_AFTER_OFFER": 1}
    assert against(stage) == {OWNER: WEIGHTS_MILLI[Breach.REFUSED_AFTER_OFFER]}


async def test_a_refusal_for_a_quota_that_we_have_used_up_does_not_count() -> None:
    stage = await offered()
    stage.owners[OWNER].refuse("oslo-9", Reason.QUOTA_EXCEEDED)
    await placed(stage)
    assert broken(stage) == {}


async def test_silence_counts_and_not_being_asked_does_not() -> None:
    stage = await offered()
    stage.owners[OWNER].silent = {"hold"}
    await placed(stage)
    assert broken(stage) == {"UNANSWERED": 1}

    async def not_asked(request: object) -> None:
        raise OwnerUnreachable("the circuit is open", was_asked=False)

    other = await offered()
    other.owners[OWNER].hold = not_asked  # type: ignore[assignment,method-assign]
    await placed(other)
    assert broken(other) == {}


async def test_a_hold_that_is_gone_before_its_lease_is_over_counts() -> None:
    stage = await offered()
    stage.owners[OWNER].refusals = {"confirm": RefusalError(Reason.HOLD_EXPIRED, "gone")}
    await placed(stage)
    assert broken(stage) == {"LEASE_NOT_KEPT": 1}


async def test_a_hold_that_is_gone_after_its_lease_does_not_count() -> None:
    stage = await offered()
    owner = stage.owners[OWNER]
    owner.refusals = {"confirm": RefusalError(Reason.HOLD_EXPIRED, "gone")}
    hold = owner.hold

    async def late(request: object) -> object:
        grant = await hold(request)  # type: ignore[arg-type]
        stage.clock.now_ms += stage.plane.settings.hold_lease_ms
        return grant

    owner.hold = late  # type: ignore[assignment,method-assign]
    await placed(stage)
    assert broken(stage) == {}


async def test_a_claim_that_is_lost_counts_once() -> None:
    stage = await placed(await offered())
    await stage.tell(ClaimState.LOST, "power cut")
    await stage.look(times=3)
    assert broken(stage) == {"CLAIM_LOST": 1}


async def test_a_claim_that_its_owner_does_not_know_any_more_counts() -> None:
    stage = await placed(await offered())
    stage.plane.reconciler.claim_gone(OWNER, stage.workload.placements[0].claim)
    await stage.look()
    assert broken(stage) == {"CLAIM_LOST": 1}


@pytest.mark.parametrize("state", sorted(AgreementState))
async def test_a_claim_that_ends_with_its_agreement_is_not_lost_and_one_before_is(state: AgreementState) -> None:
    stage = await placed(await offered())
    # A deadline is the owner's word alone, and one that is over excuses nothing while it may take the word back.
    await stage.plane.partners.told(OWNER, Standing(state, 2, "sha256:" + "c" * 64, 1))
    stage.plane.reconciler.claim_gone(OWNER, stage.workload.placements[0].claim)
    await stage.look()
    assert broken(stage) == ({} if state is AgreementState.TERMINATED else {"CLAIM_LOST": 1})


async def test_a_claim_that_we_gave_back_is_not_lost() -> None:
    stage = await placed(await offered())
    await stage.delete()
    await stage.look()
    assert broken(stage) == {}


async def test_broken_promises_turn_the_choice_to_another_partner_and_why_says_so() -> None:
    stage = await offered()
    await stage.offer(OTHER, "oslo-5")
    first, _ = await stage.plane.workloads.plan(YARD, spec())
    best = first.choices[0].zone.operator
    stage.plane.promises.broken(best, Breach.CLAIM_LOST)
    decision, _ = await stage.plane.workloads.plan(YARD, spec())
    assert decision.choices[0].zone.operator != best
    terms = {term.name: term.value for term in decision.choices[1].terms}
    assert terms["promises"] == -0.2 * WEIGHTS_MILLI[Breach.CLAIM_LOST] / 1_000
    assert decision.pivotal == "promises"
    record = stage.plane.workloads.record(decision)
    assert record.inputs.snapshot.promises == ((best, WEIGHTS_MILLI[Breach.CLAIM_LOST]),)
    assert verify(record) == ()
    glossed = replace(record, inputs=replace(record.inputs, snapshot=replace(record.inputs.snapshot, promises=())))
    assert {one.field for one in verify(glossed)} >= {"digest", "decision.choices[0].zone.operator"}


async def test_what_is_held_against_a_partner_survives_a_restart_and_is_forgotten_with_time() -> None:
    stage = await offered()
    stage.plane.promises.broken(OWNER, Breach.GRANT_INVALID)
    await stage.plane.state.commit()
    stage = await stage.restart()
    assert against(stage) == {OWNER: 1_000}
    stage.clock.now_ms += HALF_LIFE_MS
    stage.plane.promises.tick()
    assert against(stage) == {OWNER: 500}
    stage.clock.now_ms += 20 * HALF_LIFE_MS
    stage.plane.promises.tick()
    assert against(stage) == {}


async def test_a_snapshot_does_not_change_while_no_step_is_forgotten() -> None:
    stage = await offered()
    stage.plane.promises.broken(OWNER, Breach.GRANT_INVALID)
    stage.clock.now_ms += 1
    stage.plane.promises.tick()  # the first millisecond takes it below the step
    before = stage.plane.world.snapshot()
    stage.clock.now_ms += 1_000
    stage.plane.promises.tick()
    assert stage.plane.world.snapshot() is before


async def test_own_zones_are_not_held_against_oneself() -> None:
    stage = await offered()
    stage.plane.promises.broken(stage.plane.settings.operator, Breach.CLAIM_LOST)
    assert against(stage) == {}
