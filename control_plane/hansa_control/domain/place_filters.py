"""Filters on what a zone is: whether it takes workloads, what the law says of it, which artefacts it allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from hansa_control.domain.columns import STATES, Columns
from hansa_control.domain.filters import Ints, Mask, Question, inventory_of, rejected
from hansa_control.domain.model import (
    ConstraintResult,
    Intake,
    Reason,
    Rejection,
    Zone,
    ZoneSide,
    ZoneState,
)
from hansa_control.domain.near_names import NearNames
from hansa_control.domain.units import format_utc_minute

ZONE_STATE = "ZoneState"
ARTEFACT = "ArtefactAllowed"

STATE_REASON = {
    ZoneState.LOST: Reason.ZONE_LOST,
    ZoneState.STALE: Reason.OFFER_STALE,
    ZoneState.AGREEMENT_SUSPENDED: Reason.AGREEMENT_SUSPENDED,
    ZoneState.AGREEMENT_ENDING: Reason.AGREEMENT_ENDING,
    ZoneState.AGREEMENT_UNKNOWN: Reason.AGREEMENT_UNKNOWN,
}
_SIDES = {
    (ZoneSide.OPERATOR,): "the operator",
    (ZoneSide.SITE,): "the site",
    (ZoneSide.OPERATOR, ZoneSide.SITE): "operator and site",
}
_IS_GONE = np.array([state in STATE_REASON for state in STATES], dtype=np.bool_)


class State:
    """Whether the zone is heard and takes new workloads."""

    def __init__(self, question: Question) -> None:
        self._columns = question.columns
        self._gone, self.failing = _gone(self._columns)

    def refuse(self, rows: Sequence[int]) -> Iterator[tuple[int, Rejection]]:
        """Why the zones of these rows take nothing new."""
        for row in rows:
            if self._gone[row]:
                reason = STATE_REASON[self._columns.zones[row].state]
                yield rejected(self._columns, row, reason, self._result(row))
            if self._columns.cordoned[row]:
                reason, measured, bound = _closed(self._columns.zones[row])
                result = ConstraintResult(ZONE_STATE, measured, bound, self._heard(row))
                yield rejected(self._columns, row, reason, result)

    def passed(self, row: int) -> Iterable[ConstraintResult]:
        """That the zone is heard."""
        return () if self._gone[row] else (self._result(row),)

    def _result(self, row: int) -> ConstraintResult:
        state = self._columns.zones[row].state.value.lower().replace("_", " ")
        return ConstraintResult(ZONE_STATE, state, "available or silent", self._heard(row))

    def _heard(self, row: int) -> str:
        zone = self._columns.zones[row]
        return f"generation {zone.generation} of {zone.id}"


def _closed(zone: Zone) -> tuple[Reason, str, str]:
    """Reason, what is found and what is asked of a zone that takes in nothing new; what is decided counts first."""
    upkeep = zone.upkeep
    by = f" by {_SIDES[upkeep.sides]}" if upkeep.sides else ""
    note = f": {upkeep.note}" if upkeep.note else ""
    if upkeep.intake is Intake.DRAINING:
        due = f", to be empty by {format_utc_minute(upkeep.due_ms)}" if upkeep.due_ms else ""
        return Reason.ZONE_DRAINING, f"being drained{by}{due}{note}", "not drained"
    if upkeep.intake is Intake.MAINTENANCE:
        announced = f", announced{by}" if by else ""
        spans = (f" {format_utc_minute(at.from_ms)} to {format_utc_minute(at.until_ms)}" for at in upkeep.windows)
        return Reason.ZONE_MAINTENANCE, f"maintenance{next(spans, '')}{announced}{note}", "no maintenance announced"
    if upkeep.intake is Intake.UNSTEADY:
        return Reason.ZONE_UNSTEADY, f"held down until {format_utc_minute(upkeep.due_ms)}{note}", "steady"
    by = by or (" by its agent" if zone.inventory.cordoned else "")
    return Reason.ZONE_CORDONED, f"cordoned{by}{note}", "not cordoned"


def _gone(columns: Columns) -> tuple[Mask, Mask]:
    """Zones that are not heard, and those that take nothing new; kept while no zone's state changes."""
    kept = columns.standing.kept
    known: tuple[Ints, Mask, Mask, Mask] | None = kept.get("states")
    if known is None or known[0] is not columns.state or known[1] is not columns.cordoned:
        gone: Mask = _IS_GONE[columns.state]
        known = (columns.state, columns.cordoned, gone, gone | columns.cordoned)
        kept.keep("states", known)
    return known[2:]


class Artefact:
    """Whether the zone's owner allows the artefact in one of its forms, by name and digest."""

    def __init__(self, question: Question) -> None:
        self._columns = question.columns
        self._wanted = question.spec.artefact
        forms = question.spec.forms
        self._names = {form.name for form in forms}
        self._bound = " or ".join(f"{form.name}@{form.digest}" for form in forms)
        kept = self._columns.standing.kept
        known: Mask | None = kept.get(("artefact", forms))
        if known is None:
            allowed = (set(zone.inventory.artefacts) for zone in self._columns.zones)
            known = np.array([each.isdisjoint(forms) for each in allowed], np.bool_)
            kept.keep(("artefact", forms), known)
        self.failing: Mask = known

    def refuse(self, rows: Sequence[int]) -> Iterator[tuple[int, Rejection]]:
        """Which digest of the artefact the zones of these rows allow instead, if any."""
        for row in rows:
            inventory = self._columns.zones[row].inventory
            same_name = sorted(x.digest for x in inventory.artefacts if x.name in self._names)
            measured = f"allowed as {', '.join(same_name)}" if same_name else f"not allowed{self._nearest()}"
            yield rejected(self._columns, row, Reason.ARTEFACT_NOT_ALLOWED, self._result(row, measured))

    def passed(self, row: int) -> Iterable[ConstraintResult]:
        """That the artefact is allowed."""
        return () if self.failing[row] else (self._result(row, "allowed"),)

    def _nearest(self) -> str:
        """The artefact that is named most like one that no zone knows."""
        kept = self._columns.standing.kept
        known: str | None = kept.get(("nearest artefact", self._wanted.name))
        if known is None:
            names = {at.name for zone in self._columns.zones for at in zone.inventory.artefacts}
            known = "" if self._wanted.name in names else NearNames(names).hint(self._wanted.name)
            kept.keep(("nearest artefact", self._wanted.name), known)
        return known

    def _result(self, row: int, measured: str) -> ConstraintResult:
        return ConstraintResult(ARTEFACT, measured, self._bound, inventory_of(self._columns, row))
