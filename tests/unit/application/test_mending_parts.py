"""A workload in several zones loses one part and there is no room for another whole batch: that part is replaced."""

from __future__ import annotations

from dataclasses import replace

from hansa_control.domain.model import Capacity, ClaimState, SpreadLevel, SpreadRule, Zone, ZoneId, ZoneState
from home_operator import YARD
from home_stage import Stage, inventory, site_fact
from several_stage import FIRST, SECOND, SPARE, answering_stage, in_two, offers, tell


async def offer_full(stage: Stage, name: str) -> None:
    """The zone has no room any more."""
    owner, zone = name.split("/")
    facts = (site_fact("NO", 600_000),)
    body = Zone(ZoneId(owner, zone), inventory(), Capacity(0, 0), facts, ZoneState.AVAILABLE, 1, 0)
    assert await stage.offered(owner, f"zones/{zone}", body) == ()


async def lost_with_a_full_rest(stage: Stage) -> None:
    await offer_full(stage, SECOND)
    await tell(stage, FIRST, ClaimState.LOST)
    await stage.withdraw(FIRST.split("/")[0], f"zones/{FIRST.split('/')[1]}")


async def test_only_the_lost_part_is_replaced_and_the_other_is_not_touched() -> None:
    stage = await answering_stage()
    kept = next(one for one in stage.workload.placements if str(one.zone) == SECOND)
    lost = next(one for one in stage.workload.placements if str(one.zone) == FIRST)
    await lost_with_a_full_rest(stage)
    await stage.look(times=2)
    assert sorted(stage.placed) == [f"{SECOND} READY", f"{SPARE} STARTING"]
    new = next(one for one in stage.workload.placements if str(one.zone) == SPARE)
    assert (new.batch, new.batch_parts, new.share_permille) == (kept.batch, 2, lost.share_permille)
    assert kept.claim in {one.claim for one in stage.workload.placements}
    await tell(stage, SPARE, ClaimState.SERVING)
    await stage.look()
    assert [one.zone for one in stage.plane.queries.endpoint(YARD).zones] == [SECOND, SPARE]
    assert stage.condition("Ready").status.value == "TRUE"
    assert stage.condition("Stranded").status.value == "FALSE"


async def test_a_zone_that_would_break_the_spread_does_not_take_the_part() -> None:
    spread = replace(in_two(), spread=(SpreadRule(SpreadLevel.OPERATOR, 2),))
    stage = await answering_stage(spread)
    await lost_with_a_full_rest(stage)
    await stage.look(times=2)
    assert sorted(stage.placed) == [f"{SECOND} READY", f"{FIRST} LOST"], "the spare zone is the same operator's"


async def test_a_part_that_its_new_owner_refuses_leaves_the_rest_as_it_was() -> None:
    stage = await answering_stage()
    await lost_with_a_full_rest(stage)
    stage.owners[SPARE.split("/")[0]].refuse(SPARE.split("/")[1])
    await stage.look(times=2)
    assert sorted(stage.placed) == [f"{SECOND} READY", f"{FIRST} LOST"]
    assert stage.condition("Stranded").status.value == "TRUE"


async def test_a_whole_batch_goes_before_where_there_is_room_for_one() -> None:
    stage = await answering_stage()
    await tell(stage, FIRST, ClaimState.LOST)
    await stage.withdraw(FIRST.split("/")[0], f"zones/{FIRST.split('/')[1]}")
    await offers(stage, {SECOND: 110})
    await stage.look()
    assert sorted(stage.placed) == [f"{SECOND} READY", f"{SECOND} STARTING", f"{SPARE} STARTING", f"{FIRST} LOST"]
