"""A host of a delay network: answers probes ("reflect"), or probes others and says what it would tell ("probe").

``probe`` takes the agent's own prober for a number of seconds to targets given as NAME=ADDRESS:PORT, and prints a JSON
line for each figure that changes: target, p50_us, p95_us, jitter_us, loss_permille and the probes sent until then.
"""

from __future__ import annotations

import asyncio
import json
import sys

from hansa_agent.logs import configure_logs
from hansa_agent.probe_stamp import Sender, open_reflector
from hansa_agent.probe_statistics import RateLimit
from hansa_agent.prober import Prober, ProbeSettings, Ways
from hansa_agent.system import SystemClock, SystemRandom

from hansa.v1.instance_pb2 import ProbeTarget
from hansa.v1.network_pb2 import ProbeResult

COUNT = 10


async def reflect(address: str) -> None:
    await open_reflector(address, SystemClock(), RateLimit(100_000))
    print("ready", flush=True)
    await asyncio.get_running_loop().create_future()


async def probe(seconds: float, interval_s: float, targets: dict[str, str]) -> None:
    settings = ProbeSettings(interval_s, COUNT, 10, 500, 600, interval_s, 10_000)
    prober = Prober("test/here", settings, Ways(Sender(SystemClock(), SystemRandom())), lambda: None)
    rounds = dict.fromkeys(targets, 0)

    def measured(result: ProbeResult) -> None:
        zone = result.target_zone
        rounds[zone] += 1
        rtt = result.rtt
        told = {"target": zone, "p50_us": rtt.p50_us, "p95_us": rtt.p95_us, "sent": rounds[zone] * COUNT}
        print(json.dumps(told | {"jitter_us": result.jitter_us, "loss_permille": result.loss_permille}), flush=True)

    prober.on_measured = measured
    prober.aim({zone: ProbeTarget(zone=zone, address=address) for zone, address in targets.items()})
    try:
        async with asyncio.timeout(seconds):
            await prober.run(SystemClock(), SystemRandom())
    except TimeoutError:
        return


if __name__ == "__main__":
    configure_logs("error", "-")
    if sys.argv[1] == "reflect":
        asyncio.run(reflect(sys.argv[2]))
    else:
        asyncio.run(probe(float(sys.argv[2]), float(sys.argv[3]), dict(word.split("=") for word in sys.argv[4:])))
