"""Giving capacity back: it is free when nothing can run any more, and not a moment before. Zones lost and back."""

from __future__ import annotations

import asyncio

import pytest
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import Capacity, ClaimState, HoldGrant, InstanceState, Reason
from own_zones import (
    GOTEBORG,
    OPERATOR,
    OSLO,
    PARTNER,
    OwnZones,
    granted,
    instance,
    own_zones,
    reasons,
    with_oslo,
)


def lose(operator: OwnZones, *heard: str) -> None:
    """Oslo, and whoever is not heard, is lost."""
    operator.pass_ms(operator.plane.settings.lost_after_ms, heard=heard)


async def claim_in(state: ClaimState) -> tuple[OwnZones, HoldGrant]:
    """An operator with one claim in the given state."""
    operator = await with_oslo()
    if state is ClaimState.HELD:
        return operator, granted(await operator.hold())
    grant = await (operator.allocated() if state is ClaimState.ALLOCATED else operator.serving())
    if state is ClaimState.FAILED:
        await operator.report(instance(grant, InstanceState.FAILED))
    if state is ClaimState.LOST:
        lose(operator)
    if state is ClaimState.RELEASING:
        await operator.release()
    assert operator.state_of() is state
    return operator, grant


LIVING = [state for state in ClaimState if state is not ClaimState.RELEASED]
ORDERED = [state for state in LIVING if state is not ClaimState.HELD]

# --- releasing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ORDERED)
async def test_a_release_of_what_was_ordered_takes_the_order_back_and_keeps_the_capacity(state: ClaimState) -> None:
    operator, grant = await claim_in(state)
    answer = await operator.release()
    assert (answer.state, answer.fencing_token) == (ClaimState.RELEASING, grant.fencing_token)
    assert (answer.replicas_ready, answer.endpoint_urls) == (0, ())
    assert answer.message == "released: WORKLOAD_MOVED"
    assert operator.ordered() == []
    assert operator.free_cpu() == 3_000


@pytest.mark.parametrize("state", LIVING)
async def test_every_claim_can_be_released_for_good(state: ClaimState) -> None:
    operator, grant = await claim_in(state)
    await operator.release()
    operator.greet(OSLO)
    operator.take_orders()
    await operator.report(gone=[instance(grant)])
    assert operator.state_of() is None
    assert operator.free_cpu() == 4_000
    assert operator.plane.world.claims_in(OSLO) == ()


@pytest.mark.parametrize("state", LIVING)
async def test_a_release_that_is_answered_survives_a_crash(state: ClaimState) -> None:
    operator, _ = await claim_in(state)
    answer = await operator.release()
    again = await operator.crash_and_restart()
    assert again.state_of() is (None if answer.state is ClaimState.RELEASED else ClaimState.RELEASING)
    assert again.ordered() == []


async def test_a_hold_that_is_released_is_forgotten_at_once_and_so_it_stays() -> None:
    operator, grant = await claim_in(ClaimState.HELD)
    answer = await operator.release()
    assert (answer.state, answer.fencing_token) == (ClaimState.RELEASED, grant.fencing_token)
    with pytest.raises(RefusalError) as refused:
        await operator.confirm(grant)
    assert refused.value.reason is Reason.HOLD_EXPIRED
    operator.pass_ms(60_000, heard=[OSLO])
    assert operator.state_of() is None


async def test_a_home_releases_its_own_claim_and_not_that_of_another_under_the_same_name() -> None:
    operator = await with_oslo()
    await operator.serving("c1", home=PARTNER)
    answer = await operator.release("c1", home=OPERATOR)
    assert (answer.state, answer.fencing_token) == (ClaimState.RELEASED, 0)
    assert operator.state_of("c1", PARTNER) is ClaimState.SERVING


async def test_what_was_confirmed_and_never_sent_to_the_agent_is_free_at_once() -> None:
    operator = await with_oslo()
    operator.take_orders()
    await operator.confirm(granted(await operator.hold()))
    assert (await operator.release()).state is ClaimState.RELEASED
    assert operator.free_cpu() == 4_000


