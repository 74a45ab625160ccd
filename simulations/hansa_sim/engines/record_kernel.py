"""Counting visits, in the form that numba compiles: what ``Recorder`` does with numpy, visit by visit."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines.acceleration import jitted
from hansa_sim.engines.histogram import BUCKETS, FALLING, FIRST
from hansa_sim.engines.model import Indices, Ints

MSER_BATCH = 5
"""The series begins with batches of five, as MSER-5 wants them."""

SQUARE_BITS = 21
"""Squares are summed of halves of that many bits, so that no sum overflows."""

SQUARE_LOW = (1 << SQUARE_BITS) - 1


class Visits(NamedTuple):
    """N visits of requests in zones, one for each time that a zone took one in.

    The request's number, row of users, zone; when it was sent, reached the zone, would be (or was) served, and left;
    how long until its user had the answer, -1 where the zone went down under it; the service that it asked for. Times
    in ns."""

    number: Ints
    user: Indices | Ints
    zone: Indices | Ints
    at_ns: Ints
    reach_ns: Ints
    start_ns: Ints
    leave_ns: Ints
    latency_ns: Ints
    service_ns: Ints


class Counts(NamedTuple):
    """The arrays that are counted into; see ``Measured`` for what becomes of them.

    ``classes`` (C, 6): latency sum, max, three sums of halves' products, over the bound; ``users`` (U, 2): served,
    latency sum;
    ``zones`` (Z, 8): wait sum, joined, turned away, sojourn sum, sojourn max, area, busy, offered; ``flow`` (Z, K):
    joined less left by step; ``series`` (S, 2): latency sum, served.
    """

    latency: Ints
    classes: Ints
    users: Ints
    waits: NDArray[np.int32] | Ints
    zones: Ints
    flow: Ints
    series: Ints


class Scale(NamedTuple):
    """The window, bits by which steps of time and batches of the series are counted, and the bound on latencies."""

    begin_ns: int
    end_ns: int
    step_bits: int
    series_bits: int
    bound_ns: int


@jitted
def bucket_of(time_ns: int) -> int:
    """The bucket of a time, as ``histogram.buckets_of`` says."""
    found: Any = (np.float64(time_ns).view(np.int64) >> FALLING) - FIRST
    bucket: int = min(max(found, 0), BUCKETS - 1)
    return bucket


@jitted
def step_of(moment_ns: int, scale: tuple[int, int, int, int, int], steps: int) -> int:
    """Which step's beginning is the first not before the moment; the last but one stands for the window's end."""
    begin_ns, end_ns, step_bits, _, _ = scale
    if moment_ns > end_ns:
        return steps - 1
    return min((max(moment_ns - begin_ns, 0) + (1 << step_bits) - 1) >> step_bits, steps - 2)


@jitted
def record(visits: Any, class_of: Indices, counts: Any, scale: Any) -> None:
    """Counts all visits; takes Visits, Counts and Scale as plain tuples.

    Nearly all visits lie within the window and are served: of them only what differs is counted, and the rest is added
    up at the end. Sums of the zone and of the class at hand are held until another one comes, as each sum in memory
    waits for the one before it; the visits of one zone come together in the static engine, those of a class mostly.
    Unsigned places spare compiled code the question whether they count from an array's end: an eighth of the time.
    """
    number, users, zones, sent, reached, started, left, latencies, services = visits
    by_class, classes, by_user, waits, by_zone, flow, series = counts
    begin_ns, end_ns, step_bits, series_bits, bound_ns = scale
    steps, inside, up = flow.shape[1], np.zeros((len(by_zone), 4), np.int64), (1 << step_bits) - 1 - begin_ns
    here, joined, waited, served, longest = np.uintp(0), 0, 0, 0, 0
    held, total, most, high_high, high_low, low_low, late = np.uintp(0), 0, 0, 0, 0, 0, 0
    for at in range(len(number)):
        zone, reach, start, leave, latency = np.uintp(zones[at]), reached[at], started[at], left[at], latencies[at]
        if zone != here:
            add_visits(inside, here, (joined, waited, served, longest))
            here, joined, waited, served, longest = zone, 0, 0, 0, 0
        if latency >= 0 and begin_ns <= sent[at] and leave <= end_ns:
            joined, waited, served = joined + 1, waited + start - reach, served + leave - start
            longest = max(longest, leave - reach)
            waits[zone, np.uintp(bucket_of(start - reach))] += 1
            flow[zone, np.uintp(min((reach + up) >> step_bits, steps - 2))] += 1
            flow[zone, np.uintp(min((leave + up) >> step_bits, steps - 2))] -= 1
        else:
            flow[zone, step_of(reach, scale, steps)] += 1
            flow[zone, step_of(leave, scale, steps)] -= 1
            record_edge(by_zone[zone], waits[zone], (reach, start, leave, services[at], latency), begin_ns, end_ns)
        if latency < 0:
            continue
        batch = np.uintp((number[at] // MSER_BATCH) >> series_bits)
        series[batch, 0] += latency
        series[batch, 1] += 1
        if begin_ns <= sent[at] < end_ns:
            user = np.uintp(users[at])
            by_user[user, 0] += 1
            by_user[user, 1] += latency
            of, high, low = np.uintp(class_of[user]), latency >> SQUARE_BITS, latency & SQUARE_LOW
            if of != held:
                add_latencies(classes, held, (total, most, high_high, high_low, low_low, late))
                held, total, most, high_high, high_low, low_low, late = of, 0, 0, 0, 0, 0, 0
            by_class[of, np.uintp(bucket_of(latency))] += 1
            total, most, high_high = total + latency, max(most, latency), high_high + high * high
            high_low, low_low, late = high_low + high * low, low_low + low * low, late + (latency > bound_ns)
    add_visits(inside, here, (joined, waited, served, longest))
    add_latencies(classes, held, (total, most, high_high, high_low, low_low, late))
    add_inside(by_zone, inside)


@jitted
def add_visits(inside: Ints, zone: Any, held: tuple[int, int, int, int]) -> None:
    """Adds up what was held of a zone: visits, waits, service, the longest stay."""
    inside[zone, 0] += held[0]
    inside[zone, 1] += held[1]
    inside[zone, 2] += held[2]
    inside[zone, 3] = max(inside[zone, 3], held[3])


@jitted
def add_latencies(classes: Ints, of: Any, held: tuple[int, int, int, int, int, int]) -> None:
    """Adds up what was held of a class: sum, maximum, three sums of halves' products, how many over the bound."""
    classes[of, 0] += held[0]
    classes[of, 1] = max(classes[of, 1], held[1])
    classes[of, 2] += held[2]
    classes[of, 3] += held[3]
    classes[of, 4] += held[4]
    classes[of, 5] += held[5]


