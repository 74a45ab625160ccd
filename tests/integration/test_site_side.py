"""What the site of a partner's zone asks and refuses, over real wires: between agent, owner and home operator."""

from __future__ import annotations

from pathlib import Path

from federated_pair import YARD, Pair, federated, until
from hansa_control.domain.model import Intake, Refusals, Zone, ZoneId, ZoneSide

from hansa.v1.zone_pb2 import SiteRefusals, SiteWish

OURS = f"nordfjord/{YARD.tenant}"


def seen(pair: Pair, zone: str = "fjordby/sto-1") -> Zone:
    """A zone as home is shown it."""
    return next(one for one in pair.plane.queries.zones("", 100) if str(one.id) == zone)


def said(pair: Pair) -> str:
    """What home's journal says of the workload."""
    return " ".join(event.message for event in pair.plane.queries.events(YARD, 0))


async def test_a_partners_site_refuses_a_tenant_without_showing_whom_it_takes(tmp_path: Path) -> None:
    async with federated(tmp_path) as pair:
        (agent,) = pair.agents
        await agent.tell(refusals=SiteRefusals(tenants_denied=[OURS], tenants_allowed=["nordfjord/*"]))
        await until(lambda: seen(pair).inventory.refusals is not None)
        assert seen(pair).inventory.refusals == Refusals(tenants_withheld=True)
        await pair.submit()
        await until(lambda: f"TENANT_REFUSED {OURS}" in said(pair))
        assert pair.zones_of() == [] and agent.ordered == []
        await agent.tell(refusals=SiteRefusals(tenants_allowed=["nordfjord/*"]))
        await pair.runs_in("fjordby/sto-1")
        assert [order.asker for order in agent.ordered] == [OURS]
        assert not any(pair.plane.promises.counts().values())


async def test_a_partners_site_drains_its_zone_and_its_operator_does_not_lift_it(tmp_path: Path) -> None:
    async with federated(tmp_path) as pair:
        await pair.submit()
        await pair.runs_in("fjordby/sto-1")
        await pair.add_agent(pair.owner, "sto-2", "stockholm", "SE")
        await pair.sees("fjordby/sto-2")
        await pair.agents[0].tell(wish=SiteWish(drained=True, note="power works"))
        await pair.runs_in("fjordby/sto-2")
        upkeep = await pair.owner_plane.upkeep.uncordon(ZoneId("fjordby", "sto-1"))
        assert (upkeep.intake, upkeep.sides, upkeep.note) == (Intake.DRAINING, (ZoneSide.SITE,), "power works")
        await until(lambda: seen(pair).upkeep.sides == (ZoneSide.SITE,))
        assert seen(pair).inventory.wish is None
        await pair.agents[0].tell()
        await until(lambda: seen(pair).upkeep.intake is Intake.OPEN)
