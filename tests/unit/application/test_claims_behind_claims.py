"""Claims in zones that a partner offers on: held, confirmed and given back behind, with grants that show it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hansa_control.application.grants import GrantInvalid
from hansa_control.application.ports import HoldRequest, Refused
from hansa_control.domain.agreement import Agreement, Reoffer, Stance
from hansa_control.domain.grants import Asked, claim_behind, signed_bytes
from hansa_control.domain.model import (
    AccessDemand,
    ClaimState,
    HoldGrant,
    InstanceState,
    LegalRule,
    Manifest,
    OnBehalf,
    PlacementState,
    Reason,
    ResidencyPolicy,
    WorkloadSpec,
    WorkloadState,
)
from home_operator import spec
from three_operators import ALIAS, BETWEEN, HOME, OWNER, YARD, ZONE, Three, control, seals_of, three_operators

# An access point that all three know: the owner's own.
USERS = (AccessDemand("rostock", 1_000),)
MANIFEST = Manifest(str(YARD), b"ca", ("spiffe://harbour/app",))


def wanted(**changes: Any) -> WorkloadSpec:
    return replace(spec(), **{"access": USERS, **changes})


async def ready(**changes: Any) -> Three:
    three = await three_operators(**changes)
    assert await three.spread() == {}
    return three


async def serving(three: Three | None = None, **changes: Any) -> Three:
    three = three or await ready()
    await three.submit(wanted(**changes))
    await three.look()
    await three.run_orders()
    await three.follow()
    await three.look()
    return three


def claims(three: Three) -> tuple[list[ClaimState], list[ClaimState]]:
    """Home's claims between, and those behind at the owner."""
    between = three.between.plane.world.claims_of(HOME).values()
    return [one.state for one in between], [one.state for one in three.owner.plane.world.claims_of(BETWEEN).values()]


async def hold(three: Three, claim: str = "c1", **changes: Any) -> HoldGrant | Refused:
    return await three.between.plane.owner.hold(HOME, HoldRequest(claim, ALIAS, wanted(**changes), 10_000))


def reasons(outcome: HoldGrant | Refused) -> list[Reason]:
    assert isinstance(outcome, Refused)
    return [one.reason for one in outcome.rejections]


async def test_a_workload_is_placed_through_the_partner_and_answers_from_the_owners_zone() -> None:
    three = await serving()
    workload = three.home.plane.queries.workload(YARD)
    assert workload.state is WorkloadState.RUNNING
    placement = workload.placements[0]
    assert (str(placement.zone), placement.state) == (f"{BETWEEN}/{ALIAS}", PlacementState.READY)
    assert placement.endpoint_urls[0].startswith(f"https://{claim_behind(HOME, placement.claim)}")
    assert placement.endpoint_ca_pem == OWNER.encode()
    assert claims(three) == ([ClaimState.SERVING], [ClaimState.SERVING])


async def test_the_home_operator_keeps_the_grants_of_both_that_it_verified() -> None:
    three = await serving()
    kept = next(iter(three.home.plane.state.grants.values()))
    assert [kept.seal.terms.owner, *(seal.terms.owner for seal in kept.underlying)] == [BETWEEN, OWNER]
    assert kept.underlying[0].terms.home == BETWEEN


async def test_the_owner_is_told_for_whom_and_through_whose_hands() -> None:
    three = await serving()
    behind = next(iter(three.owner.plane.world.claims_of(BETWEEN).values()))
    placed = three.home.plane.queries.workload(YARD).placements[0]
    said = behind.spec.on_behalf
    assert said is not None
    assert (said.home, said.claim, [one.operator for one in said.handlers]) == (HOME, placed.claim, [BETWEEN])


async def test_deleting_gives_back_behind_and_leaves_nothing() -> None:
    three = await serving()
    await three.home.plane.workloads.delete("spiffe://a/b", "d1", YARD, "", "x")
    await three.look_if_any()
    await three.settle()
    assert claims(three) == ([], [])
    assert dict(three.between.plane.state.relays) == {}
    assert str(YARD) not in three.home.plane.state.workloads


# --- what the owner refuses -----------------------------------------------------------------------------------------


