"""Static and event engine, plain and compiled, agree to the last bit; and with a third way that shares no code."""

from __future__ import annotations

import numpy as np
import pytest
from engine_worlds import differences, drawn_world, nearest
from hansa_sim.engines import event, static
from hansa_sim.engines.acceleration import Speed
from hansa_sim.engines.model import ANY_WAIT
from hansa_sim.engines.router import Table

SEEDS = range(12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("speed", [Speed.PLAIN, Speed.COMPILED])
def test_static_and_event_agree_to_the_last_bit(seed: int, speed: Speed) -> None:
    world = drawn_world(seed)
    table = nearest(world.run.paths)[:, 0]
    fixed = static.serve(world.blocks(), table, world.run, speed)
    assert fixed.served.sum() + fixed.failed.sum() > 0
    assert differences(fixed, event.serve(world.blocks(), Table(table), world.run, speed=Speed.PLAIN)) == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("router", ["table", "latency", "load"])
def test_plain_and_compiled_agree_to_the_last_bit_with_faults_and_retries(seed: int, router: str) -> None:
    world = drawn_world(seed)
    runs = [
        event.serve(world.blocks(), world.routers[router], world.run, world.faults, speed)
        for speed in (Speed.PLAIN, Speed.COMPILED)
    ]
    assert differences(*runs) == []


@pytest.mark.parametrize(("portion", "seed"), [(1, 3), (7, 4), (7, 5), (100, 6), (5, 7)])
def test_results_do_not_depend_on_how_requests_come_in_blocks(portion: int, seed: int) -> None:
    world = drawn_world(seed, horizon_s=2)
    table = nearest(world.run.paths)[:, 0]
    whole, parts = world.blocks(), world.blocks(portion=portion)
    for speed in (Speed.PLAIN, Speed.COMPILED):
        assert (
            differences(static.serve(whole, table, world.run, speed), static.serve(parts, table, world.run, speed))
            == []
        )
        runs = [event.serve(some, world.routers["latency"], world.run, world.faults, speed) for some in (whole, parts)]
        assert differences(*runs) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_latencies_are_those_of_a_queue_that_is_played_server_by_server(seed: int) -> None:
    world = drawn_world(seed)
    table = nearest(world.run.paths)[:, 0]
    measured = static.serve(world.blocks(), table, world.run)
    latency_ns, turned_away = _played(world.blocks(), table, world.run)
    assert measured.user_sum_ns.tolist() == latency_ns
    assert int(measured.turned_away.sum()) == turned_away


def _played(blocks: list, table: np.ndarray, run: object) -> tuple[list[int], int]:
    """Sums of latency by row, and how many are turned away: all at once, by sorting everything, with a list of servers
    from which the one that is free first is looked for."""
    paths, zones, window = run.paths, run.zones, run.window
    coming = []
    number = 0
    for block in blocks:
        for at, user, demand in zip(block.at_ns.tolist(), block.user.tolist(), block.demand_ns.tolist(), strict=True):
            zone = int(table[user])
            if zone >= 0:
                coming.append((at + int(paths.there_ns[user, zone]), number, zone, user, at, demand))
            number += 1
    servers = [[0] * count for count in zones.servers.tolist()]
    sums, turned_away = [0] * len(table), 0
    for reach, _, zone, user, at, demand in sorted(coming):
        which = servers[zone].index(min(servers[zone]))
        start = max(reach, servers[zone][which])
        limit = int(zones.wait_ns_max[zone])
        if limit != ANY_WAIT and start - reach > limit:
            turned_away += window.begin_ns <= reach < window.end_ns
            continue
        servers[zone][which] = start + demand * 1000 // int(zones.speed_permille[zone])
        if window.begin_ns <= at < window.end_ns:
            sums[user] += servers[zone][which] + int(paths.back_ns[user, zone]) - at
    return sums, turned_away
