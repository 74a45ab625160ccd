"""What is asked for a zone (cordon, drain, maintenance) by either side, and what follows from it at a time.

The two sides are the operator whose zone it is and those who keep its machines (the site), whose wish its agent tells.
They are kept apart: a zone is open only while neither closes it, and neither lifts what the other one asks.

A workload has no end that is known before, so anything new would run into every window that is announced: from the
announcement on nothing new is placed, and from the window's lead on what runs there moves away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hansa_control.domain.model import Intake, SiteWish, Upkeep, Window, ZoneSide

WINDOWS_MAX = 16
LENGTH_MS_MAX = 14 * 24 * 3_600_000
LEAD_MS_MAX = 7 * 24 * 3_600_000
NOTE_LENGTH_MAX = 200
_STRICTER = (Intake.OPEN, Intake.MAINTENANCE, Intake.CORDONED, Intake.DRAINING)


class UpkeepInvalid(ValueError):
    """A window that cannot be announced; ``field`` names what is wrong with it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class UpkeepAsked:
    """What was asked for a zone; due_ms belongs to the drain, wall clock, 0 if it has none. windows are by begin."""

    zone: str
    is_cordoned: bool = False
    is_drained: bool = False
    note: str = ""
    due_ms: int = 0
    windows: tuple[Window, ...] = ()

    @property
    def is_nothing(self) -> bool:
        return not (self.is_cordoned or self.is_drained or self.windows)


def cordoned(asked: UpkeepAsked, note: str) -> UpkeepAsked:
    """Nothing new; a drain that goes on goes on."""
    return replace(asked, is_cordoned=True, note=note or asked.note)


def uncordoned(asked: UpkeepAsked) -> UpkeepAsked:
    """Neither cordoned nor drained; announced maintenance stays announced."""
    return replace(asked, is_cordoned=False, is_drained=False, note="", due_ms=0)


def drained(asked: UpkeepAsked, note: str, due_ms: int) -> UpkeepAsked:
    """Nothing new, and what runs there is to move away."""
    return replace(asked, is_cordoned=True, is_drained=True, note=note or asked.note, due_ms=due_ms)


def announced(asked: UpkeepAsked, window: Window, now_ms: int) -> UpkeepAsked:
    """With another window, in the place of the one that has the same begin; UpkeepInvalid."""
    if window.until_ms <= window.from_ms:
        raise UpkeepInvalid("until_ms", "is not after the begin")
    if window.until_ms <= now_ms:
        raise UpkeepInvalid("until_ms", "has passed")
    if window.until_ms - window.from_ms > LENGTH_MS_MAX:
        days = LENGTH_MS_MAX // 86_400_000
        raise UpkeepInvalid("until_ms", f"more than {days} days after the begin; cordon the zone instead")
    if not 0 <= window.lead_ms <= LEAD_MS_MAX:
        raise UpkeepInvalid("lead_ms", f"is not from 0 to {LEAD_MS_MAX}")
    others = [one for one in asked.windows if one.from_ms != window.from_ms and one.until_ms > now_ms]
    for other in others:
        if other.from_ms < window.until_ms and window.from_ms < other.until_ms:
            raise UpkeepInvalid("from_ms", f"overlaps the window that begins at {other.from_ms}; withdraw it first")
    if len(others) >= WINDOWS_MAX:
        raise UpkeepInvalid("from_ms", f"more than {WINDOWS_MAX} windows")
    return replace(asked, windows=tuple(sorted((*others, window), key=lambda one: one.from_ms)))


def withdrawn(asked: UpkeepAsked, from_ms: int) -> UpkeepAsked:
    """Without the window of that begin, 0 without any; UpkeepInvalid if there is none of that begin."""
    if from_ms and all(one.from_ms != from_ms for one in asked.windows):
        nearest = min((one.from_ms for one in asked.windows), key=lambda at: (abs(at - from_ms), at), default=0)
        hint = f"; the nearest begins at {nearest}" if nearest else ""
        raise UpkeepInvalid("from_ms", f"no window begins at {from_ms}{hint}")
    return replace(asked, windows=tuple(one for one in asked.windows if from_ms and one.from_ms != from_ms))


def without_past(asked: UpkeepAsked, now_ms: int) -> UpkeepAsked:
    """Without the windows that are over."""
    windows = tuple(one for one in asked.windows if one.until_ms > now_ms)
    return asked if windows == asked.windows else replace(asked, windows=windows)


def upkeep_at(asked: UpkeepAsked, now_ms: int) -> Upkeep:
    """What follows at a wall-clock time: of several things the strictest, of several times to be empty the soonest."""
    ahead = without_past(asked, now_ms).windows
    leaving = [one for one in ahead if one.from_ms - one.lead_ms <= now_ms]
    if asked.is_drained or leaving:
        due = [at for at in (asked.due_ms, *(one.from_ms for one in leaving)) if at]
        note = asked.note or next((one.note for one in leaving), "")
        return Upkeep(Intake.DRAINING, note, min(due, default=0), ahead)
    if asked.is_cordoned:
        return Upkeep(Intake.CORDONED, asked.note, 0, ahead)
    return Upkeep(Intake.MAINTENANCE, ahead[0].note, 0, ahead) if ahead else Upkeep()


def wished(zone: str, wish: SiteWish | None) -> UpkeepAsked:
    """What the site asks for its zone, in the form of what its operator asks."""
    if wish is None:
        return UpkeepAsked(zone)
    is_cordoned = wish.is_cordoned or wish.is_drained
    return UpkeepAsked(zone, is_cordoned, wish.is_drained, wish.note, wish.due_ms, wish.windows)


def merged(operator: Upkeep, site: Upkeep) -> Upkeep:
    """What follows for a zone from what each side asks: of both the stricter, of two times to be empty the sooner."""
    asked = ((ZoneSide.OPERATOR, operator), (ZoneSide.SITE, site))
    closing = [(side, upkeep) for side, upkeep in asked if upkeep.intake is not Intake.OPEN]
    if not closing:
        return Upkeep()
    intake = max((upkeep.intake for _, upkeep in closing), key=_STRICTER.index)
    due_ms = min((upkeep.due_ms for _, upkeep in closing if upkeep.due_ms), default=0)
    windows = sorted({window for _, upkeep in closing for window in upkeep.windows}, key=_by_begin)
    return Upkeep(intake, _notes(closing), due_ms, tuple(windows[:WINDOWS_MAX]), tuple(side for side, _ in closing))


def _by_begin(window: Window) -> tuple[int, int, int, str]:
    return window.from_ms, window.until_ms, window.lead_ms, window.note


def _notes(closing: Sequence[tuple[ZoneSide, Upkeep]]) -> str:
    """The words of the side that closes the zone; of both, each with whose they are."""
    if len(closing) == 1:
        return closing[0][1].note
    told = [f"{side.value.lower()}: {upkeep.note}" for side, upkeep in closing if upkeep.note]
    return "; ".join(told)[:NOTE_LENGTH_MAX]
