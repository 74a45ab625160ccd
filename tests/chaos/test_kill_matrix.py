"""A cross-section of the kill matrix: every group of steps and most kinds of victims. `make kill-matrix` plays all."""

from __future__ import annotations

from pathlib import Path

import pytest
from matrix_cells import CELL_OF, CELLS, play
from proxied_world import ProxiedWorld

SECTION = (
    "submit/held/partner-link/half-open-from",
    "submit/confirmed/home/kill",
    "move/new-ready/partner/kill",
    "move/old-released/agent/kill",
    "delete/taken-back/home/kill",
    "federation/accepted/home/kill",
)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_cross_section_of_the_matrix_keeps_every_promise(tmp_path: Path) -> None:
    async with ProxiedWorld(tmp_path / "world") as world:
        for name in SECTION:
            try:
                await play(world, CELL_OF[name])
            except AssertionError as broken:
                raise AssertionError(f"{name}: {broken}; alone: make kill-matrix CELL={name}") from broken


def test_no_two_cells_have_the_same_name() -> None:
    assert len(CELL_OF) == len(CELLS)
