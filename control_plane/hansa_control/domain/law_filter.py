"""The filter on law: what the residency policy says of every zone and its owner, everything but the path.

Verdicts are made for groups of zones of which the same is claimed (``claim_groups``); the words, with each zone's own
evidence, for the zones that somebody asks about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hansa_control.domain.attributes import Values
from hansa_control.domain.claim_groups import facts_memo, refused_zones, steady_between
from hansa_control.domain.containers import Memo
from hansa_control.domain.filters import Mask, Question
from hansa_control.domain.model import ConstraintResult, Fact, Rejection, ResidencyPolicy, Zone
from hansa_control.domain.predicates import (
    Predicate,
    ZoneAttributes,
    attributes_of,
    check_predicates,
    compile_predicate,
    evaluate,
    values_of,
)
from hansa_control.domain.residency import LEGAL_KINDS, Finding, check_handlers, check_law, check_sources


class Law:
    """What the residency policy says of each zone and its owner."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._policy = question.spec.residency
        sources = check_sources(self._policy, question.spec.data_sources)
        if question.spec.on_behalf is not None:
            # Whoever asks for others is in everything that it asks for, whatever the zone.
            sources += check_handlers(self._policy, question.spec.on_behalf.handlers, question.now_ms)
        self._sources = tuple((found.reason, found.result) for found in sources)
        self.failing: Mask = self._by_facts()
        if any(reason is not None for reason, _ in self._sources):
            self.failing = np.ones(len(question.columns), dtype=np.bool_)

    def _by_facts(self) -> Mask:
        kept = facts_memo(self._question)
        known: Mask | None = kept.get(self._policy)
        if known is None:
            known = refused_zones(self._question)
            for predicate in self._policy.predicates:
                known = known | ~holds(self._question, predicate)
            known = known | self._by_handlers()
            kept.keep(self._policy, known)
        return known

    def _by_handlers(self) -> Mask:
        """By zone, whether an operator that passes it on may not have it in its hands; few zones are passed on."""
        zones, now_ms = self._question.columns.standing.zones, self._question.now_ms
        refused = np.zeros(len(zones), dtype=np.bool_)
        for row, zone in enumerate(zones):
            if zone.origin is not None:
                found = check_handlers(self._policy, zone.handlers, now_ms)
                refused[row] = any(one.reason is not None for one in found)
        return refused

    def refuse(self, rows: Sequence[int]) -> Iterator[tuple[int, Rejection]]:
        """Every reason for which the law refuses the zones of these rows."""
        table, zones = self._table, self._question.columns.zones
        at_sources = [(reason, result) for reason, result in self._sources if reason is not None]
        for row in rows:
            for reason, result in at_sources:
                yield row, Rejection(zones[row].id, reason, result)
            for rejection in self._judged(row, table).rejections:
                yield row, rejection

    def passed(self, row: int) -> Iterable[ConstraintResult]:
        """What holds of the zone and its owner."""
        sources = [result for reason, result in self._sources if reason is None]
        return [*sources, *self._judged(row, self._table).passed]

    @property
    def _table(self) -> Memo:
        entries_max = 2 * len(self._question.columns) + 16
        return self._question.snapshot.knowledge.table(("law", self._policy), entries_max)

    def _judged(self, row: int, table: Memo) -> _Judgement:
        zone, now_ms = self._question.columns.standing.zones[row], self._question.now_ms
        known: _Judgement | None = table.get(zone.id)
        if known is None or not known.is_of(zone, now_ms):
            known = _judge(self._policy, zone, now_ms)
            table.keep(zone.id, known)
        return known


class _Judgement(NamedTuple):
    """What the law says of a zone, for the very facts and the span of time (half open, ms) in which that stays so.
    facts are those of the zone and of whoever passes it on.
    """

    facts: tuple[Fact, ...]
    zone: Zone
    attributes: ZoneAttributes
    since_ms: int
    until_ms: int
    rejections: tuple[Rejection, ...]
    passed: tuple[ConstraintResult, ...]

    def is_of(self, zone: Zone, now_ms: int) -> bool:
        if not self.since_ms <= now_ms < self.until_ms:
            return False
        if self.zone is zone:
            return True
        facts = zone.all_facts
        alike = (self.facts is facts or self.facts == facts) and self.zone.origin == zone.origin
        return alike and self.attributes == attributes_of(zone)


