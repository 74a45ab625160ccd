"""Zones by what is claimed of them, so that a policy that was never seen is judged once a group, not once a zone.

Whether a zone passes a part of a policy depends on the claims of the kinds that the part reads and on whether each is
proved now, not on who issued the proof, nor on why it does not hold. So every part has groups of its own, few even
where every zone has documents of its own, and a part that two policies share is judged once for both.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, TypeAlias

import numpy as np

from hansa_control.domain.containers import Memo
from hansa_control.domain.filters import Ints, Mask, Question
from hansa_control.domain.model import EnergyRule, Fact, FactKind, ResidencyPolicy, Zone
from hansa_control.domain.predicates import attributes_of
from hansa_control.domain.residency import check_law

FOREVER_MS = 1 << 62
POLICIES_KEPT_MAX = 2_000
GROUPS_KEPT_MAX = 4_000

Claim: TypeAlias = tuple[str, str, str, str, bool]
Claims: TypeAlias = tuple[Claim, ...]

PARTS: tuple[frozenset[FactKind], ...] = (
    frozenset({FactKind.SITE_COUNTRY}),
    frozenset(
        {
            FactKind.HEADQUARTERS_COUNTRY,
            FactKind.ULTIMATE_PARENT_COUNTRY,
            FactKind.FOREIGN_SHARE_PERCENT,
            FactKind.EXTRATERRITORIAL_LAW,
        }
    ),
    frozenset({FactKind.OPERATION_COUNTRY, FactKind.SUPPORT_COUNTRY, FactKind.PERSONNEL_CLEARANCE}),
    frozenset({FactKind.ATTESTATION}),
    frozenset({FactKind.CERTIFICATION}),
    frozenset({FactKind.CARBON_GCO2_PER_KWH}),
    frozenset({FactKind.RENEWABLE_PERCENT}),
)
"""Kinds of facts that are judged together: by site, control, personnel, attestation, certification, and energy twice.

