"""Soft tests: which feasible zone is best. The only place with floats; greater is better.

A zone's score depends on that zone and the request alone, so zones that come, go or fail never reorder the others.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hansa_control.domain.columns import STATES
from hansa_control.domain.feasibility import Verdicts
from hansa_control.domain.filters import Ints, Mask
from hansa_control.domain.model import WorkloadSpec, ZoneState
from hansa_control.domain.reach import CUT_OFF

WASTE_WEIGHT = 0.2
OWN_ZONE_BONUS = 0.05
SILENCE_PENALTY = 1.0

Floats = NDArray[np.float64]
_SILENT = STATES.index(ZoneState.SILENT)


class Scores:
    """The terms of every zone's score, each a contribution, and what they add up to.

    home is the operator that decides. total is rounded so that it compares and prints the same everywhere, and is
    minus infinity where a zone is refused.
    """

    def __init__(self, verdicts: Verdicts, home: str) -> None:
        self.terms: Mapping[str, Floats] = {
            "latency": -_weight(verdicts.question.spec.objective.latency_permille) * _budget_share(verdicts),
            "price": -_weight(verdicts.question.spec.objective.price_permille) * _euro_per_replica_hour(verdicts),
            "pool_fit": -WASTE_WEIGHT * _waste(verdicts),
            "own_zone": np.where(_is_own(verdicts, home), OWN_ZONE_BONUS, 0.0),
            "heard": np.where(verdicts.columns.state == _SILENT, -SILENCE_PENALTY, 0.0),
        }
        summed = np.round(np.add.reduce(list(self.terms.values())), 9)
        self.total: Floats = np.where(verdicts.failing, -np.inf, summed)

    def best(self, count: int) -> list[int]:
        """The rows of the best zones, best first, ties by zone id; fewer where fewer are feasible."""
        order = np.argsort(-self.total, kind="stable") if count > FEW else None
        if order is not None:
            return [row for row in order[:count].tolist() if self.total[row] > -np.inf]
        rows: list[int] = []
        left = self.total.copy() if len(self.total) else self.total
        while len(rows) < min(count, len(left)):
            row = int(left.argmax())
            if left[row] == -np.inf:
                break
            rows.append(row)
            left[row] = -np.inf
        return rows


FEW = 16
"""Up to so many, looking for the next best again and again is cheaper than sorting all."""


def _weight(permille: int) -> float:
    return permille / 1_000


def _budget_share(verdicts: Verdicts) -> Floats:
    """Mean round-trip time, weighted by demand, as a share of the budget; without demand all count alike.

    Access points from which a zone is not reached do not count: they are served elsewhere.
    """
    spec, rtt_us = verdicts.question.spec, verdicts.reach.rtt_us
    demand = _demand(spec)
    reached = rtt_us != CUT_OFF
    if reached.all():
        return np.asarray(demand @ rtt_us / (demand.sum() * max(spec.latency.rtt_us_max, 1)))
    weight = np.maximum(demand @ reached, 1.0)
    return np.asarray(demand @ np.where(reached, rtt_us, 0) / (weight * max(spec.latency.rtt_us_max, 1)))


def _demand(spec: WorkloadSpec) -> Floats:
    demand = np.array([at.demand_millirps for at in spec.access], dtype=np.float64)
    return demand if demand.any() else np.ones(len(demand))


def _euro_per_replica_hour(verdicts: Verdicts) -> Floats:
    """Price of a replica: of its devices, or of the replica itself where it needs none."""
    need = verdicts.question.spec.accelerator
    devices = need.count if need is not None else 1
    price: Ints = verdicts.columns.standing.price_millieur_per_hour
    return price * devices / 1_000


def _waste(verdicts: Verdicts) -> Floats:
    """Share of the device's memory that the need leaves idle; 0 where no accelerator is needed."""
    need = verdicts.question.spec.accelerator
    pool_row = verdicts.accelerators.pool_row
    if need is None or not len(verdicts.columns.standing.pools.memory_mib):
        return np.zeros(len(pool_row))
    memory_mib = verdicts.columns.standing.pools.memory_mib[pool_row]
    share = np.minimum(need.memory_mib_min / np.maximum(memory_mib, 1), 1.0)
    return np.where((pool_row >= 0) & (memory_mib > 0), 1.0 - share, 0.0)


def _is_own(verdicts: Verdicts, home: str) -> Mask:
    standing = verdicts.columns.standing
    known: Mask | None = standing.kept.get(("own", home))
    if known is None:
        known = np.array([operator == home for operator in standing.operators], dtype=np.bool_)
        standing.kept.keep(("own", home), known)
    return known
