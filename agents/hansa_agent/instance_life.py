"""The life of one instance as data: what may happen to it, where that leads, and what is done. Pure.

``hansa_agent.reconciliation`` plays it. What the table does not list is ignored, because a report may arrive after the
decision that made it pointless.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """Where an instance is in its life. PENDING waits to be started, again or for the first time."""

    PENDING = "PENDING"
    STARTING = "STARTING"
    READY = "READY"
    STOPPING = "STOPPING"
    FAILED = "FAILED"
    GONE = "GONE"


class Happening(StrEnum):
    """What may happen to an instance. DUE: the moment it waited for has come."""

    DUE = "DUE"
    BECAME_READY = "BECAME_READY"
    CEASED_TO_BE_READY = "CEASED_TO_BE_READY"
    EXITED = "EXITED"
    START_REFUSED = "START_REFUSED"
    WITHDRAWN = "WITHDRAWN"
    CHANGED = "CHANGED"


class Act(StrEnum):
    """What a runtime is asked to do. STOP asks the process group to end, KILL ends it, FORGET clears what it left."""

    START = "START"
    STOP = "STOP"
    KILL = "KILL"
    FORGET = "FORGET"


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of an instance's life; ``otherwise`` is the other target, where ``meaning`` says when it is taken."""

    phase: Phase
    happening: Happening
    target: Phase
    act: Act | None
    meaning: str
    otherwise: Phase | None = None


TRANSITIONS: tuple[Transition, ...] = (
    Transition(Phase.PENDING, Happening.DUE, Phase.STARTING, Act.START, "its turn has come"),
    Transition(Phase.PENDING, Happening.WITHDRAWN, Phase.GONE, Act.FORGET, "nothing runs, nothing is to stop"),
    Transition(Phase.PENDING, Happening.CHANGED, Phase.PENDING, None, "starts at once, failures are forgotten"),
    Transition(Phase.STARTING, Happening.BECAME_READY, Phase.READY, None, "it answers"),
    Transition(Phase.STARTING, Happening.DUE, Phase.STARTING, Act.KILL, "not ready in time counts as a failure"),
    Transition(Phase.STARTING, Happening.EXITED, Phase.PENDING, None, "back-off; else too many in a row", Phase.FAILED),
    Transition(
        Phase.STARTING, Happening.START_REFUSED, Phase.PENDING, None, "back-off; else it cannot help", Phase.FAILED
    ),
    Transition(Phase.STARTING, Happening.WITHDRAWN, Phase.STOPPING, Act.STOP, "no longer ordered"),
    Transition(Phase.STARTING, Happening.CHANGED, Phase.STOPPING, Act.STOP, "starts anew once it has ended"),
    Transition(Phase.READY, Happening.CEASED_TO_BE_READY, Phase.STARTING, None, "has to answer again in time"),
    Transition(Phase.READY, Happening.EXITED, Phase.PENDING, None, "back-off; else too many in a row", Phase.FAILED),
    Transition(Phase.READY, Happening.WITHDRAWN, Phase.STOPPING, Act.STOP, "no longer ordered"),
    Transition(Phase.READY, Happening.CHANGED, Phase.STOPPING, Act.STOP, "starts anew once it has ended"),
    Transition(Phase.STOPPING, Happening.DUE, Phase.STOPPING, Act.KILL, "the grace has passed"),
    Transition(Phase.STOPPING, Happening.EXITED, Phase.GONE, Act.FORGET, "ended; else ordered again", Phase.PENDING),
    Transition(
        Phase.STOPPING, Happening.START_REFUSED, Phase.GONE, Act.FORGET, "ended; else ordered again", Phase.PENDING
    ),
    Transition(Phase.FAILED, Happening.WITHDRAWN, Phase.GONE, Act.FORGET, "nothing runs, nothing is to stop"),
    Transition(Phase.FAILED, Happening.CHANGED, Phase.PENDING, None, "another order, another chance"),
)
