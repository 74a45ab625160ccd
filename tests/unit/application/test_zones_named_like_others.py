"""Own zones that are named like zones that are offered on: their agents run nothing of what runs behind."""

from __future__ import annotations

import pytest
from hansa_control.application.ports import RefusalError
from hansa_control.application.settings import Settings
from hansa_control.bootstrap import warn_of_names
from hansa_control.domain.model import ClaimState, Reason
from structlog.testing import capture_logs
from test_claims_behind_claims import claims, serving
from three_operators import ALIAS, BETWEEN, HOME, OWNER, Three, three_operators

SERVED = ([ClaimState.SERVING], [ClaimState.SERVING])


async def test_a_claim_behind_which_is_another_is_no_order_of_an_own_agent() -> None:
    three = await serving()
    assert claims(three) == SERVED
    assert three.between.plane.owner.desired_instances(ALIAS) == ()


async def test_what_an_own_agent_of_that_name_reports_or_not_changes_nothing_of_it() -> None:
    three = await serving()
    between = three.between.plane.owner
    between.on_orders_held(ALIAS, [])
    between.on_instances(ALIAS)
    between.on_zone_lost(ALIAS)
    assert claims(three) == SERVED


async def test_it_is_given_back_when_the_one_behind_says_so_and_no_sooner() -> None:
    three = await serving()
    between = three.between.plane.owner
    between.on_orders_held(ALIAS, [])
    (claim,) = three.between.plane.world.claims_of(HOME)
    await between.release(HOME, claim, Reason.WORKLOAD_MOVED)
    between.on_orders_held(ALIAS, [])
    assert claims(three) == ([ClaimState.RELEASING], [ClaimState.SERVING])
    await three.settle()
    assert claim not in three.between.plane.world.claims_of(HOME)


def greet(three: Three, zone: str) -> str:
    """Why the one between refuses the greeting of an own agent; empty if it does not."""
    try:
        three.between.plane.agents.welcome(zone, "boot-1", three.clock.wall_ms())
    except RefusalError as refused:
        assert (refused.reason, refused.field) == (Reason.INVALID_FIELD, "hello.zone")
        return refused.message
    return ""


@pytest.mark.parametrize("operator", [OWNER, HOME])
async def test_an_own_agent_is_not_greeted_under_the_name_of_another_operators_zone(operator: str) -> None:
    three = await three_operators()
    wrong = greet(three, f"{operator}--berlin-1")
    assert wrong.startswith(f"{operator}--berlin-1 is the name under which a zone of {operator} is offered on")


@pytest.mark.parametrize("zone", ["visby-1", f"{BETWEEN}--1", "blueridge--1", f"{OWNER}-1"])
async def test_any_other_name_is_an_own_zones(zone: str) -> None:
    assert greet(await three_operators(), zone) == ""


def test_of_operators_whose_zones_nobody_offers_on_each_start_tells() -> None:
    settings = Settings("nord--avind", partners=frozenset({"skargard"}), known_operators=frozenset({"wald--netz"}))
    with capture_logs() as lines:
        warn_of_names(settings)
    found = [(line["event"], line["operator"]) for line in lines]
    assert found == [("zones_not_offered_on", "nord--avind"), ("zones_not_offered_on", "wald--netz")]
