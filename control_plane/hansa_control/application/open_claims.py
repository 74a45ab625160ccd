"""What was asked of partners and is not settled, by what is to be looked at next, so that nobody walks all of it.

Tens of thousands of claims may be open for months while a few of them change. Whoever settles looks at those whose
workload was written since, those that were given back without a line, and those of which all is said.
"""

from __future__ import annotations

from collections.abc import Iterator

from hansa_control.application.ports import Table
from hansa_control.application.state import State
from hansa_control.domain.two_books import Asked


class OpenClaims:
    """The records of what was asked, and what of them is due. All changes of these records go through here."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._of_owner: dict[str, set[str]] = {}
        self._of_workload: dict[str, set[str]] = {}
        self._touched: dict[str, set[str]] = {}
        self._unmetered: dict[str, set[str]] = {}
        self._settled: dict[str, set[str]] = {}
        state.watch(Table.WORKLOAD, self._workload_changed)
        state.watch(Table.RELAY, self._relay_changed)

    def recover(self) -> None:
        """After loading: everything is due."""
        for key, asked in self._state.asked.items():
            self._know(key, asked)
        self.touch_all()

    def put(self, asked: Asked) -> None:
        """Writes down what was asked, or what has come to be known of it."""
        key = asked_key(asked.owner, asked.claim)
        self._state.put(Table.ASKED, key, asked)
        self._know(key, asked)

    def delete(self, key: str) -> None:
        """It is settled, or never was anything."""
        asked = self._state.asked[key]
        for index in (self._of_owner, self._touched, self._unmetered, self._settled):
            index.get(asked.owner, set()).discard(key)
        of_workload = self._of_workload.get(asked.workload, set())
        of_workload.discard(key)
        if not of_workload:
            self._of_workload.pop(asked.workload, None)
        self._state.delete(Table.ASKED, key)

    def has_any(self, owner: str) -> bool:
        """Whether anything of an owner is not settled."""
        return bool(self._of_owner.get(owner))

    def touch_all(self) -> None:
        """Everything is to be looked at again."""
        for owner, keys in self._of_owner.items():
            self._touched.setdefault(owner, set()).update(keys)

    def take_touched(self, owner: str) -> Iterator[Asked]:
        """What was asked for workloads that were written since the last time, by name."""
        for key in sorted(self._touched.pop(owner, ())):
            yield self._state.asked[key]

    def unmetered(self, owner: str) -> tuple[str, ...]:
        """The keys of what was given back and of which the owner has told nothing."""
        return tuple(sorted(self._unmetered.get(owner, ())))

    def settled(self, owner: str) -> list[tuple[str, Asked]]:
        """What was given back and of which the owner has said all."""
        return [(key, self._state.asked[key]) for key in sorted(self._settled.get(owner, ()))]

    def _know(self, key: str, asked: Asked) -> None:
        if key not in self._of_owner.setdefault(asked.owner, set()):
            self._of_owner[asked.owner].add(key)
            self._of_workload.setdefault(asked.workload, set()).add(key)
            self._touched.setdefault(asked.owner, set()).add(key)
        _mark(self._unmetered, asked.owner, key, is_in=bool(asked.given_back_at_ms and not asked.lines))
        _mark(self._settled, asked.owner, key, is_in=asked.is_settled)

    def _workload_changed(self, workload: str) -> None:
        for key in self._of_workload.get(workload, ()):
            self._touched.setdefault(self._state.asked[key].owner, set()).add(key)

    def _relay_changed(self, key: str) -> None:
        """A claim behind a partner's has the same key; no workload of ours tells of its end."""
        asked = self._state.asked.get(key)
        if asked is not None:
            self._touched.setdefault(asked.owner, set()).add(key)


def asked_key(owner: str, claim: str) -> str:
    return f"{owner}|{claim}"


def _mark(index: dict[str, set[str]], owner: str, key: str, *, is_in: bool) -> None:
    if is_in:
        index.setdefault(owner, set()).add(key)
    else:
        index.get(owner, set()).discard(key)