def holds(question: Question, predicate: str) -> Mask:
    """By zone, whether a predicate is true of it; kept for as long as what is known of zones stays.

    It is evaluated once for each set of values that it reads, however many zones have them.
    """
    kept = facts_memo(question)
    known: Mask | None = kept.get(("predicate", predicate))
    if known is None:
        compiled = compile_predicate(predicate)
        reads = compiled.reads if isinstance(compiled, Predicate) else ()
        outcomes: dict[tuple[object, ...], bool] = {}
        found = []
        for views in _values(question):
            is_true = True
            for values in views:
                read = tuple(tuple(v) if isinstance(v := values.get(name), list) else v for name in reads)
                if read not in outcomes:
                    outcomes[read] = evaluate(predicate, values).reason is None
                is_true = is_true and outcomes[read]
            found.append(is_true)
        known = np.array(found, dtype=np.bool_)
        kept.keep(("predicate", predicate), known)
    return known


class _View(NamedTuple):
    """A zone as predicates read it for one operator of its chain."""

    operator: str
    attributes: ZoneAttributes
    facts: tuple[Fact, ...]


def _views(zone: Zone) -> tuple[_View, ...]:
    """A zone as predicates read it; one that is passed on is read for every operator of its chain: as its owner's own,
    and as each handler's, with what that one says of its legal control in the place of what the owner says of its.
    """
    attributes = attributes_of(zone)
    if zone.origin is None:
        return (_View(zone.id.operator, attributes, zone.facts),)
    owned = zone.origin.zone
    views = [_View(owned.operator, replace(attributes, operator=owned.operator, name=owned.zone), zone.facts)]
    of_place = tuple(fact for fact in zone.facts if fact.kind not in LEGAL_KINDS)
    for handler in zone.handlers:
        as_its_own = replace(attributes, operator=handler.operator)
        views.append(_View(handler.operator, as_its_own, of_place + handler.facts))
    return tuple(views)


def _check_predicates(policy: ResidencyPolicy, zone: Zone, now_ms: int) -> tuple[Finding, ...]:
    """Every predicate for every operator of the chain of a zone that is passed on, each with the operator's name."""
    found: list[Finding] = []
    for view in _views(zone) if policy.predicates else ():
        for one in check_predicates(policy.predicates, view.attributes, view.facts, now_ms):
            measured = f"of {view.operator}: {one.result.measured}"
            found.append(one._replace(result=one.result._replace(measured=measured)))
    return tuple(found)


def _values(question: Question) -> list[tuple[Values, ...]]:
    """What predicates may read of each zone, once for each operator of its chain."""
    kept = facts_memo(question)
    known: list[tuple[Values, ...]] | None = kept.get("values")
    if known is None:
        zones, now_ms = question.columns.standing.zones, question.now_ms
        known = [tuple(values_of(at.attributes, at.facts, now_ms) for at in _views(zone)) for zone in zones]
        kept.keep("values", known)
    return known


def _judge(policy: ResidencyPolicy, zone: Zone, now_ms: int) -> _Judgement:
    attributes = attributes_of(zone)
    facts = zone.all_facts
    if zone.origin is None:
        findings = check_law(policy, attributes, zone.facts, now_ms)
    else:
        findings = check_law(replace(policy, predicates=()), attributes, zone.facts, now_ms)
        findings += check_handlers(policy, zone.handlers, now_ms) + _check_predicates(policy, zone, now_ms)
    return _Judgement(
        facts,
        zone,
        attributes,
        *steady_between(facts, now_ms),
        tuple(Rejection(zone.id, found.reason, found.result) for found in findings if found.reason),
        tuple(found.result for found in findings if found.reason is None),
    )
