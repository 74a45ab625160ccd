"""What a claim on capacity comes to: when its meter runs, what it counts, and whether two books say the same.

The owner of a zone is the only one who stamps, with its own wall clock, at the moment at which it records the claim's
change. The meter runs while the claim is ALLOCATED or SERVING: from the confirmation, since capacity is taken from then
on, until the claim is given up, lost or failed. A claim that is lost and comes back gets another line, so that a line
has two stamps and never more. The home operator copies lines, never works them out, and holds them against what it
asked for itself.

Everything is an integer: stamps are milliseconds since the Unix epoch, UTC, amounts are devices, thousandths of a core
or MiB, times milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from hansa_control.domain.model import Claim, ClaimState


class LineKey(NamedTuple):
    """What makes a line one and the same in both books."""

    owner: str
    home: str
    claim: str
    fencing_token: int
    span: int


@dataclass(frozen=True, slots=True)
class UsageLine:
    """One unbroken run of a claim's meter.

    span counts the runs of one claim from 1. until_ms is 0 while the meter runs. is_final: nothing of the line will
    change any more. sequence is the owner's count of changes, by which lines are told. asked_at_ms and given_back_at_ms
    are the home operator's own clock, in its own book; 0 elsewhere, and no part of what is compared.
    """

    owner: str
    home: str
    claim: str
    fencing_token: int
    span: int
    zone: str
    workload: str
    pool: str
    accelerators: int
    cpu_millis: int
    memory_mib: int
    from_ms: int
    until_ms: int = 0
    is_final: bool = False
    sequence: int = 0
    asked_at_ms: int = 0
    given_back_at_ms: int = 0

    @property
    def key(self) -> LineKey:
        return LineKey(self.owner, self.home, self.claim, self.fencing_token, self.span)

    @property
    def tenant(self) -> str:
        """Tenant in the workload's resource name; empty if it names none."""
        parts = self.workload.split("/")
        return parts[1] if len(parts) == 4 else ""


class Period(NamedTuple):
    """From since_ms until just before until_ms."""

    since_ms: int
    until_ms: int

    def overlaps(self, line: UsageLine) -> bool:
        return line.from_ms < self.until_ms and (not line.until_ms or line.until_ms > self.since_ms)


# --- the meter ------------------------------------------------------------------------------------------------------

_RUNS = frozenset({ClaimState.ALLOCATED, ClaimState.SERVING})
_OVER = frozenset({ClaimState.RELEASING, ClaimState.RELEASED})


def metered(line: UsageLine | None, claim: Claim, owner: str, now_ms: int) -> tuple[UsageLine, ...]:
    """The lines that change, in this order, when ``claim`` is recorded at ``now_ms`` on the owner's wall clock.

    ``line`` is the claim's last line, unless that is final. Time never goes back within a claim: a clock that does is
    taken to stand still. A new line comes before the end of the one before, so that whoever reads in order and finds
    all lines of a claim final has not missed one.
    """
    if line is None:
        return (_begun(claim, owner, 1, now_ms),) if claim.state in _RUNS else ()
    if claim.state in _RUNS:
        if not line.until_ms:
            return ()
        return _begun(claim, owner, line.span + 1, max(now_ms, line.until_ms)), replace(line, is_final=True)
    stopped = line if line.until_ms else replace(line, until_ms=max(now_ms, line.from_ms))
    stopped = replace(stopped, is_final=claim.state in _OVER)
    return (stopped,) if stopped != line else ()


def _begun(claim: Claim, owner: str, span: int, now_ms: int) -> UsageLine:
    return UsageLine(
        owner=owner,
        home=claim.home,
        claim=claim.name,
        fencing_token=claim.fencing_token,
        span=span,
        zone=claim.zone,
        workload=claim.manifest.workload if claim.manifest else "",
        pool=claim.pool,
        accelerators=sum(count for _, count in claim.amount.accelerators),
        cpu_millis=claim.amount.cpu_millis,
        memory_mib=claim.amount.memory_mib,
        from_ms=now_ms,
    )


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


# --- totals ---------------------------------------------------------------------------------------------------------


class TotalKey(NamedTuple):
    """By what usage is added up. pool is the accelerator model, empty for claims without."""

    owner: str
    home: str
    tenant: str
    pool: str


@dataclass(frozen=True, slots=True)
class Total:
    """Usage in a period: accelerators, thousandths of a core and MiB, each times milliseconds."""

    lines: int = 0
    accelerator_ms: int = 0
    cpu_milli_ms: int = 0
    memory_mib_ms: int = 0

    def plus(self, line: UsageLine, period: Period) -> Total:
        """With a line's part of the period."""
        counted = counted_ms(line, period)
        return Total(
            self.lines + 1,
            self.accelerator_ms + line.accelerators * counted,
            self.cpu_milli_ms + line.cpu_millis * counted,
            self.memory_mib_ms + line.memory_mib * counted,
        )


def counted_ms(line: UsageLine, period: Period) -> int:
    """Milliseconds of the period in which the line's meter ran."""
    until_ms = min(line.until_ms or period.until_ms, period.until_ms)
    return max(0, until_ms - max(line.from_ms, period.since_ms))


def add_up(totals: Mapping[TotalKey, Total], lines: Iterable[UsageLine], period: Period) -> dict[TotalKey, Total]:
    """The totals with more lines; lines outside the period add nothing."""
    summed = dict(totals)
    for line in lines:
        if period.overlaps(line):
            key = TotalKey(line.owner, line.home, line.tenant, line.pool)
            summed[key] = summed.get(key, Total()).plus(line, period)
    return summed


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
