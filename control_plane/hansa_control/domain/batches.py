"""Placements that were planned together: whether all of them answer, where users are sent, what is given up.

A batch is placed as a whole and replaced as a whole, because its shares add up to everything that users ask only
together. Of a batch that has lost a part, what answers goes on answering until a whole batch does.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from hansa_control.domain.model import Placement, PlacementState

LIVE = frozenset({PlacementState.STARTING, PlacementState.READY})
_MAY_ANSWER = LIVE | {PlacementState.LOST}


@dataclass(frozen=True, slots=True)
class Batch:
    """What is left of a batch: its parts that answer or may answer yet, in the order in which they were placed."""

    number: int
    parts: tuple[Placement, ...]

    @property
    def ready(self) -> tuple[Placement, ...]:
        return tuple(part for part in self.parts if part.state is PlacementState.READY)

    @property
    def live(self) -> tuple[Placement, ...]:
        return tuple(part for part in self.parts if part.state in LIVE)

    @property
    def planned_count(self) -> int:
        return self.parts[0].batch_parts

    @property
    def is_answering(self) -> bool:
        """Whether every part that was planned answers."""
        return len(self.ready) == self.planned_count

    @property
    def is_torn(self) -> bool:
        """Whether a part is lost or gone; a lost one may come back."""
        return len(self.live) < self.planned_count

    @property
    def is_broken(self) -> bool:
        """Whether a part is gone, so that it will never be whole again."""
        return len(self.parts) < self.planned_count

    @property
    def has_answered(self) -> bool:
        return any(part.has_answered for part in self.parts)


def batch_number(placement: Placement) -> int:
    """The batch of a placement. One that was recorded before there were batches is alone in its own: the number of its
    claim, from which batches are numbered, too.
    """
    counted = placement.claim.rpartition("-")[2]
    return placement.batch or (int(counted) if counted.isdecimal() else 0)


def batches_of(placements: Collection[Placement], states: Collection[PlacementState] = _MAY_ANSWER) -> list[Batch]:
    """The batches that have a part in one of the states, oldest first; by default all that may answer."""
    found: dict[int, list[Placement]] = {}
    for placement in placements:
        if placement.state in _MAY_ANSWER:
            found.setdefault(batch_number(placement), []).append(placement)
    batches = [Batch(number, tuple(parts)) for number, parts in sorted(found.items())]
    return [batch for batch in batches if any(part.state in states for part in batch.parts)]


def serving(placements: Collection[Placement]) -> Batch | None:
    """The batch that users are sent to: the newest of which every part answers, else the oldest that answers in part.

    The oldest, because that is where users are: they change only for a batch that answers wholly.
    """
    batches = batches_of(placements, {PlacementState.READY})
    whole = [batch for batch in batches if batch.is_answering]
    return whole[-1] if whole else next(iter(batches), None)


def without_superseded(placements: tuple[Placement, ...]) -> tuple[Placement, ...]:
    """First ready, then stop: what serves is kept, and the newest batch; everything else is given up.

    A batch that lost a part for good before any part answered has nothing to keep it for.
    """
    if len(placements) == 1 and placements[0].batch_parts <= 1:
        return placements  # alone, it is where users are and the newest
    batches = [batch for batch in batches_of(placements) if batch.has_answered or not batch.is_broken]
    kept = {batch.number for batch in (_users_at(placements, batches), *batches[-1:]) if batch is not None}
    if (now := serving(placements)) is not None and now.is_answering:
        kept = {number for number in kept if number >= now.number}
    return tuple(
        replace(placement, state=PlacementState.RELEASING)
        if placement.state in _MAY_ANSWER and batch_number(placement) not in kept
        else placement
        for placement in placements
    )


def _users_at(placements: tuple[Placement, ...], batches: Sequence[Batch]) -> Batch | None:
    """Where users are, or were before it stopped answering, or will be first."""
    answered = (batch for batch in batches if batch.has_answered)
    return serving(placements) or next(answered, None) or next(iter(batches), None)
