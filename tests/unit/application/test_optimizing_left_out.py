"""A workload that is not re-packed is told why, in the words of what it is."""

from __future__ import annotations

from dataclasses import replace

from hansa_control.application.optimizing import _why_not
from hansa_control.domain.model import PlacementState, WorkloadState
from home_stage import placed_stage


async def test_one_whose_zone_is_lost_is_not_said_to_be_on_the_move() -> None:
    stage = await placed_stage()
    assert "placed or moved" not in _why_not(stage.workload)
    lost = stage.workload.placements[0]
    gone = replace(lost, state=PlacementState.LOST)
    held = replace(stage.workload, state=WorkloadState.UNPLACEABLE, placements=(gone,))
    assert _why_not(held) == "its zone is lost and no other takes it; it is placed as soon as one does"
    assert _why_not(replace(held, state=WorkloadState.STARTING)) == "it is being placed or moved just now"
