"""What the reports of agents make of a claim: ready, not ready any more, or failed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.domain.model import (
    ClaimState,
    HoldGrant,
    InstanceState,
)
from own_zones import GOTEBORG, OSLO, granted, instance, with_oslo

# --- readiness ------------------------------------------------------------------------------------------------------


async def test_a_claim_of_several_replicas_counts_those_that_are_ready_and_serves_with_the_last() -> None:
    operator = await with_oslo()
    grant = await operator.allocated(replicas=3)
    seen = []
    for replica in (2, 0, 1):
        await operator.report(instance(grant, replica=replica))
        seen.append((operator.state_of(), operator.claim().replicas_ready))
    assert seen == [(ClaimState.ALLOCATED, 1), (ClaimState.ALLOCATED, 2), (ClaimState.SERVING, 3)]
    assert operator.claim().endpoint_urls == tuple(f"https://c1-1-{replica}.test" for replica in range(3))
    assert operator.claim().message == "3 of 3 replicas ready"


@pytest.mark.parametrize("state", [InstanceState.STARTING, InstanceState.STOPPING])
async def test_a_claim_serves_no_more_when_one_of_its_replicas_does_not(state: InstanceState) -> None:
    operator = await with_oslo()
    grant = await operator.serving(replicas=2)
    await operator.report(instance(grant, state, replica=1))
    assert operator.state_of() is ClaimState.ALLOCATED
    assert operator.claim().endpoint_urls == (instance(grant, replica=0).endpoint_url,)
    await operator.report(instance(grant, replica=1))
    assert operator.state_of() is ClaimState.SERVING


async def test_a_replica_that_vanishes_is_not_ready() -> None:
    operator = await with_oslo()
    grant = await operator.serving(replicas=2)
    await operator.report(gone=[instance(grant, replica=0)])
    assert (operator.state_of(), operator.claim().replicas_ready) == (ClaimState.ALLOCATED, 1)


async def test_an_endpoint_that_moves_is_told_without_a_change_of_state() -> None:
    operator = await with_oslo()
    grant = await operator.serving()
    await operator.report(replace(instance(grant), endpoint_url="https://elsewhere.test"))
    assert operator.state_of() is ClaimState.SERVING
    assert operator.claim().endpoint_urls == ("https://elsewhere.test",)


async def test_an_instance_of_an_older_token_makes_nothing_ready_and_failing_it_fails_nothing() -> None:
    operator = await with_oslo()
    old = await operator.serving()
    await operator.release()
    operator.take_orders()
    await operator.report(gone=[instance(old)])
    new = await operator.allocated()
    await operator.report(instance(old))
    assert operator.state_of() is ClaimState.ALLOCATED
    await operator.report(instance(old, InstanceState.FAILED))
    assert operator.state_of() is ClaimState.ALLOCATED
    await operator.report(instance(new))
    assert operator.state_of() is ClaimState.SERVING


async def test_an_instance_under_the_name_of_a_mere_hold_does_not_make_it_ready() -> None:
    operator = await with_oslo()
    grant = granted(await operator.hold())
    await operator.report(instance(grant))
    assert (operator.state_of(), operator.claim().replicas_ready) == (ClaimState.HELD, 0)
    await operator.confirm(grant)
    await operator.report(instance(grant))
    assert operator.state_of() is ClaimState.SERVING


async def test_an_instance_in_another_zone_does_not_make_a_claim_ready() -> None:
    operator = await with_oslo()
    await operator.connect(GOTEBORG, "goteborg")
    grant = await operator.allocated()
    await operator.report(instance(grant), zone=GOTEBORG)
    assert operator.state_of() is ClaimState.ALLOCATED


async def test_readiness_is_durable_when_the_agent_is_answered() -> None:
    operator = await with_oslo()
    await operator.serving()
    again = await operator.crash_and_restart()
    assert again.state_of() is ClaimState.SERVING
    assert again.claim().endpoint_urls == operator.claim().endpoint_urls


async def test_what_changes_a_claim_wakes_who_watches_the_owner_and_a_repetition_does_not() -> None:
    operator = await with_oslo()
    grant = await operator.allocated()
    seen = operator.plane.owner.changed.version
    await operator.report(instance(grant))
    assert operator.plane.owner.changed.version > seen
    seen = operator.plane.owner.changed.version
    await operator.report(instance(grant))
    assert operator.plane.owner.changed.version == seen


# --- failing --------------------------------------------------------------------------------------------------------


async def test_one_failed_replica_fails_the_claim_with_its_message_and_without_an_endpoint() -> None:
    operator = await with_oslo()
    grant = await operator.serving(replicas=2)
    await operator.report(instance(grant, InstanceState.FAILED, replica=1))
    claim = operator.claim()
    assert (claim.state, claim.message) == (ClaimState.FAILED, "c1-1-1 is failed")
    assert (claim.replicas_ready, claim.endpoint_urls) == (0, ())


async def test_a_failed_claim_does_not_recover_by_itself_and_keeps_its_capacity_and_orders() -> None:
    operator = await with_oslo()
    grant = await operator.allocated()
    await operator.report(instance(grant, InstanceState.FAILED))
    await operator.report(instance(grant))
    assert operator.state_of() is ClaimState.FAILED
    assert operator.free_cpu() == 3_000
    assert operator.ordered() == [instance(grant).instance]


def refused_order(grant: HoldGrant, replica: int = 0, field: str = "artefact") -> tuple[str, str, str]:
    return f"instances/{grant.claim}-{grant.fencing_token}-{replica}", field, "not on this machine"


async def test_a_refused_order_fails_its_claim_alone_and_says_which_field_is_wrong() -> None:
    operator = await with_oslo()
    first, second = await operator.serving("c1", replicas=2), await operator.serving("c2")
    operator.plane.agents.orders_refused(OSLO, (refused_order(first, replica=1),))
    assert operator.state_of("c1") is ClaimState.FAILED
    assert operator.claim("c1").message == "the agent refuses the order (artefact): not on this machine"
    assert operator.claim("c1").endpoint_urls == ()
    assert operator.state_of("c2") is ClaimState.SERVING
    operator.plane.agents.orders_refused(OSLO, (refused_order(second, field=""),))
    assert operator.claim("c2").message == "the agent refuses the order: not on this machine"


async def test_refusals_of_what_is_not_ordered_any_more_or_no_instance_change_nothing() -> None:
    operator = await with_oslo()
    grant = await operator.serving()
    stranger = replace(grant, claim="stranger")
    target = ("probe-targets/nordavind/goteborg-1", "", "no route")
    operator.plane.agents.orders_refused(OSLO, (target, refused_order(stranger)))
    assert operator.state_of() is ClaimState.SERVING
    await operator.release()
    before = operator.claim()
    operator.plane.agents.orders_refused(OSLO, (refused_order(grant),))
    assert operator.claim() == before


async def test_a_refusal_by_another_zones_agent_changes_nothing() -> None:
    operator = await with_oslo()
    await operator.connect(GOTEBORG, "goteborg")
    grant = await operator.serving()
    operator.plane.agents.orders_refused(GOTEBORG, (refused_order(grant),))
    assert operator.state_of() is ClaimState.SERVING
