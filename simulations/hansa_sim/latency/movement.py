"""Users that move, as rows that the engines read: a row is a group at an access point, and what it last looked up.

Requests are drawn for travellers, and each gets the row in which its traveller is when it sends: so arrivals, their
order and their demands are the same as if nobody moved, and both engines serve them as they serve all others. The
first rows are the groups of every access point, looked up there; then come those who have moved and not looked up yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines.model import Block
from hansa_sim.latency.journeys import Journey
from hansa_sim.latency.world import World

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where rows of users are: ``here`` (P,) is the access point that their requests come in at, ``asked`` (P,) the one
    that they last looked up from, each with ``groups`` rows. The first ``points`` are looked up where they are.
    """

    here: Ints
    asked: Ints
    points: int
    groups: int

    @property
    def is_moving(self) -> bool:
        """Whether some have moved and not looked up yet."""
        return len(self.here) > self.points

    def at_points(self, amounts: NDArray[np.int64]) -> Ints:
        """(U,) by access point of what is (P,) by place."""
        found = np.zeros(self.points, dtype=np.int64)
        np.add.at(found, self.here, amounts)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Movement:
    """Travellers, numbered from ``first`` on behind all rows, and the row in which each is from when on: entry i is of
    ``traveller[i]`` from ``at_ns[i]`` on, sorted by both. ``rates_rps`` are the travellers'.
    """

    first: int
    traveller: Ints
    at_ns: Ints
    row: NDArray[np.int32]
    rates_rps: NDArray[np.float64]
    entries: Ints

    def rows_of(self, entry: int) -> NDArray[np.int32]:
        """The travellers of an entry of users, as rows that requests are drawn for."""
        return (np.flatnonzero(self.entries == entry) + self.first).astype(np.int32)

    def settled(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """The same requests with the row of each."""
        if not len(self.traveller):
            yield from blocks
            return
        starts = np.searchsorted(self.traveller, np.arange(len(self.rates_rps) + 1))
        for block in blocks:
            who = np.asarray(block.user, dtype=np.int64) - self.first
            moving = np.flatnonzero(who >= 0)
            user = block.user.copy()
            user[moving] = self.row[self._at(starts, who[moving], block.at_ns[moving])]
            yield Block(block.at_ns, user, block.demand_ns)

    def _at(self, starts: Ints, who: Ints, at_ns: Ints) -> Ints:
        """Entries in force, by halving the travellers' parts of the table, all at once."""
        low, high = starts[who], starts[who + 1]
        while (open_ := high - low > 1).any():
            middle = (low + high) // 2
            later = self.at_ns[middle] <= at_ns
            low, high = np.where(open_ & later, middle, low), np.where(open_ & ~later, middle, high)
        return low


Timeline = list[tuple[int, int]]
"""From when on, ns, a traveller is at which place."""

GROUPS_MAX = 100
ROWS_WANTED = 10_000


def places_of(world: World) -> tuple[Places, list[Timeline]]:
    """The places of a world's users, and each journey as times and places."""
    point = {user.access_point: at for at, user in enumerate(world.users)}
    count = len(point)
    pairs: dict[tuple[int, int], int] = {(at, at): at for at in range(count)}
    timelines: list[Timeline] = []
    for journey in world.journeys:
        states = [(at_ns, (point[here], point[asked])) for at_ns, here, asked in journey.states()]
        timelines.append([(at_ns, pairs.setdefault(pair, len(pairs))) for at_ns, pair in states])
    here, asked = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
    groups = max(1, min(GROUPS_MAX, ROWS_WANTED // len(pairs)))
    return Places(here, asked, count, groups), timelines


def movement_of(journeys: Sequence[Journey], places: Places, timelines: Sequence[Timeline]) -> Movement:
    """The travellers of a world; each is of one group, one after the other."""
    entries = [
        (traveller, at_ns, place * places.groups + traveller % places.groups)
        for traveller, timeline in enumerate(timelines)
        for at_ns, place in timeline
    ]
    columns = [np.array(column, dtype=np.int64) for column in zip(*entries, strict=True)] or [np.zeros(0, np.int64)] * 3
    rates = np.array([one.rate_rps for one in journeys])
    first = len(places.here) * places.groups
    of_entries = np.array([one.entry for one in journeys], dtype=np.int64)
    return Movement(first, columns[0], columns[1], columns[2].astype(np.int32), rates, of_entries)
