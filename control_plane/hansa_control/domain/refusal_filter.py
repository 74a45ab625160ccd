"""The filter on what those who keep a zone's machines refuse: tenants, kinds of data, times.

It concerns what is new: what runs in a zone is not judged by it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from hansa_control.domain.filters import Mask, Question, inventory_of, rejected
from hansa_control.domain.model import ConstraintResult, DataClass, Reason, Rejection, WorkloadSpec
from hansa_control.domain.refusals import Refusals, closed_span, takes_tenant

REFUSALS = "SiteConsent"
_ALWAYS = frozenset({DataClass.INPUT, DataClass.OUTPUT, DataClass.ARTEFACT})
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_Fault = tuple[Reason, str, str]


def handled_data(spec: WorkloadSpec) -> frozenset[DataClass]:
    """The kinds of data that a workload brings into its zone: its users', the artefact, and its data sources'."""
    return _ALWAYS | {source.data for source in spec.data_sources}


def unforeseeable(refusals: Refusals | None) -> frozenset[Reason]:
    """For what a hold may be refused without breaking the promise of the offer that showed these refusals: a quota, and
    of tenants and times what it said that it judges.
    """
    found = {Reason.QUOTA_EXCEEDED}
    if refusals is not None and refusals.judges_tenants:
        found |= {Reason.TENANT_REFUSED, Reason.TENANT_UNKNOWN}
    if refusals is not None and refusals.spans:
        found.add(Reason.TIME_REFUSED)
    return frozenset(found)


class Consent:
    """Whether a zone's refusals leave room for the request now. Costs nothing where no zone refuses anything."""

    def __init__(self, question: Question) -> None:
        self._columns = question.columns
        self._question = question
        self._faults = self._found()
        self.failing: Mask = np.zeros(len(self._columns), dtype=np.bool_)
        if self._faults:
            self.failing[list(self._faults)] = True

    def refuse(self, rows: Sequence[int]) -> Iterator[tuple[int, Rejection]]:
        """What the sites of these rows refuse."""
        for row in rows:
            for reason, measured, bound in self._faults.get(row, ()):
                result = ConstraintResult(REFUSALS, measured, bound, inventory_of(self._columns, row))
                yield rejected(self._columns, row, reason, result)

    def passed(self, row: int) -> Iterable[ConstraintResult]:
        """That nothing of it is refused, where the site refuses anything at all."""
        if row in self._faults or self._columns.zones[row].inventory.refusals is None:
            return ()
        return (ConstraintResult(REFUSALS, "not refused", "not refused", inventory_of(self._columns, row)),)

    def _found(self) -> dict[int, list[_Fault]]:
        kept, zones = self._columns.standing.kept, self._columns.zones
        known: list[int] | None = kept.get("rows that refuse")
        if known is None:
            known = [row for row, zone in enumerate(zones) if zone.inventory.refusals is not None]
            kept.keep("rows that refuse", known)
        found = {}
        for row in known:
            refusals = zones[row].inventory.refusals
            if refusals is not None and (faults := list(_faults(refusals, self._question))):
                found[row] = faults
        return found


def refused_tenant(refusals: Refusals | None, asker: str) -> _Fault | None:
    """Why a workload of a tenant, "operator/tenant", is not taken: reason, what was seen, what would do."""
    if refusals is None or not refusals.names_tenants:
        return None
    if not asker:
        return Reason.TENANT_UNKNOWN, "not told whose workload it is", "a tenant that the site takes"
    return None if takes_tenant(refusals, asker) else (Reason.TENANT_REFUSED, asker, "a tenant that the site takes")


def _faults(refusals: Refusals, question: Question) -> Iterator[_Fault]:
    data = handled_data(question.spec)
    if (refused := refused_tenant(refusals, question.spec.asker)) is not None:
        yield refused
    if denied := sorted(one.value for one in data if one.value in refusals.data_denied):
        yield Reason.DATA_REFUSED, f"brings {', '.join(denied)}", f"no {', '.join(refusals.data_denied)}"
    if (span := closed_span(refusals, question.now_ms)) is not None:
        yield Reason.TIME_REFUSED, f"in {_moment(span[0])} to {_moment(span[1])} UTC", "no start in that time"


def _moment(minute: int) -> str:
    day, rest = divmod(minute, 1_440)
    return f"{_DAYS[day % 7]} {rest // 60:02d}:{rest % 60:02d}"
