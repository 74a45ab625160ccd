"""Requests in blocks, in order of time: Poisson, Poisson with a rate that goes with the hour, or as recorded.

Each class draws when, who and how much from streams of its own, in portions of one size, so that no class shifts
another. A rate that goes with time is thinned from its peak (P. A. W. Lewis and G. S. Shedler, "Simulation of
nonhomogeneous Poisson processes by thinning", 1979).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from hansa_sim.engines.model import SECOND_NS, Block, Indices, Ints, Profile, UserClass
from hansa_sim.engines.streams import generator

PORTION = 1 << 14
"""Requests that one class draws at a time: what is known of so many stays in a processor's second cache."""


def blocks(classes: Sequence[UserClass], seed: int, horizon_ns: int) -> Iterator[Block]:
    """The requests of all classes before ``horizon_ns``, merged in order of time, about ``PORTION`` a block.

    Of requests at the same nanosecond the one of the earlier class comes first. Raises ValueError on no class, or two
    of one name.
    """
    if not classes or len({one.name for one in classes}) < len(classes):
        raise ValueError("classes need one at least, and a name of its own each")
    if len(classes) == 1:
        yield from (portion for portion in _portions(classes[0], seed, horizon_ns) if len(portion))
        return
    sources = [_Source(_portions(one, seed, horizon_ns)) for one in classes]
    while True:
        for source in sources:
            source.refill(PORTION // (4 * len(sources)) + 1)
        if all(source.is_empty for source in sources):
            return
        until_ns = min(source.known_until_ns for source in sources)
        parts = [part for source in sources if len(part := source.take(until_ns))]
        if parts:
            yield _merged(parts)


def expected_requests(classes: Sequence[UserClass], horizon_ns: int) -> float:
    """How many requests there will be, in the mean: for progress, and for the horizon of a wanted number."""
    return sum(_expected(one, horizon_ns) for one in classes)


def _expected(one: UserClass, horizon_ns: int) -> float:
    if one.recorded is not None:
        return float(np.searchsorted(one.recorded.at_ns, horizon_ns))
    share = 1.0 if one.profile is None else float(one.profile.share_permille.mean()) / 1000
    return one.rate_rps * share * max(0, min(horizon_ns, one.end_ns) - one.begin_ns) / SECOND_NS


@dataclass(slots=True)
class _Source:
    """What a class has drawn and nobody has taken yet."""

    portions: Iterator[Block]
    waiting: list[Block] | None = None
    exhausted: bool = False

    def refill(self, least: int) -> None:
        """Draws until so many wait, not all of them at one moment, or there are no more: of one moment alone nobody
        knows how many are still to come, so that none could be taken.
        """
        self.waiting = self.waiting or []
        while not self.exhausted and (self._is_of_one_moment or sum(len(part) for part in self.waiting) < least):
            portion = next(self.portions, None)
            if portion is None:
                self.exhausted = True
            elif len(portion):
                self.waiting.append(portion)

    @property
    def _is_of_one_moment(self) -> bool:
        return not self.waiting or self.waiting[0].at_ns[0] == self.waiting[-1].at_ns[-1]

    @property
    def is_empty(self) -> bool:
        return not self.waiting

    @property
    def known_until_ns(self) -> int:
        """What is drawn later comes no earlier than this."""
        return np.iinfo(np.int64).max if self.exhausted or not self.waiting else int(self.waiting[-1].at_ns[-1])

    def take(self, until_ns: int) -> Block:
        """What comes before that."""
        whole = _joined(self.waiting or [])
        count = int(np.searchsorted(whole.at_ns, until_ns))
        rest = whole.part(slice(count, None))
        self.waiting = [rest] if len(rest) else []
        return whole.part(slice(0, count))


def _portions(one: UserClass, seed: int, horizon_ns: int) -> Iterator[Block]:
    who, much = generator(seed, f"users/{one.name}"), generator(seed, f"service/{one.name}")
    pick = _Picker(one)
    for at_ns, recorded_ns in _times(one, generator(seed, f"arrivals/{one.name}"), horizon_ns):
        demand_ns = one.demand.draw(much, len(at_ns)) if recorded_ns is None else recorded_ns
        yield Block(at_ns, pick(who, len(at_ns)), demand_ns)


def _times(one: UserClass, when: Generator, horizon_ns: int) -> Iterator[tuple[Ints, Ints | None]]:
    if one.recorded is not None:
        yield from _recorded_times(one, horizon_ns)
        return
    peak = 1.0 if one.profile is None else float(one.profile.share_permille.max()) / 1000
    gap_ns, now_ns, horizon_ns = SECOND_NS / (one.rate_rps * peak), one.begin_ns, min(horizon_ns, one.end_ns)
    while now_ns < horizon_ns:
        gaps = when.standard_exponential(PORTION)
        gaps *= gap_ns
        at_ns = np.cumsum(np.rint(gaps, out=gaps).astype(np.int64))
        at_ns += now_ns
        now_ns = int(at_ns[-1])
        if one.profile is not None:
            at_ns = at_ns[_kept(at_ns, one.profile, when)]
        yield (at_ns if now_ns < horizon_ns else at_ns[: np.searchsorted(at_ns, horizon_ns)]), None


def _kept(at_ns: Ints, profile: Profile, when: Generator) -> NDArray[np.bool_]:
    """Which requests of the peak's rate happen at the rate of their time."""
    shares = profile.share_permille[at_ns // profile.step_ns % len(profile.share_permille)]
    return np.asarray(when.random(len(at_ns)) * float(profile.share_permille.max()) < shares)


def _recorded_times(one: UserClass, horizon_ns: int) -> Iterator[tuple[Ints, Ints | None]]:
    record = one.recorded
    if record is None:
        return
    until = int(np.searchsorted(record.at_ns, horizon_ns))
    for first in range(0, until, PORTION):
        part = slice(first, min(first + PORTION, until))
        yield record.at_ns[part], None if record.demand_ns is None else record.demand_ns[part]


class _Picker:
    """Draws rows of users by weight; by the alias method (A. J. Walker, 1977) where weights differ."""

    def __init__(self, one: UserClass) -> None:
        self._users = np.ascontiguousarray(one.users, dtype=np.int32)
        self._table = None if one.weights is None else _alias_table(one.weights)

    def __call__(self, who: Generator, count: int) -> Indices:
        if len(self._users) == 1:
            return np.full(count, self._users[0], dtype=np.int32)
        at = who.integers(0, len(self._users), count, dtype=np.int32)
        if self._table is not None:
            keep, alias = self._table
            at = np.where(who.random(count) < keep[at], at, alias[at])
        return np.asarray(self._users[at], dtype=np.int32)


def _alias_table(weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], Indices]:
    """For each entry the chance that it keeps its draw, and who gets it otherwise."""
    keep = np.asarray(weights / weights.sum() * len(weights), dtype=np.float64)
    alias = np.arange(len(weights), dtype=np.int32)
    small, large = list(np.flatnonzero(keep < 1.0)), list(np.flatnonzero(keep >= 1.0))
    while small and large:
        poor, rich = small.pop(), large[-1]
        alias[poor] = rich
        keep[rich] -= 1.0 - keep[poor]
        if keep[rich] < 1.0:
            small.append(large.pop())
    keep[[*small, *large]] = 1.0
    return keep, alias


def _merged(parts: Sequence[Block]) -> Block:
    if len(parts) == 1:
        return parts[0]
    whole = _joined(parts)
    order = np.argsort(whole.at_ns, kind="stable")
    return Block(whole.at_ns[order], whole.user[order], whole.demand_ns[order])


def _joined(parts: Sequence[Block]) -> Block:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Block(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int64))
    columns = zip(*((part.at_ns, part.user, part.demand_ns) for part in parts), strict=True)
    return Block(*(np.concatenate(column) for column in columns))
