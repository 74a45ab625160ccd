"""A link takes as long as it takes, however much is sent over it: ways delay, and never serialise."""

from __future__ import annotations

import numpy as np
import pytest
from hansa_sim.engines import event, static
from hansa_sim.engines.acceleration import Speed
from hansa_sim.engines.arrivals import blocks
from hansa_sim.engines.model import SECOND_NS, Paths, UserClass, Window, Zones
from hansa_sim.engines.recorder import Run
from hansa_sim.engines.router import LeastLatency, Table
from hansa_sim.engines.service import Deterministic

LINK_NS, SERVICE_NS, SERVERS = 10_000_000, 1_000, 64


@pytest.mark.parametrize("rate_rps", [5.0, 20.0, 50.0, 100.0, 200.0])
def test_link_of_ten_milliseconds_stays_one_at_every_rate(rate_rps: float) -> None:
    """With servers to spare each request takes the link there, its service and the link back, to the nanosecond."""
    users, way = (
        [UserClass("all", np.zeros(1, np.int32), rate_rps, Deterministic(SERVICE_NS))],
        np.full((1, 1), LINK_NS),
    )
    run = Run.of(users, Paths(way, way, way > 0), Zones.of([SERVERS]), Window(60 * SECOND_NS))
    requests, table = list(blocks(users, 1, run.window.end_ns)), np.zeros(1, np.int32)
    results = [static.serve(requests, table, run, speed) for speed in (Speed.PLAIN, Speed.AUTO)]
    results += [event.serve(requests, Table(table), run, speed=speed) for speed in (Speed.PLAIN, Speed.AUTO)]
    results.append(event.serve(requests, LeastLatency(np.full(1, SERVICE_NS)), run))
    for measured in results:
        served = int(measured.served[0])
        assert served == pytest.approx(60 * rate_rps, rel=0.2)
        assert int(measured.latency_sum_ns[0]) == served * (2 * LINK_NS + SERVICE_NS)
        assert int(measured.latency_max_ns[0]) == 2 * LINK_NS + SERVICE_NS
