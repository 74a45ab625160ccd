"""The owner's side: hold, confirm, release, and what its agent reports."""

from __future__ import annotations

import asyncio

import pytest
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.ports import HoldRequest, RefusalError, Refused
from hansa_control.domain.model import ClaimState, HoldGrant, InstanceState, Reason
from home_operator import spec
from owner_operator import MANIFEST, ME, PARTNER, ZONE, OwnerSide, advert, inventory, owner_side, status


def granted(outcome: object) -> HoldGrant:
    assert isinstance(outcome, HoldGrant)
    return outcome


def reasons(outcome: object) -> list[Reason]:
    assert isinstance(outcome, Refused)
    return [rejection.reason for rejection in outcome.rejections]


async def confirmed(side: OwnerSide, claim: str = "c1") -> HoldGrant:
    grant = granted(await side.hold(claim))
    await side.plane.owner.confirm(PARTNER, claim, grant.fencing_token, MANIFEST)
    return grant


async def serving(side: OwnerSide, claim: str = "c1") -> HoldGrant:
    grant = await confirmed(side, claim)
    side.plane.agents.order_acked(ZONE, [f"instances/{claim}-{grant.fencing_token}-0"])
    await side.report(status(claim, grant.fencing_token))
    return grant


def state_of(side: OwnerSide, claim: str = "c1") -> ClaimState | None:
    held = side.plane.world.claim(PARTNER, claim)
    return held.state if held else None


# --- holding --------------------------------------------------------------------------------------------------------


async def test_a_hold_takes_capacity_at_once_and_tokens_grow() -> None:
    side = await owner_side()
    first, second = granted(await side.hold("c1")), granted(await side.hold("c2"))
    assert second.fencing_token > first.fencing_token
    assert side.free_cpu_millis() == 2_000


async def test_the_same_hold_twice_is_one_hold() -> None:
    side = await owner_side()
    first = granted(await side.hold("c1"))
    side.clock.now_ms += 4_000
    again = granted(await side.hold("c1"))
    assert (again.fencing_token, again.lease_ms) == (first.fencing_token, 6_000)
    assert side.free_cpu_millis() == 3_000


async def test_the_same_claim_with_other_requirements_is_refused() -> None:
    side = await owner_side()
    await side.hold("c1")
    with pytest.raises(RefusalError) as refused:
        await side.hold("c1", spec(2_000))
    assert refused.value.reason is Reason.REQUEST_ID_REUSED


async def test_two_homes_may_choose_the_same_name() -> None:
    side = await owner_side()
    theirs = granted(await side.hold("c1"))
    mine = granted(await side.plane.owner.hold(ME, HoldRequest("c1", ZONE, spec(), 10_000)))
    assert theirs.fencing_token != mine.fencing_token
    assert side.free_cpu_millis() == 2_000


async def test_what_does_not_fit_is_refused_with_its_reason_and_holds_nothing() -> None:
    side = await owner_side()
    assert reasons(await side.hold("c1", spec(5_000))) == [Reason.CPU_EXHAUSTED]
    assert side.free_cpu_millis() == 4_000


async def test_an_unknown_zone_is_not_found() -> None:
    side = await owner_side()
    with pytest.raises(RefusalError) as refused:
        await side.plane.owner.hold(PARTNER, HoldRequest("c1", "nowhere", spec(), 1_000))
    assert refused.value.reason is Reason.NOT_FOUND


async def test_a_longer_lease_than_the_owner_gives_is_cut_and_said_so() -> None:
    side = await owner_side()
    assert granted(await side.hold("c1", lease_ms=3_600_000)).lease_ms == 10_000
    assert granted(await side.hold("c2", lease_ms=500)).lease_ms == 500


async def test_a_hold_expires_with_its_lease_and_its_capacity_is_free_again() -> None:
    side = await owner_side()
    grant = granted(await side.hold("c1"))
    side.clock.now_ms += 10_000
    with pytest.raises(RefusalError) as refused:
        await side.plane.owner.confirm(PARTNER, "c1", grant.fencing_token, MANIFEST)
    assert refused.value.reason is Reason.HOLD_EXPIRED
    assert side.free_cpu_millis() == 4_000


