"""Giving placements back to their owners; what cannot be given back now is given back later."""

from __future__ import annotations

from hansa_control.application.holding import Holder
from hansa_control.application.journal import Journal
from hansa_control.application.observing import Observer
from hansa_control.application.ports import OwnerUnreachable, RefusalError
from hansa_control.application.waking import Wakes
from hansa_control.domain.model import Placement, PlacementState, Reason, Workload, WorkloadState


class Releaser:
    """Tells owners what is given up."""

    def __init__(self, journal: Journal, holder: Holder, observer: Observer, wakes: Wakes) -> None:
        self._journal, self._holder = journal, holder
        self._observer, self._wakes = observer, wakes

    async def release_given_up(self, workload: Workload) -> Workload:
        """The workload without the placements that their owners have taken back."""
        for placement in workload.placements:
            if placement.state is PlacementState.RELEASING:
                workload = await self._release(workload, placement)
        return workload

    async def _release(self, workload: Workload, placement: Placement) -> Workload:
        deleting = workload.state is WorkloadState.DELETING
        try:
            workload = await self._holder.give_back(
                workload, placement, Reason.WORKLOAD_DELETED if deleting else Reason.WORKLOAD_MOVED
            )
        except (OwnerUnreachable, RefusalError) as failure:
            if self._wakes.retry_later(str(workload.id)) in {0, 4, 8}:
                why = f"release of {placement.claim} in {placement.zone}: {failure}"
                self._journal.warning(workload.id, "Retrying", why)
            return self._journal.newest(workload)
        self._observer.forget_claim(placement.claim)
        return workload
