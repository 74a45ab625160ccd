"""What the system engine saw in a day besides what users felt: faults, how soon they were seen, who moved."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Happening:
    """Something in a day, ``at_s`` from its beginning; kind is fault, detected, re-placed or mended."""

    at_s: float
    kind: str
    what: str


@dataclass(frozen=True, slots=True)
class Move:
    """Users of a workload were told other zones, ``at_s`` from the beginning; is_back to zones that they had before."""

    at_s: float
    workload: str
    before: str
    after: str
    is_back: bool


@dataclass(frozen=True, slots=True)
class Transients:
    """What the system engine saw between steady states, in a day of ``duration_s`` of which ``leapt_s`` were left out
    as quiet. detect_s: from a zone's fall until its owner knew; replace_s: how long users of a workload went without,
    for each time that they were served again; both at percentile 50, 99 and 100. unavailable_s: how long the users of
    an access point went unserved, weighed by their requests, in the mean and where it was worst. broken are promises
    that were not kept.
    """

    duration_s: float
    leapt_s: float
    workloads: int
    unplaced: int
    detect_s: dict[str, float]
    replace_s: dict[str, float]
    outages: int
    unavailable_s_mean: float
    unavailable_s_max: float
    requests_lost: float
    moves: tuple[Move, ...]
    timeline: tuple[Happening, ...]
    broken: tuple[str, ...]
    digest: str
