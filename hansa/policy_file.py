"""A residency policy as it is written in YAML, by app teams, by operators and in the data of presets.

    residency:                               # or the word: none
      preset: gdpr-eea                       # or [gdpr-eea, dora]; gdpr-adequate@2026-11-01 stays as it was that day
      data: [NO, SE]                         # where the zone may stand; or {allow: [EEA], deny: [HU]}
      control: [NO, SE]                      # who may control its owner
      deny_laws: [US-CLOUD-ACT]              # laws that must not reach the owner; beside control
      foreign_share_percent_max: 25          # of the owner, from outside its own country; beside control
      transit: [NO, SE]                      # where traffic may pass
      deny_carriers: [blueridge]             # operators that must not carry it; beside transit
      encryption: required                   # of every link by itself; beside transit
      unknown_paths: reject                  # or accept-encrypted; beside transit
      personnel: {allow: [NO], clearances: [hemmelig]}     # who may operate and support; or [NO]
      attestation: [intel-tdx|amd-sev-snp, nvidia-gpu-cc]  # every entry, one technology of each
      certification: [ISO-27001, {scheme: SecNumCloud, version: ["3.2"]}, [C5, BSI-200]]    # an inner list: any of it
      energy: {carbon_gco2_per_kwh_max: 100, renewable_percent_min: 50}
      predicates: ["zone.price_eur_per_hour < 3.0"]        # CEL, see docs/residency.md
      applies_to: [input, output, weights, logs, telemetry, backup, artefact]      # all if left out
      on_change: drain                       # keep-and-alert, drain, terminate; drain if left out

Wherever countries stand, a group of countries may stand too (EU, EEA, Nordic, adequate). It is replaced by its members
on the day of reading, so that what is sent names countries only. Presets are sent by name and expanded by the control
plane. What is left out restricts nothing; a policy that restricts nothing at all must say ``none``.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Protocol

from hansa.countries import COUNTRIES, country_hint
from hansa.errors import HansaError
from hansa.names import hint, nearest
from hansa.v1 import common_pb2, residency_pb2
from hansa.yaml_tree import YamlValue

ON_CHANGE: Mapping[str, residency_pb2.OnChange.ValueType] = {
    "keep-and-alert": residency_pb2.ON_CHANGE_KEEP_AND_ALERT,
    "drain": residency_pb2.ON_CHANGE_DRAIN,
    "terminate": residency_pb2.ON_CHANGE_TERMINATE,
}
UNKNOWN_PATHS: Mapping[str, residency_pb2.UnknownPaths.ValueType] = {
    "reject": residency_pb2.UNKNOWN_PATHS_REJECT,
    "accept-encrypted": residency_pb2.UNKNOWN_PATHS_ACCEPT_ENCRYPTED,
}
DATA_CLASSES: Mapping[str, common_pb2.DataClass.ValueType] = {
    name.removeprefix("DATA_CLASS_").lower(): number for name, number in common_pb2.DataClass.items() if number
}
TECHNOLOGIES = ("amd-sev-snp", "arm-cca", "intel-sgx", "intel-tdx", "nvidia-gpu-cc")

PREDICATE_LENGTH_MAX = 1000

_RULES = ("preset", "data", "control", "transit", "personnel", "attestation", "certification", "energy", "predicates")
_BESIDE: Mapping[str, tuple[str, ...]] = {
    "deny_laws": ("control",),
    "foreign_share_percent_max": ("control",),
    "deny_carriers": ("transit",),
    "encryption": ("transit",),
    "unknown_paths": ("transit",),
    "applies_to": ("data", "transit"),
}
_CARBON_GCO2_PER_KWH_MAX = 100_000
_LAW = re.compile(r"[A-Z0-9][A-Z0-9.-]{0,62}")
_TECHNOLOGY = re.compile(r"[a-z0-9][a-z0-9.-]{1,62}")
_PRESET = re.compile(r"([a-z][a-z0-9-]{0,62})(?:@([0-9]{4}-[0-9]{2}-[0-9]{2}))?")


class Groups(Protocol):
    """Groups of countries on one day."""

    def names(self) -> Iterable[str]:
        """The names that may be written."""
        ...

    def members(self, name: str) -> frozenset[str]:
        """The countries of a group; raises HansaError where the data do not reach back to the day."""
        ...


class NoGroups:
    """For a reader without a day: no group is known."""

    def names(self) -> Iterable[str]:
        return ()

    def members(self, name: str) -> frozenset[str]:
        raise KeyError(name)


CountryRule = residency_pb2.SiteRule | residency_pb2.LegalRule | residency_pb2.TransitRule | residency_pb2.PersonnelRule


class PolicyReader:
    """Reads policies as of one day.

    ``groups`` are the groups of countries of that day. ``laws`` are the names of laws that are known; another name is
    taken too, unless it looks like a slip in writing one of these, because a law that is denied under a wrong name is
    silently not denied.
    """

    def __init__(self, groups: Groups | None = None, laws: Iterable[str] = ()) -> None:
        self._groups: Groups = groups or NoGroups()
        self._laws = tuple(laws)

    def read(self, value: YamlValue) -> residency_pb2.ResidencyPolicy:
        """The policy of a file; ``none`` restricts nothing. Raises HansaError INVALID_FIELD with line and field."""
        if value.is_scalar:
            _require_none(value)
            policy = residency_pb2.ResidencyPolicy()
        else:
            policy = self.read_rules(value)
        policy.on_change = policy.on_change or residency_pb2.ON_CHANGE_DRAIN
        return policy

    def read_rules(self, value: YamlValue) -> residency_pb2.ResidencyPolicy:
        """The same without ``none``, and with on_change unset where it is not written."""
        parts = value.mapping((), (*_RULES, *_BESIDE, "on_change"))
        if not any(key in parts for key in _RULES):
            named = f"{', '.join(_RULES[:-1])} or {_RULES[-1]}"
            raise value.error(f"restricts nothing; name {named}, or write residency: none")
        _require_beside(parts)
        policy = residency_pb2.ResidencyPolicy()
        readers: Mapping[str, Callable[[YamlValue], object]] = {
            "preset": lambda part: policy.presets.extend(_presets(part)),
            "data": lambda part: self._countries(part, policy.site),
            "control": lambda part: self._countries(part, policy.legal),
            "transit": lambda part: self._countries(part, policy.transit),
            "personnel": lambda part: self._personnel(part, policy.personnel),
            "deny_laws": lambda part: policy.legal.laws_denied.extend(_sorted(part, self._law)),
            "attestation": lambda part: _attestation(part, policy.attestation),
            "certification": lambda part: _certification(part, policy.certification),
            "energy": lambda part: _energy(part, policy.energy),
            "predicates": lambda part: policy.predicates.extend(map(predicate_text, _some(part))),
        }
        for key, part in parts.items():
            if key in readers and not _empty_list(key, part):
                readers[key](part)
        _read_scalars(parts, policy)
        return policy

    def _countries(self, value: YamlValue, rule: CountryRule, more: Iterable[str] = ()) -> dict[str, YamlValue]:
        """Fills a rule from a list of what is allowed, or from a mapping; hands back the mapping's parts."""
        if not value.is_mapping:
            rule.countries_allowed.extend(self._codes(value))
            return {}
        parts = value.mapping((), ("allow", "deny", *more))
        if "allow" not in parts and "deny" not in parts:
            raise value.error("must name countries under allow, deny or both")
        if "allow" in parts:
            rule.countries_allowed.extend(self._codes(parts["allow"]))
        if "deny" in parts:
            rule.countries_denied.extend(self._codes(parts["deny"]))
        return parts

    def _codes(self, value: YamlValue) -> list[str]:
        codes: set[str] = set()
        for entry in value.items():
            codes |= self._code_or_group(entry)
        if not codes:
            raise value.error("must name at least one country; leave it out to restrict nothing")
        return sorted(codes)

    def _code_or_group(self, entry: YamlValue) -> frozenset[str]:
        word = entry.text()
        if word in COUNTRIES:
            return frozenset((word,))
        if word in self._groups.names():
            try:
                return self._groups.members(word)
            except HansaError as error:
                raise entry.error(error.message) from error
        group = nearest(word, self._groups.names())
        meant = country_hint(word) or (f"; did you mean {group}?" if group else "")
        raise entry.error(f"{word!r} is no country code of ISO 3166-1 alpha-2 and no group of countries{meant}")

    def _personnel(self, value: YamlValue, rule: residency_pb2.PersonnelRule) -> None:
        parts = self._countries(value, rule, ("clearances",))
        if "clearances" in parts:
            rule.clearances_required.extend(sorted(set(_texts(parts["clearances"]))))

    def _law(self, entry: YamlValue) -> str:
        name = entry.text()
        if name in self._laws:
            return name
        letters = {_letters(law): law for law in self._laws}
        if alike := letters.get(nearest(_letters(name), letters, alike_min=0.8)):
            raise entry.error(f"{name!r} is not a law that is known; did you mean {alike}?")
        if not _LAW.fullmatch(name):
            raise entry.error(f"{name!r} is not the name of a law: capitals, digits and hyphens, as in US-CLOUD-ACT")
        return name


