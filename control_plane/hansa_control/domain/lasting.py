"""Whether a decision still holds in a world that is a moment older than the one it was made on.

When a zone is lost, or a hundred submits arrive at once, the same is asked again and again of a world in which nothing
has changed but what was placed the moment before. What is free decides whether a zone may, and which of its pools is
used, but not how well it does; so as long as zones have no more than before and the first choice has room in its pool,
it is the first choice still. (A zone that has to use a larger pool, of which it needs fewer replicas, may have become
cheaper than it: it is found by the next decision.)
"""

from __future__ import annotations

from dataclasses import replace

from hansa_control.domain.capacity import amount_for, fits
from hansa_control.domain.model import Choice, WorkloadSpec, Zone
from hansa_control.domain.snapshot import Snapshot


def still_first(first: Choice, spec: WorkloadSpec, then: Snapshot, now: Snapshot) -> bool:
    """Whether the first choice of a decision on ``spec`` in one snapshot may be acted on in a later one: zones have the
    same or less free in it, nothing else is other than it was, and the first choice has room.
    """
    zone = now.zone(first.zone)
    if zone is None or not _only_less_is_free(then, now):
        return False
    asked = replace(spec, replicas=first.replicas) if first.replicas else spec
    return fits(amount_for(asked, first.pool), zone.free)


def _only_less_is_free(then: Snapshot, now: Snapshot) -> bool:
    if then is now:
        return True
    same = (then.network, then.measured, then.columns.standing) == (now.network, now.measured, now.columns.standing)
    if not same or then.promises != now.promises:
        return False
    return all(_has_only_less(*pair) for pair in zip(then.zones, now.zones, strict=True) if pair[0] is not pair[1])


def _has_only_less(then: Zone, now: Zone) -> bool:
    """A zone counts its changes, and is heard all the time; neither says anything of what it is."""
    same = replace(now, free=then.free, generation=then.generation, heard_at_ms=then.heard_at_ms) == then
    return same and fits(now.free, then.free)
