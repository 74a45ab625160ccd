"""What a zone's owner has decided on taking in workloads, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Intake(StrEnum):
    """Whether a zone takes in workloads. MAINTENANCE: nothing new, for maintenance is announced; DRAINING: nothing new,
    and what runs there is to move away; UNSTEADY: nothing new for a while, since it has come and gone repeatedly.
    """

    OPEN = "OPEN"
    CORDONED = "CORDONED"
    MAINTENANCE = "MAINTENANCE"
    DRAINING = "DRAINING"
    UNSTEADY = "UNSTEADY"


@dataclass(frozen=True, slots=True)
class Window:
    """Maintenance, wall clock; what runs in the zone starts to move away lead_ms before."""

    from_ms: int
    until_ms: int
    lead_ms: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What a zone's owner has decided on taking in workloads, as it is now; due_ms is by when the zone is to be empty,
    wall clock, 0 if there is no such time. windows are announced or go on, by their begin.
    """

    intake: Intake = Intake.OPEN
    note: str = ""
    due_ms: int = 0
    windows: tuple[Window, ...] = ()


OPEN = Upkeep()
"""It takes in workloads, and nothing is announced."""
