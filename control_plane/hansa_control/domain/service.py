"""The filter on service: how many replicas a zone needs so that its users do not wait too long.

Round trip, wait and service are each taken at the budget's percentile and added. For the 95th and 99th percentile the
wait is taken at half the tail (97.5, 99.5), because a wait that few requests have would otherwise vanish from the sum;
for the median, means are added, which lie above medians where times are skewed to the right, as these are.
``tests/unit/domain/test_service_composition.py`` holds that against sampling.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hansa_control.domain.capacity import is_acceptable_model
from hansa_control.domain.capacity_filters import pools_suited, zones_suited
from hansa_control.domain.filters import Ints, Mask, Question
from hansa_control.domain.model import (
    AcceleratorNeed,
    AcceleratorPool,
    ConstraintResult,
    Reason,
    Rejection,
    ServiceProfile,
    ServiceTime,
    WorkloadSpec,
)
from hansa_control.domain.queueing import Station, is_stable, mean_wait_us, wait_percentile_us, waits_us
from hansa_control.domain.reach import CUT_OFF
from hansa_control.domain.units import format_ms, format_ms_exact

SERVICE_TIME = "ServiceTimeKnown"
STABILITY = "QueueStability"
RESPONSE = "ResponseBound"

HALF_TAIL = {95: 97.5, 99: 99.5}
REPLICAS_TRIED_MAX = 256
NEVER_US = 1 << 50


@dataclass(frozen=True, slots=True)
class Times:
    """What a kind of accelerator makes of the workload's requests; None where the request gives no time for it.

    wait_us holds, by number of replicas from the least that the request allows, the wait at its percentile under all of
    its demand; ``NEVER_US`` where the queue would grow without end.
    """

    service: ServiceTime | None
    service_us: int
    wait_us: Ints


class Service:
    """Replicas that each pool (each zone, where no accelerator is needed) must run, and zones where none are enough.

    replicas is by row of the pools, by_zone by zone, and is_least says that it is the least that is allowed wherever an
    accelerator is needed; sufficient says where they suffice.
    """

    def __init__(self, question: Question, rtt_us: Ints) -> None:
        self._question, self._spec = question, question.spec
        self._pools = question.columns.standing.pools
        self.is_asked = question.spec.service is not None and question.spec.zones.maximum == 1
        least = 1 if question.spec.zones.maximum > 1 else question.spec.replicas
        self.replicas: Ints = np.full(len(self._pools.zone), least, dtype=np.int64)
        self.by_zone: Ints = np.full(len(question.columns), least, dtype=np.int64)
        self.sufficient: Mask = np.ones(len(self._pools.zone), dtype=np.bool_)
        self.failing: Mask = np.zeros(len(question.columns), dtype=np.bool_)
        self.is_least = True
        if self.is_asked:
            is_cut_off = np.minimum.reduce(rtt_us, axis=0, initial=0) == CUT_OFF
            self._slowest_us = np.where(is_cut_off, 0, np.maximum.reduce(rtt_us, axis=0, initial=0))
            self._evaluate()

    def _evaluate(self) -> None:
        if self._spec.accelerator is None:
            self.by_zone, enough = self._needed(self.times_of(None), self._slowest_us)
            self.failing = ~enough
            return
        self.is_least = False
        if not self._is_even():
            slowest = self._slowest_us[self._pools.zone]
            for rows, times in zip(self._rows_by_kind(), self._times_by_kind(), strict=True):
                self.replicas[rows], self.sufficient[rows] = self._needed(times, slowest[rows])
        if self.sufficient.all():
            return
        standing = self._question.columns.standing
        suited = pools_suited(standing, self._spec.accelerator)
        has_enough = np.zeros_like(self.failing)
        has_enough[self._pools.zone[suited[self.sufficient[suited]]]] = True
        self.failing = zones_suited(standing, self._spec.accelerator) & ~has_enough

    def _is_even(self) -> bool:
        """Whether the nearest and the farthest zone need equally many replicas of every kind, and so all zones do; if
        so, they are filled in.
        """
        ends = np.array([self._slowest_us.min(initial=NEVER_US), self._slowest_us.max(initial=0)])
        needed: set[tuple[int, bool]] = set()
        for times in {id(times): times for times in self._times_by_kind()}.values():
            replicas, enough = self._needed(times, ends)
            needed |= set(zip(replicas.tolist(), enough.tolist(), strict=True))
        if len(needed) != 1:
            return False
        each, suffices = needed.pop()
        self.replicas.fill(each)
        self.sufficient.fill(suffices)
        self.is_least = each == self._spec.replicas
        return True

    def _times_by_kind(self) -> list[Times]:
        """``times_of`` every kind of pool; kept with what zones are. Kinds that are alike share one."""
        kept, key = self._question.columns.standing.kept, ("times by kind", self._spec)
        known: list[Times] | None = kept.get(key)
        if known is None:
            by_value: dict[tuple[ServiceTime | None, bytes], Times] = {}
            each = [self.times_of(pool) for pool in self._pools.kinds]
            known = [by_value.setdefault((times.service, times.wait_us.tobytes()), times) for times in each]
            kept.keep(key, known)
        return known

    def _rows_by_kind(self) -> list[Ints]:
        """The rows of the pools of each kind; kept with what zones are."""
        kept = self._question.columns.standing.kept
        known: list[Ints] | None = kept.get("rows by kind")
        if known is None:
            known = [np.flatnonzero(self._pools.kind == kind) for kind in range(len(self._pools.kinds))]
            kept.keep("rows by kind", known)
        return known

    def _needed(self, times: Times, slowest_us: Ints) -> tuple[Ints, Mask]:
        """The least replicas that keep every wait within what the slowest path leaves, and where there are such.

        Where there are none, the least that the request allows, so that no other filter refuses for replicas that
        would not serve in time either.
        """
        left_us = self.left_us(times, slowest_us)
        # Waits fall with replicas, so the first that fits is found in the reversed order.
        first = np.searchsorted(-times.wait_us, -left_us, side="left")
        enough = (first < len(times.wait_us)) & (times.service is not None) & (left_us >= 0)
        return self._spec.replicas + np.where(enough, first, 0), np.asarray(enough)

    def left_us(self, times: Times, rtt_us: Ints) -> Ints:
        """What of the response budget the way and the service leave for waiting; any stable wait without a budget."""
        bound_us = self._spec.latency.response_us_max
        if not bound_us:
            return np.full(np.shape(rtt_us), NEVER_US - 1, dtype=np.int64)
        return np.asarray(bound_us - times.service_us - rtt_us)

    def times_of(self, pool: AcceleratorPool | None) -> Times:
        """What a pool, or a zone without accelerators, makes of the requests; kept with what zones are."""
        kept = self._question.columns.standing.kept
        key = ("times", self._spec.service, self._spec.access, self._spec.replicas, self._spec.replicas_max,
               self._spec.latency.percentile, pool.key if pool else "")  # fmt: skip
        known: Times | None = kept.get(key)
        if known is None:
            known = times_for(self._spec, pool)
            kept.keep(key, known)
        return known

    def refuse(self, rows: Sequence[int]) -> Iterator[tuple[int, Rejection]]:
        """Why the zones of these rows would keep users waiting."""
        zones = self._question.columns.zones
        for row in rows:
            for pool in self._pools_at(row):
                reason, result = self._result(row, pool)
                if reason is not None:
                    yield row, Rejection(zones[row].id, reason, result)

    def passed(self, row: int) -> Iterable[ConstraintResult]:
        """What holds of the zone's service."""
        if not self.is_asked or self.failing[row]:
            return []
        results = [self._result(row, pool) for pool in self._pools_at(row)]
        return [result for reason, result in results if reason is None][:1]

    def _pools_at(self, row: int) -> list[AcceleratorPool | None]:
        """The kinds of pool of a zone that suit the workload, each once."""
        need = self._spec.accelerator
        if need is None:
            return [None]
        low, high = (int(at) for at in self._pools.first[row : row + 2])
        suited = [self._pools.at(at) for at in self._suited_rows if low <= at < high]
        return list(dict.fromkeys(suited))

    @cached_property
    def _suited_rows(self) -> list[int]:
        need = self._spec.accelerator or AcceleratorNeed((), 0, 0)
        rows: list[int] = pools_suited(self._question.columns.standing, need).tolist()
        return rows

    def _result(self, row: int, pool: AcceleratorPool | None) -> tuple[Reason | None, ConstraintResult]:
        times, name = self.times_of(pool), pool.key if pool else "the zone"
        evidence = f"service profile of the request, {_demand_millirps(self._spec) / 1_000:g} requests/s"
        if times.service is None:
            given = ", ".join(at.model or "any" for at in self._spec.service.times) if self._spec.service else ""
            return Reason.SERVICE_TIME_UNKNOWN, ConstraintResult(SERVICE_TIME, f"none for {name}", given, evidence)
        most = self._spec.replicas + len(times.wait_us) - 1
        if int(times.wait_us[-1]) >= NEVER_US:
            needed = _replicas_to_be_stable(self._spec, times.service)
            found = f"needs {needed} replicas on {name}"
            return Reason.UNSTABLE, ConstraintResult(STABILITY, found, f"<= {most} replicas", evidence)
        slowest_us = int(self._slowest_us[row])
        left_us = int(self.left_us(times, np.array([slowest_us]))[0])
        fitting = np.flatnonzero(times.wait_us <= left_us)
        at = int(fitting[0]) if len(fitting) else len(times.wait_us) - 1
        wait_us = int(times.wait_us[at])
        total = slowest_us + wait_us + times.service_us
        percentile, bound_us = self._spec.latency.percentile, self._spec.latency.response_us_max
        found = (
            f"p{percentile} {format_ms(total)} = {format_ms(slowest_us)} way + {format_ms(wait_us)} wait"
            f" + {format_ms(times.service_us)} service, {self._spec.replicas + at} replicas on {name}"
        )
        if not bound_us:
            return None, ConstraintResult(STABILITY, found, "stable", evidence)
        reason = None if len(fitting) else Reason.LATENCY_EXCEEDED
        return reason, ConstraintResult(RESPONSE, found, f"<= {format_ms_exact(bound_us)}", evidence)