async def test_an_open_hold_gets_its_whole_lease_after_a_restart() -> None:
    side = await owner_side()
    granted(await side.hold("c1"))
    side.clock.now_ms += 9_000
    again = await owner_side(side.store.reopen())
    again.clock.now_ms += 9_000
    again.plane.owner.expire_holds()
    assert state_of(again) is ClaimState.HELD
    again.clock.now_ms += 1_000
    again.plane.owner.expire_holds()
    assert state_of(again) is None


async def test_a_cordoned_zone_takes_no_new_claims_and_keeps_the_old() -> None:
    side = await owner_side()
    await serving(side)
    await side.plane.agents.adverts(ZONE, [advert("inventory", inventory(cordoned=True), "e2")], [])
    assert reasons(await side.hold("c2")) == [Reason.ZONE_CORDONED]
    assert state_of(side) is ClaimState.SERVING


# --- confirming -----------------------------------------------------------------------------------------------------


async def test_confirming_orders_the_instances_and_twice_is_once() -> None:
    side = await owner_side()
    grant = await confirmed(side)
    await side.plane.owner.confirm(PARTNER, "c1", grant.fencing_token, MANIFEST)
    assert [order.instance for order in side.plane.owner.desired_instances(ZONE)] == ["c1-1-0"]


async def test_nothing_is_ordered_before_the_confirmation_is_durable() -> None:
    gate = asyncio.Event()
    gate.set()

    async def pause() -> None:
        await gate.wait()

    side = await owner_side(MemoryStore(pause))
    grant = granted(await side.hold("c1"))
    notified = side.plane.agents.orders_signal(ZONE).version
    gate.clear()
    confirming = asyncio.create_task(side.plane.owner.confirm(PARTNER, "c1", grant.fencing_token, MANIFEST))
    for _ in range(5):
        await asyncio.sleep(0)
    assert side.plane.agents.orders(ZONE) == {}
    gate.set()
    await confirming
    assert list(side.plane.agents.orders(ZONE)) == ["instances/c1-1-0"]
    assert side.plane.agents.orders_signal(ZONE).version > notified


async def test_what_was_ordered_is_ordered_after_a_restart() -> None:
    side = await owner_side()
    await confirmed(side)
    again = await owner_side(side.store.reopen())
    assert [order.instance for order in again.plane.owner.desired_instances(ZONE)] == ["c1-1-0"]


async def test_a_wrong_token_is_fenced() -> None:
    side = await owner_side()
    grant = granted(await side.hold("c1"))
    with pytest.raises(RefusalError) as refused:
        await side.plane.owner.confirm(PARTNER, "c1", grant.fencing_token + 1, MANIFEST)
    assert refused.value.reason is Reason.FENCED
    assert side.plane.owner.desired_instances(ZONE) == ()


async def test_nobody_confirms_another_homes_claim() -> None:
    side = await owner_side()
    grant = granted(await side.hold("c1"))
    with pytest.raises(RefusalError) as refused:
        await side.plane.owner.confirm("stranger", "c1", grant.fencing_token, MANIFEST)
    assert refused.value.reason is Reason.HOLD_EXPIRED


# --- what the agent reports -----------------------------------------------------------------------------------------


async def test_a_claim_serves_when_every_replica_is_ready_and_not_before() -> None:
    side = await owner_side()
    grant = granted(await side.hold("c1", spec(500)))
    await side.plane.owner.confirm(PARTNER, "c1", grant.fencing_token, MANIFEST)
    await side.report(status("c1", grant.fencing_token, InstanceState.STARTING))
    assert state_of(side) is ClaimState.ALLOCATED
    await side.report(status("c1", grant.fencing_token))
    assert state_of(side) is ClaimState.SERVING
    await side.report(status("c1", grant.fencing_token, InstanceState.STARTING))
    assert state_of(side) is ClaimState.ALLOCATED


async def test_an_instance_under_another_token_is_not_this_claims() -> None:
    side = await owner_side()
    grant = await confirmed(side)
    await side.report(status("c1", grant.fencing_token + 7))
    assert state_of(side) is ClaimState.ALLOCATED


async def test_a_failed_instance_fails_the_claim_which_goes_on_holding_capacity() -> None:
    side = await owner_side()
    grant = await serving(side)
    await side.report(status("c1", grant.fencing_token, InstanceState.FAILED))
    assert state_of(side) is ClaimState.FAILED
    assert side.free_cpu_millis() == 3_000


