"""The nearest fix: the smallest single change of a request that would make one more zone feasible.

A fix is only named after the filters have run with it and passed. Changes are ordered by what they ask of people: first
a longer latency budget, then a smaller need, then another path, then another place, then another owner; within
a kind the smaller change, then the zone's id. A fact that is unknown or expired cannot be relaxed away, it must be
proved, and a zone that is gone or cordoned is not the request's to fix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import numpy as np

from hansa_control.domain.capacity import amount_for, choose_pool, fits, is_acceptable_model, pools_by_size
from hansa_control.domain.claims import label as law_name
from hansa_control.domain.feasibility import Verdicts, filter_zone
from hansa_control.domain.filters import Question
from hansa_control.domain.model import (
    FactKind,
    Reason,
    Rejection,
    ResidencyPolicy,
    TransitRule,
    WorkloadSpec,
    Zone,
    ZoneId,
)
from hansa_control.domain.policy import widened
from hansa_control.domain.reach import CUT_OFF
from hansa_control.domain.residency import TransitFault
from hansa_control.domain.route_reasons import explain_no_route
from hansa_control.domain.routing import RouteKey, find_latency
from hansa_control.domain.snapshot import Snapshot
from hansa_control.domain.units import format_ms

TRIALS_MAX = 8
"""Filter runs spent on each kind of change, so that many hopeless zones cost no more than a few."""

ZONES_MAX = 32
"""Zones for which changes of one kind other than latency are worked out, in order of zone id."""

TENTH_MS_US = 100
_NEVER_US = 1 << 60


class Change(NamedTuple):
    """A single change of the request for one zone: how much it asks, in words, and the request with it."""

    size: float
    zone: ZoneId
    words: str
    spec: WorkloadSpec


class _Case(NamedTuple):
    spec: WorkloadSpec
    snapshot: Snapshot
    zone: Zone


def nearest_fix(verdicts: Verdicts, rejections: tuple[Rejection, ...], exclude: frozenset[ZoneId]) -> str:
    """The smallest single change that makes a rejected zone feasible, for people; empty if there is none.

    For example ``raise the latency budget to 25.1 ms -> skargard/umea-1``. rejections are those of the verdicts;
    excluded zones are not looked at. That a longer budget suffices is read from the verdicts themselves, where nothing
    else refuses the zone; every other fix is named only after the filters have run with it.
    """
    question = verdicts.question
    longer = _raised_budget(verdicts, exclude)
    if longer:
        return longer
    by_reasons = _zones_by_reasons(rejections)
    for reasons, propose in _KINDS:
        zones = [zone for zone, failing in by_reasons.items() if failing <= reasons]
        changes = _changes(question, zones, propose)
        for change in sorted(changes, key=lambda at: at[:3])[:TRIALS_MAX]:
            if _passes(change, question):
                return f"{change.words} -> {change.zone}"
    return ""


def _passes(change: Change, question: Question) -> bool:
    zone = question.snapshot.zones[question.snapshot.index[change.zone]]
    return not filter_zone(change.spec, question.snapshot, zone, question.now_ms).rejections


def _raised_budget(verdicts: Verdicts, exclude: frozenset[ZoneId]) -> str:
    """The least longer budget that admits a zone which nothing else refuses; ties by zone id."""
    reach, spec = verdicts.reach, verdicts.question.spec
    others = np.logical_or.reduce([at.failing for at in verdicts.filters if at is not reach])
    rtt_us = reach.rtt_us
    if spec.zones.maximum > 1:
        needed_us = np.where(rtt_us == CUT_OFF, _NEVER_US, rtt_us).min(axis=0)
    else:
        needed_us = np.where((rtt_us == CUT_OFF).any(axis=0), _NEVER_US, rtt_us.max(axis=0))
    tenths = np.where(reach.failing & ~others, -(-needed_us // TENTH_MS_US), _NEVER_US)
    for row in np.argsort(tenths, kind="stable").tolist():
        if tenths[row] >= _NEVER_US // TENTH_MS_US:
            break
        zone = verdicts.columns.zones[row].id
        if zone not in exclude:
            return f"raise the latency budget to {format_ms(int(tenths[row]) * TENTH_MS_US)} -> {zone}"
    return ""


def _zones_by_reasons(rejections: tuple[Rejection, ...]) -> dict[ZoneId, frozenset[Reason]]:
    found: dict[ZoneId, set[Reason]] = {}
    for rejection in rejections:
        if rejection.reason is not Reason.NOT_EVALUATED:
            found.setdefault(rejection.zone, set()).add(rejection.reason)
    return {zone: frozenset(reasons) for zone, reasons in found.items()}


def _changes(question: Question, zones: list[ZoneId], propose: _Proposer) -> list[Change]:
    known = (question.snapshot.zone(zone_id) for zone_id in zones[:ZONES_MAX])
    cases = (_Case(question.spec, question.snapshot, zone) for zone in known if zone is not None)
    return [change for case in cases for change in propose(case)]


def _fewer_replicas(case: _Case) -> Iterable[Change]:
    spec, free = case.spec, case.zone.free
    for replicas in range(spec.replicas - 1, 0, -1):
        fewer = replace(spec, replicas=replicas)
        pool = choose_pool(fewer, case.zone.inventory.pools, free)
        if (pool or spec.accelerator is None) and fits(amount_for(fewer, pool.key if pool else ""), free):
            yield Change(spec.replicas - replicas, case.zone.id, f"ask for {replicas} replicas", fewer)
            return


def _less_memory(case: _Case) -> Iterable[Change]:
    need = case.spec.accelerator
    if need is None:
        return
    for pool in case.zone.inventory.pools:
        if is_acceptable_model(need, pool) and pool.memory_mib < need.memory_mib_min:
            relaxed = replace(case.spec, accelerator=replace(need, memory_mib_min=pool.memory_mib))
            words = f"ask for {pool.memory_mib} MiB of accelerator memory"
            yield Change(need.memory_mib_min - pool.memory_mib, case.zone.id, words, relaxed)


def _other_model(case: _Case) -> Iterable[Change]:
    need = case.spec.accelerator
    if need is None:
        return
    for size, pool in enumerate(pools_by_size(case.zone.inventory.pools)):
        relaxed = replace(case.spec, accelerator=replace(need, any_of=(*need.any_of, pool.key)))
        yield Change(size, case.zone.id, f"accept accelerator {pool.key}", relaxed)


def _allow_transit(case: _Case) -> Iterable[Change]:
    """Each single country and carrier that the fastest path is refused for, then all its countries at once."""
    rule = case.spec.residency.transit
    if rule is None:
        return
    faults = _faults(case, rule)
    countries = {country for fault in faults for country in fault.countries}
    for added in [*(frozenset({name}) for name in sorted(countries)), frozenset(countries)]:
        if not added:
            continue
        wider = widened(rule, added)
        words = f"allow transit through {' and '.join(sorted(added))}"
        yield _with_residency(case, len(added), words, replace(case.spec.residency, transit=wider))
    for carrier in sorted({fault.carrier for fault in faults if fault.carrier} & rule.carriers_denied):
        wider = replace(rule, carriers_denied=rule.carriers_denied - {carrier})
        words = f"allow carrier {carrier}"
        yield _with_residency(case, 1, words, replace(case.spec.residency, transit=wider))


def _faults(case: _Case, rule: TransitRule) -> list[TransitFault]:
    faults: list[TransitFault] = []
    for demand in case.spec.access:
        key = RouteKey(rule, case.spec.latency.percentile, demand.access_point)
        if find_latency(case.snapshot.network, key, case.zone) is None:
            faults += explain_no_route(case.snapshot.network, key, case.zone)[1]
    return faults


def _allow_site(case: _Case) -> Iterable[Change]:
    rule = case.spec.residency.site
    if rule is None:
        return
    added = rule.countries.refused(_values(case.zone, FactKind.SITE_COUNTRY))
    wider = widened(rule, added)
    words = f"allow sites in {' and '.join(sorted(added))}"
    yield _with_residency(case, len(added), words, replace(case.spec.residency, site=wider))


def _allow_control(case: _Case) -> Iterable[Change]:
    rule = case.spec.residency.legal
    if rule is None:
        return
    controlling = _values(case.zone, FactKind.HEADQUARTERS_COUNTRY) | _values(
        case.zone, FactKind.ULTIMATE_PARENT_COUNTRY
    )
    added = rule.countries.refused(controlling)
    if added:
        wider = widened(rule, added)
        words = f"allow control from {' and '.join(sorted(added))}"
        yield _with_residency(case, len(added), words, replace(case.spec.residency, legal=wider))
    reaching = {law_name(law) for law in _values(case.zone, FactKind.EXTRATERRITORIAL_LAW)}
    lifted = frozenset(law for law in rule.laws_denied if law_name(law) in reaching)
    if lifted:
        wider = replace(rule, laws_denied=rule.laws_denied - lifted)
        words = f"accept the law {' and '.join(sorted(lifted))}"
        yield _with_residency(case, len(lifted), words, replace(case.spec.residency, legal=wider))


def _with_residency(case: _Case, size: int, words: str, residency: ResidencyPolicy) -> Change:
    return Change(size, case.zone.id, words, replace(case.spec, residency=residency))


def _values(zone: Zone, kind: FactKind) -> frozenset[str]:
    return frozenset(fact.value for fact in zone.facts if fact.kind is kind)


_Proposer: TypeAlias = Callable[[_Case], Iterable[Change]]

_KINDS: tuple[tuple[frozenset[Reason], _Proposer], ...] = (
    (frozenset({Reason.GPU_EXHAUSTED, Reason.CPU_EXHAUSTED, Reason.MEMORY_EXHAUSTED}), _fewer_replicas),
    (frozenset({Reason.GPU_MEMORY_TOO_SMALL}), _less_memory),
    (frozenset({Reason.GPU_MODEL_MISSING}), _other_model),
    (frozenset({Reason.TRANSIT_DENIED}), _allow_transit),
    (frozenset({Reason.SITE_COUNTRY_DENIED}), _allow_site),
    (frozenset({Reason.LEGAL_CONTROL_DENIED}), _allow_control),
)
