"""What the law says against what runs: a zone or a path that has gone from view is unknown, and the unknown refuses."""

from __future__ import annotations

from dataclasses import replace

from hansa_control.domain.columns import build_columns
from hansa_control.domain.feasibility import unlawful
from hansa_control.domain.model import (
    Capacity,
    ConstraintResult,
    Inventory,
    Reason,
    Rejection,
    TransitRule,
    WorkloadSpec,
    Zone,
    ZoneId,
    ZoneState,
)
from hansa_control.domain.path_words import ACCESS_POINT, REACHABLE, TRANSIT
from hansa_control.domain.reach import is_of_source
from hansa_control.domain.residency import format_transit_rule
from hansa_control.domain.round_trips import USER_DATA, transit_rule
from hansa_control.domain.snapshot import Snapshot

LAW = frozenset(
    {
        Reason.SITE_COUNTRY_DENIED,
        Reason.SITE_COUNTRY_UNKNOWN,
        Reason.LEGAL_CONTROL_DENIED,
        Reason.LEGAL_CONTROL_UNKNOWN,
        Reason.FACT_EXPIRED,
        Reason.TRANSIT_DENIED,
        Reason.TRANSIT_UNKNOWN,
        Reason.LOCATION_IMPLAUSIBLE,
        Reason.PERSONNEL_DENIED,
        Reason.PERSONNEL_UNKNOWN,
        Reason.ATTESTATION_MISSING,
        Reason.CERTIFICATION_MISSING,
        Reason.ENERGY_DENIED,
        Reason.ENERGY_UNKNOWN,
        Reason.PREDICATE_FALSE,
        Reason.PREDICATE_FAILED,
    }
)
_NO_PATH = frozenset({ACCESS_POINT, REACHABLE})


def breaches(spec: WorkloadSpec, snapshot: Snapshot, zone: ZoneId, now_ms: int) -> tuple[Rejection, ...]:
    """Which parts of a workload's residency policy a zone that it runs in fails now, over paths that it is used by.

    A zone that nobody offers any more has no facts and stands nowhere; a path that is not in the network any more
    crosses what is not known. Who withdraws what he showed is thereby no better off than who shows what has changed.
    """
    row = snapshot.index.get(zone)
    if row is None:
        snapshot, row = replace(snapshot, columns=build_columns((_unseen(zone, now_ms),)), index={zone: 0}), 0
    found = (_as_law(spec, rejection) for rejection in unlawful(spec, snapshot, row, now_ms))
    return tuple(rejection for rejection in found if rejection.reason in LAW)


def _unseen(zone: ZoneId, now_ms: int) -> Zone:
    inventory = Inventory("", "", Capacity(), (), (), "", 0, "nobody offers it", cordoned=False)
    return Zone(zone, inventory, Capacity(), (), ZoneState.LOST, 0, now_ms)


def _as_law(spec: WorkloadSpec, rejection: Rejection) -> Rejection:
    """No path at all breaks a rule about what is on the path, where there is one for what goes over it."""
    told = rejection.result
    rule = spec.residency.transit if is_of_source(told) else transit_rule(spec, *USER_DATA)
    if rule is None or told.constraint not in _NO_PATH:
        return rejection
    return Rejection(rejection.zone, Reason.TRANSIT_UNKNOWN, _unknown_transit(rule, told))


def _unknown_transit(rule: TransitRule, told: ConstraintResult) -> ConstraintResult:
    return told._replace(constraint=TRANSIT, measured=f"{told.measured}: unknown", bound=format_transit_rule(rule))
