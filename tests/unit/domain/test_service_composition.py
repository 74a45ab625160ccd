"""Way, wait and service are added percentile by percentile: held against sampling of their independent sum."""

from __future__ import annotations

import numpy as np
import pytest
from hansa_control.domain.model import ServiceTime
from hansa_control.domain.queueing import Station, erlang_c, mean_wait_us, offered_load
from hansa_control.domain.service import service_us_at, wait_us

SAMPLES = 200_000
MEAN_US = 40_000


@pytest.mark.parametrize("utilisation", [0.05, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("servers", [1, 2, 8])
@pytest.mark.parametrize("percentile", [50, 95, 99])
def test_the_sum_of_the_parts_is_not_below_the_percentile_of_their_sum(
    utilisation: float, servers: int, percentile: int
) -> None:
    stream = np.random.default_rng(17)
    station = Station(MEAN_US, servers)
    demand = int(utilisation * servers * 1_000_000_000 / MEAN_US)
    waits = erlang_c(offered_load(demand, MEAN_US), servers)
    mean_if_any = mean_wait_us(demand, station) / waits if waits else 0.0
    wait = np.where(stream.random(SAMPLES) < waits, stream.exponential(max(mean_if_any, 1.0), SAMPLES), 0.0)
    way = stream.lognormal(np.log(20_000), 0.2, SAMPLES)
    service = stream.exponential(MEAN_US, SAMPLES)
    time = ServiceTime("", MEAN_US, int(MEAN_US * 2.996), int(MEAN_US * 4.606), 1_000)
    parts = np.percentile(way, percentile) + wait_us(station, demand, percentile) + service_us_at(time, percentile)
    assert parts >= np.percentile(way + wait + service, percentile) * 0.995
