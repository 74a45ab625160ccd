"""What joint placement is asked and what it answers, as arrays: one workload, its access points, the zones it may use.

Nothing here knows what a cost means; whoever asks turns latency, price, energy and preferences into costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SHARE_UNITS = 1_000
"""Shares are whole thousandths of an access point's demand."""

UNLIMITED_MILLIRPS = 1 << 50
"""Stands in ``load_max_millirps`` for a zone whose replicas have no service profile."""

WORK_MAX = 40_000
"""Default budget of a search, in parts of about 0.25 us: about 10 ms, with what comes before and after."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Zones of one label share a failure domain; 0 replicas a domain means as many as may be."""

    labels: Ints
    domains_min: int = 1
    replicas_per_domain_max: int = 0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many replicas and zones the workload may and must have in all. Raises ValueError on one below 1."""

    replicas_min: int = 1
    replicas_max: int = 1_000_000
    zones_min: int = 1
    zones_max: int = 1

    def __post_init__(self) -> None:
        for field in ("replicas_min", "replicas_max", "zones_min", "zones_max"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} is {getattr(self, field)}; the least is 1")


@dataclass(frozen=True, slots=True)
class JointProblem:
    """One workload over A access points and Z zones.

    cost_of_share (A, Z) is the cost of serving all of an access point from a zone, admissible (A, Z) whether it may be;
    demand_millirps (A,); load_max_millirps (Z, R + 1) the greatest load with 0..R replicas, 0 at none, nondecreasing;
    replicas_free (Z,); replica_cost (Z,) >= 0 a replica; open_cost (Z,) once a zone, perhaps negative. Where one zone
    is allowed no spread over more can be met.
    Raises ValueError naming the field whose shape or values are not so.
    """

    cost_of_share: Floats
    admissible: Bools
    demand_millirps: Ints
    load_max_millirps: Ints
    replicas_free: Ints
    replica_cost: Floats
    open_cost: Floats
    bounds: Bounds = Bounds()
    spreads: tuple[Spread, ...] = ()

    def __post_init__(self) -> None:
        access_points, zones = self.cost_of_share.shape
        shapes: tuple[tuple[str, NDArray[np.generic], tuple[int, ...]], ...] = (
            ("admissible", self.admissible, (access_points, zones)),
            ("demand_millirps", self.demand_millirps, (access_points,)),
            ("load_max_millirps", self.load_max_millirps, (zones, self.load_max_millirps.shape[-1])),
            ("replicas_free", self.replicas_free, (zones,)),
            ("replica_cost", self.replica_cost, (zones,)),
            ("open_cost", self.open_cost, (zones,)),
            *(("spreads.labels", spread.labels, (zones,)) for spread in self.spreads),
        )
        for field, array, shape in shapes:
            if array.shape != shape:
                raise ValueError(f"{field} has shape {array.shape}; cost_of_share asks for {shape}")
        if self.replica_cost.min(initial=0.0) < 0 or self.demand_millirps.min(initial=0) < 0:
            raise ValueError("replica_cost and demand_millirps are never negative; the least is 0")
        self._check_loads()

    def _check_loads(self) -> None:
        loads = self.load_max_millirps
        if loads.shape[1] < 2 or loads[:, 0].any() or (loads[:, 1:] < loads[:, :-1]).any():
            raise ValueError("load_max_millirps holds 0, then at least one replica's bound, and never falls")


class Stop(Enum):
    """Why a search ended."""

    EXACT = "EXACT"
    WORK = "WORK"
    SETTLED = "SETTLED"
    ASKED = "ASKED"


class Obstacle(Enum):
    """Which demand on the plan could not be met."""

    NO_ADMISSIBLE_ZONE = "NO_ADMISSIBLE_ZONE"
    CAPACITY = "CAPACITY"
    ZONES_MIN = "ZONES_MIN"
    SPREAD = "SPREAD"
    REPLICAS = "REPLICAS"
    NONE_FOUND = "NONE_FOUND"


@dataclass(frozen=True, slots=True)
class JointPlan:
    """The answer: zones ascending, replicas (k,), share_permille (A, k) with rows that sum to 1,000.

    ``objective`` is computed from these integers. ``moves`` is the work done.
    """

    zones: tuple[int, ...]
    replicas: tuple[int, ...]
    share_permille: Ints
    objective: float
    moves: int
    stop: Stop

    @property
    def shares(self) -> Floats:
        """Shares (A, k) as parts of one."""
        return self.share_permille / SHARE_UNITS


@dataclass(frozen=True, slots=True)
class Infeasible:
    """No plan: the obstacle, the first access point that it is about (-1 for none), and whether that is proven.

    Without proof, the search found none within its work: an exact solver may still.
    """

    obstacle: Obstacle
    access_point: int = -1
    proven: bool = True


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """When a search ends: after so much work, or when ``should_stop`` says so. Never by a clock of its own."""

    work_max: int = WORK_MAX
    should_stop: Callable[[], bool] | None = None


def objective_of(problem: JointProblem, zones: Ints, replicas: Ints, share_permille: Ints) -> float:
    """The objective of a plan from its integers, shares (A, k), whoever made it."""
    cost = problem.cost_of_share[:, zones]
    serving = float(np.where(share_permille > 0, cost * share_permille, 0.0).sum()) / SHARE_UNITS
    return serving + float(problem.replica_cost[zones] @ replicas) + float(problem.open_cost[zones].sum())
