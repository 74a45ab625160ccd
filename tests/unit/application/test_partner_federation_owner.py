"""Federation as the owner sees it: to whom it grants a context, and what it shows to whom."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.control_plane import ControlPlane, Surroundings
from hansa_control.application.ports import HoldRequest, Put, RefusalError, StoredAdvert, Table
from hansa_control.application.settings import Settings
from hansa_control.domain.model import (
    ClaimState,
    ClaimStatus,
    Federation,
    FederationState,
    HoldGrant,
    Manifest,
    Reason,
    Zone,
)
from home_operator import HOME, CountedIds, HandClock, spec
from home_stage import NODES, OTHER, inventory

ME, ZONE = "skargard", "oslo-9"


class OwnerSide:
    """An operator with one zone and two partners, nordavind and havnby, that may use it."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.clock, self.store = HandClock(), store or MemoryStore()
        settings = Settings(ME, endpoint_ca_pem=b"ca", partners=frozenset({HOME, OTHER}))
        self.plane = ControlPlane(settings, (NODES, ()), Surroundings(self.store, self.clock, CountedIds(), {}))

    async def start(self) -> OwnerSide:
        await self.plane.start()
        self.plane.agents.welcome(ZONE, "boot-1", self.clock.wall_ms())
        self.plane.agents.heard(ZONE)
        await self.plane.agents.adverts(ZONE, [StoredAdvert(ZONE, "inventory", "e1", inventory())], [])
        return self

    async def propose(self, home: str = HOME, skew_ms: int = 0) -> Federation:
        return await self.plane.partners.propose(home, self.clock.wall_ms() + skew_ms)

    async def claim(self, home: str, name: str) -> None:
        grant = await self.plane.owner.hold(home, HoldRequest(name, ZONE, spec(), 5_000))
        assert isinstance(grant, HoldGrant)
        await self.plane.owner.confirm(home, name, grant.fencing_token, Manifest("w", b"", ()))


async def terminated() -> tuple[OwnerSide, str]:
    """A federation that has come to its end, as the store has it, and its context."""
    store = MemoryStore()
    federation = Federation(HOME, ME, "context-0", FederationState.TERMINATED, 6_000)
    await store.commit([Put(Table.FEDERATION, f"{HOME}>{ME}", federation)])
    return await OwnerSide(store).start(), federation.context_id


# --- proposing ---


async def test_an_accepted_proposal_says_how_long_offers_live_and_whom_endpoints_trust() -> None:
    side = await OwnerSide().start()
    federation = await side.propose()
    assert (federation.home, federation.owner, federation.state) == (HOME, ME, FederationState.ACTIVE)
    assert federation.offer_ttl_ms == side.plane.settings.offer_ttl_ms
    assert federation.endpoint_ca_pem == b"ca"


async def test_each_partner_has_a_context_of_its_own() -> None:
    side = await OwnerSide().start()
    assert (await side.propose(HOME)).context_id != (await side.propose(OTHER)).context_id


async def test_a_stranger_leaves_no_trace() -> None:
    side = await OwnerSide().start()
    with pytest.raises(RefusalError):
        await side.propose("stranger")
    assert side.plane.state.federations == {}


@pytest.mark.parametrize("sign", [-1, 1])
async def test_clocks_may_differ_by_the_limit_and_no_more(sign: int) -> None:
    side = await OwnerSide().start()
    limit_ms = side.plane.settings.clock_skew_ms_max
    assert (await side.propose(skew_ms=sign * limit_ms)).state is FederationState.ACTIVE
    with pytest.raises(RefusalError) as refusal:
        await side.propose(skew_ms=sign * (limit_ms + 1))
    assert refusal.value.reason is Reason.CLOCK_SKEW


