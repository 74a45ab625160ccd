"""The world of this moment as a record: what of records, law and partners goes into it, and what never does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.application import world_taking
from hansa_control.application.ports import RefusalError
from hansa_control.domain.canonical import canonical
from hansa_control.domain.model import ClaimState, PlacementState, Reason, WorkloadId, ZoneId
from hansa_control.domain.record import snapshot_of
from hansa_control.domain.world_record import FORMAT
from home_operator import HOME, OWNER, YARD, spec
from home_stage import OTHER, URL, Stage, home_stage, norwegian


@pytest.fixture
async def stage() -> Stage:
    """A workload that runs at a partner, and one that nobody has room for."""
    made = await home_stage(choices_tried_max=3)
    await made.offer(OWNER, "gbg-1")
    await made.submit()
    await made.rest()
    await made.tell(ClaimState.SERVING)
    await made.rest()
    return made


async def test_what_runs_stands_where_it_runs_and_without_what_is_secret(stage: Stage) -> None:
    world = stage.plane.world_taker.take()
    (standing,) = world.workloads
    (placement,) = standing.placements
    (held,) = stage.workload.placements
    assert (standing.name, standing.home, standing.state) == (str(YARD), HOME, stage.workload.state)
    assert (placement.claim, placement.zone, placement.replicas) == (held.claim, ZoneId(OWNER, "gbg-1"), held.replicas)
    assert (placement.state, placement.has_answered) == (PlacementState.READY, True)
    assert held.endpoint_urls == (URL,)
    assert URL.encode() not in canonical(world)


async def test_the_record_is_of_the_moment_and_decides_as_the_operator_does(stage: Stage) -> None:
    world = stage.plane.world_taker.take()
    assert (world.format, world.home, world.choices_tried_max) == (FORMAT, HOME, 3)
    assert world.taken_at_ms == stage.clock.wall_ms()
    seen, told = stage.plane.world.snapshot(), snapshot_of(world.snapshot)
    assert (told.zones, told.links, told.nodes, told.own) == (seen.zones, seen.links, seen.nodes, seen.own)
    assert told.generation == seen.generation


async def test_taking_a_world_changes_nothing(stage: Stage) -> None:
    before = canonical(stage.plane.world_taker.take())
    assert canonical(stage.plane.world_taker.take()) == before
    assert stage.placed == [f"{OWNER}/gbg-1 READY"]


async def test_workloads_come_in_the_order_in_which_the_operator_has_them(stage: Stage) -> None:
    names = [WorkloadId("harbour", name) for name in ("zulu", "alpha", "mike")]
    for name in names:
        await stage.submit(norwegian(), name=name)
    told = [one.name for one in stage.plane.world_taker.take().workloads]
    assert told == list(stage.plane.state.workloads)
    assert {str(name) for name in names} < set(told)


async def test_a_spec_stands_as_it_was_asked_for_where_no_law_adds_to_it(stage: Stage) -> None:
    await stage.submit(norwegian(), name=WorkloadId("harbour", "gate"))
    gate = next(one for one in stage.plane.world_taker.take().workloads if one.name.endswith("/gate"))
    assert gate.spec.residency.site == norwegian().residency.site
    assert gate.owned_residency == gate.spec.residency
    assert gate.placements == ()


async def test_every_partner_stands_twice_who_uses_whose_zones(stage: Stage) -> None:
    partners = stage.plane.world_taker.take().partners
    assert [(one.partner, one.uses_ours) for one in partners] == [
        (OTHER, True),
        (OTHER, False),
        (OWNER, True),
        (OWNER, False),
    ]
    assert {one.federation for one in partners if one.uses_ours} == {""}, "nobody has proposed to use ours"
    assert all(one.valid_until_ms >= 0 and one.deadline_ms >= 0 for one in partners)


@pytest.mark.parametrize(("most", "is_refused"), [(1, False), (0, True)])
async def test_more_workloads_than_one_answer_holds_are_refused_with_their_number(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, most: int, is_refused: bool
) -> None:
    monkeypatch.setattr(world_taking, "WORKLOADS_MAX", most)
    if not is_refused:
        assert len(stage.plane.world_taker.take().workloads) == 1
        return
    with pytest.raises(RefusalError, match="1 workloads; at most 0 go into one answer") as refused:
        stage.plane.world_taker.take()
    assert refused.value.reason is Reason.LIMIT_EXCEEDED


async def test_a_world_that_changes_later_does_not_change_what_was_taken(stage: Stage) -> None:
    world = stage.plane.world_taker.take()
    await stage.withdraw(OWNER, "zones/gbg-1")
    await stage.submit(replace(spec(), replicas=1), name=WorkloadId("harbour", "later"))
    assert [str(zone.id) for zone in world.snapshot.zones] == [f"{OWNER}/gbg-1"]
    assert len(world.workloads) == 1
    later = stage.plane.world_taker.take()
    assert later.snapshot != world.snapshot
    assert len(later.workloads) == 2
