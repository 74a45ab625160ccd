"""How many requests a second the engines of ``hansa simulate`` take, beside SimPy in the same run.

The world: 100 zones, 10,000 rows of users, on the real European backbone of 852 nodes (``_backbone``); the nearest
zone, and least latency with failures and retries. Rates are of processor time, the best of some interleaved
rounds; drawing the requests is a row of its own, and memory is the peak of a process that draws and serves ten million.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from hansa_sim.engines import event, static
from hansa_sim.engines.acceleration import HAS_NUMBA, Speed
from hansa_sim.engines.model import SECOND_NS, Block
from hansa_sim.engines.router import LeastLatency, Table

from tools.bench._backbone import SERVICE_NS, USERS, Backbone

REQUESTS, PLAIN_REQUESTS, SIMPY_REQUESTS, MANY_REQUESTS = 2_000_000, 300_000, 20_000, 10_000_000
ROUNDS = 3
MILLION = 1e6


def rows() -> list[dict[str, object]]:
    """Rows of the table: requests a second of each engine and of SimPy, memory, and the error against the exact."""
    world = Backbone()
    rates = _rates(world)
    floor = rates.pop("simpy")
    targets = {
        "static": 25.0,
        "event": 5.0,
        "event_latency_faults": 2.5,
        "event_plain": 0.15,
        "draw": None,
        "static_plain": None,
    }
    table = [
        _row(f"simulate.{name}", rate / MILLION, "M requests/s", (floor / MILLION, targets[name]))
        for name, rate in rates.items()
    ]
    table.append(_row("simulate.simpy", floor / MILLION, "M requests/s", (None, None)))
    memory_mib, error = (float(one) for one in _far(("memory",)).split())
    table.append(_row("simulate.memory_10M_requests", memory_mib, "MiB", (None, 300.0), least=False))
    table.append(_row("simulate.error_against_exact_mean", 100 * error, "percent", (None, 0.3), least=False))
    return table


def _rates(world: Backbone) -> dict[str, float]:
    """Requests a second of processor time, the best round of each."""
    kept, few = list(world.blocks(REQUESTS)), list(world.blocks(PLAIN_REQUESTS))
    run, small = world.run(REQUESTS), world.run(PLAIN_REQUESTS)
    table = Table(world.nearest)
    least = LeastLatency(np.full(USERS, int(SERVICE_NS)), SECOND_NS // 10)
    faults = world.faults(REQUESTS)
    ways: dict[str, tuple[int, Callable[[], object]]] = {
        "draw": (REQUESTS, lambda: sum(len(block) for block in world.blocks(REQUESTS))),
        "static_plain": (PLAIN_REQUESTS, lambda: static.serve(few, world.nearest, small, Speed.PLAIN)),
        "event_plain": (PLAIN_REQUESTS, lambda: event.serve(few, table, small, speed=Speed.PLAIN)),
        "simpy": (SIMPY_REQUESTS, lambda: _serve_by_simpy(world, few, SIMPY_REQUESTS)),
    }
    if HAS_NUMBA:
        ways["static"] = (REQUESTS, lambda: static.serve(kept, world.nearest, run))
        ways["event"] = (REQUESTS, lambda: event.serve(kept, table, run))
        ways["event_latency_faults"] = (REQUESTS, lambda: event.serve(kept, least, run, faults))
        for serve in (static.serve(few, world.nearest, small), event.serve(few, least, small, faults)):
            del serve  # compiled now
    best = dict.fromkeys(ways, 0.0)
    for _ in range(ROUNDS):
        for name, (requests, work) in ways.items():
            began = time.process_time()
            work()
            best[name] = max(best[name], requests / (time.process_time() - began))
    return best


def _serve_by_simpy(world: Backbone, some: Sequence[Block], requests: int) -> float:
    """The same requests as processes of SimPy: way there, a server of the zone, way back. Mean latency, ns."""
    import simpy  # type: ignore[import-untyped,import-not-found,unused-ignore]

    env = simpy.Environment()
    servers = [simpy.Resource(env, capacity=int(count)) for count in world.zones.servers]
    there_ns = world.paths.there_ns[np.arange(USERS), world.nearest].tolist()
    nearest, total, served = world.nearest.tolist(), 0, 0

    def ask(user: int, demand: int) -> Iterator[object]:
        nonlocal total, served
        sent = env.now
        yield env.timeout(there_ns[user])
        with servers[nearest[user]].request() as turn:
            yield turn
            yield env.timeout(demand)
        yield env.timeout(there_ns[user])
        total, served = total + env.now - sent, served + 1

    def come() -> Iterator[object]:
        left = requests
        for block in some:
            for at, user, demand in zip(
                block.at_ns.tolist(), block.user.tolist(), block.demand_ns.tolist(), strict=True
            ):
                if not left:
                    return
                yield env.timeout(at - env.now)
                env.process(ask(user, demand))
                left -= 1

    env.process(come())
    env.run()
    return float(total / served)


def _far(arguments: Sequence[str]) -> str:
    """What this file prints in a process of its own."""
    command = [sys.executable, str(Path(__file__)), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _memory_and_error() -> str:
    """Peak memory, MiB, and the relative error of the mean, at ten million requests."""
    world = Backbone()
    measured = event.serve(world.blocks(MANY_REQUESTS), Table(world.nearest), world.run(MANY_REQUESTS))
    # What getrusage says of a child begins at what its parent had.
    peak_kib = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    exact_ns = world.exact_mean_ns()
    return f"{int(peak_kib.split()[1]) / 1024} {abs(measured.mean_latency_ns() - exact_ns) / exact_ns}"


def _row(
    name: str, value: float, unit: str, compared: tuple[float | None, float | None], *, least: bool = True
) -> dict[str, object]:
    floor, target = compared
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "floor": floor,
        "ratio": value / floor if floor else None,
        "target": target,
        "met": None if target is None else value >= target if least else value <= target,
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["memory"]:
        print(_memory_and_error())
    else:
        for line in rows():
            print(line)
