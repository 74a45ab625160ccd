"""Where users that move are, from when on: routes, commuters and traces as journeys from one access point to the next.

Users of an entry are ``TRAVELLERS`` parts of equal size, each with a journey of its own; of a trace, its users.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hansa.bounded_file import open_table
from hansa.names import hint
from hansa_sim.engines.model import SECOND_NS
from hansa_sim.latency.ground import Ground
from hansa_sim.latency.scenario_file import Loaded
from hansa_sim.latency.scenario_moves import CommutePart
from hansa_sim.latency.scenario_schema import UsersPart

Ints = NDArray[np.int64]
Stop = tuple[int, str]
"""From when on, ns; where."""

TRAVELLERS = 100
STOPS_MAX = 1_000_000
TRACE_KEYS = ("time_s", "user", "access_point")


@dataclass(frozen=True, slots=True)
class Journey:
    """Some users of an entry: at each stop from its time on, the first of which is 0. They look up which zone serves
    them at ``phase_ns`` and every ``lookup_ns`` after it, and when they begin; at every request where that is 0.
    """

    entry: int
    app: str
    rate_rps: float
    stops: tuple[Stop, ...]
    lookup_ns: int
    phase_ns: int

    def states(self) -> Iterator[tuple[int, str, str]]:
        """From when on they are where, and where they were when they last looked up, in the order of time."""
        asked = self.stops[0][1]
        for (at_ns, here), (until_ns, _) in pairwise((*self.stops, (1 << 62, ""))):
            looks_ns = self._next_lookup_ns(at_ns)
            if looks_ns > at_ns:
                yield at_ns, here, asked
            if looks_ns < until_ns:
                asked = here
                yield looks_ns, here, here

    def _next_lookup_ns(self, at_ns: int) -> int:
        if not self.lookup_ns or not at_ns:
            return at_ns
        return at_ns + (self.phase_ns - at_ns) % self.lookup_ns


def journeys_of(loaded: Loaded, ground: Ground, length_s: float) -> tuple[Journey, ...]:
    """The journeys of all entries in a replication of that length. Raises ScenarioError where one goes to a place that
    is not there, or moves more often than can be simulated.
    """
    names = {node.name for node in ground.nodes}
    found: list[Journey] = []
    for at, part in enumerate(loaded.scenario.users):
        if part.is_moving:
            found += _journeys(_Entry(loaded, ground, at, part), names, round(length_s * SECOND_NS))
        if sum(len(one.stops) for one in found) > STOPS_MAX:
            raise loaded.problem(f"users[{at}]", f"more than {STOPS_MAX} moves in a replication of {length_s:.6g} s")
    return tuple(found)


def peaks_of(journeys: Iterable[Journey]) -> dict[tuple[str, str], int]:
    """By app and access point: the most that users who move ask there at a time, thousandths of a request a second."""
    changes: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for one in journeys:
        for (at_ns, here), (until_ns, _) in pairwise((*one.stops, (1 << 62, ""))):
            changes.setdefault((one.app, here), []).extend([(at_ns, one.rate_rps), (until_ns, -one.rate_rps)])
    return {key: round(1_000 * _most(each)) for key, each in changes.items()}


def _most(changes: list[tuple[int, float]]) -> float:
    times, amounts = (np.array(column) for column in zip(*changes, strict=True))
    moments, at = np.unique(times, return_inverse=True)
    by_time = np.zeros(len(moments))
    np.add.at(by_time, at, amounts)
    return float(np.cumsum(by_time).max())


@dataclass(frozen=True, slots=True)
class _Entry:
    loaded: Loaded
    ground: Ground
    at: int
    part: UsersPart

    @property
    def app(self) -> str:
        return self.part.app or self.loaded.scenario.apps[0].name

    def known(self, key: str, point: str, names: set[str]) -> None:
        if point not in names:
            raise self.loaded.problem(
                f"users[{self.at}].{key}", f"no node {point!r} in the network{hint(point, names)}"
            )

    def of(self, journeys: Sequence[Sequence[Stop]]) -> Iterator[Journey]:
        """Journeys of equal parts of the entry's users, who look up evenly one after the other."""
        rate = round(self.part.requests_per_s * 1_000) / 1_000 / len(journeys)
        lookup_ns = round(self.part.lookup_s * SECOND_NS)
        for n, stops in enumerate(journeys):
            phase_ns = lookup_ns * (2 * n + 1) // (2 * len(journeys))
            yield Journey(self.at, self.app, rate, tuple(stops), lookup_ns, phase_ns)


