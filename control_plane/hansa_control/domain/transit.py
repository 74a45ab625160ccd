"""The rule about the path, read against nodes and links: countries, carriers, encryption of each link.

What is not known may not be crossed. ``UnknownPaths.ACCEPT_ENCRYPTED`` relaxes that for links alone: one whose
countries or carrier are not known may be crossed where it is known to be encrypted by itself. A node on land in an
unknown country is never crossed: encryption of a link ends at its nodes, so that it protects nothing there.

``encryption_required`` refuses links that are not encrypted, and links of which it is not known. The attachment of a
zone (``LinkKind.ATTACHMENT``) lies on the premises of the zone's owner, which the site rule and the facts judge; it is
not refused for being unknown, but it is for being known not to be encrypted.
"""

from __future__ import annotations

from typing import NamedTuple

from hansa_control.domain.findings import format_countries
from hansa_control.domain.model import (
    LinkEncryption,
    LinkKind,
    NetworkLink,
    NetworkNode,
    Reason,
    TransitRule,
    UnknownPaths,
)
from hansa_control.domain.units import format_set


class TransitFault(NamedTuple):
    """Why a node or link may not be crossed: TRANSIT_DENIED or TRANSIT_UNKNOWN.

    What is wrong is in ``countries`` or ``carrier`` where these are denied, in ``encryption`` where that is missing or
    unknown; carrier is "unknown" where the carrier is; with none of them the countries are unknown.
    """

    reason: Reason
    countries: tuple[str, ...]
    carrier: str
    place: str
    encryption: LinkEncryption | None = None

    def describe(self) -> str:
        """For people: ``crosses FI``, ``carried by skargard``, ``countries unknown``, ``not encrypted``."""
        if self.encryption is not None:
            return "encryption unknown" if self.encryption is LinkEncryption.UNKNOWN else "not encrypted"
        if self.reason is Reason.TRANSIT_UNKNOWN:
            return "carrier unknown" if self.carrier else "countries unknown"
        return f"carried by {self.carrier}" if self.carrier else f"crosses {', '.join(self.countries)}"


def node_fault(rule: TransitRule, node: NetworkNode) -> TransitFault | None:
    """Why a node may not be crossed, or None. A waypoint at sea lies in no country. Depends on country and at_sea."""
    if node.country is None:
        return None if node.at_sea else TransitFault(Reason.TRANSIT_UNKNOWN, (), "", f"node {node.name}")
    if rule.countries.allows(node.country):
        return None
    return TransitFault(Reason.TRANSIT_DENIED, (node.country,), "", f"node {node.name}")


def link_faults(rule: TransitRule, link: NetworkLink) -> tuple[TransitFault, ...]:
    """Why a link may not be crossed, its ends apart: countries, carrier, encryption, each denied or unknown.

    Whether there is a fault, and its reason, depend on the link's countries, carrier, encryption and kind alone.
    """
    place = f"link {link.name}, carrier {link.carrier or 'unknown'}"
    takes_unknown = _takes_unknown(rule, link)
    faults: list[TransitFault] = []
    denied = tuple(sorted(rule.countries.refused(link.countries or ())))
    if denied:
        faults.append(TransitFault(Reason.TRANSIT_DENIED, denied, "", place))
    if link.countries is None and not takes_unknown:
        faults.append(TransitFault(Reason.TRANSIT_UNKNOWN, (), "", place))
    if rule.carriers_denied and not link.carrier and not takes_unknown:
        faults.append(TransitFault(Reason.TRANSIT_UNKNOWN, (), "unknown", place))
    if link.carrier in rule.carriers_denied:
        faults.append(TransitFault(Reason.TRANSIT_DENIED, (), link.carrier, place))
    missing = _encryption_reason(link) if rule.encryption_required else None
    if missing is not None:
        faults.append(TransitFault(missing, (), "", place, link.encryption))
    return tuple(faults)


def _takes_unknown(rule: TransitRule, link: NetworkLink) -> bool:
    return rule.unknown_paths is UnknownPaths.ACCEPT_ENCRYPTED and link.encryption is LinkEncryption.ENCRYPTED


def _encryption_reason(link: NetworkLink) -> Reason | None:
    if link.encryption is LinkEncryption.NONE:
        return Reason.TRANSIT_DENIED
    if link.encryption is LinkEncryption.UNKNOWN and link.kind is not LinkKind.ATTACHMENT:
        return Reason.TRANSIT_UNKNOWN
    return None


def format_transit_rule(rule: TransitRule) -> str:
    """The rule for people: ``{NO,SE}``, ``{NO,SE} without carriers {x}, encrypted links``."""
    words = format_countries(rule.countries)
    if rule.carriers_denied:
        words += f" without carriers {format_set(rule.carriers_denied)}"
    if rule.encryption_required:
        words += ", encrypted links"
    if rule.unknown_paths is UnknownPaths.ACCEPT_ENCRYPTED:
        words += ", unknown links if encrypted"
    return words
