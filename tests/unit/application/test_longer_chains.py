"""A zone that goes through the hands of two operators: blueridge owns it, waldnetz and skargard pass it on."""

from __future__ import annotations

from dataclasses import replace

import three_operators as stage
from hansa_control.application.ports import HoldRequest, Refused, StoredAdvert
from hansa_control.domain.agreement import Agreement, Reoffer, Stance
from hansa_control.domain.grants import claim_behind
from hansa_control.domain.model import (
    AccessDemand,
    Capacity,
    ClaimState,
    HoldGrant,
    Inventory,
    Manifest,
    Reason,
    ResidencyPolicy,
    ZoneId,
)
from hansa_control.domain.model import LegalRule as Control
from home_operator import ARTEFACT, HandClock, spec
from three_operators import BETWEEN, HOME, OWNER, YARD, Side, control, hand_over, node

FAR, ZONE, ALIAS = "blueridge", "reno-1", "blueridge--reno-1"
MANIFEST = Manifest(str(YARD), b"ca", ("spiffe://harbour/app",))
stage.NETWORKS[FAR] = ((node("reno", "DE", 50.0, 8.0),), (stage.link("reno", "berlin", FAR),))


class Four:
    """All four, each with its partner behind, and the clock that they share."""

    def __init__(self) -> None:
        clock = HandClock()
        let_on = Reoffer(("*",), (HOME, BETWEEN, OWNER))
        far = Agreement(reoffer=let_on)
        owner = Agreement(reoffer=let_on, passes_on=("blueridge/*",))
        between = Agreement(passes_on=("blueridge/*", "waldnetz/*"))
        self.clock = clock
        self.sides = {
            FAR: Side(FAR, "", clock, (OWNER, BETWEEN), agreements=_with(OWNER, far)),
            OWNER: Side(OWNER, FAR, clock, (BETWEEN,), control("DE"), _with(BETWEEN, owner)),
            BETWEEN: Side(BETWEEN, OWNER, clock, (HOME, FAR), control("SE"), _with(HOME, between)),
            HOME: Side(HOME, BETWEEN, clock, (OWNER, FAR)),
        }

    async def start(self) -> Four:
        for side in self.sides.values():
            await side.start()
        for side in self.sides.values():
            if side.partner:
                side.way.side = self.sides[side.partner]
                answered = await side.way.side.plane.partners.propose(side.name, self.clock.wall_ms())
                await side.plane.partners.federated(answered)
        agents = self.sides[FAR].plane.agents
        agents.welcome(ZONE, "boot-1", self.clock.wall_ms())
        agents.heard(ZONE)
        plain = Inventory("reno", "", Capacity(16_000, 65_536), (), (ARTEFACT,), "", 100, "file", cordoned=False)
        told = [StoredAdvert(ZONE, "inventory", "e1", plain)]
        told += [StoredAdvert(ZONE, f"facts/{x.kind.value}/0", "e1", x) for x in control("DE")]
        assert await agents.adverts(ZONE, told, []) == ()
        assert await self.spread() == {}
        return self

    async def spread(self) -> dict[str, str]:
        refused: dict[str, str] = {}
        for side in self.sides.values():
            if side.partner:
                refused |= await hand_over(self.sides[side.partner], side)
        return refused

    async def follow(self) -> None:
        for _ in range(2):
            await self.spread()
            for side in self.sides.values():
                for key in list(side.plane.state.relays):
                    await side.plane.relays.look(key)
        await self.spread()

    def claims(self) -> list[list[ClaimState]]:
        """Of home at skargard, of skargard at waldnetz, of waldnetz at blueridge."""
        pairs = ((BETWEEN, HOME), (OWNER, BETWEEN), (FAR, OWNER))
        found = (self.sides[owner].plane.world.claims_of(home) for owner, home in pairs)
        return [[one.state for one in held.values()] for held in found]


def _with(home: str, agreement: Agreement) -> stage.Agreements:
    return stage.Agreements({home: Stance(agreement)})


def request(**changes: object) -> HoldRequest:
    asked = replace(spec(), access=(AccessDemand("reno", 1_000),), **changes)  # type: ignore[arg-type]
    return HoldRequest("c1", ALIAS, asked, 10_000)


async def test_a_zone_through_two_hands_is_seen_with_both_and_judged_by_both() -> None:
    four = await Four().start()
    zone = four.sides[HOME].plane.world.partner_zone(ZoneId(BETWEEN, ALIAS))
    assert [one.operator for one in zone.handlers] == [OWNER, BETWEEN]
    asked = request(residency=ResidencyPolicy(legal=Control(frozenset({"DE"}))))
    outcome = await four.sides[BETWEEN].plane.owner.hold(HOME, asked)
    assert isinstance(outcome, Refused)
    assert {one.reason for one in outcome.rejections} == {Reason.LEGAL_CONTROL_DENIED}
    assert all(one.result.measured.startswith(f"{BETWEEN}, ") for one in outcome.rejections)


async def test_a_claim_through_two_hands_rests_on_two_grants_and_goes_with_both() -> None:
    four = await Four().start()
    home, between = four.sides[HOME].plane, four.sides[BETWEEN].plane
    asked = request()
    grant = await between.owner.hold(HOME, asked)
    assert isinstance(grant, HoldGrant)
    context = home.partners.context(BETWEEN)
    assert context is not None
    zone = ZoneId(BETWEEN, ALIAS)
    told = home.grants.asked(zone, asked, context.context_id)
    seals = home.grants.verify(told, grant, home.world.origin_of(zone))
    assert [one.terms.owner for one in seals] == [OWNER, FAR]
    assert seals[1].terms.claim == claim_behind(BETWEEN, claim_behind(HOME, "c1"))
    await between.owner.confirm(HOME, "c1", grant.fencing_token, MANIFEST)
    assert four.claims() == [[ClaimState.ALLOCATED]] * 3
    await between.owner.release(HOME, "c1", Reason.WORKLOAD_DELETED)
    await four.follow()
    four.sides[FAR].plane.owner.on_orders_held(ZONE, [])
    await four.follow()
    assert four.claims() == [[], [], []]


async def test_a_fourth_operator_in_the_chain_is_one_too_many() -> None:
    four = await Four().start()
    home = four.sides[HOME]
    home.agreements.agreed["havnby"] = Stance(Agreement(passes_on=("*/*",)))
    await home.start()
    await home.plane.partners.propose("havnby", four.clock.wall_ms())
    shown = home.plane.partners.offers("havnby")
    assert [name for name in shown if "reno" in name] == []
