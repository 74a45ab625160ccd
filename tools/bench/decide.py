"""Decisions: how long one takes, cold and warm, after a link update, explained, and how many a second; beside a floor.

``warm`` is a known policy after the capacity of one zone changed, which is what an operator meets most: every filter on
every zone, every reason kept, the three best zones with their paths. ``cold`` is a policy that was never seen: nothing
of it, no path and no judgement of the law, is kept. ``explained`` is what it takes besides to put every rejection, with
measured value, bound and evidence, and the nearest fix into words, given for a thousand rejections;
``whole_decision_in_words`` has every choice, the plan and the judgement, too. ``link_update`` is
from the new round trip of one link to a decision that counts with it. ``stream`` mixes requests, the capacity they
take, and a link update after every fifteenth, which is 100 a second at 1,500 decisions a second.

As in a control plane, what stands at the start is set aside from Python's search for cycles.

The floor is what is left when no reason, no path and no law is kept: masks over columns, one argmin, in numpy. The peer
is a loop over zones in Python that looks at CPU, memory and devices and at nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
from hansa_control.adapters.system import calm_collector
from hansa_control.domain.network import NetworkChange
from hansa_control.domain.placement import PlacementRequest, judge
from hansa_control.domain.relaxation import nearest_fix
from hansa_control.domain.snapshot import Snapshot
from hansa_control.domain.units import modelled_link_rtt

from tools.bench._synthetic import COUNTRIES as COUNTRIES
from tools.bench._synthetic import NOW_MS, build_spec
from tools.bench._synthetic import build_world as build_world

HOME = "op0"
SHOWN = 3
ZONE_COUNTS = (10, 100, 1_000)
TARGETS_US = {
    "decide.1000_zones.warm.p50": 500.0,
    "decide.1000_zones.warm.p99": 2_000.0,
    "decide.1000_zones.cold.p99": 15_000.0,
    "decide.1000_zones.link_update.p99": 5_000.0,
    "decide.1000_zones.explained_per_1000.p50": 2_000.0,
    "decide.10000_zones.warm.p99": 10_000.0,
}
STREAM_TARGET_PER_S = 1_500.0
DECISIONS_PER_LINK_UPDATE = 15


class Row(TypedDict):
    """One line of the benchmark's table; floor and ratio are None where there is nothing to compare with."""

    name: str
    value: float
    unit: str
    floor: float | None
    ratio: float | None
    target: float | None
    met: bool | None


@dataclass(frozen=True)
class Columns:
    """What the floor works on: one array a column, one row a zone."""

    gpu_memory_mib: np.ndarray
    gpu_free: np.ndarray
    cpu_free: np.ndarray
    memory_free: np.ndarray
    is_allowed: np.ndarray
    rtt_us: np.ndarray
    price: np.ndarray


def rows() -> list[dict[str, object]]:
    """The table, in microseconds; the last row is a rate."""
    table = [row for zones in ZONE_COUNTS[:-1] for row in _warm_rows(f"decide.{zones}_zones", build_world(zones))]
    world = build_world(1_000)
    calm_collector()
    floor = _measure(_floor_call(world), 300)
    label = "decide.1000_zones"
    table += _warm_rows(label, world)
    table += _percentiles(f"{label}.cold", _measure(_cold_call(world), 60), floor)
    table += _percentiles(f"{label}.link_update", _measure(_link_update_call(world), 400), floor)
    table += _percentiles(f"{label}.explained_per_1000", _explained(world), floor)
    table += _percentiles(f"{label}.whole_decision_in_words", _measure(_whole_call(world), 100), floor)
    table += _percentiles(f"{label}.peer_loop_without_law_or_path", _measure(_peer_call(world), 200), floor)
    large = build_world(10_000, node_count=10_000)
    calm_collector()
    table += _warm_rows("decide.10000_zones", large)
    return [dict(row) for row in [*table, _stream_row(world, floor)]]


