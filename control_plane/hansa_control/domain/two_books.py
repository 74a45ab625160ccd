"""Two operators' books of usage: what a home operator takes over of what an owner tells, and where both differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from hansa_control.domain.usage import LineKey, UsageLine

# --- what a home operator takes over --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """What a home operator asked of a partner for one claim, kept from before it asks until the claim is settled.

    Amounts are those of all replicas. given_back_at_ms is 0 while a placement names the claim. lines are the owner's,
    as they were taken over.
    """

    owner: str
    claim: str
    zone: str
    workload: str
    accelerators: int
    cpu_millis: int
    memory_mib: int
    asked_at_ms: int
    given_back_at_ms: int = 0
    lines: tuple[UsageLine, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Given back, and the owner has said all that it will ever say of it."""
        return bool(self.given_back_at_ms and self.lines) and all(line.is_final for line in self.lines)


def objection(asked: Asked | None, line: UsageLine) -> str:
    """Why a home operator does not take over what the owner tells; empty if it does.

    What the owner has said once of a line's stamps it cannot take back.
    """
    if asked is None:
        return "nothing was asked under this name, or it is settled"
    wanted = (asked.owner, asked.zone, asked.workload, asked.accelerators, asked.cpu_millis, asked.memory_mib)
    told = (line.owner, line.zone, line.workload, line.accelerators, line.cpu_millis, line.memory_mib)
    if wanted != told:
        return "it is not what was asked for"
    if asked.lines and asked.lines[0].fencing_token != line.fencing_token:
        return f"the claim has token {asked.lines[0].fencing_token}"
    before = next((held for held in asked.lines if held.span == line.span), None)
    if before is not None:
        return _changed(before, line)
    if any(_overlap(held, line) for held in asked.lines):
        return "it counts time that another line of the claim counts"
    return ""


def _changed(before: UsageLine, after: UsageLine) -> str:
    if before.pool != after.pool or before.from_ms != after.from_ms:
        return "it began otherwise when it was told first"
    if before.until_ms and before.until_ms != after.until_ms:
        return "it ended otherwise when that was told first"
    if before.is_final and not after.is_final:
        return "it was final"
    return ""


def _overlap(one: UsageLine, other: UsageLine) -> bool:
    """Of a line whose meter runs nothing is known but its beginning: an end that is told later is checked then."""
    first, second = sorted((one, other), key=lambda line: line.span)
    return bool(first.until_ms and first.until_ms > second.from_ms) or second.from_ms < first.from_ms


def taken_over(asked: Asked, line: UsageLine) -> Asked:
    """What was asked, with a line that the owner told."""
    others = tuple(held for held in asked.lines if held.span != line.span)
    return replace(asked, lines=tuple(sorted((*others, line), key=lambda held: held.span)))


# --- two books ------------------------------------------------------------------------------------------------------


class DifferenceKind(StrEnum):
    HOME_LACKS = "HOME_LACKS"
    OWNER_LACKS = "OWNER_LACKS"
    OTHER_AMOUNT = "OTHER_AMOUNT"
    OTHER_STAMPS = "OTHER_STAMPS"
    BEYOND_CLOCKS = "BEYOND_CLOCKS"


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two books do not say the same of a line; the side that lacks it is None.

    BEYOND_CLOCKS: both say the same, but the owner's stamps are outside what the home operator's own clock has seen, by
    more than two clocks may differ. Somebody's clock was wrong, or somebody counts what was not asked for.
    """

    kind: DifferenceKind
    home: UsageLine | None
    owner: UsageLine | None

    @property
    def key(self) -> LineKey:
        line = self.home or self.owner
        if line is None:
            raise ValueError("a difference is about a line")
        return line.key


def differences(
    home: Mapping[LineKey, UsageLine], owner: Mapping[LineKey, UsageLine], skew_ms_max: int
) -> tuple[Difference, ...]:
    """Every line of which the two books say different things, ordered by key."""
    found = (_difference(home.get(key), owner.get(key), skew_ms_max) for key in sorted({*home, *owner}))
    return tuple(difference for difference in found if difference is not None)


def _difference(home: UsageLine | None, owner: UsageLine | None, skew_ms_max: int) -> Difference | None:
    if home is None or owner is None:
        kind = DifferenceKind.HOME_LACKS if home is None else DifferenceKind.OWNER_LACKS
        return Difference(kind, home, owner)
    if (home.from_ms, home.until_ms) != (owner.from_ms, owner.until_ms):
        return Difference(DifferenceKind.OTHER_STAMPS, home, owner)
    if _plain(home) != _plain(owner):
        return Difference(DifferenceKind.OTHER_AMOUNT, home, owner)
    if _is_beyond_clocks(home, skew_ms_max):
        return Difference(DifferenceKind.BEYOND_CLOCKS, home, owner)
    return None


def _plain(line: UsageLine) -> UsageLine:
    """What both books have of a line, but for when it was told."""
    return replace(line, sequence=0, is_final=False, asked_at_ms=0, given_back_at_ms=0)


def _is_beyond_clocks(line: UsageLine, skew_ms_max: int) -> bool:
    early = line.asked_at_ms and line.from_ms < line.asked_at_ms - skew_ms_max
    late = line.given_back_at_ms and line.until_ms > line.given_back_at_ms + skew_ms_max
    return bool(early or late)
