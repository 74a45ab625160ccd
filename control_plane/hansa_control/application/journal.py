"""Events of workloads: what happened, in order, kept until there are too many."""

from __future__ import annotations

from dataclasses import replace

from hansa_control.application.ports import Clock, Table
from hansa_control.application.signals import Signal
from hansa_control.application.state import State
from hansa_control.domain.model import Event, EventLevel, Workload, WorkloadId, WorkloadState


class Journal:
    """Records changes of workloads together with the events that tell of them, and wakes those who watch."""

    def __init__(self, state: State, clock: Clock, events_kept_max: int) -> None:
        self._state = state
        self._clock = clock
        self._events_kept_max = events_kept_max
        self._signals: dict[str, Signal] = {}
        self._marks: dict[str, int] = {}

    def signal(self, workload: str) -> Signal:
        return self._signals.setdefault(workload, Signal())

    def put(self, workload: Workload) -> None:
        self._state.put(Table.WORKLOAD, str(workload.id), workload)
        self._mark(str(workload.id))
        self._notify(str(workload.id))

    async def kept(self, workload: WorkloadId) -> None:
        """Returns when what is recorded of a workload, or that there is none, would survive a crash; StoreFailed.

        Who is told of a change before that is told what may never have been.
        """
        if not self._state.is_durable(self._marks.get(str(workload), 0)):
            await self._state.commit()

    def record(self, seen: Workload) -> Workload:
        """Keeps what a look at a workload has found out, as the next revision, and answers it as it is kept.

        A look awaits owners; meanwhile the app team may change the spec or ask for deletion. Those are theirs and stay.
        """
        held = self._state.workloads.get(str(seen.id), seen)
        state = held.state if held.state is WorkloadState.DELETING else seen.state
        merged = replace(seen, spec=held.spec, generation=held.generation, state=state, revision=held.revision + 1)
        self.put(merged)
        return merged

    def newest(self, seen: Workload) -> Workload:
        """The workload as it is kept now, after something was awaited at a look that found nothing out."""
        return self._state.workloads.get(str(seen.id), seen)

    def forget(self, workload: WorkloadId) -> None:
        self._state.delete(Table.WORKLOAD, str(workload))
        self._state.delete(Table.DECISION, str(workload))
        self._mark(str(workload))
        self._notify(str(workload))
        self._signals.pop(str(workload), None)

    def normal(self, workload: WorkloadId, reason: str, message: str) -> None:
        self._append(workload, reason, message, EventLevel.NORMAL)

    def warning(self, workload: WorkloadId, reason: str, message: str) -> None:
        self._append(workload, reason, message, EventLevel.WARNING)

    def events(self, workload: str, after_sequence: int) -> tuple[Event, ...]:
        return tuple(
            event
            for event in self._state.events.values()
            if event.workload == workload and event.sequence > after_sequence
        )

    def _append(self, workload: WorkloadId, reason: str, message: str, level: EventLevel) -> None:
        sequence = self._state.next_count("event")
        event = Event(sequence, self._clock.wall_ms(), str(workload), reason, message, level)
        self._state.put(Table.EVENT, _key(sequence), event)
        self._state.delete(Table.EVENT, _key(sequence - self._events_kept_max))
        self._mark(str(workload))
        self._notify(str(workload))

    def _mark(self, workload: str) -> None:
        """The marks are in the order of the changes; what is durable needs none, so that they do not pile up."""
        self._marks.pop(workload, None)
        self._marks[workload] = self._state.put_count
        while self._marks and self._state.is_durable(self._marks[oldest := next(iter(self._marks))]):
            del self._marks[oldest]

    def _notify(self, workload: str) -> None:
        if workload in self._signals:
            self._signals[workload].notify()


def _key(sequence: int) -> str:
    return f"{sequence:016d}"