@jitted
def add_inside(by_zone: Ints, inside: Ints) -> None:
    """Adds up visits within the window, whose stay is their wait and their service."""
    for each in range(len(by_zone)):
        count, wait, service, longest = inside[each, 0], inside[each, 1], inside[each, 2], inside[each, 3]
        by_zone[each, 0] += wait
        by_zone[each, 1] += count
        by_zone[each, 3] += wait + service
        by_zone[each, 4] = max(by_zone[each, 4], longest)
        by_zone[each, 5] += wait + service
        by_zone[each, 6] += service
        by_zone[each, 7] += service


@jitted
def record_edge(mine: Ints, waits: Any, visit: tuple[int, int, int, int, int], begin_ns: int, end_ns: int) -> None:
    """Counts for its zone a visit that a border of the window may cut, or that a failure did."""
    reach, start, leave, service, latency = visit
    if begin_ns <= reach < end_ns:
        mine[1] += 1
        mine[3] += leave - reach
        mine[7] += service
        if start < leave or latency >= 0:
            mine[0] += start - reach
            waits[bucket_of(start - reach)] += 1
    mine[4] = max(mine[4], leave - reach)
    until = min(leave, end_ns)
    mine[5] += max(until - max(reach, begin_ns), 0)
    mine[6] += max(until - max(start, begin_ns), 0)
