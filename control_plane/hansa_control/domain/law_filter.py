"""The filter on law: what the residency policy says of every zone and its owner, everything but the path.

Whether a zone passes depends on what is claimed of it and on the standing of each claim (valid, lapsed, without
validity), not on who issued the proof. Zones are grouped by that, so a policy that was never seen costs one judgement a
group; the words, with each zone's own evidence, are made for the zones that somebody asks about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from hansa_control.domain.containers import Memo
from hansa_control.domain.filters import Ints, Mask, Question
from hansa_control.domain.model import ConstraintResult, Fact, Rejection, ResidencyPolicy, Zone
from hansa_control.domain.predicates import ZoneAttributes, attributes_of
from hansa_control.domain.residency import check_law, check_sources

FOREVER_MS = 1 << 62

Claim: TypeAlias = tuple[str, str, str, str, str]


class Law:
    """What the residency policy says of each zone and its owner."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._policy = question.spec.residency
        sources = check_sources(self._policy, question.spec.data_sources)
        self._sources = tuple((found.reason, found.result) for found in sources)
        self.failing: Mask = self._by_facts()
        if any(reason is not None for reason, _ in self._sources):
            self.failing = np.ones(len(question.columns), dtype=np.bool_)

    def _by_facts(self) -> Mask:
        question, groups = self._question, _groups(self._question)
        known: Mask | None = groups.kept.get(self._policy)
        if known is None:
            if self._policy.predicates:
                known = _refused_zones(self._policy, question)
            else:
                known = _refused_groups(question, groups)[groups.of_zone]
            groups.kept.keep(self._policy, known)
        return known

    def refuse(self, rows: Sequence[int]) -> Iterator[tuple[int, Rejection]]:
        """Every reason for which the law refuses the zones of these rows."""
        table, zones = self._table, self._question.columns.zones
        for row in rows:
            for reason, result in self._sources:
                if reason is not None:
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
    """What the law says of a zone, for the very facts and the span of time (half open, ms) in which that stays so."""

    facts: tuple[Fact, ...]
    attributes: ZoneAttributes
    since_ms: int
    until_ms: int
    rejections: tuple[Rejection, ...]
    passed: tuple[ConstraintResult, ...]

    def is_of(self, zone: Zone, now_ms: int) -> bool:
        alike = self.facts is zone.facts or self.facts == zone.facts
        return alike and self.since_ms <= now_ms < self.until_ms and self.attributes == attributes_of(zone)


class _Claimed(NamedTuple):
    """What is claimed of a zone, whoever vouches for it, for as long as the standing of every claim stays."""

    facts: tuple[Fact, ...]
    since_ms: int
    until_ms: int
    claims: tuple[Claim, ...]

    def is_of(self, facts: tuple[Fact, ...], now_ms: int) -> bool:
        return self.since_ms <= now_ms < self.until_ms and (self.facts is facts or self.facts == facts)


class _Groups(NamedTuple):
    """Zones by what is claimed of them: the group of each, one zone of each group, and the span in which that stays.

    kept holds what follows for all zones: by policy, which of them are refused.
    """

    since_ms: int
    until_ms: int
    of_zone: Ints
    claims: tuple[tuple[Claim, ...], ...]
    sample: tuple[Zone, ...]
    kept: Memo


def facts_memo(question: Question) -> Memo:
    """For what follows from what zones are and claim: it is emptied when a fact begins or ends."""
    return _groups(question).kept


def _groups(question: Question) -> _Groups:
    now_ms, standing = question.now_ms, question.columns.standing
    known: _Groups | None = standing.kept.get("claims")
    if known is None or not known.since_ms <= now_ms < known.until_ms:
        known = _grouped(question)
        standing.kept.keep("claims", known)
    return known


def _grouped(question: Question) -> _Groups:
    zones, now_ms = question.columns.standing.zones, question.now_ms
    table = question.snapshot.knowledge.table("claims", 2 * len(zones) + 16)
    found = [_claimed(zone, now_ms, table) for zone in zones]
    number: dict[tuple[Claim, ...], int] = {}
    sample: list[Zone] = []
    of_zone = np.zeros(len(zones), dtype=np.int64)
    for row, claimed in enumerate(found):
        of_zone[row] = number.setdefault(claimed.claims, len(sample))
        if len(number) > len(sample):
            sample.append(zones[row])
    return _Groups(
        max((at.since_ms for at in found), default=0),
        min((at.until_ms for at in found), default=FOREVER_MS),
        of_zone,
        tuple(number),
        tuple(sample),
        Memo(POLICIES_KEPT_MAX),
    )


POLICIES_KEPT_MAX = 2_000


def _refused_groups(question: Question, groups: _Groups) -> Mask:
    """By group, whether a policy refuses its zones."""
    policy = question.spec.residency
    table = question.snapshot.knowledge.table(("groups", policy), GROUPS_KEPT_MAX)
    refused = np.zeros(len(groups.sample), dtype=np.bool_)
    for group, (claims, zone) in enumerate(zip(groups.claims, groups.sample, strict=True)):
        known: bool | None = table.get(claims)
        if known is None:
            known = bool(_judge(policy, zone, question.now_ms).rejections)
            table.keep(claims, known)
        refused[group] = known
    return refused


GROUPS_KEPT_MAX = 4_000


def _refused_zones(policy: ResidencyPolicy, question: Question) -> Mask:
    """By zone, whether a policy with predicates refuses it: predicates tell zones apart that claim the same."""
    zones, now_ms = question.columns.standing.zones, question.now_ms
    return np.array([bool(_judge(policy, zone, now_ms).rejections) for zone in zones], dtype=np.bool_)


def _claimed(zone: Zone, now_ms: int, table: Memo) -> _Claimed:
    known: _Claimed | None = table.get(zone.id)
    if known is None or not known.is_of(zone.facts, now_ms):
        claims = tuple(sorted(_claim(fact, now_ms) for fact in zone.facts))
        known = _Claimed(zone.facts, *steady_between(zone.facts, now_ms), claims)
        table.keep(zone.id, known)
    return known


def _claim(fact: Fact, now_ms: int) -> Claim:
    proof = fact.evidence
    if proof.is_valid(now_ms):
        standing = "valid"
    else:
        standing = "lapsed" if proof.valid_from_ms > 0 and proof.valid_until_ms > 0 else "unproved"
    return (fact.kind.value, fact.value, fact.version, fact.level, standing)


def _judge(policy: ResidencyPolicy, zone: Zone, now_ms: int) -> _Judgement:
    attributes = attributes_of(zone)
    findings = check_law(policy, attributes, zone.facts, now_ms)
    return _Judgement(
        zone.facts,
        attributes,
        *steady_between(zone.facts, now_ms),
        tuple(Rejection(zone.id, found.reason, found.result) for found in findings if found.reason),
        tuple(found.result for found in findings if found.reason is None),
    )


def steady_between(facts: tuple[Fact, ...], now_ms: int) -> tuple[int, int]:
    """The half-open span of time around ``now_ms`` in which none of the facts begins or ends."""
    edges = [0, FOREVER_MS]
    for fact in facts:
        edges += (fact.evidence.valid_from_ms, fact.evidence.valid_until_ms)
    return max(x for x in edges if x <= now_ms), min(x for x in edges if x > now_ms)
