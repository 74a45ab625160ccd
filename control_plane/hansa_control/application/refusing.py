"""Why a zone does not take its part of a batch, in the words that are told of it."""

from __future__ import annotations

from collections.abc import Iterable

from hansa_control.application.ports import OwnerUnreachable, RefusalError
from hansa_control.domain.model import ConstraintResult, PlacementState, Reason, Rejection, Workload, ZoneId


class RefusedHere(Exception):
    """A zone refuses its part, or does not answer; is_known says whether nothing can be left of it there.

    is_held: the owner has answered that it holds the part, which is given back at once.
    """

    def __init__(
        self, zone: ZoneId, rejections: tuple[Rejection, ...], why: str, *, is_known: bool, is_held: bool = False
    ) -> None:
        super().__init__(why)
        self.zone = zone
        self.rejections = rejections
        self.why = why
        self.is_known = is_known
        self.is_held = is_held


def owed(workload: Workload, zones: Iterable[ZoneId]) -> tuple[Rejection, ...]:
    """Those zones whose owners have not said yet that an earlier claim there is released.

    Asking for another one would leave one more behind at each try, for as long as the owner does not answer.
    """
    behind = {p.zone: p.claim for p in workload.placements if p.state is PlacementState.RELEASING}
    return tuple(
        owner_rejection(zone, Reason.PARTNER_UNREACHABLE, f"claim {behind[zone]} is not taken back yet")
        for zone in zones
        if zone in behind
    )


def refused_by(zone: ZoneId, failure: OwnerUnreachable | RefusalError) -> RefusedHere:
    """What has become of the claim is unknown: it may be held there."""
    reason = failure.reason if isinstance(failure, RefusalError) else Reason.PARTNER_UNREACHABLE
    why = failure.message if isinstance(failure, RefusalError) else str(failure)
    return RefusedHere(zone, (owner_rejection(zone, reason, why),), why, is_known=False)


def owner_rejection(zone: ZoneId, reason: Reason, why: str) -> Rejection:
    return Rejection(zone, reason, ConstraintResult("OwnerConsent", why, "granted", f"answer of {zone.operator}"))
