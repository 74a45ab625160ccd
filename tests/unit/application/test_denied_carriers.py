"""A carrier that is denied by a misspelt name would silently not be denied: plan, submit and overlay refuse it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.application.carriers import carriers_of, check_carriers
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import (
    LatencyBasis,
    LinkKind,
    NetworkLink,
    NetworkNode,
    Reason,
    ResidencyPolicy,
    RoundTrip,
    TransitRule,
    WorkloadSpec,
)
from hansa_control.domain.overlay import Overlay
from home_operator import OWNER, YARD, spec
from home_stage import Stage, home_stage

KNOWN = frozenset({"nordavind", "skargard", "carrier-1"})


def denying(*carriers: str) -> ResidencyPolicy:
    return ResidencyPolicy(transit=TransitRule(frozenset({"NO"}), frozenset(carriers)))


def asked(*carriers: str) -> WorkloadSpec:
    return replace(spec(), residency=denying(*carriers))


def link(carrier: str) -> NetworkLink:
    trip = RoundTrip(1_000, 1_000, 1_000, LatencyBasis.MEASURED)
    return NetworkLink(f"by-{carrier or 'nobody'}", "oslo", "bergen", 100_000, trip, (), carrier, LinkKind.TERRESTRIAL)


async def carried(stage: Stage, *links: NetworkLink) -> None:
    """A partner offers links of its network."""
    bergen = NetworkNode("bergen", "Bergen", "NO", 60.4, 5.3, access_point=True)
    assert await stage.offered(OWNER, "nodes/bergen", bergen) == ()
    for one in links:
        assert await stage.offered(OWNER, f"links/{one.name}", one) == ()


@pytest.mark.parametrize(
    ("denied", "meant"), [("nordavnid", "nordavind"), ("skargaard", "skargard"), ("carier-1", "carrier-1")]
)
def test_a_slip_of_the_pen_is_refused_with_the_name_that_was_meant(denied: str, meant: str) -> None:
    with pytest.raises(RefusalError, match=f"no carrier '{denied}' .* did you mean '{meant}'") as caught:
        check_carriers(denying("nordavind", denied), KNOWN, "spec.residency.transit.carriers_denied")
    refusal = (caught.value.reason, caught.value.field)
    assert refusal == (Reason.INVALID_FIELD, "spec.residency.transit.carriers_denied")


@pytest.mark.parametrize("denied", ["nordavind", "blueridge", "carrier-2", "carrier-11"])
def test_a_known_carrier_and_one_like_no_other_are_taken(denied: str) -> None:
    check_carriers(denying(denied), KNOWN, "f")
    check_carriers(ResidencyPolicy(), KNOWN, "f")
    check_carriers(None, KNOWN, "f")


async def test_plan_and_submit_refuse_and_nothing_is_kept() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    with pytest.raises(RefusalError, match="did you mean 'nordavind'"):
        await stage.plane.workloads.plan(YARD, asked("nordavnid"))
    with pytest.raises(RefusalError, match="did you mean 'skargard'"):
        await stage.submit(asked("skagard"))
    assert stage.plane.queries.workloads("harbour", "", 10) == ()
    assert (await stage.submit(asked("nordavind", "telegraph"))).spec == asked("nordavind", "telegraph")


async def test_what_was_accepted_is_answered_again_whoever_carries_now() -> None:
    stage = await home_stage()
    accepted = await stage.submit(asked("waldnets"), request_id="r1")
    await carried(stage, link("waldnetz"))
    assert await stage.submit(asked("waldnets"), request_id="r1") == accepted
    with pytest.raises(RefusalError, match="did you mean 'waldnetz'"):
        await stage.plane.workloads.plan(YARD, asked("waldnets"))


async def test_an_overlay_is_checked_with_the_links_that_it_supposes() -> None:
    stage = await home_stage()
    plan = stage.plane.workloads.plan_under
    with pytest.raises(RefusalError, match="did you mean 'nordavind'") as caught:
        await plan(Overlay(policy=denying("nordavnid")), YARD, spec())
    assert caught.value.field == "overlay.policy.transit.carriers_denied"
    with pytest.raises(RefusalError, match="did you mean 'waldnetz'") as caught:
        await plan(Overlay(links=(link("waldnetz"),)), YARD, asked("waldnets"))
    assert caught.value.field == "spec.residency.transit.carriers_denied"


async def test_carriers_are_those_of_links_and_all_operators() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9")
    await carried(stage, link("blueridge"), link(""))
    known = carriers_of(stage.plane.world.snapshot(), ("nordavind",), (link("waldnetz"),))
    assert known == {"blueridge", "nordavind", OWNER, "waldnetz"}