def _require_none(value: YamlValue) -> None:
    """Nothing is written here by leaving it empty: that would be the silent way to run without any rule."""
    word = str(value.node.value).strip()
    if word != "none":
        said = f"{word!r} is no policy" if word else "is empty"
        rules = f"rules as in {{data: [NO, SE]}} ({', '.join(_RULES)})"
        raise value.error(f"{said}; expected {rules}, or the word none, which restricts nothing")


def _letters(law: str) -> str:
    """A law's name without what is easily left out or changed."""
    return re.sub(r"[^A-Z]", "", law.upper())


def _empty_list(key: str, value: YamlValue) -> bool:
    """Whether a list of denials is empty and so says nothing."""
    return key in ("deny_laws", "predicates") and value.is_list and not list(value.items())


def _require_beside(parts: Mapping[str, YamlValue]) -> None:
    for key, needed in _BESIDE.items():
        if key not in parts or any(rule in parts for rule in needed):
            continue
        if not (parts[key].is_list and not list(parts[key].items())):
            raise parts[key].error(f"needs {' or '.join(needed)} beside it, with the countries that are allowed")


def _read_scalars(parts: Mapping[str, YamlValue], policy: residency_pb2.ResidencyPolicy) -> None:
    if "foreign_share_percent_max" in parts:
        policy.legal.foreign_share_percent_max = parts["foreign_share_percent_max"].integer(0, 100)
    if "deny_carriers" in parts and (carriers := _sorted(parts["deny_carriers"], YamlValue.text)):
        policy.transit.carriers_denied.extend(carriers)
    if "encryption" in parts:
        parts["encryption"].one_of(("required",))
        policy.transit.encryption_required = True
    if "unknown_paths" in parts:
        policy.transit.unknown_paths = UNKNOWN_PATHS[parts["unknown_paths"].one_of(UNKNOWN_PATHS)]
    if "applies_to" in parts:
        policy.applies_to.extend(_data_classes(parts["applies_to"]))
    if "on_change" in parts:
        policy.on_change = ON_CHANGE[parts["on_change"].one_of(ON_CHANGE)]


