"""Residency policies on the wire, both ways.

A rule of countries names what it allows, what it denies, or both. On the wire an absent allow-list is an empty one, so
that an allow-list that is in force and empty, as merging makes it, is said by ``nothing_allowed``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hansa.v1 import common_pb2, residency_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.adapters.codec_zone import CARBON_GCO2_PER_KWH_MAX
from hansa_control.domain.model import (
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
from hansa_control.domain.predicates import compile_predicate

RULE_COUNT_MAX = 300
SET_COUNT_MAX = 32
PREDICATE_COUNT_MAX = 64
"""Of a policy as an owner is asked, with what the home operator's law adds to the app team's, who have fewer."""
PRESET_COUNT_MAX = 16

ON_CHANGES = fields.EnumCodec(OnChange, residency_pb2.OnChange, "ON_CHANGE")
DATA_CLASSES = fields.EnumCodec(DataClass, common_pb2.DataClass, "DATA_CLASS")
UNKNOWN_PATHS = fields.EnumCodec(UnknownPaths, residency_pb2.UnknownPaths, "UNKNOWN_PATHS")


class _CountryRule(Protocol):
    @property
    def countries_allowed(self) -> Sequence[str]: ...
    @property
    def countries_denied(self) -> Sequence[str]: ...
    @property
    def nothing_allowed(self) -> bool: ...


# --- from the wire --------------------------------------------------------------------------------------------------


def policy_in(wire: residency_pb2.ResidencyPolicy, path: str) -> ResidencyPolicy:
    """The rule about law and place. A part that is absent restricts nothing; one that is there must say something."""
    on_change = ON_CHANGES.read(wire.on_change, f"{path}.on_change") if wire.on_change else OnChange.DRAIN
    return ResidencyPolicy(
        site=_site_in(wire.site, f"{path}.site") if wire.HasField("site") else None,
        legal=_legal_in(wire.legal, f"{path}.legal") if wire.HasField("legal") else None,
        transit=_transit_in(wire.transit, f"{path}.transit") if wire.HasField("transit") else None,
        on_change=on_change,
        personnel=_personnel_in(wire.personnel, f"{path}.personnel") if wire.HasField("personnel") else None,
        attestation=_attestation_in(wire.attestation, f"{path}.attestation") if wire.HasField("attestation") else None,
        certification=_certification_in(wire.certification, f"{path}.certification")
        if wire.HasField("certification")
        else None,
        energy=_energy_in(wire.energy, f"{path}.energy") if wire.HasField("energy") else None,
        predicates=_predicates_in(wire.predicates, f"{path}.predicates"),
        applies_to=_applies_to_in(wire.applies_to, f"{path}.applies_to"),
        presets=_presets_in(wire.presets, f"{path}.presets"),
    )


def _countries_in(wire: _CountryRule, path: str) -> Countries:
    """Allowed and denied countries of a rule; refuses a rule that would allow everything by saying nothing."""
    allowed = fields.countries_in(wire.countries_allowed, f"{path}.countries_allowed")
    denied = fields.countries_in(wire.countries_denied, f"{path}.countries_denied")
    if wire.nothing_allowed and allowed:
        raise fields.refused(f"{path}.nothing_allowed", f"is set beside countries_allowed, {', '.join(allowed)}")
    if not (allowed or denied or wire.nothing_allowed):
        message = "is empty, and so is countries_denied; name at least one country, or leave the rule out"
        raise fields.refused(f"{path}.countries_allowed", message)
    in_force = bool(allowed) or wire.nothing_allowed
    return Countries(frozenset(allowed) if in_force else None, frozenset(denied))


def _site_in(wire: residency_pb2.SiteRule, path: str) -> SiteRule:
    countries = _countries_in(wire, path)
    return SiteRule(countries.allowed, countries.denied)


def _legal_in(wire: residency_pb2.LegalRule, path: str) -> LegalRule:
    countries = _countries_in(wire, path)
    fields.bounded(wire.laws_denied, RULE_COUNT_MAX, f"{path}.laws_denied")
    laws = [fields.law_in(law, f"{path}.laws_denied[{index}]") for index, law in enumerate(wire.laws_denied)]
    share_max = None
    if wire.HasField("foreign_share_percent_max"):
        share_max = fields.range_in(wire.foreign_share_percent_max, (0, 100), f"{path}.foreign_share_percent_max")
    return LegalRule(countries.allowed, frozenset(laws), countries.denied, share_max)


def _transit_in(wire: residency_pb2.TransitRule, path: str) -> TransitRule:
    countries = _countries_in(wire, path)
    fields.bounded(wire.carriers_denied, RULE_COUNT_MAX, f"{path}.carriers_denied")
    carriers = [
        fields.network_name_in(name, f"{path}.carriers_denied[{i}]") for i, name in enumerate(wire.carriers_denied)
    ]
    unknown_paths = UnknownPaths.REJECT
    if wire.unknown_paths:
        unknown_paths = UNKNOWN_PATHS.read(wire.unknown_paths, f"{path}.unknown_paths")
    return TransitRule(
        countries.allowed, frozenset(carriers), countries.denied, wire.encryption_required, unknown_paths
    )


def _personnel_in(wire: residency_pb2.PersonnelRule, path: str) -> PersonnelRule:
    countries = _countries_in(wire, path)
    clearances = _labels_in(wire.clearances_required, f"{path}.clearances_required")
    return PersonnelRule(countries.allowed, countries.denied, clearances)


def _attestation_in(wire: residency_pb2.AttestationRule, path: str) -> AttestationRule:
    _some(wire.required, SET_COUNT_MAX, f"{path}.required")
    required: list[frozenset[str]] = []
    for index, technologies in enumerate(wire.required):
        at = f"{path}.required[{index}].any_of"
        fields.not_empty(technologies.any_of, at)
        required.append(_labels_in(technologies.any_of, at))
    return AttestationRule(tuple(required))


def _certification_in(wire: residency_pb2.CertificationRule, path: str) -> CertificationRule:
    _some(wire.required, SET_COUNT_MAX, f"{path}.required")
    required: list[tuple[CertificationNeed, ...]] = []
    for index, needs in enumerate(wire.required):
        at = f"{path}.required[{index}].any_of"
        _some(needs.any_of, SET_COUNT_MAX, at)
        required.append(tuple(_need_in(need, f"{at}[{i}]") for i, need in enumerate(needs.any_of)))
    return CertificationRule(tuple(required))


def _need_in(wire: residency_pb2.CertificationNeed, path: str) -> CertificationNeed:
    return CertificationNeed(
        scheme=fields.label_in(wire.scheme, f"{path}.scheme"),
        versions=_labels_in(wire.versions, f"{path}.versions"),
        levels=_labels_in(wire.levels, f"{path}.levels"),
    )


def _energy_in(wire: residency_pb2.EnergyRule, path: str) -> EnergyRule:
    carbon, renewable = None, None
    if wire.HasField("carbon_gco2_per_kwh_max"):
        bounds = (0, CARBON_GCO2_PER_KWH_MAX)
        carbon = fields.range_in(wire.carbon_gco2_per_kwh_max, bounds, f"{path}.carbon_gco2_per_kwh_max")
    if wire.HasField("renewable_percent_min"):
        renewable = fields.range_in(wire.renewable_percent_min, (0, 100), f"{path}.renewable_percent_min")
    if carbon is None and renewable is None:
        message = "bounds nothing; set carbon_gco2_per_kwh_max or renewable_percent_min, or leave the rule out"
        raise fields.refused(path, message)
    return EnergyRule(carbon, renewable)


def _predicates_in(values: Sequence[str], path: str) -> tuple[str, ...]:
    fields.bounded(values, PREDICATE_COUNT_MAX, path)
    return tuple(predicate_in(value, f"{path}[{index}]") for index, value in enumerate(values))


def predicate_in(value: str, path: str) -> str:
    """A predicate that compiles, on one line; the refusal says what is wrong and at which character."""
    judged = compile_predicate(value)
    if isinstance(judged, str):
        raise fields.refused(path, judged)
    if not value.isprintable():
        raise fields.refused(path, "must be one line; put spaces where it has line ends or tabs")
    return value


def _applies_to_in(values: Sequence[int], path: str) -> frozenset[DataClass]:
    fields.bounded(values, len(DataClass), path)
    named = frozenset(DATA_CLASSES.read(value, f"{path}[{index}]") for index, value in enumerate(values))
    return named or ALL_DATA


def _presets_in(values: Sequence[str], path: str) -> tuple[str, ...]:
    fields.bounded(values, PRESET_COUNT_MAX, path)
    fields.distinct(values, path)
    return tuple(fields.preset_in(value, f"{path}[{index}]") for index, value in enumerate(values))


def _labels_in(values: Sequence[str], path: str) -> frozenset[str]:
    fields.bounded(values, RULE_COUNT_MAX, path)
    return frozenset(fields.label_in(value, f"{path}[{index}]") for index, value in enumerate(values))


def _some(values: Sequence[object], count_max: int, path: str) -> None:
    fields.not_empty(values, path)
    fields.bounded(values, count_max, path)


# --- to the wire ----------------------------------------------------------------------------------------------------


def policy_out(policy: ResidencyPolicy) -> residency_pb2.ResidencyPolicy:
    wire = residency_pb2.ResidencyPolicy(
        on_change=ON_CHANGES.out(policy.on_change),
        predicates=policy.predicates,
        applies_to=[] if policy.applies_to == ALL_DATA else sorted(map(DATA_CLASSES.out, policy.applies_to)),
        presets=policy.presets,
    )
    if policy.site is not None:
        wire.site.CopyFrom(_site_out(policy.site))
    if policy.legal is not None:
        wire.legal.CopyFrom(_legal_out(policy.legal))
    if policy.transit is not None:
        wire.transit.CopyFrom(_transit_out(policy.transit))
    if policy.personnel is not None:
        wire.personnel.CopyFrom(_personnel_out(policy.personnel))
    if policy.attestation is not None:
        sets = [residency_pb2.TechnologySet(any_of=sorted(names)) for names in policy.attestation.required]
        wire.attestation.CopyFrom(residency_pb2.AttestationRule(required=sets))
    if policy.certification is not None:
        wire.certification.CopyFrom(_certification_out(policy.certification))
    if policy.energy is not None:
        wire.energy.CopyFrom(
            residency_pb2.EnergyRule(
                carbon_gco2_per_kwh_max=policy.energy.carbon_gco2_per_kwh_max,
                renewable_percent_min=policy.energy.renewable_percent_min,
            )
        )
    return wire


def _site_out(rule: SiteRule) -> residency_pb2.SiteRule:
    return residency_pb2.SiteRule(
        countries_allowed=sorted(rule.countries_allowed or ()),
        countries_denied=sorted(rule.countries_denied),
        nothing_allowed=rule.countries_allowed == frozenset(),
    )


def _legal_out(rule: LegalRule) -> residency_pb2.LegalRule:
    return residency_pb2.LegalRule(
        countries_allowed=sorted(rule.countries_allowed or ()),
        countries_denied=sorted(rule.countries_denied),
        nothing_allowed=rule.countries_allowed == frozenset(),
        laws_denied=sorted(rule.laws_denied),
        foreign_share_percent_max=rule.foreign_share_percent_max,
    )


def _transit_out(rule: TransitRule) -> residency_pb2.TransitRule:
    return residency_pb2.TransitRule(
        countries_allowed=sorted(rule.countries_allowed or ()),
        countries_denied=sorted(rule.countries_denied),
        nothing_allowed=rule.countries_allowed == frozenset(),
        carriers_denied=sorted(rule.carriers_denied),
        encryption_required=rule.encryption_required,
        unknown_paths=UNKNOWN_PATHS.out(rule.unknown_paths),
    )


def _personnel_out(rule: PersonnelRule) -> residency_pb2.PersonnelRule:
    return residency_pb2.PersonnelRule(
        countries_allowed=sorted(rule.countries_allowed or ()),
        countries_denied=sorted(rule.countries_denied),
        nothing_allowed=rule.countries_allowed == frozenset(),
        clearances_required=sorted(rule.clearances_required),
    )


def _certification_out(rule: CertificationRule) -> residency_pb2.CertificationRule:
    return residency_pb2.CertificationRule(
        required=[
            residency_pb2.CertificationSet(
                any_of=[
                    residency_pb2.CertificationNeed(
                        scheme=need.scheme, versions=sorted(need.versions), levels=sorted(need.levels)
                    )
                    for need in needs
                ]
            )
            for needs in rule.required
        ]
    )
