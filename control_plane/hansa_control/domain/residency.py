"""The rule about law and place, read against facts: ``check_law`` evaluates every part that a policy has.

Deny by default. What nobody claims, or claims without proof, is unknown; what was proved for another time is expired;
both reject, under different reasons. Every claim that is made must hold: a second claim that contradicts the first, or
that has run out and is not restated by a valid one, rejects too (see ``claims``).

The path has rules of its own (``transit``), a zone's place is held against what was measured (``locations``), and the
parts beyond site and control are in ``assurance`` and ``predicates``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from hansa_control.domain.assurance import check_attestation, check_certification, check_energy, check_personnel
from hansa_control.domain.claims import Tester, claims_of, label
from hansa_control.domain.claims import describe_evidence as describe_evidence
from hansa_control.domain.figures import percentage
from hansa_control.domain.findings import Finding as Finding
from hansa_control.domain.findings import finding as finding
from hansa_control.domain.findings import format_countries as format_countries
from hansa_control.domain.model import (
    DataSource,
    Fact,
    FactKind,
    Handler,
    LegalRule,
    Reason,
    ResidencyPolicy,
    SiteRule,
)
from hansa_control.domain.predicates import ZoneAttributes, check_predicates
from hansa_control.domain.transit import TransitFault as TransitFault
from hansa_control.domain.transit import format_transit_rule as format_transit_rule
from hansa_control.domain.transit import link_faults as link_faults
from hansa_control.domain.transit import node_fault as node_fault
from hansa_control.domain.units import format_set

SITE = "SiteResidency"
LEGAL = "LegalControl"
NO_LAW = "NONE"

PARTS_KEPT_MAX = 8_192
"""Answers on single parts of policies that are kept, for all policies and zones together."""

law_name = label
"""A law's name in the form in which names are compared."""


def check_law(
    policy: ResidencyPolicy, attributes: ZoneAttributes, facts: tuple[Fact, ...], now_ms: int
) -> tuple[Finding, ...]:
    """Every finding on a zone's facts, for every part of the policy except the path; none where it has no other part.

    attributes is what predicates see of the zone besides its facts (``predicates.attributes_of``). The answer depends
    on the four arguments alone, and on now_ms only through which evidence is valid, so that it may be kept for as long
    as no evidence begins or ends.
    """
    found: list[Finding] = []
    for name, check, kinds in _PARTS:
        rule = getattr(policy, name)
        if rule is not None:
            found += _checked(check, rule, *_relevant(facts, kinds, now_ms))
    if policy.predicates:
        found += check_predicates(policy.predicates, attributes, facts, now_ms)
    return tuple(found)


def _relevant(facts: tuple[Fact, ...], kinds: frozenset[FactKind], now_ms: int) -> tuple[tuple[Fact, ...], int]:
    """Facts of some kinds, and the last time up to now at which evidence of one began or ended: what holds then, holds
    now, and it is the same for as long as nothing begins or ends.
    """
    mine = tuple(fact for fact in facts if fact.kind in kinds)
    edges = (edge for fact in mine for edge in (fact.evidence.valid_from_ms, fact.evidence.valid_until_ms))
    return mine, max((edge for edge in edges if edge <= now_ms), default=0)


@lru_cache(maxsize=PARTS_KEPT_MAX)
def _checked(check: Callable[..., tuple[Finding, ...]], rule: object, facts: tuple[Fact, ...], now_ms: int) -> Any:
    # Zones of one owner share most facts, so that few answers serve many zones.
    return check(rule, facts, now_ms)


def check_sources(policy: ResidencyPolicy, sources: Iterable[DataSource]) -> tuple[Finding, ...]:
    """Whether data sources stand where the site rule allows, for the kinds of data that the policy applies to.

    A source is named by the workload's spec, without evidence of its own: its country is the app team's word.
    """
    if policy.site is None:
        return ()
    countries = policy.site.countries
    found: list[Finding] = []
    for source in sources:
        if source.data in policy.applies_to:
            reason = None if source.country is not None and countries.allows(source.country) else _source_reason(source)
            measured = f"data source {source.name} in {source.country or 'an unknown country'}"
            evidence = f"workload's spec, {source.data.value.lower()} at node {source.node}"
            found.append(finding(reason, SITE, measured, format_countries(countries), evidence))
    return tuple(found)


def check_handlers(policy: ResidencyPolicy, handlers: Iterable[Handler], now_ms: int) -> tuple[Finding, ...]:
    """Whether every operator through whose hands a zone or a claim in it goes is lawful: the same rule on legal control
    as for the owner, read against what each has signed of itself. Of the rest of a policy a handler has nothing.
    """
    if policy.legal is None:
        return ()
    found: list[Finding] = []
    for handler in handlers:
        for one in _checked(check_legal, policy.legal, *_relevant(handler.facts, LEGAL_KINDS, now_ms)):
            measured = f"{handler.operator}, which passes the zone on: {one.result.measured}"
            found.append(one._replace(result=one.result._replace(measured=measured)))
    return tuple(found)


