"""The rule about law and place, read against facts: site, legal control, transit.

Deny by default. What nobody claims, or claims without proof, is unknown; what was proved for another time is expired;
both reject, under different reasons. Every claim that is made must hold: a second claim that contradicts the first, or
that has run out and is not restated by a valid one, rejects too, so that nobody sheds an unwelcome fact by letting its
evidence lapse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hansa_control.domain.model import (
    ConstraintResult,
    Fact,
    FactKind,
    LegalRule,
    NetworkLink,
    NetworkNode,
    Reason,
    SiteRule,
    TransitRule,
)
from hansa_control.domain.policy import Countries
from hansa_control.domain.units import format_set, format_utc_date

SITE = "SiteResidency"
LEGAL = "LegalControl"
NO_LAW = "NONE"


class Finding(NamedTuple):
    """A constraint as evaluated; reason is None where it holds."""

    reason: Reason | None
    result: ConstraintResult


def finding(reason: Reason | None, constraint: str, measured: str, bound: str, evidence: str) -> Finding:
    """A finding from its words."""
    return Finding(reason, ConstraintResult(constraint, measured, bound, evidence))


class TransitFault(NamedTuple):
    """Why a node or link may not be crossed: TRANSIT_DENIED with the country or carrier, or TRANSIT_UNKNOWN."""

    reason: Reason
    countries: tuple[str, ...]
    carrier: str
    place: str

    def describe(self) -> str:
        """For people: ``crosses FI``, ``carried by skargard``, ``countries unknown``."""
        if self.reason is Reason.TRANSIT_UNKNOWN:
            return "carrier unknown" if self.carrier else "countries unknown"
        return f"carried by {self.carrier}" if self.carrier else f"crosses {', '.join(self.countries)}"


class _Claims(NamedTuple):
    """The facts of one kind by their standing at one time."""

    valid: tuple[Fact, ...]
    expired: tuple[Fact, ...]
    unproved: tuple[Fact, ...]

    def values(self) -> list[str]:
        return sorted({fact.value for fact in self.valid})


def check_site(rule: SiteRule, facts: tuple[Fact, ...], now_ms: int) -> tuple[Finding, ...]:
    """Whether the zone stands where the rule allows; one finding, or more where it fails for several reasons."""
    bound = format_countries(rule.countries)
    claims = _claims(facts, FactKind.SITE_COUNTRY, now_ms)
    tester = _Tester(SITE, "site country", bound, Reason.SITE_COUNTRY_DENIED, Reason.SITE_COUNTRY_UNKNOWN)
    return tester.test(claims, lambda value: rule.countries.allows(value), single=True)


def check_legal(rule: LegalRule, facts: tuple[Fact, ...], now_ms: int) -> tuple[Finding, ...]:
    """Whether nobody outside the allowed countries, and no denied law, controls the owner.

    Headquarters and every ultimate parent must be known and in an allowed country. If laws are denied, the owner must
    say which laws reach it ("none" is an answer) and none of them may be denied.
    """
    allowed = format_countries(rule.countries)
    findings: list[Finding] = []
    for kind, title, single in (
        (FactKind.HEADQUARTERS_COUNTRY, "headquarters", True),
        (FactKind.ULTIMATE_PARENT_COUNTRY, "ultimate parent", False),
    ):
        tester = _Tester(LEGAL, title, allowed, Reason.LEGAL_CONTROL_DENIED, Reason.LEGAL_CONTROL_UNKNOWN)
        findings += tester.test(_claims(facts, kind, now_ms), lambda value: rule.countries.allows(value), single=single)
    if rule.laws_denied:
        findings += _check_laws(rule.laws_denied, facts, now_ms)
    return tuple(findings)


def node_fault(rule: TransitRule, node: NetworkNode) -> TransitFault | None:
    """Why a node may not be crossed, or None. A waypoint at sea lies in no country."""
    if node.country is None:
        return None if node.at_sea else TransitFault(Reason.TRANSIT_UNKNOWN, (), "", f"node {node.name}")
    if rule.countries.allows(node.country):
        return None
    return TransitFault(Reason.TRANSIT_DENIED, (node.country,), "", f"node {node.name}")


def link_faults(rule: TransitRule, link: NetworkLink) -> tuple[TransitFault, ...]:
    """Why a link may not be crossed, its ends apart: countries denied or unknown, carrier denied or unknown."""
    place = f"link {link.name}, carrier {link.carrier or 'unknown'}"
    faults: list[TransitFault] = []
    denied = tuple(sorted(c for c in set(link.countries or ()) if not rule.countries.allows(c)))
    if denied:
        faults.append(TransitFault(Reason.TRANSIT_DENIED, denied, "", place))
    if link.countries is None:
        faults.append(TransitFault(Reason.TRANSIT_UNKNOWN, (), "", place))
    if rule.carriers_denied and not link.carrier:
        faults.append(TransitFault(Reason.TRANSIT_UNKNOWN, (), "unknown", place))
    if link.carrier in rule.carriers_denied:
        faults.append(TransitFault(Reason.TRANSIT_DENIED, (), link.carrier, place))
    return tuple(faults)


def format_transit_rule(rule: TransitRule) -> str:
    """The rule for people: ``{NO,SE}``, ``{NO,SE} without carriers {x}``."""
    allowed = format_countries(rule.countries)
    return f"{allowed} without carriers {format_set(rule.carriers_denied)}" if rule.carriers_denied else allowed


def format_countries(countries: Countries) -> str:
    """A set of countries for people: ``{NO,SE}``, ``any but {RU}``, ``{NO,SE} but {SE}``."""
    allowed = "any" if countries.allowed is None else format_set(countries.allowed)
    return f"{allowed} but {format_set(countries.denied)}" if countries.denied else allowed


def law_name(value: str) -> str:
    """A law's name in the form in which names are compared."""
    return value.strip().upper()


