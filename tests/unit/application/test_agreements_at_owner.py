"""An agreement as the owner keeps it: what it grants under it, how it ends, and what a restart finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.control_plane import ControlPlane, Surroundings
from hansa_control.application.ports import HoldRequest, RefusalError, Refused, StoredAdvert
from hansa_control.application.settings import Settings
from hansa_control.domain.agreement import (
    Agreement,
    AgreementState,
    Amounts,
    NetworkShown,
    PriceList,
    Quota,
    Stance,
    Standing,
    Terms,
    Wish,
)
from hansa_control.domain.agreement_life import AgreementEvent
from hansa_control.domain.model import (
    AcceleratorPool,
    ClaimState,
    Federation,
    HoldGrant,
    Manifest,
    Reason,
    WorkloadSpec,
    Zone,
)
from home_operator import HOME, CountedIds, HandClock, spec
from home_stage import NODES, OTHER, inventory

ME, ZONE = "skargard", "oslo-9"
S, E = AgreementState, AgreementEvent
NOTICE_MS = 60_000
HOUR_NOTICE = Agreement(terms=Terms(notice_ms=NOTICE_MS))


@dataclass
class File:
    """What the operator has written, by partner."""

    written: dict[str, Stance] = field(default_factory=lambda: {HOME: Stance(HOUR_NOTICE)})

    def stances(self, now_ms: int) -> Mapping[str, Stance]:
        return self.written

    def write(self, agreement: Agreement = HOUR_NOTICE, wish: Wish = Wish.IN_FORCE) -> None:
        self.written = {HOME: Stance(agreement, wish)}


@dataclass
class OwnerStage:
    """The owner as it runs now, with its file, its clock and its store."""

    file: File = field(default_factory=File)
    clock: HandClock = field(default_factory=HandClock)
    store: MemoryStore = field(default_factory=MemoryStore)
    events: list[AgreementEvent] = field(default_factory=list)

    async def start(self) -> OwnerStage:
        settings = Settings(ME, endpoint_ca_pem=b"ca", partners=frozenset({HOME, OTHER}))
        surroundings = Surroundings(self.store, self.clock, CountedIds(), {}, agreements=self.file)
        self.plane = ControlPlane(settings, (NODES, ()), surroundings)
        self.plane.agreements.on_event = lambda home, event, standing: self.events.append(event)
        await self.plane.start()
        self.plane.agents.welcome(ZONE, "boot-1", self.clock.wall_ms())
        self.plane.agents.heard(ZONE)
        await self.plane.agents.adverts(ZONE, [StoredAdvert(ZONE, "inventory", "e1", inventory())], [])
        return self

    async def restart(self) -> OwnerStage:
        return await replace(self, store=self.store.reopen(), events=[]).start()

    async def propose(self, home: str = HOME) -> Federation:
        return await self.plane.partners.propose(home, self.clock.wall_ms())

    async def hold(self, claim: str, wanted: WorkloadSpec | None = None, home: str = HOME) -> HoldGrant | Refused:
        return await self.plane.owner.hold(home, HoldRequest(claim, ZONE, wanted or spec(), 5_000))

    async def claim(self, name: str) -> None:
        grant = await self.hold(name)
        assert isinstance(grant, HoldGrant)
        await self.plane.owner.confirm(HOME, name, grant.fencing_token, Manifest("w", b"", ()))

    async def after(self, duration_ms: int) -> None:
        self.clock.now_ms += duration_ms
        self.plane.agreements.tick()
        await self.plane.state.commit()

    @property
    def standing(self) -> Standing:
        standing = self.plane.agreements.standing(HOME)
        assert standing is not None
        return standing

    def claims(self) -> dict[str, ClaimState]:
        return {claim.name: claim.state for claim in self.plane.state.claims.values()}


async def owner(agreement: Agreement = HOUR_NOTICE) -> OwnerStage:
    """An owner whose agreement with nordavind is in force."""
    stage = OwnerStage()
    stage.file.write(agreement)
    await (await stage.start()).propose()
    return stage


def reasons(outcome: HoldGrant | Refused) -> list[Reason]:
    return [one.reason for one in outcome.rejections] if isinstance(outcome, Refused) else []


# --- proposing ---


async def test_a_proposal_is_answered_with_how_the_agreement_stands() -> None:
    stage = await owner()
    federation = await stage.propose()
    assert federation.standing == Standing(S.IN_FORCE, 1, HOUR_NOTICE.digest())
    assert stage.events == [E.AMEND, E.ACCEPT]


async def test_a_partner_with_whom_nothing_is_agreed_has_no_federation() -> None:
    stage = await OwnerStage().start()
    with pytest.raises(RefusalError) as refusal:
        await stage.propose(OTHER)
    assert refusal.value.reason is Reason.FEDERATION_INACTIVE


async def test_a_partner_that_proposes_while_suspended_waits_for_its_acceptance() -> None:
    stage = OwnerStage()
    stage.file.write(wish=Wish.SUSPENDED)
    federation = await (await stage.start()).propose()
    assert federation.standing is not None
    assert federation.standing.state is S.PROPOSED
    stage.file.write()
    await stage.after(0)
    assert stage.standing.state is S.IN_FORCE


# --- holding ---


@pytest.mark.parametrize(
    ("wish", "reason"),
    [(Wish.SUSPENDED, Reason.AGREEMENT_SUSPENDED), (Wish.TERMINATED, Reason.AGREEMENT_ENDING)],
)
async def test_nothing_new_is_granted_unless_in_force(wish: Wish, reason: Reason) -> None:
    stage = await owner()
    await stage.claim("c1")
    stage.file.write(wish=wish)
    await stage.after(0)
    assert reasons(await stage.hold("c2")) == [reason]
    assert stage.claims() == {"c1": ClaimState.ALLOCATED}


async def test_what_was_held_before_may_be_confirmed_and_asked_for_again_while_suspended() -> None:
    stage = await owner()
    grant = await stage.hold("c1")
    assert isinstance(grant, HoldGrant)
    stage.file.write(wish=Wish.SUSPENDED)
    await stage.after(0)
    assert isinstance(await stage.hold("c1"), HoldGrant)
    await stage.plane.owner.confirm(HOME, "c1", grant.fencing_token, Manifest("w", b"", ()))
    assert stage.claims() == {"c1": ClaimState.ALLOCATED}


async def test_this_operators_own_claims_ask_no_agreement() -> None:
    stage = await owner(Agreement(zones=("none",), quotas=(Quota(claims=0),)))
    assert isinstance(await stage.hold("c1", home=ME), HoldGrant)
    assert reasons(await stage.hold("c2")) == [Reason.ZONE_NOT_OFFERED]


async def test_a_quota_names_what_is_taken_asked_and_allowed() -> None:
    stage = await owner(Agreement(quotas=(Quota(most=Amounts(cpu_millis=2_500)),)))
    await stage.claim("c1")
    outcome = await stage.hold("c2", spec(2_000))
    assert isinstance(outcome, Refused)
    (rejection,) = outcome.rejections
    assert rejection.reason is Reason.QUOTA_EXCEEDED
    assert rejection.result.measured == "1000 cpu_millis taken, 2000 asked"
    assert rejection.result.bound == "<= 2500 cpu_millis in *"
    assert isinstance(await stage.hold("c2", spec(1_500)), HoldGrant)


async def test_what_is_given_back_counts_until_it_has_stopped() -> None:
    stage = await owner(Agreement(quotas=(Quota(claims=1),)))
    await stage.claim("c1")
    await stage.plane.owner.release(HOME, "c1", Reason.WORKLOAD_MOVED)
    assert reasons(await stage.hold("c2")) == [Reason.QUOTA_EXCEEDED]
    stage.plane.agents.order_acked(ZONE, set())
    assert isinstance(await stage.hold("c2"), HoldGrant)


async def test_the_agreed_price_is_what_the_owner_judges_and_shows() -> None:
    stage = await owner(Agreement(prices=PriceList("EUR", (("L4", 700),))))
    pools = (AcceleratorPool("nvidia", "L4", 24_000, 2),)
    await stage.plane.agents.adverts(ZONE, [StoredAdvert(ZONE, "inventory", "e2", inventory(pools=pools))], [])
    bounded = replace(spec(), price_millieur_per_hour_max=500)
    assert reasons(await stage.hold("c1", bounded)) == [Reason.PRICE_EXCEEDED]
    shown = stage.plane.partners.offers(HOME)[f"zones/{ZONE}"]
    assert isinstance(shown, Zone)
    assert shown.inventory.price_millieur_per_hour == 700
    assert isinstance(await stage.hold("c1", bounded, home=ME), HoldGrant)


# --- the end ---


async def test_at_the_deadline_what_is_left_is_taken_back() -> None:
    stage = await owner()
    await stage.claim("c1")
    stage.file.write(wish=Wish.TERMINATED)
    await stage.after(0)
    await stage.after(NOTICE_MS - 1)
    assert (stage.standing.state, stage.claims()) == (S.DRAINING, {"c1": ClaimState.ALLOCATED})
    await stage.after(1)
    assert (stage.standing.state, stage.claims()) == (S.TERMINATED, {"c1": ClaimState.RELEASING})
    assert stage.plane.owner.desired_instances(ZONE) == ()


async def test_with_the_last_claim_given_back_it_is_over_before_the_deadline() -> None:
    stage = await owner()
    await stage.claim("c1")
    stage.file.write(wish=Wish.TERMINATED)
    await stage.after(0)
    await stage.plane.owner.release(HOME, "c1", Reason.WORKLOAD_MOVED)
    await stage.after(1)
    assert stage.standing.state is S.DRAINING
    stage.plane.agents.order_acked(ZONE, set())
    await stage.after(1)
    assert stage.standing.state is S.TERMINATED


async def test_the_deadline_survives_a_restart_and_so_does_the_context() -> None:
    stage = await owner()
    await stage.claim("c1")
    context = (await stage.propose()).context_id
    stage.file.write(wish=Wish.TERMINATED)
    await stage.after(0)
    deadline_ms = stage.standing.deadline_ms
    await stage.after(NOTICE_MS // 2)
    again = await stage.restart()
    assert (again.standing.state, again.standing.deadline_ms) == (S.DRAINING, deadline_ms)
    again.plane.partners.check_context(HOME, context)
    await again.after(NOTICE_MS // 2)
    assert again.claims() == {"c1": ClaimState.RELEASING}


async def test_an_edit_that_was_made_while_the_process_was_away_is_not_missed() -> None:
    stage = await owner()
    await stage.claim("c1")
    stage.file.write(replace(HOUR_NOTICE, reference="contract 8"), Wish.SUSPENDED)
    again = await stage.restart()
    assert (again.standing.state, again.standing.version) == (S.SUSPENDED, 2)
    assert again.events == [E.AMEND, E.SUSPEND]


async def test_after_the_end_nothing_is_taken_and_giving_back_is() -> None:
    stage = await owner()
    context = (await stage.propose()).context_id
    stage.file.write(wish=Wish.TERMINATED)
    await stage.after(0)
    await stage.after(1)
    with pytest.raises(RefusalError) as refusal:
        stage.plane.partners.check_context(HOME, context)
    assert refusal.value.reason is Reason.FEDERATION_INACTIVE
    stage.plane.partners.check_context(HOME, context, takes=False)
    with pytest.raises(RefusalError):
        stage.plane.partners.check_context(HOME, "another", takes=False)


async def test_whoever_was_away_learns_of_the_end_when_it_proposes_and_gets_a_new_context_when_agreed_anew() -> None:
    stage = await owner()
    context = (await stage.propose()).context_id
    stage.file.write(wish=Wish.TERMINATED)
    await stage.after(0)
    await stage.after(1)
    over = await stage.propose()
    assert over.standing is not None
    assert (over.context_id, over.standing.state) == (context, S.TERMINATED)
    stage.file.write()
    anew = await stage.propose()
    assert anew.standing is not None
    assert (anew.context_id != context, anew.standing.state) == (True, S.IN_FORCE)


async def test_a_partner_that_is_lost_from_the_file_gets_nothing_new_and_loses_nothing() -> None:
    stage = await owner()
    await stage.claim("c1")
    stage.file.written = {}
    await stage.after(10 * NOTICE_MS)
    assert (stage.standing.state, stage.claims()) == (S.SUSPENDED, {"c1": ClaimState.ALLOCATED})
    assert reasons(await stage.hold("c2")) == [Reason.AGREEMENT_SUSPENDED]


async def test_a_partner_that_is_lost_from_the_file_goes_on_seeing_where_its_claims_run_and_the_network() -> None:
    stage = await owner()
    await stage.claim("c1")
    before = dict(stage.plane.partners.offers(HOME))
    stage.file.written = {}
    await stage.after(10 * NOTICE_MS)
    after = stage.plane.partners.offers(HOME)
    assert after.keys() == before.keys(), "what is withdrawn is unknown to the law of who runs there"
    await stage.plane.owner.release(HOME, "c1", Reason.WORKLOAD_MOVED)
    stage.plane.agents.order_acked(ZONE, set())
    assert {name for name in stage.plane.partners.offers(HOME) if name.startswith("zones/")} == set()


async def test_a_partner_that_does_not_know_virtual_links_is_shown_none_until_it_says_that_it_does() -> None:
    stage = await owner(replace(HOUR_NOTICE, network=NetworkShown.ABSTRACT))
    before = set(stage.plane.partners.offers(HOME))
    await stage.plane.partners.propose(HOME, stage.clock.wall_ms(), ("signed-grants", "of-a-later-release"))
    offered = set(stage.plane.partners.offers(HOME))
    assert before - offered == {name for name in before if name.startswith(("nodes/", "links/"))} != set()
    (using,) = [one for one in stage.plane.partnerships.all() if one.partner == HOME and one.uses_ours]
    assert using.lacks == ("virtual-links",)
    stage = await stage.restart()
    assert set(stage.plane.partners.offers(HOME)) == offered
    await stage.propose()
    assert set(stage.plane.partners.offers(HOME)) == before


async def test_a_partner_that_is_shown_the_network_as_it_is_needs_to_know_no_virtual_links() -> None:
    stage = await owner()
    before = set(stage.plane.partners.offers(HOME))
    await stage.plane.partners.propose(HOME, stage.clock.wall_ms(), ())
    assert set(stage.plane.partners.offers(HOME)) == before


async def test_whoever_follows_offers_is_woken_when_the_standing_changes() -> None:
    stage = await owner()
    before = stage.plane.partners.offers_signal.version
    stage.file.write(wish=Wish.SUSPENDED)
    await stage.after(0)
    assert stage.plane.partners.offers_signal.version > before
