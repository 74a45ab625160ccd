"""How many requests a second the engines of ``hansa simulate`` take, beside SimPy and ciw in the same run.

The world: 100 zones, 10,000 rows of users, on the real European backbone of 852 nodes (``_backbone``); the nearest
zone, and least latency with failures and retries. Rates are of processor time, the best of some interleaved
rounds; drawing the requests is a row of its own, and memory is the peak of a process that draws and serves ten million.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from hansa_sim.engines import event, static
from hansa_sim.engines.acceleration import HAS_NUMBA, Speed
from hansa_sim.engines.model import SECOND_NS
from hansa_sim.engines.router import LeastLatency, Table

from tools.bench._backbone import SERVICE_NS, USERS, Backbone
from tools.bench._peers import peers

REQUESTS, PLAIN_REQUESTS, MANY_REQUESTS = 2_000_000, 300_000, 10_000_000
ROUNDS = 5
ROOT = Path(__file__).resolve().parents[2]
MILLION = 1e6
OURS = ("draw", "static", "event", "event_latency_faults", "static_plain", "event_plain")


def rows() -> list[dict[str, object]]:
    """Rows of the table: requests a second of each engine and of SimPy, memory, and the error against the exact."""
    world = Backbone()
    rates = _rates(world)
    floor = rates.get("simpy")
    targets = {"static": 25.0, "event": 5.0, "event_latency_faults": 2.5, "event_plain": 0.15}
    table = [
        _row(
            f"simulate.{name}",
            rate / MILLION,
            "M requests/s",
            (None if floor is None or name not in OURS else floor / MILLION, targets.get(name)),
        )
        for name, rate in rates.items()
    ]
    if floor is not None and "event" in rates:
        table.append(_row("simulate.event_times_simpy", rates["event"] / floor, "times", (None, 50.0)))
    memory_mib, error = (float(one) for one in _far(("memory",)).split())
    table.append(_row("simulate.memory_10M_requests", memory_mib, "MiB", (None, 300e6 / 2**20), least=False))
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
        **peers(world, few),
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


def _far(arguments: Sequence[str]) -> str:
    """What this file prints in a process of its own."""
    command = [sys.executable, "-m", "tools.bench.simulate", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


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
