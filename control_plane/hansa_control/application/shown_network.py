"""This operator's network as each partner is shown it: made when it is first asked for, kept while nothing changes.

Offers are asked for at each change of any zone or claim, and an abstract network takes searches for paths. So what is
answered stays the same, and so do its elements, until the network, the agreement, or where shown zones stand is other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hansa_control.domain.abstraction import Inside, gateways, leaving
from hansa_control.domain.agreement import Agreement, NetworkShown
from hansa_control.domain.disclosure import shown_node
from hansa_control.domain.model import NetworkLink, NetworkNode, Zone

NOTHING_AGREED = Agreement(zones=(), network=NetworkShown.ABSTRACT)
"""What holds for the network where no agreement is written: other operators' traffic may go through, and no more."""


class Drawn(NamedTuple):
    """Nodes and links of the operator's network."""

    nodes: tuple[NetworkNode, ...]
    links: tuple[NetworkLink, ...]


class _Kept(NamedTuple):
    """What was shown last, and what it was made of."""

    own: Drawn
    agreement: Agreement
    places: tuple[tuple[str, str], ...]
    zones_shown: frozenset[str]
    names: frozenset[str]
    virtual: tuple[NetworkLink, ...]
    shown: Drawn


class ShownNetworks:
    """The network of an operator as its partners see it, by home operator."""

    def __init__(self, operator: str) -> None:
        self._operator = operator
        self._kept: dict[str, _Kept] = {}
        self._inside: tuple[Drawn, Inside] | None = None

    def of(self, home: str, agreement: Agreement, own: Drawn, zones: Sequence[Zone], held: frozenset[str]) -> Drawn:
        """The network as a partner is shown it; zones are the operator's own, held names those where the partner has
        claims, which it is shown whether they are offered or not.
        """
        if agreement.network is NetworkShown.FULL and not agreement.disclosures:
            return own
        places = tuple((zone.id.zone, zone.inventory.node) for zone in zones)
        zones_shown = frozenset(zone for zone, _ in places if zone in held or agreement.offers(zone))
        kept = self._kept.get(home)
        if kept is None or not _is_of(kept, own, agreement, places, zones_shown):
            kept = self._kept[home] = self._made(kept, own, agreement, zones, zones_shown)
        return kept.shown

    def _made(
        self, former: _Kept | None, own: Drawn, agreement: Agreement, zones: Sequence[Zone], zones_shown: frozenset[str]
    ) -> _Kept:
        places = tuple((zone.id.zone, zone.inventory.node) for zone in zones)
        if agreement.network is NetworkShown.FULL:
            nodes = tuple(shown_node(agreement, node, zones) for node in own.nodes)
            return _Kept(own, agreement, places, zones_shown, frozenset(), (), Drawn(nodes, own.links))
        names = gateways(*own).union(agreement.gateways, (node for zone, node in places if zone in zones_shown))
        if former and _is_same(former.own, own) and former.names == names:
            virtual = former.virtual
        else:
            virtual = self._inside_of(own).virtual_links(names)
        nodes = tuple(shown_node(agreement, node, zones) for node in own.nodes if node.name in names)
        shown = Drawn(nodes, (*leaving(*own), *virtual))
        return _Kept(own, agreement, places, zones_shown, names, virtual, shown)

    def _inside_of(self, own: Drawn) -> Inside:
        """What is known of paths through the network, for all partners."""
        if self._inside is None or not _is_same(self._inside[0], own):
            self._inside = own, Inside(self._operator, *own)
        return self._inside[1]


def _is_of(
    kept: _Kept, own: Drawn, agreement: Agreement, places: tuple[tuple[str, str], ...], zones_shown: frozenset[str]
) -> bool:
    is_agreed = kept.agreement is agreement or kept.agreement == agreement
    return is_agreed and _is_same(kept.own, own) and (kept.places, kept.zones_shown) == (places, zones_shown)


def _is_same(one: Drawn, other: Drawn) -> bool:
    return one.nodes is other.nodes and one.links is other.links