async def test_a_release_while_the_confirmation_is_being_written_never_orders_anything() -> None:
    gate = asyncio.Event()
    gate.set()

    async def pause() -> None:
        await gate.wait()

    operator = await own_zones(MemoryStore(pause))
    await operator.connect(OSLO)
    operator.take_orders()
    grant = granted(await operator.hold())
    gate.clear()
    confirming = asyncio.create_task(operator.confirm(grant))
    releasing = asyncio.create_task(operator.release())
    for _ in range(10):
        await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(confirming, releasing)
    assert operator.ordered() == []
    assert operator.state_of() is None


# --- what keeps capacity --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", InstanceState)
async def test_an_instance_keeps_its_capacity_whatever_its_state(state: InstanceState) -> None:
    operator, grant = await claim_in(ClaimState.SERVING)
    await operator.release()
    operator.take_orders()
    await operator.report(instance(grant, state))
    assert operator.state_of() is ClaimState.RELEASING
    assert operator.free_cpu() == 3_000


async def test_an_order_at_the_agent_keeps_capacity_even_if_nothing_runs() -> None:
    operator, grant = await claim_in(ClaimState.SERVING)
    await operator.release()
    await operator.report(gone=[instance(grant)])
    assert operator.state_of() is ClaimState.RELEASING
    operator.take_orders()
    assert operator.state_of() is None


async def test_the_last_of_several_replicas_frees_the_capacity_of_all() -> None:
    operator = await with_oslo()
    grant = await operator.serving(replicas=3)
    await operator.release()
    operator.plane.agents.order_acked(OSLO, [f"instances/{instance(grant, replica=2).instance}"])
    await operator.report(gone=[instance(grant, replica=at) for at in (0, 1, 2)])
    assert operator.free_cpu() == 1_000
    operator.plane.agents.order_acked(OSLO, [])
    assert operator.free_cpu() == 4_000


async def test_one_claims_instances_do_not_keep_anothers_capacity() -> None:
    operator = await with_oslo()
    first, second = await operator.serving("c1"), await operator.serving("c2")
    await operator.release("c1")
    await operator.release("c2")
    operator.take_orders()
    await operator.report(gone=[instance(first)])
    assert (operator.state_of("c1"), operator.state_of("c2")) == (None, ClaimState.RELEASING)
    await operator.report(gone=[instance(second)])
    assert operator.free_cpu() == 4_000


async def test_an_instance_that_is_seen_again_under_a_freed_claim_frees_nothing_twice() -> None:
    operator, grant = await claim_in(ClaimState.SERVING)
    await operator.release()
    operator.take_orders()
    await operator.report(gone=[instance(grant)])
    await operator.report(instance(grant, InstanceState.STOPPING))
    assert operator.free_cpu() == 4_000
    assert operator.ordered() == []


async def test_after_a_restart_nothing_is_freed_before_the_agent_says_which_orders_it_holds() -> None:
    operator, grant = await claim_in(ClaimState.RELEASING)
    again = await operator.crash_and_restart()
    again.greet(OSLO)
    await again.report(gone=[instance(grant)])
    assert again.state_of() is ClaimState.RELEASING
    again.plane.agents.order_acked(OSLO, [f"instances/{instance(grant).instance}"])
    assert again.state_of() is ClaimState.RELEASING
    again.take_orders()
    assert again.state_of() is None


async def test_an_instance_that_was_told_before_a_restart_keeps_its_capacity_after_it() -> None:
    operator, grant = await claim_in(ClaimState.RELEASING)
    again = await operator.crash_and_restart()
    again.greet(OSLO)
    again.take_orders()
    assert again.state_of() is ClaimState.RELEASING
    await again.report(gone=[instance(grant)])
    assert again.free_cpu() == 4_000


# --- zones lost and back --------------------------------------------------------------------------------------------


