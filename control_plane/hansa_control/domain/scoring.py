"""Soft tests: which feasible zone is best. The only place with floats; greater is better.

A zone's score depends on that zone and the request alone, so zones that come, go or fail never reorder the others.
Terms are contributions in one unit: 1 is a whole latency budget at the default weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hansa_control.domain.claim_groups import facts_memo
from hansa_control.domain.claims import claims_of
from hansa_control.domain.columns import STATES, Columns, owned_by
from hansa_control.domain.feasibility import Verdicts
from hansa_control.domain.figures import whole_number
from hansa_control.domain.filters import Ints
from hansa_control.domain.model import AcceleratorNeed, FactKind, WorkloadSpec, Zone, ZoneId, ZoneState
from hansa_control.domain.reach import CUT_OFF
from hansa_control.domain.selectors import picked

WASTE_WEIGHT = 0.2
OWN_ZONE_BONUS = 0.05
SILENCE_PENALTY = 1.0
STAY_BONUS = 0.1
"""What a zone that the workload runs in already is ahead by: a move costs, and must gain more than that."""

PROMISE_WEIGHT = 0.2
"""What a grant that did not verify costs its owner's zones, as long as it is not forgotten; see domain.reputation."""

TIER_PENALTY = 1_000.0
"""What each tier of the ordered preferences costs: more than all other terms together."""

CARBON_UNKNOWN_GCO2_PER_KWH = 1_000
"""What a zone without a valid, readable carbon fact counts as: more than hard coal (about 820, IPCC AR5 WG III)."""

DEVICE_UNKNOWN_WATTS = 1_000
"""What a device of unknown power counts as: more than any that is sold today."""

GRAMS_PER_UNIT = 100_000.0
"""The carbon weight counts 100 gCO2 an hour as one; this is that in milligrams."""

FEW = 16
"""Up to so many, looking for the next best again and again is cheaper than sorting all."""

Floats = NDArray[np.float64]
_SILENT = STATES.index(ZoneState.SILENT)


class Scores:
    """The terms of every zone's score, each a contribution, and what they add up to.

    home is the operator that decides, current the zones that the workload runs in. total is rounded so that it compares
    and prints the same everywhere, and is minus infinity where a zone is refused.
    """

    def __init__(self, verdicts: Verdicts, home: str, current: frozenset[ZoneId]) -> None:
        lasting, summed = _lasting_terms(verdicts, home)
        changing = {"pool_fit": _pool_fit(verdicts), "heard": _heard(verdicts.columns)}
        if promises := verdicts.question.snapshot.promises:
            changing["promises"] = _broken(verdicts.columns, promises)
        if current:
            changing["stay"] = _staying(verdicts, current)
        self.terms: Mapping[str, Floats] = {**lasting, **changing}
        for term in changing.values():
            summed = summed + term
        self.total: Floats = np.where(verdicts.failing, -np.inf, summed.round(9))

    def best(self, count: int) -> list[int]:
        """The rows of the best zones, best first, ties by zone id; fewer where fewer are feasible."""
        if count > FEW:
            order = np.argsort(-self.total, kind="stable")[:count]
            rows: list[int] = order[self.total[order] > -np.inf].tolist()
            return rows
        return self._next_best(count)

    def _next_best(self, count: int) -> list[int]:
        rows: list[int] = []
        left = self.total.copy()
        for _ in range(min(count, len(left))):
            row = int(left.argmax())
            if left[row] == -np.inf:
                break
            rows.append(row)
            left[row] = -np.inf
        return rows


def _lasting_terms(verdicts: Verdicts, home: str) -> tuple[Mapping[str, Floats], Floats]:
    """The terms that do not change with what is free or heard, and what they add up to, in their order; kept with the
    verdicts that they follow from.
    """
    kept = verdicts.standpoint.scores
    if home not in kept:
        spec = verdicts.question.spec
        goal, wishes = spec.objective, spec.preferences
        terms = {
            "latency": -_weight(goal.latency_permille) * budget_share(verdicts),
            "price": -_weight(goal.price_permille) * euro_per_replica_hour(verdicts),
            "own_zone": np.where(owned_by(verdicts.columns, home), OWN_ZONE_BONUS, 0.0),
        }
        if goal.carbon_permille:
            terms["carbon"] = -_weight(goal.carbon_permille) * carbon_mg_per_replica_hour(verdicts) / GRAMS_PER_UNIT
        if wishes.soft:
            terms["wishes"] = -_unfulfilled(verdicts)
        if wishes.ordered:
            terms["tier"] = -TIER_PENALTY * tiers(verdicts)
        kept[home] = (terms, np.add.reduce(list(terms.values())))
    return kept[home]


def euro_per_replica_hour(verdicts: Verdicts) -> Floats:
    """Price of a replica: of its devices, or of the replica itself where it needs none."""
    price: Ints = verdicts.columns.standing.price_millieur_per_hour
    return price * devices_per_replica(verdicts.question.spec) / 1_000


def devices_per_replica(spec: WorkloadSpec) -> int:
    """Devices that a replica pays for; one where it needs none."""
    return spec.accelerator.count if spec.accelerator is not None else 1


