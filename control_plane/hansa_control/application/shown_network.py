"""This operator's network as each partner is shown it: made when it is first asked for, kept while nothing changes.

Offers are asked for at each change of any zone or claim, and an abstract network takes searches for paths. So what is
answered stays the same, and so do its elements, until the network, the agreement, or where shown zones stand is other.

Searches may take seconds. Where somebody else does them, there is no answer until they have: what was shown before may
be more than is agreed now, and a network without its links would tell a partner that its workloads are cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from hansa_control.application.ports import Worker
from hansa_control.application.signals import Signal
from hansa_control.domain.abstraction import Inside, gateways, leaving
from hansa_control.domain.agreement import Agreement, NetworkShown
from hansa_control.domain.disclosure import shown_node
from hansa_control.domain.model import NetworkLink, NetworkNode, Zone

NOTHING_AGREED = Agreement(zones=(), network=NetworkShown.ABSTRACT)
"""What holds for the network where no agreement is written: other operators' traffic may go through, and no more."""


NETWORKS_KEPT = 64
"""Of how many sets of shown nodes the links are kept: more than there are partners with different ones."""


class Drawn(NamedTuple):
    """Nodes and links of the operator's network."""

    nodes: tuple[NetworkNode, ...]
    links: tuple[NetworkLink, ...]


NOTHING_DRAWN = Drawn((), ())


class _Kept(NamedTuple):
    """What was shown last, and what it was made of."""

    own: Drawn
    agreement: Agreement
    places: tuple[tuple[str, str], ...]
    zones_shown: frozenset[str]
    names: frozenset[str]
    shown: Drawn


class Hidden(NamedTuple):
    """What a partner is not shown: nodes, and the names of nodes and links; and the access points that it is shown."""

    nodes: frozenset[str]
    names: frozenset[str]
    access_points: tuple[str, ...]


class _HiddenOf(NamedTuple):
    """What is hidden, and what that was made of."""

    own: Drawn
    shown: frozenset[str]
    hidden: Hidden


class _Searched(NamedTuple):
    """An own network, what is known of paths through it, for all partners, and the virtual links of what is shown."""

    own: Drawn
    inside: Inside
    links: dict[frozenset[str], tuple[NetworkLink, ...]]


