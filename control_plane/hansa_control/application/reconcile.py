"""Keeping: each workload is looked at whenever something that concerns it has changed, and brought nearer to its spec.

Level-triggered: a look starts from what is, not from what happened, so a lost or doubled wake-up does no harm. Looks
at one workload never overlap; wake-ups meanwhile lead to one more look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

from hansa_control.application.deciding import Decider
from hansa_control.application.journal import Journal
from hansa_control.application.keeping import Keeper
from hansa_control.application.noting import Notes, status_of
from hansa_control.application.observing import Observer
from hansa_control.application.placing import Placer
from hansa_control.application.ports import Clock, IdSource, StoreFailed
from hansa_control.application.preempting import Preempter
from hansa_control.application.releasing import Releaser
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.application.waking import Wakes, at_once
from hansa_control.application.world import World
from hansa_control.domain.model import ConditionStatus, Workload, WorkloadState, ZoneId


class Reconciler:
    """Looks at workloads, one look a workload at a time, several workloads side by side."""

    def __init__(
        self,
        settings: Settings,
        records: tuple[State, Journal, World],
        deciding: tuple[Decider, Placer],
        sources: tuple[Clock, IdSource],
        preempter: Preempter,
    ) -> None:
        self._settings = settings
        self._state, self._journal, world = records
        self._placer, clock = deciding[1], sources[0]
        self._wakes = Wakes(settings, sources)
        self._wakes.is_fresh = self._is_fresh
        notes = Notes(self._journal, clock)
        self.observer = Observer(settings, (self._journal, world, notes), self._wakes, clock)
        self._releaser = Releaser(self._journal, self._placer.holder, self.observer, self._wakes)
        looking = (notes, self.observer, self._wakes, self._releaser, preempter)
        self._keeper = Keeper(settings, records, deciding, looking, clock)
        self._waiting: set[str] = set()
        self.on_defect: Callable[[str, Exception], None] = lambda workload, defect: None
        self._gate = _Gate(settings.looks_begun_at_once)
        self.turn: Callable[[], Awaitable[None]] = self._gate.passed
        """Awaited before each first placing, for which nobody waits who has not been answered already."""

    # --- waking ---

    def wake(self, workload: str) -> None:
        """Asks for a look; asking again before it happens asks nothing more."""
        self._wakes.wake(workload)

    def _is_fresh(self, key: str) -> bool:
        held = self._state.workloads.get(key)
        return held is not None and held.state is WorkloadState.PENDING and not held.placements

    def wake_claim(self, claim: str) -> None:
        """The owner said something of a claim of ours."""
        workload = self.observer.workload_of(claim)
        if workload is not None:
            self.wake(workload)

    def claim_gone(self, owner: str, claim: str) -> None:
        """The owner no longer knows the claim."""
        self.observer.claim_gone(owner, claim)
        self.wake_claim(claim)

    def wake_waiting(self) -> None:
        """Capacity, facts or network have changed: whoever waits for a zone gets another look."""
        for key in sorted(self._waiting):
            self.wake(key)

    def wake_in(self, zones: Collection[ZoneId]) -> None:
        """Something was decided about these zones: whoever is placed there gets a look."""
        for key, workload in self._state.workloads.items():
            if any(placement.zone in zones for placement in workload.placements):
                self.wake(key)

    def wake_preferring(self) -> None:
        """Whoever has tiers of preferences: whether to go back to a better one is a matter of time."""
        for key, workload in self._state.workloads.items():
            if workload.spec.preferences.ordered:
                self.wake(key)

    def wake_all(self) -> None:
        for key in self._state.workloads:
            self.wake(key)

    def tick(self) -> None:
        """Wakes what asked to be looked at again by now."""
        self._wakes.tick()
        self.observer.tick()

    def recover(self) -> None:
        """After loading: everything gets a look."""
        for workload in self._state.workloads.values():
            self.observer.know(workload)
            self._note_waiting(workload)
        self.wake_all()

    # --- looking ---

    async def run(self) -> None:
        """Looks at workloads until cancelled. What runs already never waits for what is to be placed first.

        Many looks side by side share transactions, and one that waits for a slow owner keeps few from being looked at.
        """
        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.reconcilers):
                group.create_task(self._serve(self._gate.passed, is_fresh=False))
                group.create_task(self._serve(lambda: self.turn(), is_fresh=True))

    async def _serve(self, turn: Callable[[], Awaitable[None]], *, is_fresh: bool) -> None:
        while True:
            key = await self._wakes.next(turn, is_fresh=is_fresh)
            try:
                await self.look(key)
            except StoreFailed:
                raise
            except Exception as defect:
                self._contain(key, defect)
            finally:
                self._wakes.done(key)

    def _contain(self, key: str, defect: Exception) -> None:
        """A defect met at one workload is told and tried again later; it must not take all the others with it."""
        self.on_defect(key, defect)
        workload = self._state.workloads.get(key)
        if workload is not None:
            self._journal.warning(workload.id, "Defect", f"{type(defect).__name__}: {defect}")
            self._wakes.retry_later(key)

    async def look(self, key: str) -> None:
        """One look at a workload: see what its owners say, give up what is to be given up, place if nowhere."""
        workload = self._state.workloads.get(key)
        if workload is None:
            return
        workload = self.observer.observe(workload)
        workload = await self._release_given_up(workload)
        if workload.state is WorkloadState.DELETING:
            self._forget_if_empty(workload)
        else:
            workload = await self._keeper.keep_placed(workload)
            workload = await self._release_given_up(workload)
        self._note_waiting(self._state.workloads.get(key, workload))
        await self._state.commit()

    def _note_waiting(self, workload: Workload) -> None:
        """Who waits for a zone is known by name, so that a change of capacity does not ask everybody."""
        key = str(workload.id)
        is_nowhere = workload.state in {WorkloadState.PENDING, WorkloadState.UNPLACEABLE}
        is_stranded = status_of(workload, "Stranded") is ConditionStatus.TRUE
        if key in self._state.workloads and (is_nowhere or is_stranded):
            self._waiting.add(key)
        else:
            self._waiting.discard(key)

    async def _release_given_up(self, workload: Workload) -> Workload:
        return await self._releaser.release_given_up(workload)

    def _forget_if_empty(self, workload: Workload) -> None:
        if workload.placements:
            return
        self._journal.normal(workload.id, "Deleted", "every owner has taken its capacity back")
        self._journal.forget(workload.id)
        self._wakes.succeeded(str(workload.id))
        self._keeper.forget(str(workload.id))


class _Gate:
    """Lets so many through in one round of the event loop. A look that changes nothing never waits, and many of them in
    a row would keep everybody else waiting.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0

    async def passed(self) -> None:
        """Returns in a later round, as soon as there is room in it."""
        await at_once()
        while self._count >= self._most:
            await at_once()
        if not self._count:
            asyncio.get_running_loop().call_soon(self._next_round)
        self._count += 1

    def _next_round(self) -> None:
        self._count = 0