async def test_the_owner_judges_the_operator_between_on_its_own_truth() -> None:
    three = await ready()
    await three.advertise(*control("DE"))
    await three.spread()
    said = OnBehalf(HOME, "c1", (replace(_handler(three), facts=control("US")),))
    policy = ResidencyPolicy(legal=LegalRule(frozenset({"DE", "SE"})))
    asked = HoldRequest("r1", ZONE, wanted(residency=policy, on_behalf=said), 10_000)
    outcome = await three.owner.plane.owner.hold(BETWEEN, asked)
    assert set(reasons(outcome)) == {Reason.LEGAL_CONTROL_DENIED}


def _handler(three: Three) -> Any:
    zone = next(zone for zone in three.home.plane.world.partner_zones() if zone.origin)
    return zone.handlers[0]


@pytest.mark.parametrize(
    ("home", "handlers"),
    [("blueridge", (BETWEEN,)), (HOME, ("havnby",)), (HOME, ()), (HOME, (BETWEEN, BETWEEN)), (OWNER, (BETWEEN,))],
)
async def test_the_owner_refuses_on_behalf_of_whom_it_has_not_permitted(home: str, handlers: tuple[str, ...]) -> None:
    three = await ready()
    handler = _handler(three)
    said = OnBehalf(home, "c1", tuple(replace(handler, operator=one) for one in handlers))
    outcome = await three.owner.plane.owner.hold(BETWEEN, HoldRequest("r1", ZONE, wanted(on_behalf=said), 10_000))
    assert reasons(outcome) == [Reason.ORIGIN_DENIED]


async def test_a_refusal_behind_is_told_home_of_the_zone_as_it_was_offered() -> None:
    three = await ready()
    three.owner.agreements.agreed[BETWEEN] = Stance(Agreement(reoffer=Reoffer(("berlin-*",), ("blueridge",))))
    outcome = await hold(three)
    assert reasons(outcome) == [Reason.ORIGIN_DENIED]
    assert isinstance(outcome, Refused) and str(outcome.rejections[0].zone) == f"{BETWEEN}/{ALIAS}"
    await three.follow()
    assert claims(three) == ([], []) and dict(three.between.plane.state.relays) == {}


async def test_an_access_point_that_the_owner_does_not_know_is_refused_by_the_owner() -> None:
    three = await ready()
    asked = HoldRequest("c1", ALIAS, wanted(access=(AccessDemand("visby", 1_000),)), 10_000)
    outcome = await three.between.plane.owner.hold(HOME, asked)
    assert Reason.ACCESS_POINT_UNKNOWN in reasons(outcome)
    assert isinstance(outcome, Refused) and str(outcome.rejections[0].zone) == f"{BETWEEN}/{ALIAS}"


async def test_a_silent_owner_is_a_refusal_and_what_it_may_hold_is_given_back_when_it_answers() -> None:
    three = await ready()
    three.between.way.is_cut = True
    assert reasons(await hold(three)) == [Reason.PARTNER_UNREACHABLE]
    await three.follow()
    assert len(three.between.plane.state.relays) == 1
    three.between.way.is_cut = False
    await three.follow()
    assert dict(three.between.plane.state.relays) == {}
    assert three.between.way.asked == ["hold", "release", "release"]


# --- leases and repetition ------------------------------------------------------------------------------------------


async def test_the_lease_that_is_promised_never_outlasts_the_one_behind() -> None:
    three = await ready()
    three.owner.plane.owner._settings = replace(three.owner.plane.settings, hold_lease_ms=3_000)
    grant = await hold(three)
    assert isinstance(grant, HoldGrant) and grant.underlying is not None
    assert grant.lease_ms <= grant.underlying.lease_ms == 3_000


async def test_a_hold_that_nobody_confirms_is_over_everywhere_with_its_lease() -> None:
    three = await ready()
    assert isinstance(await hold(three), HoldGrant)
    assert claims(three) == ([ClaimState.HELD], [ClaimState.HELD])
    three.tick(10_001)
    await three.follow()
    assert claims(three) == ([], []) and dict(three.between.plane.state.relays) == {}


async def test_asking_again_is_answered_alike_without_asking_behind() -> None:
    three = await ready()
    first, second = await hold(three), await hold(three)
    assert isinstance(first, HoldGrant) and isinstance(second, HoldGrant)
    assert (second.fencing_token, second.underlying) == (first.fencing_token, first.underlying)
    assert three.between.way.asked == ["hold"]