class _Tester(NamedTuple):
    """How the facts of one kind are tested: under which constraint and reasons, and in which words."""

    constraint: str
    title: str
    bound: str
    denied: Reason
    unknown: Reason

    def test(self, claims: _Claims, is_allowed: Callable[[str], bool], *, single: bool) -> tuple[Finding, ...]:
        """All reasons for which the claims fail; one passing finding if there is none. single: one value at most."""
        found = [*self._lapsed(claims), *self._denied(claims, is_allowed)]
        if single and len(claims.values()) > 1:
            found.append(self.found(self.unknown, "contradicting: " + ", ".join(claims.values()), claims.valid))
        if not (claims.valid or claims.expired or claims.unproved):
            found.append(self.found(self.unknown, "unknown", ()))
        return tuple(found) or (self.found(None, ", ".join(claims.values()), claims.valid),)

    def _denied(self, claims: _Claims, is_allowed: Callable[[str], bool]) -> list[Finding]:
        wrong = tuple(fact for fact in claims.valid if not is_allowed(fact.value))
        values = ", ".join(sorted({fact.value for fact in wrong}))
        return [self.found(self.denied, values, wrong)] if wrong else []

    def _lapsed(self, claims: _Claims) -> list[Finding]:
        found: list[Finding] = []
        for reason, word, facts in (
            (Reason.FACT_EXPIRED, "not valid now", claims.expired),
            (self.unknown, "without validity", claims.unproved),
        ):
            if facts:
                values = ", ".join(sorted({fact.value for fact in facts}))
                found.append(self.found(reason, f"{values}, {word}", facts))
        return found

    def found(self, reason: Reason | None, measured: str, facts: tuple[Fact, ...]) -> Finding:
        evidence = "; ".join(describe_evidence(fact) for fact in facts) or f"no fact on {self.title}"
        return finding(reason, self.constraint, f"{self.title} {measured}", self.bound, evidence)


def describe_evidence(fact: Fact) -> str:
    """The proof of a fact for people: issuer, scheme and until when it holds."""
    proof = fact.evidence
    until = format_utc_date(proof.valid_until_ms) if proof.valid_until_ms > 0 else "unknown"
    return f"{proof.kind.value.lower()} by {proof.issuer or 'unknown'} ({proof.scheme}), valid until {until}"


def _claims(facts: tuple[Fact, ...], kind: FactKind, now_ms: int) -> _Claims:
    """Facts of a kind by standing. One that has lapsed is left out where a valid fact restates its value."""
    mine = tuple(
        sorted((fact for fact in facts if fact.kind is kind), key=lambda fact: (fact.value, fact.evidence.issuer))
    )
    valid = tuple(fact for fact in mine if fact.evidence.is_valid(now_ms))
    restated = {fact.value for fact in valid}
    rest = tuple(fact for fact in mine if fact.value not in restated)
    unproved = tuple(fact for fact in rest if not _has_validity(fact))
    return _Claims(valid, tuple(fact for fact in rest if _has_validity(fact)), unproved)


def _has_validity(fact: Fact) -> bool:
    return fact.evidence.valid_from_ms > 0 and fact.evidence.valid_until_ms > 0


def _check_laws(denied: frozenset[str], facts: tuple[Fact, ...], now_ms: int) -> tuple[Finding, ...]:
    refused = {law_name(law) for law in denied}
    bound = f"none of {format_set(denied)}"
    tester = _Tester(LEGAL, "law", bound, Reason.LEGAL_CONTROL_DENIED, Reason.LEGAL_CONTROL_UNKNOWN)
    claims = _claims(facts, FactKind.EXTRATERRITORIAL_LAW, now_ms)
    found = list(tester.test(claims, lambda value: law_name(value) not in refused, single=False))
    names = {law_name(value) for value in claims.values()}
    if NO_LAW in names and len(names) > 1:
        found = [finding for finding in found if finding.reason is not None]
        found.append(
            tester.found(Reason.LEGAL_CONTROL_UNKNOWN, "contradicting: " + ", ".join(claims.values()), claims.valid)
        )
    return tuple(found)