def parse_preset(name: str) -> tuple[str, date | None] | None:
    """Name and day of ``name`` or ``name@2026-11-01``; None if it is neither."""
    match = _PRESET.fullmatch(name)
    if not match:
        return None
    try:
        return match[1], date.fromisoformat(match[2]) if match[2] else None
    except ValueError:
        return None


def preset_fault(name: str) -> str:
    """What is wrong with a name that ``parse_preset`` does not take, and the nearest that it would."""
    match = _PRESET.fullmatch(name)
    if not match:
        return f"{name[:100]!r} is not NAME or NAME@YYYY-MM-DD, for example gdpr-adequate@2026-11-01"
    year, month, day = map(int, match[2].split("-"))
    message = f"{name!r}: there is no day {match[2]}"
    if not (1 <= month <= 12 and year >= 1):
        return f"{message}; expected NAME@YYYY-MM-DD"
    nearest_day = min(max(day, 1), monthrange(year, month)[1])
    return f"{message}; nearest valid: {match[1]}@{date(year, month, nearest_day)}"


def _presets(value: YamlValue) -> list[str]:
    entries = [value] if value.is_scalar else list(value.items())
    if not entries:
        raise value.error("must name at least one preset; leave it out to take none")
    names: list[str] = []
    for entry in entries:
        name = entry.text()
        if parse_preset(name) is None:
            raise entry.error(preset_fault(name))
        if name in names:
            raise entry.error(f"preset {name!r} stands twice")
        names.append(name)
    return names


