"""What every owner of zones promises to a home operator, on whatever way it is reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hansa_control.application.ports import HoldRequest, RefusalError, Refused
from hansa_control.domain.model import (
    AcceleratorNeed,
    AccessDemand,
    ClaimState,
    HoldGrant,
    LatencyBudget,
    Manifest,
    Reason,
    ResidencyPolicy,
    SiteRule,
    WorkloadSpec,
)
from owner_ways import ARTEFACT, LEASE_MS_MAX, WAYS, ZONE, OwnerStage, Scene

CA_PEM = b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
MANIFEST = Manifest("tenants/acme/workloads/ocr", CA_PEM, ("spiffe://fjordby.hansa.example/tenant/acme",))
SPEC = WorkloadSpec(
    ARTEFACT, None, 1_000, 1_024, 1, (AccessDemand("oslo", 1_000),), LatencyBudget(95, 50_000), ResidencyPolicy()
)


def on_every_way(scene: Scene) -> Callable[[str], None]:
    """Makes a scene a test that is played on each way to an owner."""

    @pytest.mark.parametrize("way", sorted(WAYS))
    def test(way: str) -> None:
        WAYS[way](scene)

    test.__name__, test.__doc__ = scene.__name__, scene.__doc__
    return test


def request(claim: str = "c1", spec: WorkloadSpec = SPEC, lease_ms: int = 5_000, zone: str = ZONE) -> HoldRequest:
    return HoldRequest(claim, zone, spec, lease_ms)


async def granted(at: OwnerStage, claim: str = "c1", **asked: int) -> HoldGrant:
    outcome = await at.owner.hold(request(claim, **asked))
    assert isinstance(outcome, HoldGrant)
    return outcome


async def allocated(at: OwnerStage, claim: str = "c1") -> HoldGrant:
    grant = await granted(at, claim)
    assert (await at.owner.confirm(claim, grant.fencing_token, MANIFEST)).state is ClaimState.ALLOCATED
    return grant


async def reason_of(work: object) -> Reason:
    with pytest.raises(RefusalError) as refusal:
        await work  # type: ignore[misc]
    return refusal.value.reason


async def rejections(at: OwnerStage, asked: HoldRequest) -> list[Reason]:
    outcome = await at.owner.hold(asked)
    assert isinstance(outcome, Refused)
    assert {str(one.zone) for one in outcome.rejections} == {"nordfjord/oslo-1"}
    return [one.reason for one in outcome.rejections]


# --- hold ---


@on_every_way
async def test_a_granted_hold_takes_its_capacity_under_a_lease(at: OwnerStage) -> None:
    grant = await granted(at)
    assert (grant.claim, grant.lease_ms, grant.pool) == ("c1", 5_000, "")
    assert grant.fencing_token > 0
    assert at.free_cpu_millis() == 3_000


@on_every_way
async def test_a_grant_names_the_pool_that_it_takes_from(at: OwnerStage) -> None:
    spec = replace(SPEC, accelerator=AcceleratorNeed(("L4",), 2, 16_000))
    outcome = await at.owner.hold(request(spec=spec))
    assert isinstance(outcome, HoldGrant)
    assert outcome.pool == "nvidia/L4"


@on_every_way
async def test_the_same_hold_twice_is_one_hold_under_one_token(at: OwnerStage) -> None:
    first, second = await granted(at), await granted(at)
    assert second == first
    assert at.free_cpu_millis() == 3_000


@on_every_way
async def test_asking_again_for_a_hold_does_not_prolong_its_lease(at: OwnerStage) -> None:
    await granted(at)
    at.clock.now_ms += 3_000
    assert (await granted(at)).lease_ms == 2_000


@on_every_way
async def test_no_lease_is_longer_than_the_owner_gives(at: OwnerStage) -> None:
    assert (await granted(at, lease_ms=60_000)).lease_ms == LEASE_MS_MAX


@on_every_way
async def test_the_name_of_a_claim_with_other_requirements_is_refused(at: OwnerStage) -> None:
    await granted(at)
    other = request(spec=replace(SPEC, cpu_millis=2_000))
    assert await reason_of(at.owner.hold(other)) is Reason.REQUEST_ID_REUSED
    assert at.free_cpu_millis() == 3_000


@on_every_way
async def test_a_hold_is_refused_with_every_reason_and_takes_nothing(at: OwnerStage) -> None:
    spec = replace(SPEC, cpu_millis=5_000, residency=ResidencyPolicy(site=SiteRule(frozenset({"SE"}))))
    found = await rejections(at, request(spec=spec))
    assert set(found) == {Reason.SITE_COUNTRY_DENIED, Reason.CPU_EXHAUSTED}
    assert (at.claim("c1"), at.free_cpu_millis()) == (None, 4_000)


@on_every_way
async def test_what_is_held_already_is_not_granted_again(at: OwnerStage) -> None:
    for number in range(4):
        await granted(at, f"c{number}")
    assert await rejections(at, request("c9")) == [Reason.CPU_EXHAUSTED]
    assert at.free_cpu_millis() == 0


@on_every_way
async def test_a_zone_that_the_owner_does_not_have_is_not_found(at: OwnerStage) -> None:
    assert await reason_of(at.owner.hold(request(zone="bergen-1"))) is Reason.NOT_FOUND


@on_every_way
async def test_a_refused_claim_may_be_asked_for_again(at: OwnerStage) -> None:
    await granted(at, "c1")
    big = request("c2", spec=replace(SPEC, cpu_millis=4_000))
    assert await rejections(at, big) == [Reason.CPU_EXHAUSTED]
    await at.owner.release("c1", Reason.WORKLOAD_MOVED)
    assert isinstance(await at.owner.hold(big), HoldGrant)


# --- confirm ---


@on_every_way
async def test_a_confirmed_hold_is_an_allocation_with_orders_for_its_agent(at: OwnerStage) -> None:
    grant = await granted(at)
    status = await at.owner.confirm("c1", grant.fencing_token, MANIFEST)
    assert (status.claim, status.state, status.fencing_token) == ("c1", ClaimState.ALLOCATED, grant.fencing_token)
    (order,) = at.plane.owner.desired_instances(ZONE)
    assert (order.claim, order.client_ca_pem, order.client_ids) == ("c1", CA_PEM, MANIFEST.client_ids)


@on_every_way
async def test_confirming_twice_is_confirming_once(at: OwnerStage) -> None:
    grant = await allocated(at)
    again = await at.owner.confirm("c1", grant.fencing_token, MANIFEST)
    assert again.state is ClaimState.ALLOCATED
    assert len(at.plane.owner.desired_instances(ZONE)) == 1


@on_every_way
async def test_confirming_what_serves_already_tells_its_endpoint(at: OwnerStage) -> None:
    grant = await allocated(at)
    await at.runs("c1", grant.fencing_token)
    status = await at.owner.confirm("c1", grant.fencing_token, MANIFEST)
    assert (status.state, status.replicas_ready) == (ClaimState.SERVING, 1)
    assert status.endpoint_urls == ("https://10.0.0.1:8443",)


@on_every_way
async def test_a_second_manifest_is_refused_and_the_first_stays(at: OwnerStage) -> None:
    grant = await allocated(at)
    other = replace(MANIFEST, client_ids=("spiffe://fjordby.hansa.example/tenant/else",))
    assert await reason_of(at.owner.confirm("c1", grant.fencing_token, other)) is Reason.REQUEST_ID_REUSED
    assert at.plane.owner.desired_instances(ZONE)[0].client_ids == MANIFEST.client_ids


@on_every_way
async def test_an_allocation_does_not_expire(at: OwnerStage) -> None:
    grant = await allocated(at)
    at.clock.now_ms += 2 * LEASE_MS_MAX
    at.plane.owner.expire_holds()
    assert (await at.owner.confirm("c1", grant.fencing_token, MANIFEST)).state is ClaimState.ALLOCATED


@on_every_way
async def test_there_is_nothing_to_confirm_where_nothing_was_held(at: OwnerStage) -> None:
    assert await reason_of(at.owner.confirm("c1", 1, MANIFEST)) is Reason.HOLD_EXPIRED


# --- expiry and fencing ---


@on_every_way
async def test_a_hold_cannot_be_confirmed_when_its_lease_is_over(at: OwnerStage) -> None:
    grant = await granted(at)
    at.clock.now_ms += grant.lease_ms
    assert await reason_of(at.owner.confirm("c1", grant.fencing_token, MANIFEST)) is Reason.HOLD_EXPIRED
    assert at.free_cpu_millis() == 4_000


@on_every_way
async def test_a_hold_can_be_confirmed_until_the_last_moment_of_its_lease(at: OwnerStage) -> None:
    grant = await granted(at)
    at.clock.now_ms += grant.lease_ms - 1
    assert (await at.owner.confirm("c1", grant.fencing_token, MANIFEST)).state is ClaimState.ALLOCATED


@on_every_way
async def test_the_capacity_of_an_expired_hold_goes_to_the_next_who_asks(at: OwnerStage) -> None:
    big = replace(SPEC, cpu_millis=4_000)
    assert isinstance(await at.owner.hold(request("c1", big)), HoldGrant)
    at.clock.now_ms += 5_000
    assert isinstance(await at.owner.hold(request("c2", big)), HoldGrant)


@on_every_way
async def test_tokens_grow_with_every_grant_in_the_zone(at: OwnerStage) -> None:
    tokens = [(await granted(at, f"c{number}")).fencing_token for number in range(3)]
    assert tokens == sorted(set(tokens))


@on_every_way
async def test_a_token_of_before_is_fenced_when_the_claim_is_held_anew(at: OwnerStage) -> None:
    former = await granted(at)
    at.clock.now_ms += former.lease_ms
    newer = await granted(at)
    assert newer.fencing_token > former.fencing_token
    assert await reason_of(at.owner.confirm("c1", former.fencing_token, MANIFEST)) is Reason.FENCED
    assert (await at.owner.confirm("c1", newer.fencing_token, MANIFEST)).state is ClaimState.ALLOCATED


# --- release ---


@on_every_way
async def test_releasing_what_is_not_there_answers_released(at: OwnerStage) -> None:
    status = await at.owner.release("c1", Reason.WORKLOAD_DELETED)
    assert (status.claim, status.state) == ("c1", ClaimState.RELEASED)


@on_every_way
async def test_a_released_hold_is_free_at_once_and_cannot_be_confirmed(at: OwnerStage) -> None:
    grant = await granted(at)
    assert (await at.owner.release("c1", Reason.WORKLOAD_MOVED)).state is ClaimState.RELEASED
    assert at.free_cpu_millis() == 4_000
    assert await reason_of(at.owner.confirm("c1", grant.fencing_token, MANIFEST)) is Reason.HOLD_EXPIRED


@on_every_way
async def test_a_released_allocation_is_free_when_its_instance_is_seen_to_have_stopped(at: OwnerStage) -> None:
    grant = await allocated(at)
    await at.runs("c1", grant.fencing_token)
    assert (await at.owner.release("c1", Reason.WORKLOAD_DELETED)).state is ClaimState.RELEASING
    assert at.plane.owner.desired_instances(ZONE) == ()
    assert at.free_cpu_millis() == 3_000
    await at.stopped("c1", grant.fencing_token)
    assert at.free_cpu_millis() == 4_000
    assert (await at.owner.release("c1", Reason.WORKLOAD_DELETED)).state is ClaimState.RELEASED


@on_every_way
async def test_releasing_twice_is_releasing_once(at: OwnerStage) -> None:
    grant = await allocated(at)
    await at.runs("c1", grant.fencing_token)
    first = await at.owner.release("c1", Reason.WORKLOAD_MOVED)
    assert await at.owner.release("c1", Reason.WORKLOAD_MOVED) == first
    assert first.message == "released: WORKLOAD_MOVED"


@on_every_way
async def test_what_is_being_released_is_not_granted_again_under_its_name(at: OwnerStage) -> None:
    grant = await allocated(at)
    await at.runs("c1", grant.fencing_token)
    await at.owner.release("c1", Reason.WORKLOAD_MOVED)
    assert await rejections(at, request()) == [Reason.HOLD_EXPIRED]


@on_every_way
async def test_releasing_one_claim_leaves_the_others_alone(at: OwnerStage) -> None:
    await allocated(at, "c1")
    await allocated(at, "c2")
    await at.owner.release("c1", Reason.WORKLOAD_MOVED)
    assert [order.claim for order in at.plane.owner.desired_instances(ZONE)] == ["c2"]
