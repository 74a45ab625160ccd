"""How many requests a second the engines of ``hansa simulate`` take, beside SimPy in the same run.

The world: 100 zones, 10,000 rows of users, ways by distance (engines see ways, whatever network they lead over); the
nearest zone, and least latency with failures and retries. Rates are of processor time, the best of some interleaved
rounds; drawing the requests is a row of its own, and memory is the peak of a process that draws and serves ten million.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from hansa_sim.engines import analytic, event, static
from hansa_sim.engines.acceleration import HAS_NUMBA, Speed
from hansa_sim.engines.arrivals import blocks
from hansa_sim.engines.model import SECOND_NS, Block, Faults, Outages, Paths, Retries, UserClass, Window, Zones
from hansa_sim.engines.recorder import Run
from hansa_sim.engines.router import LeastLatency, Table
from hansa_sim.engines.service import Exponential

USERS, ZONES, RATE_RPS, SERVICE_NS = 10_000, 100, 10_000.0, 10e6
REQUESTS, PLAIN_REQUESTS, SIMPY_REQUESTS, MANY_REQUESTS = 2_000_000, 300_000, 20_000, 10_000_000
ROUNDS = 3
SEED = 1
KM_PER_NS = 1 / 5_000
MILLION = 1e6


class World:
    """Ways, zones at seven tenths of what they can do, and users."""

    def __init__(self) -> None:
        rng = np.random.default_rng(SEED)
        places, sites = rng.random((USERS, 2)), rng.random((ZONES, 2))
        km = 1_500 * np.hypot(*(places[:, None] - sites[None]).transpose(2, 0, 1))
        there_ns = (km / KM_PER_NS).astype(np.int64) + 200_000
        self.paths = Paths(there_ns, there_ns, there_ns >= 0)
        self.nearest = there_ns.argmin(axis=1).astype(np.int32)
        load = np.bincount(self.nearest, minlength=ZONES) / USERS * RATE_RPS * SERVICE_NS / SECOND_NS
        self.zones = Zones.of(np.ceil(load / 0.7).astype(np.int64).clip(1))
        self.load = load
        self.classes = [UserClass("all", np.arange(USERS, dtype=np.int32), RATE_RPS, Exponential(SERVICE_NS))]

    def run(self, requests: int) -> Run:
        return Run.of(self.classes, self.paths, self.zones, Window(self.horizon_ns(requests)))

    def blocks(self, requests: int) -> Iterator[Block]:
        return blocks(self.classes, SEED, self.horizon_ns(requests))

    def faults(self, requests: int) -> Faults:
        """Each zone is down for a hundredth of the time, twice."""
        rng, horizon_ns = np.random.default_rng(SEED), self.horizon_ns(requests)
        down = rng.integers(0, horizon_ns, 2 * ZONES)
        zone = np.repeat(np.arange(ZONES, dtype=np.int32), 2)
        return Faults(Outages(zone, down, down + horizon_ns // 200), Retries(3, 1_000_000, SECOND_NS))

    def exact_mean_ns(self) -> float:
        """Mean latency by the closed forms: users' ways, and M/M/c at every zone."""
        way_ns = float(2 * self.paths.there_ns[np.arange(USERS), self.nearest].mean())
        waits = sum(
            erlangs
            * analytic.mean_wait_ns(analytic.Station(erlangs * SECOND_NS / SERVICE_NS, SERVICE_NS, int(servers)))
            for erlangs, servers in zip(self.load, self.zones.servers, strict=True)
            if erlangs
        )
        return way_ns + SERVICE_NS + float(waits / self.load.sum())

    @staticmethod
    def horizon_ns(requests: int) -> int:
        return int(requests / RATE_RPS * SECOND_NS)


def rows() -> list[dict[str, object]]:
    """Rows of the table: requests a second of each engine and of SimPy, memory, and the error against the exact."""
    world = World()
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


def _rates(world: World) -> dict[str, float]:
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


def _serve_by_simpy(world: World, some: Sequence[Block], requests: int) -> float:
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
    world = World()
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