def _warm_rows(label: str, world: Snapshot) -> list[Row]:
    floor = _measure(_floor_call(world), 300)
    warm = _measure(_warm_call(world), 1_000)
    return [*_percentiles(f"{label}.warm", warm, floor), _rate(f"{label}.warm.rate", warm, floor)]


def _percentiles(name: str, taken_us: np.ndarray, floor: np.ndarray) -> list[Row]:
    floor_us = float(np.percentile(floor, 50))
    table = []
    for percentile in (50, 99):
        value, target = float(np.percentile(taken_us, percentile)), TARGETS_US.get(f"{name}.p{percentile}")
        met = None if target is None else value <= target
        row = Row(
            name=f"{name}.p{percentile}", value=value, unit="us", floor=floor_us, ratio=value / floor_us,
            target=target, met=met,
        )  # fmt: skip
        table.append(row)
    return table


def _rate(name: str, calls_us: np.ndarray, floor: np.ndarray) -> Row:
    value, least = 1e6 / float(calls_us.mean()), 1e6 / float(floor.mean())
    return Row(name=name, value=value, unit="1/s", floor=least, ratio=value / least, target=None, met=None)


def _stream_row(world: Snapshot, floor: np.ndarray) -> Row:
    call = _stream_call(world)
    for at in range(64):
        call(at)
    began, count = time.perf_counter_ns(), 3_000
    for at in range(count):
        call(at)
    value = count / ((time.perf_counter_ns() - began) / 1e9)
    least = 1e6 / float(floor.mean())
    met = value >= STREAM_TARGET_PER_S
    return Row(
        name="decide.1000_zones.stream.rate", value=value, unit="1/s", floor=least, ratio=value / least,
        target=STREAM_TARGET_PER_S, met=met,
    )  # fmt: skip


def _measure(call: Callable[[int], object], times: int) -> np.ndarray:
    """Microseconds of each of so many calls, after one that is not counted."""
    call(0)
    taken = []
    for at in range(1, times + 1):
        began = time.perf_counter_ns()
        call(at)
        taken.append((time.perf_counter_ns() - began) / 1_000)
    return np.array(taken)


def _decided(variant: int, world: Snapshot, policy: int = 0, first_node: int = 3) -> object:
    return judge(PlacementRequest(build_spec(variant, policy, first_node), HOME), world, NOW_MS).choices(SHOWN)


def _warm_call(world: Snapshot) -> Callable[[int], object]:
    requests = [PlacementRequest(build_spec(variant), HOME) for variant in range(4)]
    worlds = [_with_load(world, at) for at in range(100)]
    for request in requests:
        judge(request, world, NOW_MS).choices(SHOWN)
    return lambda at: judge(requests[at % 4], worlds[at % 100], NOW_MS).choices(SHOWN)


def _cold_call(world: Snapshot) -> Callable[[int], object]:
    return lambda at: _decided(0, world, policy=at + 1)


def _link_update_call(world: Snapshot) -> Callable[[int], object]:
    """Each call changes one link of the world that the call before left behind."""
    links, stream = world.network.links, np.random.default_rng(3)
    order = stream.permutation(len(links))
    latest = [world]
    request = PlacementRequest(build_spec(0), HOME)

    def update(at: int) -> object:
        link = links[int(order[at % len(order)])]
        slower = replace(link, rtt=modelled_link_rtt(link.length_m + 1_000 * (1 + at % 50)))
        network = latest[0].network.with_changes(at + 2, NetworkChange(links=(slower,)))
        latest[0] = replace(latest[0], generation=at + 2, network=network)
        return judge(request, latest[0], NOW_MS).choices(SHOWN)

    return update


def _explained(world: Snapshot) -> np.ndarray:
    """Microseconds for a thousand rejections and the nearest fix, beyond the judgement that they follow from."""
    taken = []
    for at in range(104):
        request = PlacementRequest(build_spec(at % 4), HOME)
        judgement = judge(request, _with_load(world, at), NOW_MS)
        judgement.choices(SHOWN)
        began = time.perf_counter_ns()
        rejections = judgement.verdicts.rejections()
        nearest_fix(judgement.verdicts, rejections, request.exclude)
        taken.append((time.perf_counter_ns() - began) / 1_000 * 1_000 / len(rejections))
    return np.array(taken[4:])


