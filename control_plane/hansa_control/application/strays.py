"""Claims of ours that an owner keeps and no workload of ours names: given back, after a while in which to take note.

Every claim is written down before it is asked for, so there are none, whatever crashes. An operator that is set back to
an older copy of its records has forgotten what it placed since; its partners have not, and would run it for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

from hansa_control.application.ports import Clock, Owner, OwnerUnreachable, RefusalError, StoreFailed
from hansa_control.application.state import State
from hansa_control.application.world import World
from hansa_control.domain.model import ClaimState, ClaimStatus, Reason

KEPT = frozenset({ClaimState.ALLOCATED, ClaimState.SERVING, ClaimState.FAILED, ClaimState.LOST})
"""States in which an owner does something for a claim and nobody has given it back."""


ROUND_MAX = 64
"""How many are given back at a look: an owner that is slow, or tells of very many, does not keep us busy."""


class Stray(NamedTuple):
    """A claim that an owner tells of and nobody here knows."""

    owner: str
    claim: str


class Strays:
    """Notes what owners tell of, and gives back what no workload has named for stray_after_ms.

    A name counts together with its owner, since names come again after records were set back.
    """

    def __init__(
        self, stray_after_ms: int, records: tuple[State, World], owners: Mapping[str, Owner], clock: Clock
    ) -> None:
        self._after_ms = stray_after_ms
        self._state, self._world = records
        self._owners, self._clock = owners, clock
        self._told: dict[str, set[str]] = {owner: set() for owner in owners}
        self._due_ms: dict[Stray, int] = {}
        self.on_seen: Callable[[str, int], None] = lambda owner, count: None
        self.on_given_back: Callable[[Stray], None] = lambda stray: None
        self.on_defect: Callable[[str, Exception], None] = lambda owner, defect: None

    def recover(self) -> None:
        """After loading: whatever partners had told of."""
        for owner in self._owners:
            for offer in self._world.offered.of(owner).values():
                if isinstance(offer.body, ClaimStatus):
                    self.told(owner, offer.body.claim)

    def told(self, owner: str, claim: str) -> None:
        """An owner has told of a claim of ours."""
        if owner in self._told:
            self._told[owner].add(claim)

    def gone(self, owner: str, claim: str) -> None:
        """An owner tells of a claim no longer."""
        if owner in self._told:
            self._told[owner].discard(claim)
            self._due_ms.pop(Stray(owner, claim), None)

    async def run(self) -> None:
        """Looks from time to time, until cancelled; no owner waits for another."""
        async with asyncio.TaskGroup() as group:
            for owner in sorted(self._owners):
                group.create_task(self._follow(owner))

    async def _follow(self, owner: str) -> None:
        while True:
            await self._clock.sleep_ms(max(1, self._after_ms // 4))
            try:
                await self.look(owner)
            except StoreFailed:
                raise
            except Exception as defect:  # Told, and looked at again next time: other owners have nothing to do with it.
                self.on_defect(owner, defect)

    async def look(self, owner: str) -> None:
        """Says how many claims have come to be unknown, and gives back those that have been for long enough."""
        named, now_ms = self._named(owner), self._clock.monotonic_ms()
        unknown = {claim for claim in self._told[owner] - named if self._is_kept(owner, claim)}
        for stray in [stray for stray in self._due_ms if stray.owner == owner and stray.claim not in unknown]:
            del self._due_ms[stray]
        fresh = [stray for claim in sorted(unknown) if (stray := Stray(owner, claim)) not in self._due_ms]
        self._due_ms.update(dict.fromkeys(fresh, now_ms + self._after_ms))
        if fresh:
            self.on_seen(owner, len(fresh))
        due = sorted(stray for stray, at_ms in self._due_ms.items() if stray.owner == owner and at_ms <= now_ms)
        for stray in due[:ROUND_MAX]:
            # Asking takes time, in which the name may have come to be used again.
            if stray.claim not in self._named(owner):
                await self._give_back(stray)

    def _is_kept(self, owner: str, claim: str) -> bool:
        stored = self._world.offered.of(owner).get(f"claims/{claim}")
        return stored is not None and isinstance(stored.body, ClaimStatus) and stored.body.state in KEPT

    def _named(self, owner: str) -> set[str]:
        """The claims that workloads, and partners' claims in zones that are offered on, name at an owner."""
        relayed = {relay.name for relay in self._state.relays.values() if relay.owner == owner}
        placements = (placement for workload in self._state.workloads.values() for placement in workload.placements)
        return relayed.union(placement.claim for placement in placements if placement.zone.operator == owner)

    async def _give_back(self, stray: Stray) -> None:
        """Tells the owner; one that cannot be asked now, or tells of it still, is asked again."""
        try:
            await self._owners[stray.owner].release(stray.claim, Reason.WORKLOAD_DELETED)
        except (OwnerUnreachable, RefusalError):
            return
        except StoreFailed:
            raise
        except Exception as defect:  # Contained here, so that those behind it have their turn.
            self.on_defect(stray.owner, defect)
            return
        self._due_ms.pop(stray, None)
        self.on_given_back(stray)
