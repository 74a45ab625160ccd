"""What changes while a replacement is starting: the law of what it replaces, the spec, and where it may start."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.domain.model import ClaimState, Intake, OnChange, Reason, Upkeep, ZoneState
from home_operator import OWNER, YARD, spec
from home_stage import OTHER, Stage, norwegian, placed_stage, site_fact, stage_with_a_spare

ZONE, SPARE = f"{OWNER}/oslo-9", f"{OTHER}/oslo-5"
EXPIRES_AT_MS = 60_000


async def lost_and_replaced(on_change: OnChange) -> Stage:
    """The zone is lost, its replacement starting, and the evidence for where the lost zone stands has run out."""
    stage = await stage_with_a_spare(norwegian(on_change))
    await stage.offer(OWNER, "oslo-9", state=ZoneState.LOST, facts=(site_fact("NO", EXPIRES_AT_MS),))
    await stage.tell(ClaimState.LOST, "the zone is not heard")
    await stage.look()
    assert stage.placed == [f"{ZONE} LOST", f"{SPARE} STARTING"]
    stage.clock.now_ms = EXPIRES_AT_MS
    for owner in stage.owners:
        stage.plane.partners.heard(owner)
    return stage


async def test_what_is_lost_and_not_lawful_any_more_is_given_up_at_once_where_that_is_asked() -> None:
    stage = await lost_and_replaced(OnChange.TERMINATE)
    claim = stage.workload.placements[0].claim
    await stage.look()
    assert stage.placed == [f"{SPARE} STARTING"]
    assert stage.owners[OWNER].released == [(claim, Reason.WORKLOAD_MOVED)]
    assert stage.events().count("PolicyBroken") == 1


@pytest.mark.parametrize("on_change", [OnChange.DRAIN, OnChange.KEEP_AND_ALERT])
async def test_what_comes_back_unlawful_serves_until_it_is_replaced_and_everybody_is_told(on_change: OnChange) -> None:
    stage = await lost_and_replaced(on_change)
    await stage.look()
    assert (stage.conditions()["Lawful"], stage.events().count("PolicyBroken")) == ("FALSE", 1)
    await stage.offer(OWNER, "oslo-9", facts=(site_fact("NO", EXPIRES_AT_MS),))
    await stage.tell(ClaimState.SERVING, at=0)
    await stage.look(times=2)
    assert stage.placed == [f"{ZONE} READY", f"{SPARE} STARTING"]
    assert (stage.conditions()["Lawful"], stage.events().count("PolicyBroken")) == ("FALSE", 1)
    await stage.tell(ClaimState.SERVING, at=1)
    await stage.after(stage.plane.settings.linger_ms)
    await stage.look()
    assert stage.placed == [f"{SPARE} READY"]
    assert stage.conditions()["Lawful"] == "TRUE"


async def test_a_spec_that_never_gets_ready_is_replaced_by_the_next_one_while_the_first_serves() -> None:
    stage = await placed_stage(zones=("oslo-9", "oslo-8"))
    for more_mib in (1, 2):
        await stage.submit(replace(spec(), memory_mib=spec().memory_mib + more_mib))
        await stage.look(times=2)
    assert [one.generation for one in stage.workload.placements] == [1, 3]
    assert stage.placed[0] == f"{ZONE} READY"
    assert stage.plane.queries.endpoint(YARD).zone == ZONE


async def test_what_starts_in_a_zone_that_is_to_be_empty_starts_elsewhere() -> None:
    stage = await placed_stage(zones=("oslo-9", "oslo-8", "oslo-7"))
    await stage.submit(replace(spec(), memory_mib=spec().memory_mib + 1))
    await stage.look()
    starting = stage.workload.placements[1].zone
    await stage.offer(OWNER, starting.zone, upkeep=Upkeep(Intake.DRAINING, "new switch"))
    await stage.look(times=2)
    old, new = stage.workload.placements
    assert (old.state.value, new.state.value) == ("READY", "STARTING")
    assert new.zone != starting