def carbon_mg_per_replica_hour(verdicts: Verdicts) -> Floats:
    """CO2 equivalent of a replica's devices under load, milligrams an hour; what is unknown counts as the worst."""
    watts = verdicts.columns.standing.device_watts
    known = np.where(watts > 0, watts, DEVICE_UNKNOWN_WATTS)
    grams = carbon_gco2_per_kwh(verdicts)
    intensity = np.where(grams >= 0, grams, CARBON_UNKNOWN_GCO2_PER_KWH)
    return known * intensity * float(devices_per_replica(verdicts.question.spec))


def carbon_gco2_per_kwh(verdicts: Verdicts) -> Ints:
    """The carbon intensity that is proved of each zone, gCO2 a kWh; -1 where none is."""
    kept = facts_memo(verdicts.question)
    known: Ints | None = kept.get("carbon")
    if known is None:
        now_ms = verdicts.question.now_ms
        known = np.array([_proved_carbon(zone, now_ms) for zone in verdicts.columns.standing.zones], dtype=np.int64)
        kept.keep("carbon", known)
    return known


def tiers(verdicts: Verdicts) -> Floats:
    """The tier of the ordered preferences that each zone falls into, from 0; the number of tiers where in none."""
    ordered = verdicts.question.spec.preferences.ordered
    tier = np.full(len(verdicts.columns), float(len(ordered)))
    for number in range(len(ordered) - 1, -1, -1):
        tier[picked(verdicts.question, ordered[number])] = number
    return tier


def _proved_carbon(zone: Zone, now_ms: int) -> int:
    claims = claims_of(zone.facts, FactKind.CARBON_GCO2_PER_KWH, now_ms)
    values = {whole_number(value) for value in claims.values()}
    only = values.pop() if len(values) == 1 else None
    return -1 if only is None else only


def _unfulfilled(verdicts: Verdicts) -> Floats:
    lost = np.zeros(len(verdicts.columns))
    for wish in verdicts.question.spec.preferences.soft:
        lost += np.where(picked(verdicts.question, wish.selector), 0.0, _weight(wish.weight_permille))
    return lost


def _staying(verdicts: Verdicts, current: frozenset[ZoneId]) -> Floats:
    bonus = np.zeros(len(verdicts.columns))
    rows = [row for zone in current if (row := verdicts.question.snapshot.index.get(zone)) is not None]
    bonus[rows] = STAY_BONUS
    return bonus


def _broken(columns: Columns, promises: tuple[tuple[str, int], ...]) -> Floats:
    """What each zone loses for the promises that its owner broke."""
    standing = columns.standing
    key = ("promises", promises)
    by_zone: Floats | None = standing.kept.get(key)
    if by_zone is None:
        milli = dict(promises)
        by_owner = np.array([milli.get(owner, 0) for owner in standing.owners], dtype=np.float64)
        by_zone = -PROMISE_WEIGHT * by_owner[standing.operator_of] / 1_000
        standing.kept.keep(key, by_zone)
    return by_zone


def _weight(permille: int) -> float:
    return permille / 1_000


def budget_share(verdicts: Verdicts) -> Floats:
    """Mean round-trip time, weighted by demand, as a share of the budget; without demand all count alike.

    Access points from which a zone is not reached do not count: they are served elsewhere.
    """
    spec, rtt_us = verdicts.question.spec, verdicts.reach.rtt_us
    demand = demand_of(spec)
    reached = rtt_us != CUT_OFF
    budget_us = max(spec.latency.rtt_us_max, 1)
    if reached.all():
        return np.asarray(demand @ rtt_us / (demand.sum() * budget_us))
    weight = np.maximum(demand @ reached, 1.0)
    return np.asarray(demand @ np.where(reached, rtt_us, 0) / (weight * budget_us))


def demand_of(spec: WorkloadSpec) -> Floats:
    """Demand by access point; one each where there is none at all."""
    demand = np.array([at.demand_millirps for at in spec.access], dtype=np.float64)
    return demand if demand.any() else np.ones(len(demand))


def _pool_fit(verdicts: Verdicts) -> Floats:
    """What the device's memory that the need leaves idle costs each zone; nothing where no accelerator is needed."""
    need, standing = verdicts.question.spec.accelerator, verdicts.columns.standing
    key = ("pool fit", need)
    by_pool: Floats | None = standing.kept.get(key)
    if by_pool is None:
        by_pool = -WASTE_WEIGHT * np.append(_waste(standing.pools.memory_mib, need), 0.0)
        standing.kept.keep(key, by_pool)
    return by_pool[verdicts.accelerators.pool_row]  # no pool is the last of them


def _waste(memory_mib: Ints, need: AcceleratorNeed | None) -> Floats:
    """Share of the device's memory that a need leaves idle, by pool."""
    if need is None:
        return np.zeros(len(memory_mib))
    share = np.minimum(need.memory_mib_min / np.maximum(memory_mib, 1), 1.0)
    return np.where(memory_mib > 0, 1.0 - share, 0.0)


def _heard(columns: Columns) -> Floats:
    """What silence costs each zone; kept while no zone's state changes."""
    kept = columns.standing.kept
    known: tuple[Ints, Floats] | None = kept.get("heard")
    if known is None or known[0] is not columns.state:
        known = (columns.state, np.where(columns.state == _SILENT, -SILENCE_PENALTY, 0.0))
        kept.keep("heard", known)
    return known[1]
