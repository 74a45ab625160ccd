"""What partners have offered, by partner, so that what one says costs nothing of what the others have said."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hansa_control.application.ports import StoredOffer, Table
from hansa_control.application.state import State
from hansa_control.domain.model import NetworkLink, Zone, ZoneId
from hansa_control.domain.origin import is_passed_on


def offer_key(operator: str, name: str) -> str:
    return f"{operator}|{name}"


class OfferBook:
    """Keeps and indexes the records of offers. Nobody else writes them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._by_operator: dict[str, dict[str, StoredOffer]] = {}
        self._zones: dict[str, StoredOffer] = {}
        self._chained: dict[str, dict[str, StoredOffer]] = {}
        self.chained_count = 0
        self._passed_on_at: dict[str, dict[str, StoredOffer]] = {}
        self._places: dict[str, tuple[str, ...]] = {}

    def recover(self) -> None:
        """After loading."""
        for offer in self._state.offers.values():
            self._index(offer)

    def of(self, operator: str) -> Mapping[str, StoredOffer]:
        """What a partner has offered, by offer name; it changes with what is put and forgotten."""
        return self._by_operator.get(operator, {})

    def zones(self) -> Collection[StoredOffer]:
        """Those that offer a zone, of all partners."""
        return self._zones.values()

    def chained(self, operator: str) -> Mapping[str, StoredOffer]:
        """Of what a partner has offered that which has a chain of origin, by offer name."""
        return self._chained.get(operator, {})

    def passed_on_at(self, node: str) -> Collection[StoredOffer]:
        """Zones that stand at a node and links that end there, of those that partners offer and do not own."""
        return self._passed_on_at.get(node, {}).values()

    def has_zone(self, zone: ZoneId) -> bool:
        return offer_key(zone.operator, f"zones/{zone.zone}") in self._zones

    def zone(self, zone: ZoneId) -> Zone:
        """A zone as it is offered; KeyError if none of this name is."""
        body = self._zones[offer_key(zone.operator, f"zones/{zone.zone}")].body
        if not isinstance(body, Zone):
            raise KeyError(zone)
        return body

    def put(self, offer: StoredOffer) -> None:
        """Keeps what a partner offers."""
        self._state.put(Table.OFFER, offer_key(offer.operator, offer.name), offer)
        self._index(offer)

    def forget(self, operator: str, name: str) -> None:
        """A partner offers this no longer."""
        key = offer_key(operator, name)
        self._state.delete(Table.OFFER, key)
        self._by_operator.get(operator, {}).pop(name, None)
        self._zones.pop(key, None)
        self._note_chained(operator, name, None)

    def _index(self, offer: StoredOffer) -> None:
        self._by_operator.setdefault(offer.operator, {})[offer.name] = offer
        self._note_chained(offer.operator, offer.name, offer if offer.chain else None)
        if isinstance(offer.body, Zone):
            self._zones[offer_key(offer.operator, offer.name)] = offer

    def _note_chained(self, operator: str, name: str, offer: StoredOffer | None) -> None:
        """Of what has a chain of origin every change is counted in chained_count."""
        self._note_places(offer_key(operator, name), offer)
        held = self._chained.setdefault(operator, {})
        if offer is not None:
            held[name] = offer
            self.chained_count += 1
        elif held.pop(name, None) is not None:
            self.chained_count += 1

    def _note_places(self, key: str, offer: StoredOffer | None) -> None:
        """What is passed on is found by the nodes where it is."""
        for node in self._places.pop(key, ()):
            at_node = self._passed_on_at[node]
            del at_node[key]
            if not at_node:
                del self._passed_on_at[node]
        if offer is not None and is_passed_on(offer.chain):
            self._places[key] = _places(offer)
            for node in self._places[key]:
                self._passed_on_at.setdefault(node, {})[key] = offer


def _places(offer: StoredOffer) -> tuple[str, ...]:
    body = offer.body
    if isinstance(body, Zone):
        return (body.inventory.node,)
    if isinstance(body, NetworkLink):
        return tuple(sorted({body.node_a, body.node_b}))
    return ()
