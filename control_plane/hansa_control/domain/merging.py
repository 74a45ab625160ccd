"""Several policies as one: what an app team, a tenant, a nation and a zone's owner demand, all at once.

The merged policy is at least as strict as each part: intersection of what is allowed, union of what is denied or
required, maximum of minimums, minimum of maximums, the strictest of what happens on change. A part that is absent
restricts nothing. The result is canonical (sorted, each thing once), so that neither order nor grouping nor repetition
of the policies shows in it.

Where the parts differ in ``applies_to`` or ``unknown_paths``, the merged policy can be stricter than all of them
together: a transit rule for input alone and another for output alone become one for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeVar

from hansa_control.domain.policy import (
    ALL_DATA,
    AttestationRule,
    CertificationNeed,
    CertificationRule,
    Countries,
    DataClass,
    EnergyRule,
    LegalRule,
    OnChange,
    PersonnelRule,
    ResidencyPolicy,
    SiteRule,
    TransitRule,
    UnknownPaths,
)

STRICTNESS = (OnChange.KEEP_AND_ALERT, OnChange.DRAIN, OnChange.TERMINATE)
"""What happens on change, the strictest last."""

T = TypeVar("T")


def merge(policies: Sequence[ResidencyPolicy]) -> ResidencyPolicy:
    """The policy that demands what all of these demand; no policies demand nothing.

    Commutative, associative and idempotent; ``merge([policy])`` is the canonical form of a policy. A zone, link or data
    source that passes the merged policy passes each of them. Countries that no two policies have in common leave an
    allow-list that is empty: nothing is allowed then, and ``dead_ends`` says so.
    """
    if not policies:
        return ResidencyPolicy()
    return ResidencyPolicy(
        site=_joined((policy.site for policy in policies), _site),
        legal=_joined((policy.legal for policy in policies), _legal),
        transit=_joined((policy.transit for policy in policies), _transit),
        on_change=max((policy.on_change for policy in policies), key=STRICTNESS.index),
        personnel=_joined((policy.personnel for policy in policies), _personnel),
        attestation=_joined((policy.attestation for policy in policies), _attestation),
        certification=_joined((policy.certification for policy in policies), _certification),
        energy=_joined((policy.energy for policy in policies), _energy),
        predicates=_each_once(policy.predicates for policy in policies),
        applies_to=_applies_to(policies),
        presets=_each_once(policy.presets for policy in policies),
    )


def is_stricter_or_equal(strict: ResidencyPolicy, loose: ResidencyPolicy) -> bool:
    """Whether ``strict`` demands all that ``loose`` demands, word for word.

    True only if whatever passes ``strict`` passes ``loose``. False also where that holds by reasoning that no field
    shows, such as one predicate following from another. Names of presets count for nothing.
    """
    return merge([_unnamed(strict), _unnamed(loose)]) == merge([_unnamed(strict)])


def dead_ends(policy: ResidencyPolicy) -> tuple[str, ...]:
    """The parts of a policy that no zone and no path can pass, since every allowed country is denied: their names."""
    rules = {"site": policy.site, "legal": policy.legal, "transit": policy.transit, "personnel": policy.personnel}
    return tuple(name for name, rule in rules.items() if rule is not None and _is_empty(rule.countries))


def _is_empty(countries: Countries) -> bool:
    return countries.allowed is not None and not countries.allowed - countries.denied


def _unnamed(policy: ResidencyPolicy) -> ResidencyPolicy:
    return replace(policy, presets=())


def _joined(rules: Iterable[T | None], join: Callable[[list[T]], T]) -> T | None:
    present = [rule for rule in rules if rule is not None]
    return join(present) if present else None


def _each_once(parts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted(set(chain.from_iterable(parts))))


def _applies_to(policies: Sequence[ResidencyPolicy]) -> frozenset[DataClass]:
    """All that is named by policies that have a rule which it bears on: on paths, or on the sites of data sources."""
    named = [policy.applies_to for policy in policies if policy.site is not None or policy.transit is not None]
    return frozenset().union(*named) if named else ALL_DATA


def _allowed(rules: Sequence[SiteRule | LegalRule | TransitRule | PersonnelRule]) -> frozenset[str] | None:
    lists = [rule.countries_allowed for rule in rules if rule.countries_allowed is not None]
    return frozenset.intersection(*lists) if lists else None


def _denied(rules: Sequence[SiteRule | LegalRule | TransitRule | PersonnelRule]) -> frozenset[str]:
    return frozenset().union(*(rule.countries_denied for rule in rules))


def _site(rules: list[SiteRule]) -> SiteRule:
    return SiteRule(_allowed(rules), _denied(rules))


def _legal(rules: list[LegalRule]) -> LegalRule:
    return LegalRule(
        countries_allowed=_allowed(rules),
        laws_denied=frozenset().union(*(rule.laws_denied for rule in rules)),
        countries_denied=_denied(rules),
        foreign_share_percent_max=_bound((rule.foreign_share_percent_max for rule in rules), min),
    )


def _transit(rules: list[TransitRule]) -> TransitRule:
    lenient = all(rule.unknown_paths is UnknownPaths.ACCEPT_ENCRYPTED for rule in rules)
    return TransitRule(
        countries_allowed=_allowed(rules),
        carriers_denied=frozenset().union(*(rule.carriers_denied for rule in rules)),
        countries_denied=_denied(rules),
        encryption_required=any(rule.encryption_required for rule in rules),
        unknown_paths=UnknownPaths.ACCEPT_ENCRYPTED if lenient else UnknownPaths.REJECT,
    )


def _personnel(rules: list[PersonnelRule]) -> PersonnelRule:
    clearances = frozenset().union(*(rule.clearances_required for rule in rules))
    return PersonnelRule(_allowed(rules), _denied(rules), clearances)


def _attestation(rules: list[AttestationRule]) -> AttestationRule:
    sets = set(chain.from_iterable(rule.required for rule in rules))
    return AttestationRule(tuple(sorted(sets, key=sorted)))


def _certification(rules: list[CertificationRule]) -> CertificationRule:
    sets = {frozenset(needs) for needs in chain.from_iterable(rule.required for rule in rules)}
    ordered = (tuple(sorted(needs, key=_need_order)) for needs in sets)
    return CertificationRule(tuple(sorted(ordered, key=lambda needs: [_need_order(need) for need in needs])))


def _need_order(need: CertificationNeed) -> tuple[str, list[str], list[str]]:
    # The order of sets is inclusion, which sorts nothing.
    return need.scheme, sorted(need.versions), sorted(need.levels)


def _energy(rules: list[EnergyRule]) -> EnergyRule:
    return EnergyRule(
        carbon_gco2_per_kwh_max=_bound((rule.carbon_gco2_per_kwh_max for rule in rules), min),
        renewable_percent_min=_bound((rule.renewable_percent_min for rule in rules), max),
    )


def _bound(values: Iterable[int | None], strictest: Callable[[list[int]], int]) -> int | None:
    given = [value for value in values if value is not None]
    return strictest(given) if given else None