def _attestation(value: YamlValue, rule: residency_pb2.AttestationRule) -> None:
    for entry in _some(value):
        words = [word.text() for word in entry.items()] if entry.is_list else entry.text().split("|")
        technologies = sorted({_technology(entry, word.strip()) for word in words})
        if not technologies:
            raise entry.error("must name at least one technology")
        rule.required.add(any_of=technologies)


def _technology(entry: YamlValue, name: str) -> str:
    if name in TECHNOLOGIES:
        return name
    if not _TECHNOLOGY.fullmatch(name) or nearest(name, TECHNOLOGIES, alike_min=0.85):
        raise entry.error(f"{name!r} is no technology that is known{hint(name, TECHNOLOGIES)}")
    return name


def _certification(value: YamlValue, rule: residency_pb2.CertificationRule) -> None:
    for entry in _some(value):
        needs = [_certificate(inner) for inner in _some(entry)] if entry.is_list else [_certificate(entry)]
        rule.required.add(any_of=needs)


def _certificate(value: YamlValue) -> residency_pb2.CertificationNeed:
    if value.is_scalar:
        return residency_pb2.CertificationNeed(scheme=value.text())
    parts = value.mapping(("scheme",), ("version", "level"))
    versions = _one_or_more(parts["version"]) if "version" in parts else []
    levels = _one_or_more(parts["level"]) if "level" in parts else []
    return residency_pb2.CertificationNeed(scheme=parts["scheme"].text(), versions=versions, levels=levels)


def _energy(value: YamlValue, rule: residency_pb2.EnergyRule) -> None:
    parts = value.mapping((), ("carbon_gco2_per_kwh_max", "renewable_percent_min"))
    if not parts:
        raise value.error("must bound carbon_gco2_per_kwh_max, renewable_percent_min or both")
    if "carbon_gco2_per_kwh_max" in parts:
        rule.carbon_gco2_per_kwh_max = parts["carbon_gco2_per_kwh_max"].integer(0, _CARBON_GCO2_PER_KWH_MAX)
    if "renewable_percent_min" in parts:
        rule.renewable_percent_min = parts["renewable_percent_min"].integer(0, 100)


def _data_classes(value: YamlValue) -> list[common_pb2.DataClass.ValueType]:
    return sorted({DATA_CLASSES[entry.one_of(DATA_CLASSES)] for entry in _some(value)})


def _some(value: YamlValue) -> list[YamlValue]:
    """The entries of a list that must have one."""
    entries = list(value.items())
    if not entries:
        raise value.error("must name at least one; leave it out to restrict nothing")
    return entries


def _texts(value: YamlValue) -> list[str]:
    return [entry.text() for entry in _some(value)]


def predicate_text(value: YamlValue) -> str:
    """An expression as it is written; the control plane says whether it is one."""
    text = value.text()
    if len(text) > PREDICATE_LENGTH_MAX or not text.isprintable():
        raise value.error(f"must be one line of at most {PREDICATE_LENGTH_MAX} characters that can be printed")
    return text


def _one_or_more(value: YamlValue) -> list[str]:
    return [value.text()] if value.is_scalar else sorted(set(_texts(value)))


def _sorted(value: YamlValue, read: Callable[[YamlValue], str]) -> list[str]:
    """The entries of a list, which may be empty, read one by one; each once, in order."""
    return sorted({read(entry) for entry in value.items()})
