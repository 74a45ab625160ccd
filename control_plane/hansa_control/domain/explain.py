"""Decisions as people read them first: how many zones fail which constraint. Pure data and one line of text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hansa_control.domain.model import Decision, Reason, Rejection, ZoneId


@dataclass(frozen=True, slots=True)
class Histogram:
    """Zones by failing constraint, most frequent first, ties by name.

    A zone counts once for each constraint that it fails, so counts may add up to more than zones_rejected;
    zones_failing_several says by how many zones that happens. Constraints that were not evaluated do not count.
    """

    zones_feasible: int
    zones_evaluated: int
    counts: tuple[tuple[str, int], ...]
    zones_failing_several: int

    def describe(self) -> str:
        """One line: ``0/9 zones feasible: 4 LatencyBound, 3 TransitResidency (1 zone fails 2 or more)``."""
        head = f"{self.zones_feasible}/{self.zones_evaluated} zones feasible"
        tail = ", ".join(f"{count} {constraint}" for constraint, count in self.counts)
        return f"{head}: {tail}{self._several()}" if tail else head

    def _several(self) -> str:
        zones = self.zones_failing_several
        if not zones:
            return ""
        return f" ({zones} zone fails 2 or more)" if zones == 1 else f" ({zones} zones fail 2 or more)"


def histogram(decision: Decision) -> Histogram:
    """Counts the failing constraints of a decision's rejected zones."""
    failing = failing_constraints(decision.rejections)
    counts = Counter(name for names in failing.values() for name in names)
    return Histogram(
        zones_feasible=len(decision.choices),
        zones_evaluated=decision.zones_evaluated,
        counts=tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        zones_failing_several=sum(len(names) > 1 for names in failing.values()),
    )


def failing_constraints(rejections: tuple[Rejection, ...]) -> dict[ZoneId, tuple[str, ...]]:
    """The constraints that each rejected zone fails, once each, in the order in which they were evaluated."""
    found: dict[ZoneId, dict[str, None]] = {}
    for rejection in rejections:
        if rejection.reason is not Reason.NOT_EVALUATED:
            found.setdefault(rejection.zone, {})[rejection.result.constraint] = None
    return {zone: tuple(names) for zone, names in found.items()}


def rejections_of(decision: Decision, zone: ZoneId) -> tuple[Rejection, ...]:
    """Why one zone was refused; empty if it was not, or was not evaluated."""
    return tuple(rejection for rejection in decision.rejections if rejection.zone == zone)
