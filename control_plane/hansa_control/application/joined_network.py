"""The operator's own network and what its partners offer of theirs, joined into one graph.

Of nodes or links with the same name the first given stays, the operator's own before any partner's. What changes is
remembered by name until somebody asks for the graph; then only that is changed in it, so that a partner who reports one
link after the other does not have tens of thousands built anew each time.
"""

from __future__ import annotations

from collections.abc import Iterable

from hansa_control.application.ports import StoredOffer
from hansa_control.application.state import State
from hansa_control.domain.model import NetworkLink, NetworkNode
from hansa_control.domain.network import Network, NetworkChange, build_network

NODE, LINK = "nodes/", "links/"


class JoinedNetwork:
    """One network of many operators, made when it is asked for."""

    def __init__(self, state: State, nodes: tuple[NetworkNode, ...], links: tuple[NetworkLink, ...]) -> None:
        self._state = state
        self.own_nodes, self.own_links = nodes, links
        self._own = _by_offer_name(nodes, links)
        self._network: Network | None = None
        self._changed: set[str] = set()
        self._offers_of: dict[str, set[str]] = {}

    def owns(self, name: str) -> bool:
        """Whether a node or link (``nodes/oslo``, ``links/oslo--bergen``) is of the operator's own network."""
        return name in self._own

    def touch(self, offer_keys: Iterable[str]) -> None:
        """Offers under these keys have come, changed or gone; only those of nodes and links count."""
        for key in offer_keys:
            name = key.partition("|")[2]
            if name.startswith((NODE, LINK)):
                self._changed.add(name)
                self._offers_of.setdefault(name, set()).add(key)

    def forget(self) -> None:
        """Anything may have changed."""
        self._network = None

    def current(self, generation: int) -> Network:
        """The network as it is now; the very same as long as nothing in it changes."""
        change = self._change() if self._network else None
        if self._network is None or change is None:
            self._network = self._built(generation)
        elif self._changed:
            self._network = self._network.with_changes(generation, change)
        self._changed.clear()
        return self._network

    def _built(self, generation: int) -> Network:
        nodes, links = list(self.own_nodes), list(self.own_links)
        self._offers_of.clear()
        for key, stored in self._state.offers.items():
            if isinstance(stored.body, NetworkNode):
                nodes.append(stored.body)
            elif isinstance(stored.body, NetworkLink):
                links.append(stored.body)
            else:
                continue
            self._offers_of.setdefault(stored.name, set()).add(key)
        return build_network(generation, nodes, links)

    def _change(self) -> NetworkChange | None:
        """What has changed since the network was made; None if the order of several offers of one name decides."""
        nodes: list[NetworkNode] = []
        links: list[NetworkLink] = []
        gone: list[str] = []
        for name in sorted(self._changed):
            offers = self._offers_named(name)
            own = self._own.get(name)
            if own is None and len(offers) > 1:
                return None
            body = own or (offers[0].body if offers else None)
            if isinstance(body, NetworkNode):
                nodes.append(body)
            elif isinstance(body, NetworkLink):
                links.append(body)
            else:
                gone.append(name)
        return NetworkChange(tuple(nodes), tuple(links), _removed(gone, NODE), _removed(gone, LINK))

    def _offers_named(self, name: str) -> list[StoredOffer]:
        found = (self._state.offers.get(key) for key in sorted(self._offers_of.get(name, ())))
        return [stored for stored in found if stored is not None]


def _by_offer_name(
    nodes: tuple[NetworkNode, ...], links: tuple[NetworkLink, ...]
) -> dict[str, NetworkNode | NetworkLink]:
    named: dict[str, NetworkNode | NetworkLink] = {f"{NODE}{node.name}": node for node in reversed(nodes)}
    return named | {f"{LINK}{link.name}": link for link in reversed(links)}


def _removed(names: Iterable[str], prefix: str) -> frozenset[str]:
    return frozenset(name.removeprefix(prefix) for name in names if name.startswith(prefix))
