"""The rule about law and place, read against facts: ``check_law`` evaluates every part that a policy has.

Deny by default. What nobody claims, or claims without proof, is unknown; what was proved for another time is expired;
both reject, under different reasons. Every claim that is made must hold: a second claim that contradicts the first, or
that has run out and is not restated by a valid one, rejects too (see ``claims``).

The path has rules of its own (``transit``), a zone's place is held against what was measured (``locations``), and the
parts beyond site and control are in ``assurance`` and ``predicates``.
"""

from __future__ import annotations

from collections.abc import Iterable

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
    if policy.site is not None:
        found += check_site(policy.site, facts, now_ms)
    if policy.legal is not None:
        found += check_legal(policy.legal, facts, now_ms)
    if policy.personnel is not None:
        found += check_personnel(policy.personnel, facts, now_ms)
    if policy.attestation is not None:
        found += check_attestation(policy.attestation, facts, now_ms)
    if policy.certification is not None:
        found += check_certification(policy.certification, facts, now_ms)
    if policy.energy is not None:
        found += check_energy(policy.energy, facts, now_ms)
    if policy.predicates:
        found += check_predicates(policy.predicates, attributes, facts, now_ms)
    return tuple(found)


def asks_of_zones(policy: ResidencyPolicy) -> bool:
    """Whether ``check_law`` can say anything under this policy."""
    parts = (policy.site, policy.legal, policy.personnel, policy.attestation, policy.certification, policy.energy)
    return bool(policy.predicates) or any(part is not None for part in parts)


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
