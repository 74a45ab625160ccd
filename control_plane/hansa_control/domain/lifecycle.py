"""The life of a workload at its home operator.

The table is total: news of placements arrives in any order, and each has a meaning in each state.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from hansa_control.domain.model import WorkloadState
from hansa_control.domain.transitions import Table


class WorkloadEvent(StrEnum):
    """What happens to a workload. LOST: its last placement is lost; NOTHING_FITS: deciding found no zone."""

    GRANTED = "GRANTED"
    READY = "READY"
    NOT_READY = "NOT_READY"
    LOST = "LOST"
    NOTHING_FITS = "NOTHING_FITS"
    DELETE = "DELETE"


_S, _E = WorkloadState, WorkloadEvent

WORKLOAD_MOVES: Mapping[tuple[WorkloadState, WorkloadEvent], WorkloadState] = MappingProxyType(
    {
        (_S.PENDING, _E.GRANTED): _S.STARTING,
        (_S.PENDING, _E.NOTHING_FITS): _S.UNPLACEABLE,
        (_S.PENDING, _E.LOST): _S.PENDING,
        # A lost placement may come back before another one is granted.
        (_S.PENDING, _E.NOT_READY): _S.STARTING,
        (_S.PENDING, _E.READY): _S.RUNNING,
        (_S.PENDING, _E.DELETE): _S.DELETING,
        (_S.STARTING, _E.READY): _S.RUNNING,
        (_S.STARTING, _E.LOST): _S.PENDING,
        (_S.STARTING, _E.GRANTED): _S.STARTING,
        (_S.STARTING, _E.NOT_READY): _S.STARTING,
        # Nowhere better to go: what is placed stays.
        (_S.STARTING, _E.NOTHING_FITS): _S.STARTING,
        (_S.STARTING, _E.DELETE): _S.DELETING,
        (_S.RUNNING, _E.NOT_READY): _S.STARTING,
        (_S.RUNNING, _E.LOST): _S.PENDING,
        # The new placement starts while the old one answers.
        (_S.RUNNING, _E.GRANTED): _S.RUNNING,
        (_S.RUNNING, _E.READY): _S.RUNNING,
        (_S.RUNNING, _E.NOTHING_FITS): _S.RUNNING,
        (_S.RUNNING, _E.DELETE): _S.DELETING,
        (_S.UNPLACEABLE, _E.GRANTED): _S.STARTING,
        (_S.UNPLACEABLE, _E.NOT_READY): _S.STARTING,
        (_S.UNPLACEABLE, _E.READY): _S.RUNNING,
        (_S.UNPLACEABLE, _E.NOTHING_FITS): _S.UNPLACEABLE,
        (_S.UNPLACEABLE, _E.LOST): _S.UNPLACEABLE,
        (_S.UNPLACEABLE, _E.DELETE): _S.DELETING,
        (_S.DELETING, _E.GRANTED): _S.DELETING,
        (_S.DELETING, _E.READY): _S.DELETING,
        (_S.DELETING, _E.NOT_READY): _S.DELETING,
        (_S.DELETING, _E.LOST): _S.DELETING,
        (_S.DELETING, _E.NOTHING_FITS): _S.DELETING,
        (_S.DELETING, _E.DELETE): _S.DELETING,
    }
)

WORKLOAD_TABLE = Table("workload", WorkloadState.PENDING, WORKLOAD_MOVES)


def advance(state: WorkloadState, event: WorkloadEvent) -> WorkloadState:
    """The state of a workload after an event."""
    return WORKLOAD_TABLE.after(state, event)
