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
