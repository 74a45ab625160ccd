"""The life of a workload."""

from __future__ import annotations

from itertools import product

import pytest
from hansa_control.domain.lifecycle import WORKLOAD_MOVES, WorkloadEvent, advance
from hansa_control.domain.model import WorkloadState

LIFE = [
    ("PENDING", "GRANTED", "STARTING"),
    ("PENDING", "NOTHING_FITS", "UNPLACEABLE"),
    ("PENDING", "NOT_READY", "STARTING"),
    ("PENDING", "READY", "RUNNING"),
    ("STARTING", "READY", "RUNNING"),
    ("STARTING", "LOST", "PENDING"),
    ("RUNNING", "NOT_READY", "STARTING"),
    ("RUNNING", "LOST", "PENDING"),
    ("UNPLACEABLE", "GRANTED", "STARTING"),
    ("UNPLACEABLE", "NOT_READY", "STARTING"),
    ("UNPLACEABLE", "READY", "RUNNING"),
    ("PENDING", "DELETE", "DELETING"),
    ("STARTING", "DELETE", "DELETING"),
    ("RUNNING", "DELETE", "DELETING"),
    ("UNPLACEABLE", "DELETE", "DELETING"),
]


@pytest.mark.parametrize(("before", "event", "after"), LIFE)
def test_a_workload_lives_as_drawn(before: str, event: str, after: str) -> None:
    assert advance(WorkloadState(before), WorkloadEvent(event)) is WorkloadState(after)


def test_no_other_event_changes_a_state() -> None:
    drawn = {(before, event) for before, event, _ in LIFE}
    others = {at: after for at, after in WORKLOAD_MOVES.items() if at not in drawn}
    assert all(before is after for (before, _), after in others.items())


@pytest.mark.parametrize(("state", "event"), list(product(WorkloadState, WorkloadEvent)))
def test_every_event_has_a_meaning_in_every_state(state: WorkloadState, event: WorkloadEvent) -> None:
    assert advance(state, event) in WorkloadState


@pytest.mark.parametrize("event", WorkloadEvent)
def test_what_is_being_deleted_stays_so(event: WorkloadEvent) -> None:
    assert advance(WorkloadState.DELETING, event) is WorkloadState.DELETING


@pytest.mark.parametrize("state", [WorkloadState.STARTING, WorkloadState.RUNNING])
def test_what_is_placed_stays_where_nothing_better_fits(state: WorkloadState) -> None:
    assert advance(state, WorkloadEvent.NOTHING_FITS) is state


def test_a_running_workload_runs_on_while_its_next_placement_starts() -> None:
    assert advance(WorkloadState.RUNNING, WorkloadEvent.GRANTED) is WorkloadState.RUNNING
