"""What lies between users and zones: known access points, a lawful path from each, and the latency budget.

Round trips are found for all zones at once and kept with the network; paths are read back, and reasons put into words,
for the zones that somebody asks about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hansa_control.domain.containers import Memo
from hansa_control.domain.filters import Ints, Mask, Question
from hansa_control.domain.model import (
    AccessLatency,
    ConstraintResult,
    Reason,
    Rejection,
    Zone,
)
from hansa_control.domain.network import ATTACHMENT_RTT
from hansa_control.domain.path_words import LATENCY as LATENCY
from hansa_control.domain.path_words import TRANSIT as TRANSIT
from hansa_control.domain.path_words import (
    budget_text,
    evidence_text,
    latency_finding,
    lawful,
    measured_text,
    no_path,
    not_evaluated,
    view,
    why_cut_off,
)
from hansa_control.domain.residency import Finding, format_transit_rule
from hansa_control.domain.round_trips import CUT_OFF as CUT_OFF
from hansa_control.domain.round_trips import USER_DATA, floors_of, round_trips, route_keys, to_zones, transit_rule
from hansa_control.domain.routing import (
    Paths,
    Route,
    RouteKey,
    latency_along,
    paths_of,
    round_trips_us,
)
from hansa_control.domain.units import PERCENTILES


class Reach:
    """Lawful paths from every access point to every zone, and the budget for the round trip.

    rtt_us is (access points, zones) at the budget's percentile, ``CUT_OFF`` where no lawful path leads. admissible says
    where a path is within the budget. A workload for one zone needs all access points there; one that may be spread
    needs at least one.
    """

    def __init__(self, question: Question) -> None:
        self._question = question
        self._spec, self._columns = question.spec, question.columns
        self._keys = route_keys(question)
        self._ways = _ways_of(question, self._keys)
        self.rtt_us: Ints = round_trips(question)
        cut_off = self.rtt_us < 0
        self._slow: Mask = self.rtt_us > self._spec.latency.rtt_us_max
        self.admissible: Mask = ~(cut_off | self._slow)
        is_spread = self._spec.zones.maximum > 1
        fold = np.logical_or if is_spread else np.logical_and
        reached: Mask = fold.reduce(self.admissible, axis=0)
        self.failing: Mask = ~reached
        self._by_row: dict[int, tuple[AccessLatency, ...]] = {}

    def on(self, question: Question) -> Reach:
        """The same times on another network, which has its own paths."""
        other = Reach.__new__(Reach)
        other.__dict__.update(self.__dict__)
        other._question, other._ways = question, _ways_of(question, self._keys)
        other._by_row = {}
        return other

    def refuse(self, rows: Sequence[int]) -> Iterator[tuple[int, Rejection]]:
        """Why users do not get to the zones of these rows, by access point, or not in time."""
        zones = self._columns.zones
        for at in self._cut_off(rows):
            whys = self._table("whys", at.key)
            for row in at.rows:
                found = why_cut_off(self._question.network, at.key, zones[row], whys)
                yield row, Rejection(zones[row].id, found.reason or Reason.UNREACHABLE, found.result)
        bound = budget_text(self._spec.latency)
        for at in self._too_slow(rows):
            texts = self._table("texts", at.key)
            for row, rtt_us in zip(at.rows, self.rtt_us[at.point, at.rows].tolist(), strict=True):
                known: tuple[str, str] | None = texts.get((zones[row].inventory.node, rtt_us))
                measured, evidence = known or self._path_text(at.point, row, texts)
                result = ConstraintResult(LATENCY, measured, bound, evidence)
                yield row, Rejection(zones[row].id, Reason.LATENCY_EXCEEDED, result)
        for at in self._cut_off(rows):
            result = not_evaluated(self._spec.latency, at.key.access_point)
            for row in at.rows:
                yield row, Rejection(zones[row].id, Reason.NOT_EVALUATED, result)

    def _cut_off(self, rows: Sequence[int]) -> Iterator[_From]:
        return self._from_points(self.rtt_us < 0, rows)

    def _too_slow(self, rows: Sequence[int]) -> Iterator[_From]:
        return self._from_points(self._slow, rows)

    def _from_points(self, mask: Mask, rows: Sequence[int]) -> Iterator[_From]:
        """By access point, those of some rows in which a mask of (access points, zones) is set."""
        asked = np.asarray(rows, dtype=np.int64)
        for point in range(len(self._keys)):
            found: list[int] = asked[mask[point, asked]].tolist()
            if found:
                yield _From(point, self._keys[point], found)

    def _table(self, name: str, key: RouteKey) -> Memo:
        """What was put into words before of the paths of a key, by place; kept with the network."""
        return self._question.network.routes.table((name, key), 2 * len(self._columns) + 16)

    def _path_text(self, point: int, row: int, texts: Memo) -> tuple[str, str]:
        """What was found of a path and on what it rests, for people; kept with the network."""
        zone = self._columns.zones[row]
        found = self._latency(point, row, zone)
        if found is None:
            raise AssertionError("a path that is too slow is there")
        text = (measured_text(self._spec.latency, found), evidence_text(found))
        texts.keep((zone.inventory.node, found.rtt_us), text)
        return text

    def passed(self, row: int) -> Iterable[ConstraintResult]:
        """What holds of the paths to a zone."""
        return [found.result for found in self._holding(row)]

    def latencies(self, row: int, points: Iterable[int] | None = None) -> tuple[AccessLatency, ...]:
        """The paths to a zone, in the order of the spec, of access points that have one; of some where points says.

        All of a zone's are kept: every decision on this network and these measurements tells them of every choice.
        """
        if points is not None:
            return self._latencies(row, points)
        known = self._by_row.get(row)
        if known is None:
            known = self._by_row[row] = self._latencies(row, range(len(self._keys)))
        return known

    def _latencies(self, row: int, points: Iterable[int]) -> tuple[AccessLatency, ...]:
        zone = self._columns.zones[row]
        found = [self._latency(point, row, zone) for point in points]
        return tuple([latency for latency in found if latency is not None])

    def rtts_along(self, point: int, row: int) -> dict[int, int]:
        """Round trips of the path that is used from an access point, by percentile, microseconds.

        ValueError where there is no path.
        """
        network = self._question.network
        route = self._ways[point].paths.to(network, self._columns.standing.nodes[row])
        if route is None:
            raise ValueError(f"no path from {self._keys[point].access_point} to {self._columns.zones[row].id}")
        measured = self._question.snapshot.measured
        along = zip(PERCENTILES, round_trips_us(network, route), strict=True)
        found = {p: time_us + ATTACHMENT_RTT.at(p) for p, time_us in along}
        if measured.floors:
            points = tuple(at.access_point for at in self._spec.access)
            floors = {p: int(floors_of(measured, self._columns, points, p)[point, row]) for p in PERCENTILES}
            found = {p: max(found[p], floors[p]) for p in PERCENTILES}
        return found

    def _latency(self, point: int, row: int, zone: Zone) -> AccessLatency | None:
        rtt_us: int = self.rtt_us.item(point, row)
        if rtt_us == CUT_OFF:
            return None
        found = self._along(point, row, zone)
        if found is None or found.rtt_us == rtt_us:
            return found
        return replace(found, rtt_us=rtt_us, bases=tuple(sorted({*found.bases, "measured"})))

    def _along(self, point: int, row: int, zone: Zone) -> AccessLatency | None:
        """The path as the network has it; kept while it is the same path."""
        ways = self._ways[point]
        route = ways.paths.to(self._question.network, zone.inventory.node)
        if route is None:
            return None
        known: tuple[Route, AccessLatency] | None = ways.latencies.get(row)
        if known is None or known[0] is not route:
            found = latency_along(route, self._keys[point], zone)
            if found is None:
                return None
            known = (route, found)
            ways.latencies.keep(row, known)
        return known[1]

    def _holding(self, row: int) -> Iterator[Finding]:
        latencies = self.latencies(row)
        if len(latencies) < len(self._spec.access):
            return
        rule = transit_rule(self._spec, *USER_DATA)
        if rule is not None:
            yield lawful(self._question.network, rule, latencies)
        slowest = max(latencies, key=lambda found: found.rtt_us)
        if slowest.rtt_us <= self._spec.latency.rtt_us_max:
            yield latency_finding(self._spec.latency, slowest, None)


_SOURCE = "data source "


def is_of_source(result: ConstraintResult) -> bool:
    """Whether a constraint that was evaluated is about the path of a data source."""
    return result.measured.startswith(_SOURCE)


class Sources:
    """Lawful paths between every data source of the kinds that the policy applies to and every zone."""

    def __init__(self, question: Question) -> None:
        self._question = question
        spec = question.spec
        applying = [at for at in spec.data_sources if at.data in spec.residency.applies_to]
        self._sources = applying if spec.residency.transit is not None else []
        self._keys = [RouteKey(spec.residency.transit, spec.latency.percentile, at.node) for at in self._sources]
        self._cut_off: Mask = np.zeros((len(self._keys), len(question.columns)), dtype=np.bool_)
        if self._keys:
            self._cut_off = to_zones(question, self._keys, only_access_points=False) < 0
        self.failing: Mask = np.asarray(self._cut_off.any(axis=0))

    def refuse(self, rows: Sequence[int]) -> Iterator[tuple[int, Rejection]]:
        """Which data sources have no lawful path to the zones of these rows, and why."""
        network, zones = self._question.network, self._question.columns.zones
        for row in rows:
            for n, source in enumerate(self._sources):
                if self._cut_off[n, row]:
                    found = no_path(network, self._keys[n], zones[row])
                    result = found.result._replace(measured=f"{_SOURCE}{source.name}: {found.result.measured}")
                    yield row, Rejection(zones[row].id, found.reason or Reason.UNREACHABLE, result)

    def passed(self, row: int) -> Iterable[ConstraintResult]:
        """That data sources have lawful paths."""
        if not self._sources or self.failing[row]:
            return []
        rule = self._question.spec.residency.transit
        names = ", ".join(source.name for source in self._sources)
        bound = format_transit_rule(rule) if rule else ""
        return [ConstraintResult(TRANSIT, f"lawful paths of {names}", bound, view(self._question.network))]


class _Ways(NamedTuple):
    """Paths from one access point, and by zone's row what was said of them."""

    paths: Paths
    latencies: Memo


def _ways_of(question: Question, keys: tuple[RouteKey, ...]) -> tuple[_Ways, ...]:
    """By access point, the paths of a network; kept with it."""
    network, standing = question.network, question.columns.standing
    known: tuple[_Ways, ...] | None = network.routes.get(("ways", standing, keys))
    if known is None:
        entries_max = 2 * len(question.columns) + 16
        known = tuple(
            _Ways(paths_of(network, key), standing.asked.table(("latencies", key), entries_max)) for key in keys
        )
        network.routes.keep(("ways", standing, keys), known)
    return known


class _From(NamedTuple):
    """Rows of zones as seen from an access point: its place in the spec and the key of its paths."""

    point: int
    key: RouteKey
    rows: list[int]
