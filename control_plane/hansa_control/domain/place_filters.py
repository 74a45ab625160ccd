"""Filters on what a zone is: whether it takes workloads, what the law says of it, which artefacts it allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from hansa_control.domain.columns import STATES
from hansa_control.domain.filters import Mask, Question, inventory_of, rejected
from hansa_control.domain.memo import Memo
from hansa_control.domain.model import (
    ConstraintResult,
    Fact,
    Reason,
    Rejection,
    ResidencyPolicy,
    Zone,
    ZoneState,
)
from hansa_control.domain.residency import Finding, check_legal, check_site

ZONE_STATE = "ZoneState"
ARTEFACT = "ArtefactAllowed"

STATE_REASON = {ZoneState.LOST: Reason.ZONE_LOST, ZoneState.STALE: Reason.OFFER_STALE}
_IS_GONE = np.array([state in STATE_REASON for state in STATES], dtype=np.bool_)
FOREVER_MS = 1 << 62


class State:
    """Whether the zone is heard and takes new workloads."""

    def __init__(self, question: Question) -> None:
        self._columns = question.columns
        self._gone: Mask = _IS_GONE[self._columns.state]
        self.failing: Mask = self._gone | self._columns.cordoned

    def refuse(self, rows: Sequence[int]) -> Iterator[tuple[int, Rejection]]:
        """Why the zones of these rows take nothing new."""
        for row in rows:
            if self._gone[row]:
                reason = STATE_REASON[self._columns.zones[row].state]
                yield rejected(self._columns, row, reason, self._result(row))
            if self._columns.cordoned[row]:
                result = ConstraintResult(ZONE_STATE, "cordoned", "not cordoned", self._heard(row))
                yield rejected(self._columns, row, Reason.ZONE_CORDONED, result)

    def passed(self, row: int) -> Iterable[ConstraintResult]:
        """That the zone is heard."""
        return () if self._gone[row] else (self._result(row),)

    def _result(self, row: int) -> ConstraintResult:
        state = self._columns.zones[row].state.value.lower()
        return ConstraintResult(ZONE_STATE, state, "available or silent", self._heard(row))

    def _heard(self, row: int) -> str:
        zone = self._columns.zones[row]
        return f"generation {zone.generation} of {zone.id}"


class Artefact:
    """Whether the zone's owner allows the artefact, by name and digest."""

    def __init__(self, question: Question) -> None:
        self._columns = question.columns
        self._wanted = question.spec.artefact
        self._bound = f"{self._wanted.name}@{self._wanted.digest}"
        kept = self._columns.standing.kept
        known: Mask | None = kept.get(("artefact", self._wanted))
        if known is None:
            known = np.array([self._wanted not in zone.inventory.artefacts for zone in self._columns.zones], np.bool_)
            kept.keep(("artefact", self._wanted), known)
        self.failing: Mask = known

    def refuse(self, rows: Sequence[int]) -> Iterator[tuple[int, Rejection]]:
        """Which digest of the artefact the zones of these rows allow instead, if any."""
        for row in rows:
            inventory = self._columns.zones[row].inventory
            same_name = sorted(x.digest for x in inventory.artefacts if x.name == self._wanted.name)
            measured = f"allowed as {', '.join(same_name)}" if same_name else "not allowed"
            yield rejected(self._columns, row, Reason.ARTEFACT_NOT_ALLOWED, self._result(row, measured))

    def passed(self, row: int) -> Iterable[ConstraintResult]:
        """That the artefact is allowed."""
        return () if self.failing[row] else (self._result(row, "allowed"),)

    def _result(self, row: int, measured: str) -> ConstraintResult:
        return ConstraintResult(ARTEFACT, measured, self._bound, inventory_of(self._columns, row))


class Law:
    """What the residency policy says of each zone and its owner: everything but the path."""

    def __init__(self, question: Question) -> None:
        self._view = _law_view(question)
        self.failing: Mask = self._view.failing

    def refuse(self, rows: Sequence[int]) -> Iterator[tuple[int, Rejection]]:
        """Every reason for which the law refuses the zones of these rows."""
        for row in rows:
            for rejection in self._view.judgements[row].rejections:
                yield row, rejection

    def passed(self, row: int) -> Iterable[ConstraintResult]:
        """What holds of the zone and its owner."""
        return self._view.judgements[row].passed


class _Judgement(NamedTuple):
    """What the law says of a zone, for the very facts and the span of time (half open, ms) in which that stays so."""

    facts: tuple[Fact, ...]
    since_ms: int
    until_ms: int
    rejections: tuple[Rejection, ...]
    passed: tuple[ConstraintResult, ...]

    def is_of(self, facts: tuple[Fact, ...], now_ms: int) -> bool:
        return self.since_ms <= now_ms < self.until_ms and (self.facts is facts or self.facts == facts)


class _LawView(NamedTuple):
    """Judgements of all zones of a standing, and the span in which all of them stay."""

    since_ms: int
    until_ms: int
    failing: Mask
    judgements: list[_Judgement]


def _law_view(question: Question) -> _LawView:
    """Kept with what zones are for as long as no fact begins or ends; each zone's judgement for longer than that."""
    policy, now_ms = _judged_part(question.spec.residency), question.now_ms
    kept = question.columns.standing.kept
    key = ("law", policy)
    known: _LawView | None = kept.get(key)
    if known is None or not known.since_ms <= now_ms < known.until_ms:
        table = question.snapshot.knowledge.table(key, 2 * len(question.columns) + 16)
        judgements = [_judge(policy, zone, now_ms, table) for zone in question.columns.standing.zones]
        known = _LawView(
            max((judged.since_ms for judged in judgements), default=0),
            min((judged.until_ms for judged in judgements), default=FOREVER_MS),
            np.array([bool(judged.rejections) for judged in judgements], dtype=np.bool_),
            judgements,
        )
        kept.keep(key, known)
    return known


def _judged_part(policy: ResidencyPolicy) -> tuple[object, ...]:
    """What of a policy is judged by facts alone."""
    return (policy.site, policy.legal)


def _judge(policy: tuple[object, ...], zone: Zone, now_ms: int, table: Memo) -> _Judgement:
    known: _Judgement | None = table.get(zone.id)
    if known is not None and known.is_of(zone.facts, now_ms):
        return known
    site, legal = policy
    findings: list[Finding] = []
    findings += check_site(site, zone.facts, now_ms) if site else ()  # type: ignore[arg-type]
    findings += check_legal(legal, zone.facts, now_ms) if legal else ()  # type: ignore[arg-type]
    judged = _Judgement(
        zone.facts,
        *steady_between(zone.facts, now_ms),
        tuple(Rejection(zone.id, found.reason, found.result) for found in findings if found.reason),
        tuple(found.result for found in findings if found.reason is None),
    )
    table.keep(zone.id, judged)
    return judged


def steady_between(facts: tuple[Fact, ...], now_ms: int) -> tuple[int, int]:
    """The half-open span of time around ``now_ms`` in which none of the facts begins or ends."""
    edges = [0, FOREVER_MS]
    for fact in facts:
        edges += (fact.evidence.valid_from_ms, fact.evidence.valid_until_ms)
    return max(x for x in edges if x <= now_ms), min(x for x in edges if x > now_ms)