async def test_a_release_that_overtakes_the_answer_leaves_nothing_behind() -> None:
    three = await ready()
    way, plain = three.between.way, three.between.way.hold

    async def late(request: HoldRequest) -> HoldGrant | Refused:
        answered = await plain(request)
        await three.between.plane.owner.release(HOME, "c1", Reason.WORKLOAD_MOVED)
        return answered

    way.hold = late  # type: ignore[method-assign]
    assert reasons(await hold(three)) == [Reason.HOLD_EXPIRED]
    await three.follow()
    assert claims(three) == ([], []) and dict(three.between.plane.state.relays) == {}


# --- crashes and losses ---------------------------------------------------------------------------------------------


async def restart_between(three: Three) -> None:
    three.between.store = three.between.plane._store  # type: ignore[assignment]
    await three.between.start()
    three.between.plane.partners.heard(OWNER)


async def test_the_one_between_restarts_and_goes_on_telling() -> None:
    three = await serving()
    await restart_between(three)
    await three.run_orders(InstanceState.STARTING)
    await three.follow()
    assert claims(three) == ([ClaimState.ALLOCATED], [ClaimState.ALLOCATED])
    await three.run_orders()
    await three.follow()
    assert claims(three) == ([ClaimState.SERVING], [ClaimState.SERVING])
    assert (await three.look()).state is WorkloadState.RUNNING


async def test_a_crash_between_asking_and_the_answer_leaves_no_claim_behind() -> None:
    three = await ready()
    plain = three.between.way.hold

    async def crash(request: HoldRequest) -> HoldGrant | Refused:
        await plain(request)
        raise KeyboardInterrupt

    three.between.way.hold = crash  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        await hold(three)
    assert claims(three)[1] == [ClaimState.HELD]
    three.between.way.hold = plain  # type: ignore[method-assign]
    await restart_between(three)
    await three.follow()
    assert claims(three) == ([], []) and dict(three.between.plane.state.relays) == {}


async def test_a_confirmation_that_a_crash_cut_off_is_given_back_with_the_lease() -> None:
    three = await ready()
    grant = await hold(three)
    assert isinstance(grant, HoldGrant)
    behind = next(iter(three.between.plane.state.relays.values()))
    assert behind.grant is not None
    await three.owner.plane.owner.confirm(BETWEEN, behind.name, behind.grant.fencing_token, MANIFEST)
    await restart_between(three)
    three.tick(10_001)
    await three.follow()
    await three.run_orders()
    await three.follow()
    assert claims(three) == ([], [])


async def test_a_zone_that_its_owner_loses_is_lost_at_home_too_and_found_again() -> None:
    three = await serving()
    three.owner.plane.owner.on_zone_lost(ZONE)
    await three.follow()
    assert claims(three) == ([ClaimState.LOST], [ClaimState.LOST])
    three.owner.plane.owner.on_zone_back(ZONE)
    await three.run_orders()
    await three.follow()
    assert claims(three) == ([ClaimState.SERVING], [ClaimState.SERVING])


async def test_a_workload_whose_zone_is_lost_behind_is_placed_anew() -> None:
    three = await serving()
    lost = three.home.plane.queries.workload(YARD).placements[0].claim
    three.owner.plane.owner.on_zone_lost(ZONE)
    await three.follow()
    await three.look()
    await three.settle()
    three.tick(three.home.plane.settings.linger_ms)  # what comes back meanwhile serves until the other one does
    await three.settle()
    assert lost not in [one.claim for one in three.home.plane.queries.workload(YARD).placements]
    assert lost not in three.between.plane.world.claims_of(HOME)
    assert "ZoneLost" in [event.reason for event in three.home.plane.queries.events(YARD, 0)]


async def test_what_the_owner_has_no_longer_is_gone_at_home_too() -> None:
    three = await serving()
    lost = three.home.plane.queries.workload(YARD).placements[0].claim
    three.owner.plane.owner.release_all(BETWEEN)
    await three.run_orders()
    await three.settle()
    assert lost not in three.between.plane.world.claims_of(HOME)
    assert claim_behind(HOME, lost) not in three.owner.plane.world.claims_of(BETWEEN)
    assert "ClaimGone" in [event.reason for event in three.home.plane.queries.events(YARD, 0)]


