"""An agreement as the home operator takes it: what it is told decides where workloads may go and what must leave."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.domain.agreement import AgreementState
from hansa_control.domain.capabilities import OURS
from hansa_control.domain.model import ClaimState, Federation, FederationState, Reason, Standing, ZoneState
from home_operator import IN_FORCE, OWNER
from home_stage import OFFER_TTL_MS, OTHER, Stage, home_stage, placed_stage, stage_with_a_spare

S = AgreementState


async def tell(stage: Stage, state: AgreementState | None) -> None:
    standing = None if state is None else replace(IN_FORCE, state=state)
    await stage.plane.partners.told(OWNER, standing)


def zone_state(stage: Stage) -> ZoneState:
    return next(zone.state for zone in stage.plane.world.partner_zones() if zone.id.operator == OWNER)


@pytest.mark.parametrize(
    ("state", "seen", "reason"),
    [
        (None, ZoneState.AGREEMENT_UNKNOWN, Reason.AGREEMENT_UNKNOWN),
        (S.PROPOSED, ZoneState.AGREEMENT_SUSPENDED, Reason.AGREEMENT_SUSPENDED),
        (S.SUSPENDED, ZoneState.AGREEMENT_SUSPENDED, Reason.AGREEMENT_SUSPENDED),
        (S.EXPIRED, ZoneState.AGREEMENT_ENDING, Reason.AGREEMENT_ENDING),
        (S.DRAINING, ZoneState.AGREEMENT_ENDING, Reason.AGREEMENT_ENDING),
        (S.TERMINATED, ZoneState.AGREEMENT_ENDING, Reason.AGREEMENT_ENDING),
    ],
)
async def test_only_what_is_known_to_be_in_force_takes_anything_new(
    state: AgreementState | None, seen: ZoneState, reason: Reason
) -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    await tell(stage, state)
    assert zone_state(stage) is seen
    await stage.submit()
    await stage.rest()
    assert [one.reason for one in stage.decision.rejections] == [reason]
    await tell(stage, S.IN_FORCE)
    await stage.rest()
    assert stage.placed == [f"{OWNER}/oslo-9 STARTING"]


async def test_a_partner_that_says_nothing_of_an_agreement_is_not_used() -> None:
    stage = await home_stage()
    held = stage.plane.partners.context(OWNER)
    assert held is not None
    await stage.plane.partners.federated(replace(held, standing=None))
    await stage.offer(OWNER, "oslo-9")
    assert zone_state(stage) is ZoneState.AGREEMENT_UNKNOWN


@pytest.mark.parametrize("state", [S.SUSPENDED, None])
async def test_what_runs_at_a_partner_that_suspends_stays_though_there_is_room_elsewhere(
    state: AgreementState | None,
) -> None:
    stage = await stage_with_a_spare()
    await tell(stage, state)
    await stage.rest()
    await stage.after(10_000)
    assert stage.placed == [f"{OWNER}/oslo-9 READY"]


@pytest.mark.parametrize("state", [S.DRAINING, S.EXPIRED])
async def test_what_runs_at_a_partner_that_ends_moves_first_ready_then_stopped(state: AgreementState) -> None:
    stage = await stage_with_a_spare()
    await tell(stage, state)
    await stage.rest()
    assert stage.placed == [f"{OWNER}/oslo-9 READY", f"{OTHER}/oslo-5 STARTING"]
    assert stage.owners[OWNER].released == []
    await stage.tell(ClaimState.SERVING)
    await stage.rest()
    assert stage.placed == [f"{OTHER}/oslo-5 READY"]
    assert [reason for _, reason in stage.owners[OWNER].released] == [Reason.WORKLOAD_MOVED]


async def test_what_has_nowhere_to_go_stays_and_says_so_until_there_is_a_place() -> None:
    stage = await placed_stage()
    await tell(stage, S.DRAINING)
    await stage.rest()
    assert stage.placed == [f"{OWNER}/oslo-9 READY"]
    assert stage.conditions()["Stranded"] == "TRUE"
    await stage.offer(OTHER, "oslo-5")
    await stage.after(20_000)
    assert stage.placed[-1] == f"{OTHER}/oslo-5 STARTING"


async def test_an_end_that_is_taken_back_leaves_what_runs_where_it_is() -> None:
    stage = await placed_stage()
    await tell(stage, S.DRAINING)
    await stage.rest()
    await tell(stage, S.IN_FORCE)
    await stage.after(20_000)
    assert stage.placed == [f"{OWNER}/oslo-9 READY"]
    assert stage.conditions()["Stranded"] == "FALSE"


async def over(stage: Stage) -> None:
    standing = Standing(S.TERMINATED, 2, IN_FORCE.digest)
    context = (f"context-{OWNER}", FederationState.ACTIVE, OFFER_TTL_MS, b"")
    await stage.plane.partners.federated(Federation(stage.plane.settings.operator, OWNER, *context, standing, OURS))


async def test_an_agreement_that_is_over_takes_its_offers_with_it_and_what_ran_is_placed_anew() -> None:
    stage = await stage_with_a_spare()
    await over(stage)
    await stage.rest()
    assert [str(zone.id) for zone in stage.plane.world.partner_zones()] == [f"{OTHER}/oslo-5"]
    assert stage.placed == [f"{OTHER}/oslo-5 STARTING"]
    held = stage.plane.partners.context(OWNER)
    assert held is not None
    assert held.state is FederationState.TERMINATED


async def test_what_ran_at_a_partner_that_is_none_any_more_is_placed_anew() -> None:
    stage = await stage_with_a_spare()
    stage.plane.settings = replace(stage.plane.settings, partners=frozenset({OTHER}))
    again = await stage.restart()
    assert [str(zone.id) for zone in again.plane.world.partner_zones()] == [f"{OTHER}/oslo-5"]
    await again.rest()
    assert again.placed == [f"{OTHER}/oslo-5 STARTING"]


async def test_what_was_told_of_an_agreement_is_known_after_a_crash() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    await tell(stage, S.SUSPENDED)
    assert zone_state(await stage.restart()) is ZoneState.AGREEMENT_SUSPENDED