class ShownNetworks:
    """The network of an operator as its partners see it, by home operator.

    With a worker, ``run`` has it search, and until that was done for what is to be shown there is no answer.
    """

    def __init__(self, operator: str, worker: Worker | None = None) -> None:
        self._operator, self._worker = operator, worker
        self._search_wanted = Signal()
        self._kept: dict[str, _Kept] = {}
        self._searched: _Searched | None = None
        self._wanted: dict[frozenset[str], Drawn] = {}
        self._gateways: tuple[Drawn, frozenset[str]] | None = None
        self._hidden: dict[str, _HiddenOf] = {}

    async def run(self, on_found: Callable[[], None], on_defect: Callable[[Exception], None]) -> None:
        """Has the worker search for paths as they are wanted, until cancelled; nothing to do where there is none."""
        seen = 0
        while self._worker is not None:
            seen = await self._search_wanted.wait(seen)
            try:
                found = await self._search_apart(self._worker)
            except Exception as defect:  # Whoever asks for the network again has it tried again.
                on_defect(defect)
            else:
                if found:
                    on_found()

    def of(
        self, home: str, agreement: Agreement, own: Drawn, zones: Sequence[Zone], held: frozenset[str]
    ) -> Drawn | None:
        """The network as a partner is shown it; zones are the operator's own, held names those where the partner has
        claims, which it is shown whether they are offered or not. None while paths are still to be searched.
        """
        if agreement.network is NetworkShown.FULL and not agreement.disclosures:
            return own
        places = tuple((zone.id.zone, zone.inventory.node) for zone in zones)
        zones_shown = frozenset(zone for zone, _ in places if zone in held or agreement.offers(zone))
        kept = self._kept.get(home)
        if kept is None or not _is_of(kept, own, agreement, places, zones_shown):
            kept = self._made(own, agreement, zones, zones_shown)
            if kept is None:
                return None
            self._kept[home] = kept
        return kept.shown

    def _made(
        self, own: Drawn, agreement: Agreement, zones: Sequence[Zone], zones_shown: frozenset[str]
    ) -> _Kept | None:
        places = tuple((zone.id.zone, zone.inventory.node) for zone in zones)
        if agreement.network is NetworkShown.FULL:
            nodes = tuple(shown_node(agreement, node, zones) for node in own.nodes)
            return _Kept(own, agreement, places, zones_shown, frozenset(), Drawn(nodes, own.links))
        names = self._names(own, agreement, places, zones_shown)
        virtual = self._virtual(own, names)
        if virtual is None:
            return None
        nodes = tuple(shown_node(agreement, node, zones) for node in own.nodes if node.name in names)
        return _Kept(own, agreement, places, zones_shown, names, Drawn(nodes, (*leaving(*own), *virtual)))

    def hidden(
        self, home: str, agreement: Agreement, own: Drawn, zones: Sequence[Zone], held: frozenset[str]
    ) -> Hidden | None:
        """What a partner is not shown under an agreement; None where that is nothing. It takes no search."""
        if agreement.network is NetworkShown.FULL:
            return None
        places = tuple((zone.id.zone, zone.inventory.node) for zone in zones)
        zones_shown = frozenset(zone for zone, _ in places if zone in held or agreement.offers(zone))
        shown = self._names(own, agreement, places, zones_shown)
        known = self._hidden.get(home)
        if known is None or not _is_same(known.own, own) or known.shown != shown:
            known = self._hidden[home] = _HiddenOf(own, shown, _hidden(own, shown))
        return known.hidden

    def _names(
        self, own: Drawn, agreement: Agreement, places: Sequence[tuple[str, str]], zones_shown: frozenset[str]
    ) -> frozenset[str]:
        """The nodes that an abstract network shows."""
        if self._gateways is None or not _is_same(self._gateways[0], own):
            self._gateways = own, gateways(*own)
        return self._gateways[1].union(agreement.gateways, (node for zone, node in places if zone in zones_shown))

    def _virtual(self, own: Drawn, names: frozenset[str]) -> tuple[NetworkLink, ...] | None:
        """Virtual links between nodes, if they are known or may be searched here."""
        if self._searched is not None and _is_same(self._searched.own, own) and names in self._searched.links:
            return self._searched.links[names]
        self._wanted[names] = own
        if self._worker is not None:
            self._search_wanted.notify()
            return None
        self._found(_search(self._operator, self._searched, own, [*self._wanted]))
        return None if self._searched is None else self._searched.links[names]

    async def _search_apart(self, worker: Worker) -> bool:
        """Has what is waited for searched by the worker. Whether anything was: whoever waits is to ask again then."""
        own = next(reversed(self._wanted.values()), None)
        if own is None:
            return False
        former, names = self._searched, [each for each, of in self._wanted.items() if _is_same(of, own)]
        self._found(await worker.run(lambda: _search(self._operator, former, own, names)))
        return True

    def _found(self, searched: _Searched) -> None:
        """Keeps what was searched last, and what is shown now."""
        self._searched = searched
        self._wanted = {
            names: own
            for names, own in self._wanted.items()
            if _is_same(own, searched.own) and names not in searched.links
        }


def _search(operator: str, former: _Searched | None, own: Drawn, names: Sequence[frozenset[str]]) -> _Searched:
    """Virtual links for other nodes as well; what is known of the same network is not searched again."""
    is_same = former is not None and _is_same(former.own, own)
    inside = former.inside if former is not None and is_same else Inside(operator, *own)
    known = former.links if former is not None and is_same else {}
    recent = dict(list(known.items())[-NETWORKS_KEPT:])
    return _Searched(own, inside, recent | {each: inside.virtual_links(each) for each in names})


def _hidden(own: Drawn, shown: frozenset[str]) -> Hidden:
    nodes = frozenset(node.name for node in own.nodes if node.name not in shown)
    links = frozenset(link.name for link in own.links).difference(link.name for link in leaving(*own))
    points = tuple(node.name for node in own.nodes if node.access_point and node.name in shown)
    return Hidden(nodes, nodes | links - shown, points)


def _is_of(
    kept: _Kept, own: Drawn, agreement: Agreement, places: tuple[tuple[str, str], ...], zones_shown: frozenset[str]
) -> bool:
    is_agreed = kept.agreement is agreement or kept.agreement == agreement
    return is_agreed and _is_same(kept.own, own) and (kept.places, kept.zones_shown) == (places, zones_shown)


def _is_same(one: Drawn, other: Drawn) -> bool:
    return one.nodes is other.nodes and one.links is other.links