async def test_a_terminated_context_is_not_in_force_and_a_new_proposal_gets_another() -> None:
    side, context_id = await terminated()
    with pytest.raises(RefusalError) as refusal:
        side.plane.partners.check_context(HOME, context_id)
    assert refusal.value.reason is Reason.FEDERATION_INACTIVE
    renewed = await side.propose()
    assert renewed.context_id != context_id
    side.plane.partners.check_context(HOME, renewed.context_id)
    with pytest.raises(RefusalError):
        side.plane.partners.check_context(HOME, context_id)


# --- what an owner shows ---


async def test_each_partner_is_shown_its_own_claims_only() -> None:
    side = await OwnerSide().start()
    await side.claim(HOME, "c1")
    await side.claim(OTHER, "c2")
    claims = {home: [n for n in side.plane.partners.offers(home) if n[:6] == "claims"] for home in (HOME, OTHER)}
    assert claims == {HOME: ["claims/c1"], OTHER: ["claims/c2"]}


async def test_two_partners_claims_of_the_same_name_are_two() -> None:
    side = await OwnerSide().start()
    await side.claim(HOME, "c1")
    await side.claim(OTHER, "c1")
    mine, theirs = (side.plane.partners.offers(home)["claims/c1"] for home in (HOME, OTHER))
    assert isinstance(mine, ClaimStatus)
    assert isinstance(theirs, ClaimStatus)
    assert mine.fencing_token != theirs.fencing_token


async def test_a_hold_is_not_shown_but_the_capacity_that_it_takes_is() -> None:
    side = await OwnerSide().start()
    await side.plane.owner.hold(HOME, HoldRequest("c1", ZONE, spec(4_000), 5_000))
    offers = side.plane.partners.offers(HOME)
    zone = offers[f"zones/{ZONE}"]
    assert isinstance(zone, Zone)
    assert zone.free.cpu_millis == 12_000
    assert "claims/c1" not in offers


async def test_a_claim_is_shown_until_its_instances_have_stopped() -> None:
    side = await OwnerSide().start()
    await side.claim(HOME, "c1")
    await side.plane.owner.release(HOME, "c1", Reason.WORKLOAD_MOVED)
    shown = side.plane.partners.offers(HOME)["claims/c1"]
    assert isinstance(shown, ClaimStatus)
    assert shown.state is ClaimState.RELEASING
    side.plane.agents.order_acked(ZONE, set())
    assert "claims/c1" not in side.plane.partners.offers(HOME)


async def test_only_what_has_changed_is_looked_at_again() -> None:
    side = await OwnerSide().start()
    partners = side.plane.partners
    await side.claim(HOME, "c1")
    partners.offers(HOME)
    version, names = partners.offers_changed(HOME, -1)
    assert names is None, "who has never looked is told to look at everything"
    await side.claim(HOME, "c2")
    partners.offers(HOME)
    seen, names = partners.offers_changed(HOME, version)
    assert sorted(names or ()) == ["claims/c2", f"zones/{ZONE}"]
    await side.claim(OTHER, "c3")
    partners.offers(HOME)
    seen, names = partners.offers_changed(HOME, seen)
    assert names == [f"zones/{ZONE}"], "of another's claim only the room shows that it takes"
    await side.plane.owner.release(HOME, "c1", Reason.WORKLOAD_MOVED)
    side.plane.agents.order_acked(ZONE, set())
    assert "claims/c1" not in partners.offers(HOME)
    assert "claims/c1" in (partners.offers_changed(HOME, seen)[1] or ())


async def test_whoever_follows_offers_is_woken_by_a_claim_and_by_a_zone() -> None:
    side = await OwnerSide().start()
    signal = side.plane.partners.offers_signal
    versions = [signal.version]
    await side.claim(HOME, "c1")
    versions.append(signal.version)
    await side.plane.agents.adverts(
        ZONE, [StoredAdvert(ZONE, "inventory", "e2", replace(inventory(), cordoned=True))], []
    )
    versions.append(signal.version)
    assert versions == sorted(set(versions))