async def test_an_instance_that_fails_behind_has_failed_at_home() -> None:
    three = await ready()
    await three.submit(wanted())
    await three.look()
    await three.run_orders(InstanceState.FAILED)
    await three.follow()
    assert claims(three) == ([ClaimState.FAILED], [ClaimState.FAILED])


async def test_the_claim_behind_is_no_stray() -> None:
    three = await serving()
    strays = three.between.plane.strays
    await strays.look(OWNER)
    three.tick(120_000)
    await strays.look(OWNER)
    assert claims(three)[1] == [ClaimState.SERVING]


# --- grants that do not fit together --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("forge", "why"),
    [
        (lambda grant: replace(grant, underlying=None), "skargard does not show the grant that its own rests on"),
        (lambda grant: replace(grant, underlying=replace(grant.underlying, seal=None)), "does not show"),
        (lambda grant: _terms(grant, zone="berlin-2"), "zone is berlin-2, not berlin-1"),
        (lambda grant: _terms(grant, claim="r0"), "claim is r0"),
        (lambda grant: _terms(grant, home="havnby"), "home is havnby, not skargard"),
        (lambda grant: _terms(grant, lease_ms=9_000), "signature"),
        (lambda grant: _terms(grant, spec_digest="sha256:" + "0" * 64), "spec_digest"),
        (lambda grant: _signed_as_resting_on(grant, ""), "underlying_digest is empty, not sha256:"),
        (lambda grant: _signed_as_resting_on(grant, "sha256:" + "0" * 64), "underlying_digest is sha256:000"),
    ],
)
async def test_a_grant_that_does_not_rest_on_the_owners_is_refused_at_home(forge: Any, why: str) -> None:
    three = await ready()
    plain = three.home.way.hold

    async def forged(request: HoldRequest) -> HoldGrant | Refused:
        return forge(await plain(request))  # type: ignore[no-any-return]

    three.home.way.hold = forged  # type: ignore[method-assign]
    await three.submit(wanted())
    await three.look()
    stored = await three.home.plane.state.decision(str(YARD))
    assert stored is not None
    decision = stored.decision
    told = [one.result.measured for one in decision.rejections if one.reason is Reason.GRANT_INVALID]
    assert len(told) == 1 and why in told[0]
    await three.follow()
    assert claims(three) == ([], [])


def _terms(grant: HoldGrant, **changes: Any) -> HoldGrant:
    """The grant with other terms in the owner's seal beneath it."""
    below = grant.underlying
    assert below is not None and below.seal is not None
    seal = replace(below.seal, terms=replace(below.seal.terms, **changes))
    return replace(grant, underlying=replace(below, seal=seal))


def _signed_as_resting_on(grant: HoldGrant, digest: str) -> HoldGrant:
    """The grant as the one between signs it if it does not say, or lies on, what it rests on."""
    assert grant.seal is not None
    terms = replace(grant.seal.terms, underlying_digest=digest)
    return replace(grant, seal=replace(grant.seal, terms=terms, signed=seals_of(BETWEEN, ()).sign(signed_bytes(terms))))


async def test_a_grant_that_rests_on_another_is_none_of_a_zone_of_the_signers_own() -> None:
    three = await serving()
    (kept,) = three.home.plane.state.grants.values()
    terms = kept.seal.terms
    asked = Asked(BETWEEN, HOME, terms.context_id, terms.claim, ALIAS, kept.spec, kept.lease_asked_ms)
    cut_out = HoldGrant(terms.claim, terms.fencing_token, terms.lease_ms, terms.pool, kept.seal)
    with pytest.raises(GrantInvalid, match=r"underlying_digest is sha256:[0-9a-f]{64}, not empty"):
        three.home.plane.grants.verify(asked, cut_out)


async def test_the_owner_is_not_asked_in_the_home_operators_absence() -> None:
    three = await ready()
    three.between.agreements.agreed[HOME] = Stance(Agreement())
    with pytest.raises(Exception, match="no zone"):
        await hold(three)
    assert three.between.way.asked == []
