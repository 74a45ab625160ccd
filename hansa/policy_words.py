"""A residency policy back in the words of ``policy_file``: what is shown, and what may be pasted into a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from hansa.policy_file import DATA_CLASSES, ON_CHANGE, UNKNOWN_PATHS, CountryRule
from hansa.v1 import residency_pb2

Words: TypeAlias = dict[str, object]


def policy_words(policy: residency_pb2.ResidencyPolicy) -> Words:
    """The policy as plain data in the vocabulary of a workload file; read again it is the same policy.

    An allow-list that is in force and empty, which merging can make and no file can, is ``allow: []``.
    """
    words: Words = {"preset": list(policy.presets)} if policy.presets else {}
    if policy.HasField("site"):
        words["data"] = _countries(policy.site)
    if policy.HasField("legal"):
        words |= _legal(policy.legal)
    if policy.HasField("transit"):
        words |= _transit(policy.transit)
    if policy.HasField("personnel"):
        words["personnel"] = _personnel(policy.personnel)
    if policy.HasField("attestation"):
        words["attestation"] = ["|".join(technologies.any_of) for technologies in policy.attestation.required]
    if policy.HasField("certification"):
        words["certification"] = [_any_of(certificates.any_of) for certificates in policy.certification.required]
    if policy.HasField("energy"):
        words["energy"] = _energy(policy.energy)
    if policy.predicates:
        words["predicates"] = list(policy.predicates)
    if policy.applies_to:
        words["applies_to"] = [_word(DATA_CLASSES, number) for number in policy.applies_to]
    if policy.on_change:
        words["on_change"] = _word(ON_CHANGE, policy.on_change)
    return words


def _countries(rule: CountryRule) -> object:
    if rule.countries_allowed and not rule.countries_denied:
        return list(rule.countries_allowed)
    words: Words = {}
    if rule.countries_allowed or rule.nothing_allowed:
        words["allow"] = list(rule.countries_allowed)
    if rule.countries_denied:
        words["deny"] = list(rule.countries_denied)
    return words


def _legal(rule: residency_pb2.LegalRule) -> Words:
    words: Words = {"control": _countries(rule)}
    if rule.laws_denied:
        words["deny_laws"] = list(rule.laws_denied)
    if rule.HasField("foreign_share_percent_max"):
        words["foreign_share_percent_max"] = rule.foreign_share_percent_max
    return words


def _transit(rule: residency_pb2.TransitRule) -> Words:
    words: Words = {"transit": _countries(rule)}
    if rule.carriers_denied:
        words["deny_carriers"] = list(rule.carriers_denied)
    if rule.encryption_required:
        words["encryption"] = "required"
    if rule.unknown_paths:
        words["unknown_paths"] = _word(UNKNOWN_PATHS, rule.unknown_paths)
    return words


def _personnel(rule: residency_pb2.PersonnelRule) -> object:
    countries = _countries(rule)
    if not rule.clearances_required:
        return countries
    words: Words = countries if isinstance(countries, dict) else {"allow": countries}
    return {**words, "clearances": list(rule.clearances_required)}


def _any_of(needs: Iterable[residency_pb2.CertificationNeed]) -> object:
    certificates = [_certificate(need) for need in needs]
    return certificates[0] if len(certificates) == 1 else certificates


def _certificate(need: residency_pb2.CertificationNeed) -> object:
    if not (need.versions or need.levels):
        return need.scheme
    words: Words = {"scheme": need.scheme}
    if need.versions:
        words["version"] = list(need.versions)
    if need.levels:
        words["level"] = list(need.levels)
    return words


def _energy(rule: residency_pb2.EnergyRule) -> Words:
    words: Words = {}
    if rule.HasField("carbon_gco2_per_kwh_max"):
        words["carbon_gco2_per_kwh_max"] = rule.carbon_gco2_per_kwh_max
    if rule.HasField("renewable_percent_min"):
        words["renewable_percent_min"] = rule.renewable_percent_min
    return words


def _word(numbers: Mapping[str, int], number: int) -> str:
    return next((word for word, known in numbers.items() if known == number), str(number))
