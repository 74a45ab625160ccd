"""What those who keep a zone's machines refuse to run there: tenants, kinds of data, times of the week."""

from __future__ import annotations

from dataclasses import dataclass

WEEK_MINUTES = 7 * 24 * 60
_EPOCH_MINUTE = 3 * 24 * 60
"""The minute of the week at which the Unix epoch began, a Thursday; weeks begin on Monday."""


@dataclass(frozen=True, slots=True)
class Refusals:
    """tenants are "operator/tenant", "operator/*" or "*"; none allowed means everybody who is not denied.

    data_denied are names of kinds of data. spans are [from, until) in minutes of the week, UTC, from Monday 00:00, in
    which nothing new is started. tenants_withheld says that the zone's owner judges tenants and does not show the list.
    """

    tenants_allowed: tuple[str, ...] = ()
    tenants_denied: tuple[str, ...] = ()
    data_denied: tuple[str, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()
    tenants_withheld: bool = False

    @property
    def names_tenants(self) -> bool:
        return bool(self.tenants_allowed or self.tenants_denied)

    @property
    def judges_tenants(self) -> bool:
        """Whether it matters who asks, here or at the zone's owner."""
        return self.tenants_withheld or self.names_tenants


def takes_tenant(refusals: Refusals, asker: str) -> bool:
    """Whether a workload of a tenant, "operator/tenant", is taken; the caller asks this of one that is known."""
    names = {asker, f"{asker.partition('/')[0]}/*", "*"}
    if not names.isdisjoint(refusals.tenants_denied):
        return False
    return not refusals.tenants_allowed or not names.isdisjoint(refusals.tenants_allowed)


def minute_of_week(wall_ms: int) -> int:
    """The minute of the week, UTC, of a wall-clock time; 0 is Monday 00:00."""
    return (wall_ms // 60_000 + _EPOCH_MINUTE) % WEEK_MINUTES


def closed_span(refusals: Refusals, wall_ms: int) -> tuple[int, int] | None:
    """The span that refuses anything new at a wall-clock time; None where nothing does."""
    minute = minute_of_week(wall_ms)
    return next((span for span in refusals.spans if span[0] <= minute < span[1]), None)


def shown(refusals: Refusals | None) -> Refusals | None:
    """As a partner is shown it: that tenants are judged, and not which."""
    if refusals is None or not refusals.names_tenants:
        return refusals
    return Refusals((), (), refusals.data_denied, refusals.spans, tenants_withheld=True)