def _source_reason(source: DataSource) -> Reason:
    return Reason.SITE_COUNTRY_UNKNOWN if source.country is None else Reason.SITE_COUNTRY_DENIED


def check_site(rule: SiteRule, facts: tuple[Fact, ...], now_ms: int) -> tuple[Finding, ...]:
    """Whether the zone stands where the rule allows; one finding, or more where it fails for several reasons."""
    bound = format_countries(rule.countries)
    claims = claims_of(facts, FactKind.SITE_COUNTRY, now_ms)
    tester = Tester(SITE, "site country", bound, Reason.SITE_COUNTRY_DENIED, Reason.SITE_COUNTRY_UNKNOWN)
    return tester.test(claims, rule.countries.allows, single=True)


def check_legal(rule: LegalRule, facts: tuple[Fact, ...], now_ms: int) -> tuple[Finding, ...]:
    """Whether nobody outside the allowed countries, and no denied law, controls the owner.

    Headquarters and every ultimate parent must be known and in an allowed country. If laws are denied, the owner must
    say which laws reach it ("none" is an answer) and none of them may be denied. If foreign holders are bounded, their
    share must be known and within the bound.
    """
    allowed = format_countries(rule.countries)
    findings: list[Finding] = []
    for kind, title, single in (
        (FactKind.HEADQUARTERS_COUNTRY, "headquarters", True),
        (FactKind.ULTIMATE_PARENT_COUNTRY, "ultimate parent", False),
    ):
        claims = claims_of(facts, kind, now_ms)
        findings += _legal_tester(title, allowed).test(claims, rule.countries.allows, single=single)
    if rule.laws_denied:
        findings += _check_laws(rule.laws_denied, facts, now_ms)
    if rule.foreign_share_percent_max is not None:
        findings += _check_foreign_share(rule.foreign_share_percent_max, facts, now_ms)
    return tuple(findings)


def _legal_tester(title: str, bound: str) -> Tester:
    return Tester(LEGAL, title, bound, Reason.LEGAL_CONTROL_DENIED, Reason.LEGAL_CONTROL_UNKNOWN)


def _check_laws(denied: frozenset[str], facts: tuple[Fact, ...], now_ms: int) -> tuple[Finding, ...]:
    refused = {law_name(law) for law in denied}
    tester = _legal_tester("law", f"none of {format_set(denied)}")
    claims = claims_of(facts, FactKind.EXTRATERRITORIAL_LAW, now_ms)
    found = tester.test(claims, lambda value: law_name(value) not in refused, single=False)
    names = {law_name(value) for value in claims.values()}
    if NO_LAW in names and len(names) > 1:
        return (*(one for one in found if one.reason is not None), tester.contradiction(claims))
    return found


def _check_foreign_share(percent_max: int, facts: tuple[Fact, ...], now_ms: int) -> tuple[Finding, ...]:
    tester = _legal_tester("foreign share, percent,", f"<= {percent_max}")
    claims = claims_of(facts, FactKind.FOREIGN_SHARE_PERCENT, now_ms)
    return tester.test(claims, lambda value: (percentage(value) or 0) <= percent_max, single=True, read=percentage)


LEGAL_KINDS = frozenset(
    {
        FactKind.HEADQUARTERS_COUNTRY,
        FactKind.ULTIMATE_PARENT_COUNTRY,
        FactKind.FOREIGN_SHARE_PERCENT,
        FactKind.EXTRATERRITORIAL_LAW,
    }
)
"""Kinds of facts on which the rule on legal control rests."""

_PARTS: tuple[tuple[str, Callable[..., tuple[Finding, ...]], frozenset[FactKind]], ...] = (
    ("site", check_site, frozenset({FactKind.SITE_COUNTRY})),
    ("legal", check_legal, LEGAL_KINDS),
    (
        "personnel",
        check_personnel,
        frozenset({FactKind.OPERATION_COUNTRY, FactKind.SUPPORT_COUNTRY, FactKind.PERSONNEL_CLEARANCE}),
    ),
    ("attestation", check_attestation, frozenset({FactKind.ATTESTATION})),
    ("certification", check_certification, frozenset({FactKind.CERTIFICATION})),
    ("energy", check_energy, frozenset({FactKind.CARBON_GCO2_PER_KWH, FactKind.RENEWABLE_PERCENT})),
)
"""The parts of a policy that facts decide, how each is checked, and on which facts it rests."""