async def test_a_lost_zone_frees_its_mere_holds_and_loses_what_was_ordered() -> None:
    operator = await with_oslo()
    held = granted(await operator.hold("held", lease_ms=10_000))
    await operator.allocated("allocated")
    await operator.serving("serving")
    lose(operator)
    assert operator.state_of("held") is None
    assert operator.state_of("allocated") is ClaimState.LOST
    assert operator.state_of("serving") is ClaimState.LOST
    assert (operator.claim("serving").replicas_ready, operator.claim("serving").endpoint_urls) == (0, ())
    assert operator.claim("serving").message == "the zone is not heard"
    assert operator.free_cpu() == 2_000
    with pytest.raises(RefusalError) as refused:
        await operator.confirm(held)
    assert refused.value.reason is Reason.HOLD_EXPIRED


async def test_losing_one_zone_leaves_the_claims_of_another_alone() -> None:
    operator = await with_oslo()
    await operator.connect(GOTEBORG, "goteborg")
    await operator.serving("here", zone=OSLO)
    await operator.serving("there", zone=GOTEBORG)
    lose(operator, GOTEBORG)
    assert operator.state_of("here") is ClaimState.LOST
    assert operator.state_of("there") is ClaimState.SERVING


async def test_silence_that_is_not_yet_loss_changes_no_claim() -> None:
    operator, _ = await claim_in(ClaimState.SERVING)
    before = operator.claim()
    operator.pass_ms(operator.plane.settings.lost_after_ms - 1)
    assert operator.claim() == before


async def test_a_failed_claim_of_a_lost_zone_may_start_afresh_when_the_zone_is_back() -> None:
    operator, grant = await claim_in(ClaimState.FAILED)
    lose(operator)
    assert operator.state_of() is ClaimState.LOST
    operator.plane.agents.welcome(OSLO, "boot-2", operator.clock.wall_ms())
    assert operator.state_of() is ClaimState.ALLOCATED
    assert operator.claim().message == "the zone is heard again"
    await operator.report(instance(grant))
    assert operator.state_of() is ClaimState.SERVING


async def test_a_zone_that_is_heard_again_without_a_new_stream_serves_what_it_still_runs() -> None:
    operator, _ = await claim_in(ClaimState.LOST)
    operator.plane.agents.heard(OSLO)
    assert operator.state_of() is ClaimState.SERVING
    assert isinstance(await operator.hold("c2"), HoldGrant)


async def test_a_zone_whose_stream_outlived_its_loss_gives_capacity_back_without_new_orders() -> None:
    operator, grant = await claim_in(ClaimState.SERVING)
    await operator.release()
    operator.take_orders()
    lose(operator)
    operator.plane.agents.heard(OSLO)
    assert operator.state_of() is ClaimState.RELEASING
    await operator.report(gone=[instance(grant)])
    assert operator.state_of() is None
    assert operator.free_cpu() == 4_000


async def test_a_released_claim_of_a_lost_zone_is_not_lost_again_nor_back_in_service() -> None:
    operator, _ = await claim_in(ClaimState.LOST)
    await operator.release()
    operator.greet(OSLO)
    assert operator.state_of() is ClaimState.RELEASING
    lose(operator)
    assert operator.state_of() is ClaimState.RELEASING


async def test_capacity_of_a_lost_zone_is_promised_to_nobody_when_it_is_back() -> None:
    operator = await with_oslo()
    await operator.serving("c1", cpu_millis=3_000)
    lose(operator)
    await operator.release("c1")
    operator.greet(OSLO)
    assert reasons(await operator.hold("c2", cpu_millis=2_000)) == [Reason.CPU_EXHAUSTED]


async def test_a_zone_that_lost_its_agent_and_its_inventory_still_counts_what_it_promised() -> None:
    operator, _ = await claim_in(ClaimState.SERVING)
    await operator.plane.agents.adverts(OSLO, [], ["inventory"])
    await operator.connect(OSLO, capacity=Capacity(4_000, 8_192))
    assert operator.free_cpu() == 3_000
    assert operator.state_of() is ClaimState.SERVING