def _journeys(entry: _Entry, names: set[str], horizon_ns: int) -> Iterator[Journey]:
    part = entry.part
    if part.trace is not None:
        yield from entry.of(_traced(entry, part.trace, names))
        return
    homes = [part.access_point] if part.access_point else entry.ground.points_in(part.countries, part.at_most)
    if part.commute is not None:
        for n, point in enumerate(part.commute.to):
            entry.known(f"commute.to[{n}]", point, names)
        away = [_away(part.commute, n, horizon_ns) for n in range(TRAVELLERS)]
        pairs = [(home, part.commute.to[n % len(part.commute.to)]) for n, home in enumerate(homes)]
        if len(homes) < len(part.commute.to):
            pairs = [(home, point) for home in homes for point in part.commute.to]
        yield from entry.of([_commuted(pair, times) for pair in pairs for times in away])
        return
    for n, move in enumerate(part.moves):
        entry.known(f"moves[{n}].access_point", move.access_point, names)
    routes = [_route(part, n, horizon_ns) for n in range(TRAVELLERS)]
    if not part.spread_s and all(len(stops) == 1 for stops in routes):
        what = f"{part.moves[0].at_s:g} s is not before the end of a replication, {horizon_ns / SECOND_NS:.6g} s"
        raise entry.loaded.problem(f"users[{entry.at}].moves[0].at_s", f"{what}; write run.duration_s")
    yield from entry.of(routes)


def _route(part: UsersPart, n: int, horizon_ns: int) -> list[Stop]:
    """The stops of the n-th part of users on a route."""
    route = [(0, str(part.access_point)), *((round(one.at_s * SECOND_NS), one.access_point) for one in part.moves)]
    late_ns = round(part.spread_s * SECOND_NS * n / TRAVELLERS)
    if part.repeat_s is None:
        return _from_start([(at_ns + late_ns, point) for at_ns, point in route], horizon_ns)
    period_ns = round(part.repeat_s * SECOND_NS)
    rounds = range(-1 - late_ns // period_ns, horizon_ns // period_ns + 1)
    stops = [(at_ns + late_ns + period_ns * turn, point) for turn in rounds for at_ns, point in route]
    return _from_start(stops, horizon_ns)


def _from_start(stops: Sequence[Stop], horizon_ns: int) -> list[Stop]:
    """Stops within the horizon; the first is where they are at 0, which is where they begin if they set out later."""
    before = [point for at_ns, point in stops if at_ns <= 0]
    found = [(0, before[-1] if before else stops[0][1])]
    for at_ns, point in stops:
        if 0 < at_ns < horizon_ns and point != found[-1][1]:
            found.append((at_ns, point))
    return found


def _away(commute: CommutePart, n: int, horizon_ns: int) -> list[tuple[int, bool]]:
    """When the n-th hundredth of the users goes, and comes home: where the share that is away crosses it."""
    threshold, period_s = (n + 0.5) * 100 / TRAVELLERS, commute.period_s
    line = [(one.at_s, float(one.percent)) for one in commute.away]
    line = [(line[-1][0] - period_s, line[-1][1]), *line, (line[0][0] + period_s, line[0][1])]
    crossings = []
    for (begin_s, low), (end_s, high) in pairwise(line):
        if (low > threshold) != (high > threshold):
            at_s = begin_s + (end_s - begin_s) * (threshold - low) / (high - low)
            crossings.append((at_s % period_s, high > threshold))
    crossings.sort()
    if not crossings:
        return [(0, line[0][1] > threshold)]
    rounds = range(int(horizon_ns / SECOND_NS / period_s) + 1)
    times = [(round((at_s + turn * period_s) * SECOND_NS), away) for turn in rounds for at_s, away in crossings]
    return [(0, not crossings[0][1]), *(one for one in times if 0 < one[0] < horizon_ns)]


def _commuted(pair: tuple[str, str], times: Sequence[tuple[int, bool]]) -> list[Stop]:
    return [(at_ns, pair[away]) for at_ns, away in times]


def _traced(entry: _Entry, file: str, names: set[str]) -> list[list[Stop]]:
    """Stops of each user of a trace, by user's name; who begins later than 0 is where he begins from 0 on."""
    stops: dict[str, list[Stop]] = {}
    for number, row in enumerate(_rows(entry, entry.loaded.path.parent / file), start=2):
        at_ns = _moment_ns(row.get("time_s") or "")
        user, point = row.get("user"), row.get("access_point")
        if at_ns is None or not user or not point:
            what = f"{file}:{number}: time_s from 0 on, user and access_point are needed"
            raise entry.loaded.problem(f"users[{entry.at}].trace", what)
        if point not in names:
            what = f"{file}:{number}: no node {point!r} in the network{hint(point, names)}"
            raise entry.loaded.problem(f"users[{entry.at}].trace", what)
        stops.setdefault(user, []).append((at_ns, point))
    if not stops:
        raise entry.loaded.problem(
            f"users[{entry.at}].trace", f"{file} has no rows; columns are {','.join(TRACE_KEYS)}"
        )
    if sum(len(each) for each in stops.values()) > STOPS_MAX:
        raise entry.loaded.problem(f"users[{entry.at}].trace", f"{file} has more than {STOPS_MAX} rows")
    return [_from_start(sorted(each, key=lambda stop: stop[0]), 1 << 62) for _, each in sorted(stops.items())]


def _rows(entry: _Entry, path: Path) -> list[dict[str, str]]:
    try:
        with open_table(path) as lines:
            return list(csv.DictReader(lines))
    except (OSError, ValueError, csv.Error) as error:
        raise entry.loaded.problem(f"users[{entry.at}].trace", f"{path.name}: {error}") from error


def _moment_ns(text: str) -> int | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return round(seconds * SECOND_NS) if 0 <= seconds <= 31_536_000 else None
