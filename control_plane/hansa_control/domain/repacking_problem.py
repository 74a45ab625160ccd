"""What re-packing is asked and what it answers, as arrays: many workloads, many zones, each workload in one zone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NOWHERE = -1
"""Stands for no zone, in ``current`` and in the assignment."""


class Unplaced(Enum):
    """Why a workload has no zone."""

    NO_ADMISSIBLE_ZONE = "NO_ADMISSIBLE_ZONE"
    TOO_LARGE = "TOO_LARGE"
    CAPACITY = "CAPACITY"


@dataclass(frozen=True, slots=True)
class RepackingProblem:
    """W workloads and Z zones: cost (W, Z), admissible (W, Z), demand (W, D), capacity (Z, D) of D dimensions.

    Demand may be (W, Z, D) where it depends on the zone, as it does where zones have other devices. open_cost (Z,) >= 0
    once for a zone that has a workload; move_cost (W,) for any zone but ``current`` (W,), -1 where it has none (then no
    move is paid). Raises ValueError naming the field whose shape or values are not so.
    """

    cost: Floats
    admissible: Bools
    demand: Ints
    capacity: Ints
    open_cost: Floats
    move_cost: Floats
    current: Ints

    def __post_init__(self) -> None:
        workloads, zones = self.cost.shape
        dimensions = self.demand.shape[-1]
        by_zone = (zones,) if self.demand.ndim == 3 else ()
        shapes: tuple[tuple[str, NDArray[np.generic], tuple[int, ...]], ...] = (
            ("admissible", self.admissible, (workloads, zones)),
            ("demand", self.demand, (workloads, *by_zone, dimensions)),
            ("capacity", self.capacity, (zones, dimensions)),
            ("open_cost", self.open_cost, (zones,)),
            ("move_cost", self.move_cost, (workloads,)),
            ("current", self.current, (workloads,)),
        )
        for field, array, shape in shapes:
            if array.shape != shape:
                raise ValueError(f"{field} has shape {array.shape}; cost asks for {shape}")
        if min(self.demand.min(initial=0), self.open_cost.min(initial=0.0), self.move_cost.min(initial=0.0)) < 0:
            raise ValueError("demand, open_cost and move_cost are never negative; the least is 0")
        if ((self.current < NOWHERE) | (self.current >= zones)).any():
            raise ValueError(f"current holds zones 0 to {zones - 1}, or -1 for none")

    def demand_in_zones(self) -> Ints:
        """Demand (W, Z, D), whether it depends on the zone or not."""
        if self.demand.ndim == 3:
            return self.demand
        return np.broadcast_to(self.demand[:, None], (*self.cost.shape, self.demand.shape[-1]))

    def cost_with_moves(self) -> Floats:
        """Cost (W, Z) with what a move costs; infinite where it may not be."""
        stays = self.current[:, None] == np.arange(self.cost.shape[1])
        paid = np.where(stays | (self.current < 0)[:, None], 0.0, self.move_cost[:, None])
        return np.where(self.admissible, self.cost + paid, np.inf)


@dataclass(frozen=True, slots=True)
class Repacking:
    """The answer: zones (W,), -1 for none; the objective of those that have one; who has none and why; work done.

    ``moved`` are the workloads whose zone is another than their current one, in order.
    """

    zones: Ints
    objective: float
    unplaced: tuple[tuple[int, Unplaced], ...]
    moved: tuple[int, ...]
    work: int


def repacking_objective(problem: RepackingProblem, zones: Ints) -> float:
    """Cost of an assignment (W,) with moves and openings, workloads without a zone not counted."""
    placed = np.flatnonzero(zones >= 0)
    opened = np.unique(zones[placed])
    return float(problem.cost_with_moves()[placed, zones[placed]].sum() + problem.open_cost[opened].sum())