def times_for(spec: WorkloadSpec, pool: AcceleratorPool | None) -> Times:
    """Service and waits under all of a workload's demand, by number of replicas that the request allows."""
    service = matching_time(spec.service, pool) if spec.service else None
    most = min(max(spec.replicas_max, spec.replicas), spec.replicas + REPLICAS_TRIED_MAX)
    if service is None or spec.service is None:
        return Times(None, 0, np.full(1, NEVER_US, dtype=np.int64))
    percentile = spec.latency.percentile
    stations = [station_of(spec.service, service, replicas) for replicas in range(spec.replicas, most + 1)]
    found = waits_us(_demand_millirps(spec), stations, HALF_TAIL.get(percentile))
    waits = [NEVER_US if wait is None else wait for wait in found]
    return Times(service, service_us_at(service, percentile), np.array(waits, dtype=np.int64))


def matching_time(profile: ServiceProfile, pool: AcceleratorPool | None) -> ServiceTime | None:
    """The first service time of a profile that is for a pool; one without a model is for every zone."""
    for time in profile.times:
        if not time.model or (pool is not None and is_acceptable_model(AcceleratorNeed((time.model,), 1, 0), pool)):
            return time
    return None


def station_of(profile: ServiceProfile, time: ServiceTime, replicas: int) -> Station:
    """The queue before so many replicas."""
    return Station(time.mean_us, replicas * max(profile.concurrency, 1), time.scv_permille / 1_000)


def wait_us(station: Station, demand_millirps: int, percentile: int) -> int:
    """The wait that counts towards a response at a percentile (see the module); ``NEVER_US`` where it has no end."""
    if not is_stable(demand_millirps, station):
        return NEVER_US
    if percentile == 50:
        return mean_wait_us(demand_millirps, station)
    return wait_percentile_us(demand_millirps, station, HALF_TAIL[percentile])


def service_us_at(time: ServiceTime, percentile: int) -> int:
    """The service time that counts towards a response at a percentile; the mean for the median."""
    return {50: time.mean_us, 95: time.p95_us, 99: time.p99_us}[percentile]


def _demand_millirps(spec: WorkloadSpec) -> int:
    return sum(at.demand_millirps for at in spec.access)


def _replicas_to_be_stable(spec: WorkloadSpec, time: ServiceTime) -> int:
    """The least replicas that can do all of the work."""
    one = station_of(spec.service or ServiceProfile(()), time, 1)
    return _demand_millirps(spec) * one.service_us // (1_000_000_000 * one.servers) + 1
