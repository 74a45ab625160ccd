"""The records of claims that this operator has behind claims of its partners, by either."""

from __future__ import annotations

from collections.abc import Mapping

from hansa_control.application.ports import Relay, Table
from hansa_control.application.state import State


def relay_key(owner: str, name: str) -> str:
    return f"{owner}|{name}"


class RelayBook:
    """Keeps and indexes the records of relays. Nobody else writes them.

    asking are the keys of those of which the operator behind is being asked: whether it grants is not known yet.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._of_claim: dict[tuple[str, str], str] = {}
        self.asking: set[str] = set()

    def recover(self) -> None:
        """After loading."""
        self._of_claim = {(relay.home, relay.claim): key for key, relay in self._state.relays.items()}

    def all(self) -> Mapping[str, Relay]:
        """By key; it changes with what is put and forgotten."""
        return self._state.relays

    def key_of(self, home: str, claim: str) -> str | None:
        """The key of what is behind a partner's claim; None if nothing is."""
        return self._of_claim.get((home, claim))

    def of(self, home: str, claim: str) -> Relay | None:
        """What is behind a partner's claim."""
        key = self.key_of(home, claim)
        return None if key is None else self._state.relays.get(key)

    def is_behind(self, owner: str, name: str) -> bool:
        """Whether a claim at an owner is behind one of a partner's."""
        return relay_key(owner, name) in self._state.relays

    def put(self, relay: Relay) -> str:
        """Keeps a record; its key."""
        key = relay_key(relay.owner, relay.name)
        self._of_claim[relay.home, relay.claim] = key
        self._state.put(Table.RELAY, key, relay)
        return key

    def forget(self, key: str) -> None:
        """The operator behind has taken its claim back."""
        relay = self._state.relays.get(key)
        if relay is not None:
            self._of_claim.pop((relay.home, relay.claim), None)
            self._state.delete(Table.RELAY, key)
