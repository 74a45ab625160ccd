"""Claims of ours that an owner keeps and no workload of ours names: given back, after a while in which to take note.

Every claim is written down before it is asked for, so there are none, whatever crashes. An operator that is set back to
an older copy of its records has forgotten what it placed since; its partners have not, and would run it for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from hansa_control.application.ports import Clock, Owner, OwnerUnreachable, RefusalError
from hansa_control.application.state import State
from hansa_control.application.world import World
from hansa_control.domain.model import ClaimState, ClaimStatus, Reason

KEPT = frozenset({ClaimState.ALLOCATED, ClaimState.SERVING, ClaimState.FAILED, ClaimState.LOST})
"""States in which an owner does something for a claim and nobody has given it back."""


class Stray(NamedTuple):
    """A claim that an owner tells of and nobody here knows."""

    owner: str
    claim: str


class Strays:
    """Finds them as owners tell of claims, and gives back those that stay unknown for stray_after_ms."""

    def __init__(
        self, stray_after_ms: int, records: tuple[State, World], owners: Mapping[str, Owner], clock: Clock
    ) -> None:
        self._after_ms = stray_after_ms
        self._state, self._world = records
        self._owners, self._clock = owners, clock
        self._due_ms: dict[Stray, int] = {}
        self._said: set[Stray] = set()
        self.on_seen: Callable[[Stray], None] = lambda stray: None
        self.on_given_back: Callable[[Stray], None] = lambda stray: None

    def recover(self) -> None:
        """After loading: whatever partners had told of."""
        named = self._named()
        for owner in self._owners:
            for offer in self._world.offered.of(owner).values():
                if isinstance(offer.body, ClaimStatus):
                    self.told(owner, offer.body.claim, is_known=offer.body.claim in named)

    def told(self, owner: str, claim: str, *, is_known: bool) -> None:
        """An owner has told of a claim of ours; is_known says whether a workload is known to name it."""
        if not is_known:
            self._due_ms.setdefault(Stray(owner, claim), self._clock.monotonic_ms() + self._after_ms)

    async def run(self) -> None:
        """Looks from time to time, until cancelled."""
        while True:
            await self._clock.sleep_ms(max(1, self._after_ms // 4))
            await self.look()

    async def look(self) -> None:
        """Says once of each unknown claim that it is, and gives back those that have been for long enough."""
        named = self._named() if self._due_ms else frozenset()
        for stray, due_ms in sorted(self._due_ms.items()):
            if stray.claim in named or not self._is_kept(stray):
                self._forget(stray)
                continue
            if stray not in self._said:
                self._said.add(stray)
                self.on_seen(stray)
            if due_ms <= self._clock.monotonic_ms() and await self._given_back(stray):
                self._forget(stray)

    def _forget(self, stray: Stray) -> None:
        self._due_ms.pop(stray, None)
        self._said.discard(stray)

    def _is_kept(self, stray: Stray) -> bool:
        stored = self._world.offered.of(stray.owner).get(f"claims/{stray.claim}")
        return stored is not None and isinstance(stored.body, ClaimStatus) and stored.body.state in KEPT

    def _named(self) -> frozenset[str]:
        """The claims that workloads name."""
        return frozenset(
            placement.claim for workload in self._state.workloads.values() for placement in workload.placements
        )

    async def _given_back(self, stray: Stray) -> bool:
        """Whether the owner has taken it back; one that cannot be asked now is asked again."""
        owner = self._owners.get(stray.owner)
        if owner is None:
            return True
        try:
            await owner.release(stray.claim, Reason.WORKLOAD_DELETED)
        except (OwnerUnreachable, RefusalError):
            return False
        self.on_given_back(stray)
        return True
