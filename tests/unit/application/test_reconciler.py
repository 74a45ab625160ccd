"""Keeping workloads placed: every way in which an owner, a zone or the law lets one down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hansa_control.application.control_plane import ControlPlane
from hansa_control.application.ports import HoldRequest, OwnerUnreachable, RefusalError, Refused, StoredOffer
from hansa_control.domain.model import (
    ClaimState,
    ClaimStatus,
    ConditionStatus,
    ConstraintResult,
    FactKind,
    HoldGrant,
    Manifest,
    OnChange,
    PlacementState,
    Reason,
    Rejection,
    ResidencyPolicy,
    SiteRule,
    Workload,
    WorkloadSpec,
    WorkloadState,
    Zone,
    ZoneId,
)
from home_operator import OWNER, YARD, HandOwner, home_operator, offered_zone, spec
from owner_operator import fact

KEY = str(YARD)
NEAR, FAR = ZoneId(OWNER, "oslo-9"), ZoneId(OWNER, "oslo-8")
LAWFUL = (fact(FactKind.SITE_COUNTRY, "NO"),)
EXPIRED = (fact(FactKind.SITE_COUNTRY, "NO", valid_until_ms=1_800_000_000_000),)


def lawful_spec(on_change: OnChange = OnChange.DRAIN) -> WorkloadSpec:
    return replace(spec(), residency=ResidencyPolicy(site=SiteRule(frozenset({"NO"})), on_change=on_change))


@dataclass
class PlayedOwner:
    """Grants, unless the test says otherwise for a zone; keeps what it was asked."""

    refusing: set[str] = field(default_factory=set)
    unreachable: bool = False
    fencing: bool = False
    held: list[HoldRequest] = field(default_factory=list)
    released: list[str] = field(default_factory=list)

    async def hold(self, request: HoldRequest) -> HoldGrant | Refused:
        self.held.append(request)
        if self.unreachable:
            raise OwnerUnreachable("no answer")
        if request.zone in self.refusing:
            result = ConstraintResult("CpuCapacity", "0 free", ">= 1", "ledger")
            return Refused((Rejection(ZoneId(OWNER, request.zone), Reason.CPU_EXHAUSTED, result),))
        return HoldGrant(request.claim, len(self.held), request.lease_ms, "")

    async def confirm(self, claim: str, fencing_token: int, manifest: Manifest) -> ClaimStatus:
        if self.fencing:
            raise RefusalError(Reason.HOLD_EXPIRED, "too late")
        return ClaimStatus(claim, ClaimState.ALLOCATED, 0, (), "", fencing_token)

    async def release(self, claim: str, reason: Reason) -> ClaimStatus:
        if self.unreachable:
            raise OwnerUnreachable("no answer")
        self.released.append(claim)
        return ClaimStatus(claim, ClaimState.RELEASED, 0, (), "", 0)


@dataclass
class Home:
    """A home operator that sees two zones of a partner; the nearer in price comes first."""

    plane: ControlPlane
    owner: PlayedOwner

    async def look(self) -> Workload:
        await self.plane.reconciler.look(KEY)
        return self.plane.queries.workload(YARD)

    async def offer(self, change: Callable[[Zone], Zone], *zones: ZoneId) -> None:
        """The partner offers zones anew, changed."""
        offers = []
        for zone in zones or (NEAR, FAR):
            price = 100 if zone == NEAR else 900
            inventory = replace(offered_zone().inventory, price_millieur_per_hour=price)
            body = change(replace(offered_zone(), id=zone, inventory=inventory, facts=LAWFUL))
            offers.append(StoredOffer(OWNER, f"zones/{zone.zone}", "e", body))
        assert await self.plane.partners.offered(OWNER, offers, []) == ()

    async def tell(self, claim: str, state: ClaimState, url: str = "") -> None:
        """The partner tells the state of a claim."""
        urls = (url,) if url else ()
        status = ClaimStatus(claim, state, len(urls), urls, "told", 1)
        await self.plane.partners.offered(OWNER, [StoredOffer(OWNER, f"claims/{claim}", "e", status)], [])

    async def running(self) -> str:
        """Places the workload and lets it answer; the name of its claim."""
        claim = (await self.look()).placements[-1].claim
        await self.tell(claim, ClaimState.SERVING, f"https://{claim}.example:1")
        assert (await self.look()).state is WorkloadState.RUNNING
        return claim

    def pass_ms(self, duration_ms: int) -> None:
        self.plane._clock.now_ms += duration_ms  # type: ignore[attr-defined]


async def home(asked: WorkloadSpec | None = None) -> Home:
    owner = PlayedOwner()
    side = Home(await home_operator(owner), owner)  # type: ignore[arg-type]
    await side.offer(lambda zone: zone)
    await side.plane.workloads.submit("spiffe://harbour/app", "r1", YARD, asked or spec(), "d1")
    return side


def places(workload: Workload) -> list[tuple[ZoneId, PlacementState]]:
    return [(placement.zone, placement.state) for placement in workload.placements]


def condition(workload: Workload, kind: str) -> ConditionStatus | None:
    return next((c.status for c in workload.conditions if c.type == kind), None)


# --- placing --------------------------------------------------------------------------------------------------------


async def test_the_best_choice_is_held_confirmed_and_starting() -> None:
    side = await home()
    workload = await side.look()
    assert places(workload) == [(NEAR, PlacementState.STARTING)]
    assert workload.state is WorkloadState.STARTING


async def test_a_refused_hold_tries_the_next_choice() -> None:
    side = await home()
    side.owner.refusing = {NEAR.zone}
    assert places(await side.look()) == [(FAR, PlacementState.STARTING)]
    kept = side.plane.state.recent_decisions[KEY].decision
    assert (NEAR, Reason.CPU_EXHAUSTED) in [(r.zone, r.reason) for r in kept.rejections]
    assert side.owner.released == []


async def test_when_every_owner_refuses_a_workload_is_unplaceable_until_something_changes() -> None:
    side = await home()
    side.owner.refusing = {NEAR.zone, FAR.zone}
    assert (await side.look()).state is WorkloadState.UNPLACEABLE
    side.owner.refusing = set()
    assert (await side.look()).state is WorkloadState.STARTING


async def test_an_unreachable_partner_is_asked_to_release_what_it_may_have_held() -> None:
    side = await home()
    side.owner.unreachable = True
    workload = await side.look()
    assert {state for _, state in places(workload)} == {PlacementState.RELEASING}
    claims = [request.claim for request in side.owner.held]
    side.owner.unreachable = False
    await side.look()
    assert side.owner.released == claims


async def test_a_hold_that_expired_before_it_was_confirmed_is_given_up() -> None:
    side = await home()
    side.owner.fencing = True
    workload = await side.look()
    assert workload.state is WorkloadState.UNPLACEABLE
    assert sorted(side.owner.released) == sorted(request.claim for request in side.owner.held)
    assert workload.placements == ()


async def test_each_attempt_has_a_claim_of_its_own() -> None:
    side = await home()
    side.owner.refusing = {NEAR.zone, FAR.zone}
    for _ in range(3):
        await side.look()
    claims = [request.claim for request in side.owner.held]
    assert len(set(claims)) == len(claims) == 6


async def test_a_look_at_what_is_not_there_does_nothing() -> None:
    side = await home()
    await side.plane.reconciler.look("tenants/nobody/workloads/none")
    assert side.owner.held == []


# --- answering and failing ------------------------------------------------------------------------------------------


async def test_a_claim_that_serves_makes_the_workload_run_and_its_endpoint_known() -> None:
    side = await home()
    claim = await side.running()
    assert side.plane.queries.endpoint(YARD).urls == (f"https://{claim}.example:1",)


async def test_a_failed_instance_pauses_its_zone_for_this_workload() -> None:
    side = await home()
    claim = (await side.look()).placements[0].claim
    await side.tell(claim, ClaimState.FAILED)
    workload = await side.look()
    assert places(workload) == [(FAR, PlacementState.STARTING)]
    assert side.owner.released == [claim]
    await side.tell(workload.placements[0].claim, ClaimState.FAILED)
    assert (await side.look()).state is WorkloadState.UNPLACEABLE
    side.pass_ms(side.plane.settings.failed_zone_pause_ms)
    side.plane.reconciler.tick()
    assert places(await side.look()) == [(NEAR, PlacementState.STARTING)]


async def test_a_lost_zone_is_left_once_another_answers() -> None:
    side = await home()
    claim = await side.running()
    await side.tell(claim, ClaimState.LOST)
    await side.offer(lambda zone: replace(zone, free=replace(zone.free, cpu_millis=0)), NEAR)
    moving = await side.look()
    assert places(moving) == [(NEAR, PlacementState.LOST), (FAR, PlacementState.STARTING)]
    assert side.owner.released == []
    await side.tell(moving.placements[1].claim, ClaimState.SERVING, "https://localhost:18000")
    assert places(await side.look()) == [(FAR, PlacementState.READY)]
    assert side.owner.released == [claim]


async def test_a_lost_zone_that_comes_back_before_another_fits_goes_on() -> None:
    side = await home()
    claim = await side.running()
    await side.tell(claim, ClaimState.LOST)
    await side.offer(lambda zone: replace(zone, free=replace(zone.free, cpu_millis=0)))
    workload = await side.look()
    assert (workload.state, condition(workload, "Stranded")) == (WorkloadState.UNPLACEABLE, ConditionStatus.TRUE)
    await side.tell(claim, ClaimState.SERVING, "https://back.example:1")
    workload = await side.look()
    assert workload.state is WorkloadState.RUNNING
    assert condition(workload, "Stranded") is ConditionStatus.FALSE
    assert condition(workload, "Placed") is ConditionStatus.TRUE
    assert side.owner.released == []


async def test_a_claim_that_its_owner_no_longer_knows_is_placed_anew() -> None:
    side = await home()
    claim = await side.running()
    await side.plane.partners.offered(OWNER, [], [f"claims/{claim}"])
    workload = await side.look()
    assert [placement.claim == claim for placement in workload.placements] == [False]


# --- law ------------------------------------------------------------------------------------------------------------


def lapsed(zone: Zone) -> Zone:
    return replace(zone, facts=EXPIRED)


async def test_an_expired_fact_drains_to_a_lawful_zone_and_the_old_one_stops_last() -> None:
    side = await home(lawful_spec())
    old = await side.running()
    await side.offer(lapsed, NEAR)
    workload = await side.look()
    assert places(workload) == [(NEAR, PlacementState.READY), (FAR, PlacementState.STARTING)]
    assert side.plane.queries.endpoint(YARD).claim == old
    new = workload.placements[1].claim
    await side.tell(new, ClaimState.SERVING, "https://new.example:1")
    assert places(await side.look()) == [(FAR, PlacementState.READY)]
    assert side.plane.queries.endpoint(YARD).claim == new
    assert side.owner.released == [old]


async def test_a_zone_that_is_lost_while_it_drains_is_given_up_once_the_new_one_answers() -> None:
    side = await home(lawful_spec())
    old = await side.running()
    await side.offer(lapsed, NEAR)
    new = (await side.look()).placements[1].claim
    await side.tell(old, ClaimState.LOST)
    assert places(await side.look()) == [(NEAR, PlacementState.LOST), (FAR, PlacementState.STARTING)]
    await side.tell(new, ClaimState.SERVING, "https://new.example:1")
    assert places(await side.look()) == [(FAR, PlacementState.READY)]
    assert side.owner.released == [old]


async def test_an_expired_fact_everywhere_strands_a_draining_workload_where_it_is() -> None:
    side = await home(lawful_spec())
    await side.running()
    await side.offer(lapsed)
    workload = await side.look()
    assert places(workload) == [(NEAR, PlacementState.READY)]
    assert condition(workload, "Lawful") is ConditionStatus.FALSE
    assert condition(workload, "Stranded") is ConditionStatus.TRUE
    await side.offer(lambda zone: zone)
    workload = await side.look()
    assert condition(workload, "Lawful") is ConditionStatus.TRUE
    assert condition(workload, "Stranded") is ConditionStatus.FALSE


async def test_an_expired_fact_terminates_if_the_policy_says_so() -> None:
    side = await home(lawful_spec(OnChange.TERMINATE))
    claim = await side.running()
    await side.offer(lapsed)
    workload = await side.look()
    assert (workload.state, workload.placements) == (WorkloadState.UNPLACEABLE, ())
    assert side.owner.released == [claim]
    with pytest.raises(RefusalError) as refused:
        side.plane.queries.endpoint(YARD)
    assert refused.value.reason is Reason.NO_FEASIBLE_ZONE


async def test_an_expired_fact_is_kept_and_told_if_the_policy_says_so() -> None:
    side = await home(lawful_spec(OnChange.KEEP_AND_ALERT))
    await side.running()
    await side.offer(lapsed, NEAR)
    workload = await side.look()
    assert places(workload) == [(NEAR, PlacementState.READY)]
    assert condition(workload, "Lawful") is ConditionStatus.FALSE
    await side.look()
    told = [event.reason for event in side.plane.queries.events(YARD, 0)]
    assert told.count("PolicyBroken") == 1


async def test_a_stricter_law_in_a_new_spec_terminates_even_if_nothing_else_fits() -> None:
    side = await home(lawful_spec(OnChange.TERMINATE))
    claim = await side.running()
    stricter = replace(
        lawful_spec(), residency=ResidencyPolicy(SiteRule(frozenset({"SE"})), on_change=OnChange.TERMINATE)
    )
    await side.plane.workloads.submit("spiffe://harbour/app", "r2", YARD, stricter, "d2")
    workload = await side.look()
    assert (workload.state, workload.placements) == (WorkloadState.UNPLACEABLE, ())
    assert side.owner.released == [claim]


# --- deleting and time ----------------------------------------------------------------------------------------------


async def test_a_deleted_workload_is_gone_when_its_owner_has_taken_note() -> None:
    side = await home()
    claim = await side.running()
    await side.plane.workloads.delete("team", "r2", YARD, "", "d2")
    side.owner.unreachable = True
    assert (await side.look()).state is WorkloadState.DELETING
    side.owner.unreachable = False
    await side.plane.reconciler.look(KEY)
    assert KEY not in side.plane.state.workloads
    assert side.owner.released == [claim]


async def test_retries_grow_apart_and_are_woken_by_time() -> None:
    side = await home()
    side.owner.refusing = {NEAR.zone, FAR.zone}
    delays = []
    for _ in range(8):
        await side.look()
        delays.append(side.plane.reconciler._wakes._retry_at_ms[KEY] - side.plane._clock.monotonic_ms())
    assert delays == sorted(delays)
    assert delays[0] <= side.plane.settings.retry_ms_min
    assert delays[-1] <= side.plane.settings.retry_ms_max


async def test_what_every_change_adds_is_a_new_revision() -> None:
    side = await home()
    revisions = [side.plane.queries.workload(YARD).revision, (await side.look()).revision]
    await side.tell((await side.look()).placements[0].claim, ClaimState.SERVING, "https://x.example:1")
    revisions.append((await side.look()).revision)
    assert revisions == sorted(set(revisions))
    assert (await side.look()).revision == revisions[-1]


async def test_after_a_restart_a_running_workload_is_left_alone() -> None:
    side = await home()
    claim = await side.running()
    again = await home_operator(HandOwner(), side.plane._store.reopen())  # type: ignore[attr-defined]
    await again.reconciler.look(KEY)
    workload = again.queries.workload(YARD)
    assert [(p.claim, p.state) for p in workload.placements] == [(claim, PlacementState.READY)]
