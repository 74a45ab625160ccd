"""What keeps a control plane cheap: looks that give way, records that hold no more than is asked for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise

from hansa_control.application.ports import StoredOffer
from hansa_control.domain.model import ClaimState, ClaimStatus, ZoneId
from home_operator import HOME, OWNER, YARD, HandOwner, home_operator, offered_zone, spec


async def test_many_looks_that_change_nothing_let_others_go_on_between_them() -> None:
    plane = await home_operator(HandOwner())
    looked: list[str] = []

    async def look(key: str) -> None:
        looked.append(key)

    plane.reconciler.look = look  # type: ignore[method-assign]
    for number in range(60):
        plane.reconciler.wake(f"w{number}")
    running = asyncio.create_task(plane.reconciler.run())
    seen = [0]
    while len(looked) < 60:
        await asyncio.sleep(0)
        seen.append(len(looked))
    running.cancel()
    assert max(after - before for before, after in pairwise(seen)) <= plane.settings.looks_begun_at_once
    assert sorted(looked) == sorted(f"w{number}" for number in range(60))


async def test_a_kept_decision_has_every_choice_and_the_evidence_of_the_best() -> None:
    owner = HandOwner()
    owner.go_on.set()
    plane = await home_operator(owner)
    for number in range(1, 6):
        zone = replace(offered_zone(), id=ZoneId(OWNER, f"oslo-{number}"))
        await plane.partners.offered(OWNER, [StoredOffer(OWNER, f"zones/oslo-{number}", "e1", zone)], [])
    made, _ = await plane.workloads.plan(YARD, spec())
    await plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    await plane.reconciler.look(str(YARD))
    kept = plane.state.recent_decisions[str(YARD)].decision
    assert [choice.zone for choice in kept.choices] == [choice.zone for choice in made.choices]
    assert [choice.latencies for choice in kept.choices] == [choice.latencies for choice in made.choices]
    full = plane.settings.choices_evidenced_max
    assert [choice.passed for choice in kept.choices[:full]] == [choice.passed for choice in made.choices[:full]]
    assert [choice.passed for choice in kept.choices[full:]] == [()] * (len(made.choices) - full)


async def test_what_an_operator_confirms_to_itself_is_no_offer() -> None:
    plane = await home_operator(HandOwner())
    held = dict(plane.state.offers)
    await plane.partners.confirmed(HOME, ClaimStatus("c1", ClaimState.ALLOCATED, 0, (), "", 1))
    assert plane.state.offers == held


async def test_zones_of_partners_are_seen_anew_when_an_offer_changes_or_goes() -> None:
    plane = await home_operator(HandOwner())
    other = replace(offered_zone(), id=ZoneId(OWNER, "oslo-8"))
    before = plane.world.partner_zones()
    assert plane.world.partner_zones() is before
    await plane.partners.offered(OWNER, [StoredOffer(OWNER, "zones/oslo-8", "e1", other)], [])
    assert [zone.id.zone for zone in plane.world.partner_zones()] == ["oslo-9", "oslo-8"]
    await plane.partners.offered(OWNER, [], ["zones/oslo-9"])
    assert [zone.id.zone for zone in plane.world.partner_zones()] == ["oslo-8"]
