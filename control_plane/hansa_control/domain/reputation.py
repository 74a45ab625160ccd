"""The record of promises that a partner did not keep: what each weighs, and how it is forgotten.

Integers throughout, so that every process comes to the same figures. Weights are in thousandths; 1,000 is a grant that
did not verify.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

BROKEN_MILLI_MAX = 10_000
"""No partner counts as worse than this: it must be able to come back within some half-lives."""

STEP_MILLI = 10
"""In which steps the weight is read, so that forgetting changes what is decided on now and then, not all the time."""


class Breach(StrEnum):
    """A promise that was not kept."""

    REFUSED_AFTER_OFFER = "REFUSED_AFTER_OFFER"
    UNANSWERED = "UNANSWERED"
    CLAIM_LOST = "CLAIM_LOST"
    LEASE_NOT_KEPT = "LEASE_NOT_KEPT"
    GRANT_INVALID = "GRANT_INVALID"


WEIGHTS_MILLI: Mapping[Breach, int] = MappingProxyType(
    {
        # An offer is a moment old when it is used, and others ask, too.
        Breach.REFUSED_AFTER_OFFER: 50,
        Breach.UNANSWERED: 200,
        Breach.CLAIM_LOST: 300,
        Breach.LEASE_NOT_KEPT: 500,
        Breach.GRANT_INVALID: 1_000,
    }
)


@dataclass(frozen=True, slots=True)
class Reputation:
    """What is held against a partner: the weight of what it broke, as of a wall clock, and how often it broke what.

    counts are pairs of a breach and how often it was met since the record began, by name; they are not forgotten.
    """

    operator: str
    broken_milli: int = 0
    as_of_ms: int = 0
    counts: tuple[tuple[Breach, int], ...] = ()


def broken_milli(reputation: Reputation, now_ms: int, half_life_ms: int) -> int:
    """The weight that is left at a later time: half of it after each half-life, in between along a straight line.

    At the ends of half-lives that is the exponential decay w * 2^(-t / half-life), and at most 6.2 % above it between
    them; integers need no more. A clock that was set back forgets nothing.
    """
    elapsed_ms = max(0, now_ms - reputation.as_of_ms)
    whole, rest_ms = divmod(elapsed_ms, half_life_ms)
    left = reputation.broken_milli >> min(whole, 64)
    return left - left * rest_ms // (2 * half_life_ms)


def in_steps(milli: int) -> int:
    """A weight as it is read for deciding: rounded down to a whole number of steps."""
    return milli // STEP_MILLI * STEP_MILLI


def after_breach(reputation: Reputation, breach: Breach, now_ms: int, half_life_ms: int) -> Reputation:
    """The record with one more breach."""
    left = broken_milli(reputation, now_ms, half_life_ms) + WEIGHTS_MILLI[breach]
    counts = dict(reputation.counts)
    counts[breach] = counts.get(breach, 0) + 1
    as_of_ms = max(now_ms, reputation.as_of_ms)
    return Reputation(reputation.operator, min(left, BROKEN_MILLI_MAX), as_of_ms, tuple(sorted(counts.items())))
