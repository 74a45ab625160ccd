"""What other simulators do in the same run, where they simulate the same.

SimPy plays the whole world: ways, zones, the same requests. ciw has no ways, so it plays the zones alone, each with its
rate and servers, which waits do not differ by. LEAF has no requests (its tasks take shares of nodes and links for as
long as they run, for the sake of power), so nothing of it is comparable.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec

import numpy as np
from hansa_sim.engines.model import SECOND_NS, Block

from tools.bench._backbone import SEED, SERVICE_NS, USERS, Backbone

SIMPY_REQUESTS, CIW_REQUESTS = 20_000, 2_000


def peers(world: Backbone, some: Sequence[Block]) -> dict[str, tuple[int, Callable[[], object]]]:
    """How many requests, and what serves them, of every peer that is installed; the others are named on stderr."""
    ways: dict[str, tuple[int, Callable[[], object]]] = {
        "simpy": (SIMPY_REQUESTS, lambda: serve_by_simpy(world, some, SIMPY_REQUESTS)),
        "ciw_zones_only": (CIW_REQUESTS, lambda: serve_by_ciw(world, CIW_REQUESTS)),
    }
    for name in list(ways):
        package = name.partition("_")[0]
        if find_spec(package) is None:
            print(f"not measured: {name}; pip install {package}", file=sys.stderr)
            del ways[name]
    return ways


def serve_by_simpy(world: Backbone, some: Sequence[Block], requests: int) -> float:
    """The same requests as processes of SimPy: way there, a server of the zone, way back. Mean latency, ns."""
    import simpy  # type: ignore[import-untyped,import-not-found,unused-ignore]

    env = simpy.Environment()
    servers = [simpy.Resource(env, capacity=int(count)) for count in world.zones.servers]
    rows = np.arange(USERS), world.nearest
    there_ns, back_ns = world.paths.there_ns[rows].tolist(), world.paths.back_ns[rows].tolist()
    nearest, total, served = world.nearest.tolist(), 0, 0

    def ask(user: int, demand: int) -> Iterator[object]:
        nonlocal total, served
        sent = env.now
        yield env.timeout(there_ns[user])
        with servers[nearest[user]].request() as turn:
            yield turn
            yield env.timeout(demand)
        yield env.timeout(back_ns[user])
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


def serve_by_ciw(world: Backbone, requests: int) -> int:
    """As many customers of a ciw network of the zones, nobody going from one to another; how many left."""
    import ciw  # type: ignore[import-untyped,import-not-found,unused-ignore]

    rates = world.load * SECOND_NS / SERVICE_NS
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate) for rate in rates.tolist()],
        service_distributions=[ciw.dists.Exponential(SECOND_NS / SERVICE_NS) for _ in rates],
        number_of_servers=world.zones.servers.tolist(),
        routing=[[0.0] * len(rates)] * len(rates),
    )
    ciw.seed(SEED)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(requests, method="Finish")
    return len(simulation.get_all_records())
