"""The residency policy as values: what an app team, a tenant, a nation or a zone's owner demands of law and place.

A part that is absent restricts nothing; a part that is present rejects the unknown and the expired. Every part is
immutable and hashable, so that what follows from it can be kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from hansa_control.domain.hashed import Hashed


class DataClass(StrEnum):
    """What a rule applies to: the kinds of data that a workload moves or leaves behind."""

    INPUT = "INPUT"
    OUTPUT = "OUTPUT"
    WEIGHTS = "WEIGHTS"
    LOGS = "LOGS"
    TELEMETRY = "TELEMETRY"
    BACKUP = "BACKUP"
    ARTEFACT = "ARTEFACT"


ALL_DATA = frozenset(DataClass)


class OnChange(StrEnum):
    """What happens to a running placement that no longer fits."""

    KEEP_AND_ALERT = "KEEP_AND_ALERT"
    DRAIN = "DRAIN"
    TERMINATE = "TERMINATE"


class UnknownPaths(StrEnum):
    """What a transit rule makes of a link or node of which countries or carrier are not known."""

    REJECT = "REJECT"
    ACCEPT_ENCRYPTED = "ACCEPT_ENCRYPTED"
    """A link is accepted where it is known to be encrypted below hansa's own mutual TLS; a node never is, since there
    the encryption of its links ends."""


@dataclass(frozen=True, slots=True)
class Countries:
    """A set of countries by what is allowed and what is denied; ISO 3166-1 alpha-2.

    ``allowed`` None is no allow-list: every known country that is not denied. An empty one allows nothing.
    """

    allowed: frozenset[str] | None = None
    denied: frozenset[str] = frozenset()

    def allows(self, country: str) -> bool:
        return country not in self.denied and (self.allowed is None or country in self.allowed)

    def refused(self, countries: Iterable[str]) -> frozenset[str]:
        """Those of some countries that are not allowed."""
        return frozenset(country for country in countries if not self.allows(country))

    def widened(self, countries: frozenset[str]) -> Countries:
        """The same with these countries allowed too."""
        allowed = None if self.allowed is None else self.allowed | countries
        return Countries(allowed, self.denied - countries)


@dataclass(frozen=True, slots=True)
class SiteRule:
    """Where the zone may stand, and where a data source may."""

    countries_allowed: frozenset[str] | None
    countries_denied: frozenset[str] = frozenset()

    @property
    def countries(self) -> Countries:
        return Countries(self.countries_allowed, self.countries_denied)


@dataclass(frozen=True, slots=True)
class LegalRule:
    """Who may control the zone's owner: headquarters, every ultimate parent, foreign holders, laws that reach it."""

    countries_allowed: frozenset[str] | None
    laws_denied: frozenset[str] = frozenset()
    countries_denied: frozenset[str] = frozenset()
    foreign_share_percent_max: int | None = None

    @property
    def countries(self) -> Countries:
        return Countries(self.countries_allowed, self.countries_denied)


@dataclass(frozen=True, slots=True)
class TransitRule(Hashed):
    """Where traffic may pass, who may carry it, and whether every link must be encrypted on its own."""

    countries_allowed: frozenset[str] | None
    carriers_denied: frozenset[str] = frozenset()
    countries_denied: frozenset[str] = frozenset()
    encryption_required: bool = False
    unknown_paths: UnknownPaths = UnknownPaths.REJECT

    __hash__ = Hashed.__hash__

    @property
    def countries(self) -> Countries:
        return Countries(self.countries_allowed, self.countries_denied)


@dataclass(frozen=True, slots=True)
class PersonnelRule:
    """From which countries the zone may be operated and supported; clearances that its personnel must hold."""

    countries_allowed: frozenset[str] | None
    countries_denied: frozenset[str] = frozenset()
    clearances_required: frozenset[str] = frozenset()

    @property
    def countries(self) -> Countries:
        return Countries(self.countries_allowed, self.countries_denied)


@dataclass(frozen=True, slots=True)
class AttestationRule:
    """Attested execution. Of each set at least one technology must be proved, for example ``intel-tdx``."""

    required: tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True, order=True)
class CertificationNeed:
    """A certificate that is asked for. Empty versions or levels accept any; a label implies nothing beyond itself."""

    scheme: str
    versions: frozenset[str] = frozenset()
    levels: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CertificationRule:
    """Of each set at least one certificate must be valid."""

    required: tuple[tuple[CertificationNeed, ...], ...]


@dataclass(frozen=True, slots=True)
class EnergyRule:
    """Bounds on where the zone's energy comes from."""

    carbon_gco2_per_kwh_max: int | None = None
    renewable_percent_min: int | None = None


CountryRule = TypeVar("CountryRule", SiteRule, LegalRule, TransitRule, PersonnelRule)


def widened(rule: CountryRule, countries: frozenset[str]) -> CountryRule:
    """A rule with these countries allowed too."""
    wider = rule.countries.widened(countries)
    return replace(rule, countries_allowed=wider.allowed, countries_denied=wider.denied)


@dataclass(frozen=True, slots=True)
class ResidencyPolicy(Hashed):
    """The rule about law and place.

    predicates are CEL expressions that must be true of a zone (see ``predicates``). applies_to names the kinds of data
    whose paths fall under the transit rule. presets names what was expanded into this policy, for the record alone.
    """

    site: SiteRule | None = None
    legal: LegalRule | None = None
    transit: TransitRule | None = None
    on_change: OnChange = OnChange.DRAIN
    personnel: PersonnelRule | None = None
    attestation: AttestationRule | None = None
    certification: CertificationRule | None = None
    energy: EnergyRule | None = None
    predicates: tuple[str, ...] = ()
    applies_to: frozenset[DataClass] = ALL_DATA
    presets: tuple[str, ...] = ()

    __hash__ = Hashed.__hash__
