"""Small worlds in which everything happens at once: the engines against one another to the last bit,
against a player that shares no code with them, and against what must hold of every queue.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, replace
from heapq import heappop, heappush

import numpy as np
import pytest
from engine_worlds import by_hand, differences, nearest
from hansa_sim.engines import event, static
from hansa_sim.engines.acceleration import Speed
from hansa_sim.engines.measured import Measured
from hansa_sim.engines.model import ANY_WAIT, Block, Faults, Outages, Paths, Retries, UserClass, Window, Zones
from hansa_sim.engines.recorder import Run
from hansa_sim.engines.router import LeastLatency, LeastLoaded, Router, Table
from hansa_sim.engines.service import Deterministic
from hypothesis import given, settings
from hypothesis import strategies as st

END_NS = 400
"""Later than everything that happens."""

ADDITIVE = [
    *("latency_counts", "latency_sum_ns", "user_served", "user_sum_ns", "failed", "unlawful", "unreachable"),
    *("wait_counts", "wait_sum_ns", "joined", "turned_away", "sojourn_sum_ns", "area_ns", "busy_ns", "offered_ns"),
    "up_ns",
]
"""What a window has measured is what its two parts have, added."""

some = settings(max_examples=50, derandomize=True, deadline=None)


@dataclass(frozen=True)
class Small:
    """Requests as (at, user, demand), a run, where each row goes in turn, outages as (zone, down, up), and retries."""

    run: Run
    requests: tuple[tuple[int, int, int], ...]
    table: np.ndarray
    outages: tuple[tuple[int, int, int], ...]
    retries: Retries
    stale_ns: int

    def blocks(self, portion: int = 100) -> list[Block]:
        parts = [self.requests[first : first + portion] for first in range(0, len(self.requests), portion)]
        return [by_hand(*(list(column) for column in zip(*part, strict=True)))[0] for part in parts]

    @property
    def faults(self) -> Faults:
        columns = zip(*self.outages, strict=True) if self.outages else ((), (), ())
        zone, down, up = (np.array(column, np.int64) for column in columns)
        return Faults(Outages(zone.astype(np.int32), down, up), self.retries)

    @property
    def routers(self) -> list[Router]:
        return [Table(self.table), LeastLatency(np.full(len(self.table), 3), self.stale_ns), LeastLoaded(self.stale_ns)]

    def within(self, begin_ns: int, end_ns: int) -> Run:
        return replace(self.run, window=Window(end_ns, begin_ns))


@st.composite
def worlds(draw: st.DrawFn, zones_max: int = 3) -> Small:
    """Few moments for many requests, so that most things happen at the same nanosecond as something else."""
    users, zones = draw(st.integers(1, 3)), draw(st.integers(1, zones_max))
    ways = st.lists(st.integers(-1, 6), min_size=users * zones, max_size=users * zones)
    there, back = (np.array(draw(ways), np.int64).reshape(users, zones) for _ in range(2))
    allowed = np.array(draw(st.lists(st.booleans(), min_size=users * zones, max_size=users * zones)))
    paths = Paths(there, back, allowed.reshape(users, zones))
    each = {"min_size": zones, "max_size": zones}
    stations = Zones.of(
        draw(st.lists(st.integers(1, 2), **each)),
        np.array(draw(st.lists(st.sampled_from((500, 1_000, 1_700)), **each))),
        np.array(draw(st.lists(st.sampled_from((ANY_WAIT, 0, 4)), **each))),
    )
    classes = [UserClass(f"at {row}", np.array([row], np.int32), 1.0, Deterministic(1.0)) for row in range(users)]
    request = st.tuples(st.integers(0, 12), st.integers(0, users - 1), st.integers(1, 9))
    moment = st.integers(0, 40)
    outage = st.tuples(st.integers(0, zones - 1), moment, moment)
    retries = Retries(draw(st.integers(1, 3)), draw(st.integers(0, 2)), draw(st.integers(0, 6)))
    return Small(
        run=Run.of(classes, paths, stations, Window(END_NS)),
        requests=tuple(sorted(draw(st.lists(request, max_size=12)), key=lambda one: one[0])),
        table=nearest(paths, zones),
        outages=tuple(draw(st.lists(outage, max_size=3))),
        retries=retries,
        stale_ns=draw(st.integers(0, 5)),
    )


# --- engines against one another ---


@some
@given(worlds(), st.integers(1, 4))
def test_four_ways_to_serve_a_table_are_one_to_the_last_bit(small: Small, portion: int) -> None:
    first = small.table[:, 0]
    found = static.serve(small.blocks(), first, small.run, Speed.PLAIN)
    others = (
        static.serve(small.blocks(portion), first, small.run, Speed.COMPILED),
        event.serve(small.blocks(portion), Table(first), small.run, speed=Speed.PLAIN),
        event.serve(small.blocks(), Table(first), small.run, speed=Speed.COMPILED),
    )
    assert [differences(found, other) for other in others] == [[], [], []]


@some
@given(worlds(), st.integers(1, 4))
def test_plain_and_compiled_are_one_under_every_router_and_fault(small: Small, portion: int) -> None:
    for router in small.routers:
        plain = event.serve(small.blocks(), router, small.run, small.faults, Speed.PLAIN)
        compiled = event.serve(small.blocks(portion), router, small.run, small.faults, Speed.COMPILED)
        assert differences(plain, compiled) == []


# --- against a player by itself ---


class Player:
    """Requests one after another through zones that remember when everything they took will be done. Nothing is kept of
    servers: with c of them the next is free when the c-th last of all is done."""

    def __init__(self, small: Small) -> None:
        self.small = small
        self.done: dict[int, list[tuple[int, int]]] = {zone: [] for zone in range(small.run.zones.count)}
        self.sums, self.failed = [0] * len(small.table), [0] * len(small.table)
        self.turned = [0] * small.run.zones.count
        self.served: dict[int, int] = {}
        self.coming: list[tuple[int, int, int, int | None, int, int]] = []

    def play(self) -> None:
        open_to = self.small.run.paths.open.any(axis=1)
        for number, (at, user, _) in enumerate(self.small.requests):
            if open_to[user]:
                heappush(self.coming, (at, 1, number, None, -1, 0))  # after all that happens at that moment
        while self.coming:
            now, _, number, zone, avoided, tries = heappop(self.coming)
            (self.reach if zone is not None else self.send)(now, number, avoided if zone is None else zone, tries)

    def send(self, now: int, number: int, avoided: int, tries: int) -> None:
        user = self.small.requests[number][1]
        heard = now - self.small.retries.detect_ns
        up = [zone for zone in self.small.table[user].tolist() if zone >= 0 and not self.is_down(zone, heard)]
        better = [zone for zone in up if zone != avoided] or up
        if not better:
            self.failed[user] += 1
            return
        there_ns = int(self.small.run.paths.there_ns[user, better[0]])
        heappush(self.coming, (now + there_ns, 0, number, better[0], -1, tries))

    def is_down(self, zone: int, moment: int) -> bool:
        return any(at == zone and down <= moment < up for at, down, up in self.small.outages)

    def reach(self, now: int, number: int, zone: int, tries: int) -> None:
        zones = self.small.run.zones
        at, user, demand = self.small.requests[number]
        if self.is_down(zone, now):
            self.again(now, number, zone, tries)
            return
        last_up = max((up for where, down, up in self.small.outages if where == zone and down < up <= now), default=0)
        leaving = [done for reached, done in self.done[zone] if reached >= last_up]
        servers = int(zones.servers[zone])
        start = max(now, sorted(leaving)[-servers]) if len(leaving) >= servers else now
        wait_max = int(zones.wait_ns_max[zone])
        if wait_max != ANY_WAIT and start - now > wait_max:
            self.turned[zone] += 1
            self.again(now, number, zone, tries)
            return
        done = start + demand * 1_000 // int(zones.speed_permille[zone])
        insort(self.done[zone], (now, done))
        cuts = [down for where, down, up in self.small.outages if where == zone and down < up and now < down < done]
        if cuts:
            self.again(min(cuts), number, zone, tries)
            return
        self.served[number] = done + int(self.small.run.paths.back_ns[user, zone]) - at
        self.sums[user] += self.served[number]

    def again(self, failed: int, number: int, zone: int, tries: int) -> None:
        _, user, _ = self.small.requests[number]
        if tries + 1 == self.small.retries.tries_max:
            self.failed[user] += 1
            return
        heard = failed + int(self.small.run.paths.back_ns[user, zone]) + self.small.retries.backoff_ns
        heappush(self.coming, (heard, 0, number, None, zone, tries + 1))


@settings(some, max_examples=150)
@given(worlds())
def test_outages_retries_and_refusals_are_those_of_a_player_who_keeps_no_servers(small: Small) -> None:
    played = Player(small)
    played.play()
    measured = event.serve(small.blocks(), Table(small.table), small.run, small.faults, Speed.PLAIN)
    assert measured.user_sum_ns.tolist() == played.sums
    assert measured.failed.tolist() == played.failed
    assert measured.turned_away.tolist() == played.turned
    assert measured.latency_max_ns.max() == max(played.served.values(), default=0)


# --- what holds of every run ---


@some
@given(worlds(), st.integers(1, END_NS - 1))
def test_two_windows_together_measure_what_the_whole_one_does(small: Small, cut_ns: int) -> None:
    for router in small.routers:
        whole, early, late = (
            event.serve(small.blocks(), router, small.within(*window), small.faults, Speed.PLAIN)
            for window in ((0, END_NS), (0, cut_ns), (cut_ns, END_NS))
        )
        apart = [
            name
            for name in ADDITIVE
            if not np.array_equal(getattr(whole, name), getattr(early, name) + getattr(late, name))
        ]
        assert apart == []


@some
@given(worlds())
def test_every_request_is_served_or_lost_exactly_once(small: Small) -> None:
    sent = np.bincount([user for _, user, _ in small.requests], minlength=len(small.table))
    for router in small.routers:
        found = event.serve(small.blocks(), router, small.run, small.faults, Speed.PLAIN)
        assert (found.served + found.failed + found.unlawful + found.unreachable).tolist() == sent.tolist()
        assert not (found.unlawful[small.run.paths.open.any(axis=1)]).any()


@some
@given(worlds(), st.integers(1, 1_000))
def test_the_clock_may_begin_anywhere(small: Small, later_ns: int) -> None:
    shifted = replace(
        small,
        requests=tuple((at + later_ns, user, demand) for at, user, demand in small.requests),
        outages=tuple((zone, down + later_ns, up + later_ns) for zone, down, up in small.outages),
        run=small.within(later_ns, END_NS + later_ns),
    )
    for before, after in zip(small.routers, shifted.routers, strict=True):
        one = event.serve(small.blocks(), before, small.run, small.faults, Speed.PLAIN)
        other = event.serve(shifted.blocks(), after, shifted.run, shifted.faults, Speed.PLAIN)
        assert set(differences(one, other)) <= {"window"}


@some
@given(worlds(), st.integers(0, 2))
def test_another_server_keeps_nobody_waiting_longer(small: Small, which: int) -> None:
    """Where all wait as long as they must: starts of first come first served only grow earlier with servers."""
    zones = Zones.of(small.run.zones.servers, small.run.zones.speed_permille)
    more = zones.servers + (np.arange(zones.count) == which)
    few, many = (
        static.serve(small.blocks(), small.table[:, 0], replace(small.run, zones=one), Speed.PLAIN)
        for one in (zones, Zones.of(more, zones.speed_permille))
    )
    assert (many.user_sum_ns <= few.user_sum_ns).all()
    assert (many.user_served == few.user_served).all()
    assert (many.wait_sum_ns <= few.wait_sum_ns).all()


@some
@given(worlds(), st.data())
def test_nobody_is_served_sooner_because_one_more_asks(small: Small, data: st.DataObject) -> None:
    zones = Zones.of(small.run.zones.servers, small.run.zones.speed_permille)
    patient = replace(small, run=replace(small.run, zones=zones))
    at, user = data.draw(st.integers(0, 12)), data.draw(st.integers(0, len(small.table) - 1))
    crowded = replace(patient, requests=tuple(sorted([*small.requests, (at, user, 5)], key=lambda one: one[0])))
    alone, together = (static.serve(one.blocks(), one.table[:, 0], one.run, Speed.PLAIN) for one in (patient, crowded))
    others = np.arange(len(small.table)) != user
    assert (together.user_sum_ns >= alone.user_sum_ns)[others].all()
    assert (together.user_served == alone.user_served)[others].all()


@some
@given(worlds())
def test_the_names_of_rows_and_zones_do_not_matter_to_a_table(small: Small) -> None:
    paths, zones, first = small.run.paths, small.run.zones, small.table[:, 0]
    turned = Paths(*(np.ascontiguousarray(one[::-1, ::-1]) for one in (paths.there_ns, paths.back_ns, paths.allowed)))
    columns = (zones.servers, zones.speed_permille, zones.wait_ns_max)
    run = replace(
        small.run,
        paths=turned,
        zones=Zones(*(np.ascontiguousarray(one[::-1]) for one in columns)),
        class_of=small.run.class_of[::-1],
    )
    table = np.where(first < 0, first, zones.count - 1 - first)[::-1].astype(np.int32)
    requests = tuple((at, len(first) - 1 - user, demand) for at, user, demand in small.requests)
    one = static.serve(small.blocks(), first, small.run, Speed.PLAIN)
    other = static.serve(replace(small, requests=requests).blocks(), table, run, Speed.PLAIN)
    assert _by_class(one) == _by_class(other)
    assert one.user_sum_ns.tolist() == other.user_sum_ns[::-1].tolist()
    assert one.busy_ns.tolist() == other.busy_ns[::-1].tolist()
    assert one.wait_counts.tolist() == other.wait_counts[::-1].tolist()


def _by_class(measured: Measured) -> list[list[int]]:
    columns = (measured.latency_sum_ns, measured.latency_max_ns, measured.failed, measured.unlawful)
    return [column.tolist() for column in columns]


@pytest.mark.parametrize("speed", [Speed.PLAIN, Speed.COMPILED])
def test_of_requests_that_reach_a_zone_at_one_nanosecond_the_one_sent_first_is_served_first(speed: Speed) -> None:
    """Numbers decide, not rows, classes, ways or demands."""
    there = np.array([[9], [4], [0]], np.int64)
    classes = [UserClass(f"at {row}", np.array([row], np.int32), 1.0, Deterministic(1.0)) for row in (2, 0, 1)]
    run = Run.of(classes, Paths(there, there * 0, there >= 0), Zones.of([1]), Window(END_NS))
    requests = by_hand([1, 6, 10, 10], [0, 1, 2, 2], [7, 5, 3, 1])
    table = np.zeros(3, np.int32)
    for found in (static.serve(requests, table, run, speed), event.serve(requests, Table(table), run, speed=speed)):
        assert found.user_sum_ns.tolist() == [9 + 7, 4 + 7 + 5, (12 + 3) + (15 + 1)]
