"""What both sides of a zone, its operator and those who keep its machines, have decided on taking in workloads."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from hansa_control.domain.canonical import LATER


class Intake(StrEnum):
    """Whether a zone takes in workloads. MAINTENANCE: nothing new, for maintenance is announced; DRAINING: nothing new,
    and what runs there is to move away; UNSTEADY: nothing new for a while, since it has come and gone repeatedly.
    """

    OPEN = "OPEN"
    CORDONED = "CORDONED"
    MAINTENANCE = "MAINTENANCE"
    DRAINING = "DRAINING"
    UNSTEADY = "UNSTEADY"


class ZoneSide(StrEnum):
    """Who may close a zone: its operator, or those who keep its machines, through its agent."""

    OPERATOR = "OPERATOR"
    SITE = "SITE"


@dataclass(frozen=True, slots=True)
class Window:
    """Maintenance, wall clock; what runs in the zone starts to move away lead_ms before."""

    from_ms: int
    until_ms: int
    lead_ms: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class SiteWish:
    """What those who keep a zone's machines ask of its operator; due_ms belongs to the drain, wall clock, 0 if none."""

    is_cordoned: bool = False
    is_drained: bool = False
    note: str = ""
    due_ms: int = 0
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What is decided on a zone's taking in workloads, as it is now; due_ms is by when the zone is to be empty,
    wall clock, 0 if there is no such time. windows are announced or go on, by their begin. sides are those that close
    it; none if it is open, or closed by nobody's decision.
    """

    intake: Intake = Intake.OPEN
    note: str = ""
    due_ms: int = 0
    windows: tuple[Window, ...] = ()
    sides: tuple[ZoneSide, ...] = field(default=(), metadata=LATER)


OPEN = Upkeep()
"""It takes in workloads, and nothing is announced."""