def _whole_call(world: Snapshot) -> Callable[[int], object]:
    worlds = [_with_load(world, at) for at in range(100)]
    return lambda at: judge(PlacementRequest(build_spec(at % 4), HOME), worlds[at % 100], NOW_MS).explained()


def _stream_call(world: Snapshot) -> Callable[[int], object]:
    """Two policies, three pairs of access points, four sizes; what is placed takes its CPU."""
    requests = [
        PlacementRequest(build_spec(size, policy, first), HOME)
        for size in range(4)
        for policy in range(2)
        for first in (3, 103, 203)
    ]
    latest, links, stream = [world], world.network.links, np.random.default_rng(5)
    order = stream.permutation(len(links))

    def decide_next(at: int) -> object:
        now = latest[0]
        if at % DECISIONS_PER_LINK_UPDATE == 0:
            link = links[int(order[at % len(order)])]
            slower = replace(link, rtt=modelled_link_rtt(link.length_m + 1_000 * (1 + at % 50)))
            now = replace(now, network=now.network.with_changes(at + 2, NetworkChange(links=(slower,))))
        best = judge(requests[at % len(requests)], now, NOW_MS).choices(SHOWN)[0]
        zone = now.zones[now.index[best.zone]]
        cpu_millis = zone.free.cpu_millis - 10 if zone.free.cpu_millis > 16_000 else 32_000
        taken = replace(zone, free=replace(zone.free, cpu_millis=cpu_millis), generation=zone.generation + 1)
        latest[0] = now.with_changed(at + 2, [taken], NOW_MS)
        return best

    return decide_next


def _with_load(world: Snapshot, at: int) -> Snapshot:
    taken = world.zones[at % len(world.zones)]
    free = replace(taken.free, cpu_millis=taken.free.cpu_millis - 1)
    return world.with_changed(at + 2, [replace(taken, free=free, generation=taken.generation + 1)], NOW_MS)


def _floor_call(world: Snapshot) -> Callable[[int], object]:
    columns = _columns(world)

    def pick(at: int) -> int:
        ok = columns.is_allowed & (columns.gpu_memory_mib >= 24_000) & (columns.gpu_free >= 2)
        ok &= (columns.cpu_free >= 4_000 + at) & (columns.memory_free >= 8_192) & (columns.rtt_us <= 20_000)
        cost = np.where(ok, columns.rtt_us / 20_000 + columns.price * 5e-5, np.inf)
        return int(np.argmin(cost))

    return pick


def _peer_call(world: Snapshot) -> Callable[[int], object]:
    free = [(z.free.cpu_millis, z.free.memory_mib, z.free.accelerators[0][1], z.id) for z in world.zones]

    def pick(at: int) -> object:
        best = None
        for cpu_millis, memory_mib, devices, zone in free:
            if cpu_millis >= 4_000 + at % 4 and memory_mib >= 8_192 and devices >= 2:
                left = cpu_millis + memory_mib
                if best is None or left > best[0]:
                    best = (left, zone)
        return best

    return pick


def _columns(world: Snapshot) -> Columns:
    zones = world.zones
    stream = np.random.default_rng(11)
    return Columns(
        gpu_memory_mib=np.array([zone.inventory.pools[0].memory_mib for zone in zones]),
        gpu_free=np.array([zone.free.accelerators[0][1] for zone in zones]),
        cpu_free=np.array([zone.free.cpu_millis for zone in zones]),
        memory_free=np.array([zone.free.memory_mib for zone in zones]),
        is_allowed=stream.random(len(zones)) < 0.6,
        rtt_us=stream.integers(6_000, 40_000, len(zones)),
        price=np.array([zone.inventory.price_millieur_per_hour for zone in zones]),
    )


if __name__ == "__main__":
    for line in rows():
        print(line)