async def test_an_order_that_the_agent_refuses_fails_the_claim() -> None:
    side = await owner_side()
    grant = await confirmed(side)
    name = f"instances/c1-{grant.fencing_token}-0"
    side.plane.agents.orders_refused(ZONE, ((name, "artefact", "not allowed"),))
    assert state_of(side) is ClaimState.FAILED


# --- releasing ------------------------------------------------------------------------------------------------------


async def test_a_released_hold_is_free_at_once() -> None:
    side = await owner_side()
    await side.hold("c1")
    assert (await side.plane.owner.release(PARTNER, "c1", Reason.WORKLOAD_MOVED)).state is ClaimState.RELEASED
    assert side.free_cpu_millis() == 4_000


async def test_releasing_what_is_not_there_succeeds() -> None:
    side = await owner_side()
    assert (await side.plane.owner.release(PARTNER, "c9", Reason.WORKLOAD_MOVED)).state is ClaimState.RELEASED


async def test_capacity_is_free_only_when_order_and_instance_are_seen_to_be_gone() -> None:
    side = await owner_side()
    grant = await serving(side)
    instance = f"c1-{grant.fencing_token}-0"
    assert (await side.plane.owner.release(PARTNER, "c1", Reason.WORKLOAD_MOVED)).state is ClaimState.RELEASING
    assert side.plane.owner.desired_instances(ZONE) == ()
    assert side.free_cpu_millis() == 3_000
    side.plane.agents.order_acked(ZONE, [])
    assert side.free_cpu_millis() == 3_000
    await side.report(removed=(instance,))
    assert side.free_cpu_millis() == 4_000
    assert state_of(side) is None


async def test_a_released_claim_cannot_be_held_or_confirmed_again() -> None:
    side = await owner_side()
    grant = await serving(side)
    await side.plane.owner.release(PARTNER, "c1", Reason.WORKLOAD_MOVED)
    assert reasons(await side.hold("c1")) == [Reason.HOLD_EXPIRED]
    answer = await side.plane.owner.confirm(PARTNER, "c1", grant.fencing_token, MANIFEST)
    assert answer.state is ClaimState.RELEASING


# --- losing a zone --------------------------------------------------------------------------------------------------


async def test_a_lost_zones_claims_are_lost_and_still_hold_capacity() -> None:
    side = await owner_side()
    await serving(side)
    side.clock.now_ms += 4_000
    side.plane.agents.tick()
    assert state_of(side) is ClaimState.LOST
    assert side.free_cpu_millis() == 3_000
    assert reasons(await side.hold("c2")) == [Reason.ZONE_LOST]


async def test_a_zone_that_is_back_answers_only_after_its_agent_has_said_what_runs() -> None:
    side = await owner_side()
    grant = await serving(side)
    side.clock.now_ms += 4_000
    side.plane.agents.tick()
    side.plane.agents.welcome(ZONE, "boot-2", side.clock.wall_ms())
    assert state_of(side) is ClaimState.ALLOCATED
    side.plane.agents.heard(ZONE)
    await side.report(removed=(f"c1-{grant.fencing_token}-0",))
    assert state_of(side) is ClaimState.ALLOCATED


async def test_a_zone_that_is_back_with_its_instance_serves_again() -> None:
    side = await owner_side()
    await serving(side)
    side.clock.now_ms += 4_000
    side.plane.agents.tick()
    side.plane.agents.welcome(ZONE, "boot-1", side.clock.wall_ms())
    side.plane.agents.heard(ZONE)
    assert state_of(side) is ClaimState.SERVING


async def test_a_released_claim_of_a_lost_zone_waits_until_the_zone_tells_that_it_stopped() -> None:
    side = await owner_side()
    grant = await serving(side)
    side.clock.now_ms += 4_000
    side.plane.agents.tick()
    await side.plane.owner.release(PARTNER, "c1", Reason.WORKLOAD_MOVED)
    assert side.free_cpu_millis() == 3_000
    side.plane.agents.welcome(ZONE, "boot-1", side.clock.wall_ms())
    side.plane.agents.order_acked(ZONE, [f"instances/c1-{grant.fencing_token}-0"])
    side.plane.agents.heard(ZONE)
    assert side.free_cpu_millis() == 3_000
    side.plane.agents.order_acked(ZONE, [])
    await side.report(removed=(f"c1-{grant.fencing_token}-0",))
    assert side.free_cpu_millis() == 4_000