``parts_of`` gives the parts of a policy in the same order. Every kind is in one of them.
"""


class _Claimed(NamedTuple):
    """What is claimed of a zone by part, whoever vouches for it, for as long as the standing of every claim stays;
    facts are those of the zone and of whoever passes it on.
    """

    facts: tuple[Fact, ...]
    since_ms: int
    until_ms: int
    by_part: tuple[Claims, ...]

    def is_of(self, facts: tuple[Fact, ...], now_ms: int) -> bool:
        return self.since_ms <= now_ms < self.until_ms and (self.facts is facts or self.facts == facts)


class Grouping(NamedTuple):
    """Zones that are alike in one part: the group of each, what each group claims, and one zone of each."""

    of_zone: Ints
    claims: tuple[Claims, ...]
    sample: tuple[Zone, ...]


class Groups(NamedTuple):
    """The groupings of all parts, and the span (half open, ms) in which they stay.

    kept is for what follows from what zones are and claim, until then.
    """

    since_ms: int
    until_ms: int
    groupings: tuple[Grouping, ...]
    kept: Memo


def groups_of(question: Question) -> Groups:
    """The zones of a question by what is claimed of them; kept with what they are."""
    now_ms, standing = question.now_ms, question.columns.standing
    known: Groups | None = standing.kept.get("claims")
    if known is None or not known.since_ms <= now_ms < known.until_ms:
        known = _grouped(question)
        standing.kept.keep("claims", known)
    return known


def facts_memo(question: Question) -> Memo:
    """For what follows from what zones are and claim: it is emptied when a fact begins or ends."""
    return groups_of(question).kept


def refused_zones(question: Question) -> Mask:
    """By zone, whether the parts of a policy that read facts refuse it, its predicates apart."""
    refused = np.zeros(len(question.columns), dtype=np.bool_)
    for part, grouping in zip(parts_of(question.spec.residency), groups_of(question).groupings, strict=True):
        if part is not None:
            refused |= _refused_groups(question, part, grouping)[grouping.of_zone]
    return refused


def parts_of(policy: ResidencyPolicy) -> tuple[ResidencyPolicy | None, ...]:
    """The parts of a policy that read facts, each as a policy of its own, in the order of ``PARTS``; None if absent."""
    energy = policy.energy or EnergyRule()
    carbon, renewable = energy.carbon_gco2_per_kwh_max, energy.renewable_percent_min
    return (
        None if policy.site is None else ResidencyPolicy(site=policy.site),
        None if policy.legal is None else ResidencyPolicy(legal=policy.legal),
        None if policy.personnel is None else ResidencyPolicy(personnel=policy.personnel),
        None if policy.attestation is None else ResidencyPolicy(attestation=policy.attestation),
        None if policy.certification is None else ResidencyPolicy(certification=policy.certification),
        None if carbon is None else ResidencyPolicy(energy=replace(energy, renewable_percent_min=None)),
        None if renewable is None else ResidencyPolicy(energy=replace(energy, carbon_gco2_per_kwh_max=None)),
    )


def _refused_groups(question: Question, part: ResidencyPolicy, grouping: Grouping) -> Mask:
    """By group, whether a part of a policy refuses its zones."""
    table = question.snapshot.knowledge.table(("groups", part), GROUPS_KEPT_MAX)
    refused = np.zeros(len(grouping.sample), dtype=np.bool_)
    for group, (claims, zone) in enumerate(zip(grouping.claims, grouping.sample, strict=True)):
        known: bool | None = table.get(claims)
        if known is None:
            found = check_law(part, attributes_of(zone), zone.facts, question.now_ms)
            known = any(one.reason is not None for one in found)
            table.keep(claims, known)
        refused[group] = known
    return refused


def _grouped(question: Question) -> Groups:
    zones, now_ms = question.columns.standing.zones, question.now_ms
    table = question.snapshot.knowledge.table("claims", 2 * len(zones) + 16)
    found = [_claimed(zone, now_ms, table) for zone in zones]
    return Groups(
        max((at.since_ms for at in found), default=0),
        min((at.until_ms for at in found), default=FOREVER_MS),
        tuple(_grouping(zones, [at.by_part[part] for at in found]) for part in range(len(PARTS))),
        Memo(POLICIES_KEPT_MAX),
    )


def _grouping(zones: tuple[Zone, ...], claims: list[Claims]) -> Grouping:
    number: dict[Claims, int] = {}
    sample: list[Zone] = []
    of_zone = np.zeros(len(zones), dtype=np.int64)
    for row, claimed in enumerate(claims):
        of_zone[row] = number.setdefault(claimed, len(sample))
        if len(number) > len(sample):
            sample.append(zones[row])
    return Grouping(of_zone, tuple(number), tuple(sample))


def _claimed(zone: Zone, now_ms: int, table: Memo) -> _Claimed:
    known: _Claimed | None = table.get(zone.id)
    facts = zone.all_facts
    if known is None or not known.is_of(facts, now_ms):
        by_part = tuple(_claims(zone.facts, kinds, now_ms) for kinds in PARTS)
        known = _Claimed(facts, *steady_between(facts, now_ms), by_part)
        table.keep(zone.id, known)
    return known


def _claims(facts: tuple[Fact, ...], kinds: frozenset[FactKind], now_ms: int) -> Claims:
    return tuple(sorted(_claim(fact, now_ms) for fact in facts if fact.kind in kinds))


def _claim(fact: Fact, now_ms: int) -> Claim:
    return (fact.kind.value, fact.value, fact.version, fact.level, fact.evidence.is_valid(now_ms))


def steady_between(facts: tuple[Fact, ...], now_ms: int) -> tuple[int, int]:
    """The half-open span of time around ``now_ms`` in which none of the facts begins or ends."""
    edges = [0, FOREVER_MS]
    for fact in facts:
        edges += (fact.evidence.valid_from_ms, fact.evidence.valid_until_ms)
    return max(x for x in edges if x <= now_ms), min(x for x in edges if x > now_ms)
