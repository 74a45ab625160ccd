"""Grants of partners at home: verified before anything rests on them, kept while anything runs under them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.application.grants import GrantDesk, GrantInvalid
from hansa_control.application.lawbook import LawBook, LawDesk
from hansa_control.application.ports import HoldRequest, RefusalError, Table
from hansa_control.domain.grants import signed_bytes, terms_of
from hansa_control.domain.model import (
    Federation,
    FederationState,
    HoldGrant,
    ResidencyPolicy,
    SiteRule,
    Workload,
    ZoneId,
)
from hansa_control.domain.seals import Seal
from hansa_sim.seals import DigestSeals
from home_stage import HOME, OTHER, OWNER, OwnerByScript, Stage, home_stage, spec
from own_zones import OPERATOR, PARTNER, granted, with_oslo
from test_law_negative_cases import Laws

NORWAY = ResidencyPolicy(site=SiteRule(frozenset({"NO"})))


def signs(stage: Stage, owner: OwnerByScript, name: str = "") -> None:
    """The owner signs what it grants, under its own name or another one."""
    hold = owner.hold

    async def sealed(request: HoldRequest) -> object:
        grant = await hold(request)
        assert isinstance(grant, HoldGrant)
        asked = stage.plane.grants.asked(ZoneId(owner.operator, request.zone), request, f"context-{owner.operator}")
        terms = terms_of(asked, grant, request.spec.residency, stage.clock.wall_ms())
        return replace(grant, seal=Seal(terms, DigestSeals(name or owner.operator).sign(signed_bytes(terms))))

    owner.hold = sealed  # type: ignore[assignment,method-assign]


async def checking_stage(**changes: int) -> Stage:
    """A home operator that checks grants, and two partners that sign them; both offer a zone."""
    stage = await home_stage(**changes)
    stage.plane.grants._seals = DigestSeals(HOME)
    for owner, zone in ((OWNER, "oslo-9"), (OTHER, "oslo-5")):
        await stage.offer(owner, zone)
    return stage


async def test_a_partner_whose_grant_does_not_verify_loses_the_workload_to_the_next() -> None:
    stage = await checking_stage()
    first, second = sorted(stage.owners)
    signs(stage, stage.owners[first], name="another")
    signs(stage, stage.owners[second])
    await stage.submit()
    await stage.look()
    assert [line.split("/")[0] for line in stage.placed] == [second]
    assert stage.owners[first].taken == set()
    assert "GRANT_INVALID" in stage.event("HoldFailed")
    assert [grant.seal.terms.owner for grant in stage.plane.state.grants.values()] == [second]


async def test_what_may_be_held_under_a_bad_grant_is_given_back_later_if_it_cannot_be_now() -> None:
    stage = await checking_stage(choices_tried_max=1)
    first = stage.owners[sorted(stage.owners)[0]]
    first.silent = {"release"}
    await stage.submit()
    await stage.look()
    assert [line.split()[1] for line in stage.placed] == ["RELEASING"]
    first.silent = set()
    await stage.look()
    assert first.taken == set()


async def test_a_grant_under_which_something_runs_is_kept_however_many_come_after_it() -> None:
    stage = await checking_stage(grants_kept_max=2)
    for owner in stage.owners.values():
        signs(stage, owner)
    await stage.submit()
    await stage.look()
    (running,) = stage.plane.state.grants
    for number in range(4):
        await _taken_in(stage, stage.workload, f"gone-{number}")
    assert set(stage.plane.state.grants) == {running, "gone-3"}


async def _taken_in(stage: Stage, workload: Workload, claim: str) -> None:
    desk: GrantDesk = stage.plane.grants
    request = HoldRequest(claim, "oslo-9", spec(), 5_000)
    asked = desk.asked(ZoneId(OWNER, "oslo-9"), request, "ctx")
    grant = HoldGrant(claim, 1, 5_000, "")
    terms = terms_of(asked, grant, spec().residency, stage.clock.wall_ms())
    desk.take_in(workload, asked, replace(grant, seal=Seal(terms, DigestSeals(OWNER).sign(signed_bytes(terms)))))


async def test_grants_survive_a_restart_in_the_order_in_which_they_were_verified() -> None:
    stage = await checking_stage()
    for owner in stage.owners.values():
        signs(stage, owner)
    await stage.submit()
    await stage.look()
    await _taken_in(stage, stage.workload, "z-first")
    stage.clock.now_ms += 1
    await _taken_in(stage, stage.workload, "a-second")
    await stage.plane.state.commit()
    again = await stage.restart()
    assert list(again.plane.state.grants)[-1] == "a-second"  # and not "z-first", whose name comes after it


async def test_an_unsigned_grant_is_refused_as_soon_as_grants_are_checked() -> None:
    stage = await checking_stage()
    desk = stage.plane.grants
    await stage.submit()
    asked = desk.asked(ZoneId(OWNER, "oslo-9"), HoldRequest("c1", "oslo-9", spec(), 5_000), "ctx")
    with pytest.raises(GrantInvalid, match="not signed"):
        desk.take_in(stage.workload, asked, HoldGrant("c1", 1, 5_000, ""))


# --- the owner's side ---


async def test_a_hold_that_is_asked_for_again_is_signed_with_the_law_of_its_time_and_the_lease_that_is_left() -> None:
    operator = await with_oslo()
    owner, laws = operator.plane.owner, Laws(LawBook(owner=NORWAY))
    owner.seals, owner._laws = DigestSeals(OPERATOR), LawDesk(laws, operator.clock)
    federation = Federation(PARTNER, OPERATOR, "ctx", FederationState.ACTIVE, 6_000)
    operator.plane.state.put(Table.FEDERATION, f"{PARTNER}>{OPERATOR}", federation)
    with pytest.raises(AssertionError):
        granted(await operator.hold())  # there is no fact yet that the site is in Norway
    laws.on_the_books = LawBook()
    first = granted(await operator.hold())
    laws.on_the_books = LawBook(owner=NORWAY)
    operator.clock.now_ms += 1_000
    again = granted(await operator.hold())
    assert first.seal is not None and again.seal is not None
    assert again.seal.terms.policy_applied_digest == first.seal.terms.policy_applied_digest
    assert again.seal.policy_applied is None
    assert (first.seal.terms.lease_ms, again.seal.terms.lease_ms) == (5_000, 4_000)
    assert again.seal.terms.granted_at_ms == first.seal.terms.granted_at_ms + 1_000
    with pytest.raises(RefusalError, match="other requirements"):
        await operator.hold(cpu_millis=1)
