"""The analytic engine: closed forms of one zone, for what the others must reproduce and for answers in microseconds.

Rates are requests a second, times nanoseconds. What the decision engine knows already, Erlang's formulas, comes from
``hansa_control.domain.queueing``; here is what is exact beyond it. Sources: A. K. Erlang (1909, 1917) for M/D/1, loss
and delay; F. Pollaczek (1930) and A. Khinchine (1932) for M/G/1; C. D. Crommelin, "Delay probability formulae when the
holding times are constant" (1932), for M/D/c; A. O. Allen, "Probability, Statistics, and Queueing Theory" (2nd ed.
1990), 5.3, for Allen-Cunneen; L. Kleinrock, "Queueing Systems, Volume 1" (1975), 3.2 and 5.7, for distributions of
M/M/1."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from math import exp, expm1, log

import numpy as np
from hansa_control.domain.queueing import erlang_b, erlang_c
from scipy.optimize import brentq
from scipy.special import pdtrc

from hansa_sim.engines.model import SECOND_NS

TERM_LEAST = 1e-13
"""Where Crommelin's sum ends."""

TERMS = 512
"""Terms of it that are computed at once."""


@dataclass(frozen=True, slots=True)
class Station:
    """Poisson arrivals of ``rate_rps`` at ``servers`` equal servers, ``mean_ns`` of service with squared coefficient of
    variation ``scv``. Raises ValueError on a value that has no meaning."""

    rate_rps: float
    mean_ns: float
    servers: int = 1
    scv: float = 1.0

    def __post_init__(self) -> None:
        if not (self.rate_rps > 0 and self.mean_ns > 0 and self.servers >= 1 and self.scv >= 0):
            raise ValueError(
                f"no station has {self.rate_rps} rps, {self.mean_ns} ns, {self.servers} servers, {self.scv}"
            )

    @property
    def load_erlangs(self) -> float:
        return self.rate_rps * self.mean_ns / SECOND_NS

    @property
    def utilisation(self) -> float:
        """Share of the servers' time that is asked for; unstable from 1 on."""
        return self.load_erlangs / self.servers


def mean_wait_ns(station: Station) -> float:
    """Mean wait by Allen-Cunneen: exact for M/M/c and M/G/1. Raises ValueError where it is unstable."""
    _refuse_unstable(station)
    busy = erlang_c(station.load_erlangs, station.servers)
    return busy * station.mean_ns / (station.servers - station.load_erlangs) * (1 + station.scv) / 2


def mean_wait_deterministic_ns(station: Station) -> float:
    """Mean wait of M/D/c, exact (Crommelin). Raises ValueError where it is unstable.

    Every c-th request goes to the same server, so that M/D/c waits as E_c/D/1; by Spitzer's identity the mean is D
    times the sum over l of P(N >= lc) - c/a P(N >= lc + 1), where N is Poisson of mean la and a the offered load.
    """
    _refuse_unstable(station)
    load, servers, total = station.load_erlangs, station.servers, 0.0
    for first in count(1, TERMS):
        at = np.arange(first, first + TERMS)
        terms = pdtrc(at * servers - 1, at * load) - servers / load * pdtrc(at * servers, at * load)
        total += float(terms.sum())
        if terms[-1] < TERM_LEAST * max(total, TERM_LEAST):
            break
    return station.mean_ns * total


def wait_percentile_ns(station: Station, percent: float) -> float:
    """Percentile of the wait of M/M/c, exact; 0 where fewer wait. Raises ValueError where it is unstable."""
    _refuse_unstable(station)
    late, busy = 1 - percent / 100, erlang_c(station.load_erlangs, station.servers)
    return log(busy / late) * station.mean_ns / (station.servers - station.load_erlangs) if busy > late else 0.0


def sojourn_percentile_ns(station: Station, percent: float) -> float:
    """Percentile of wait and service together of M/M/c, exact. Raises ValueError where it is unstable."""
    _refuse_unstable(station)
    late = 1 - percent / 100
    if station.servers == 1:
        return -log(late) * station.mean_ns / (1 - station.load_erlangs)
    high = station.mean_ns
    while _sojourn_beyond(station, high) > late:
        high *= 2
    return float(brentq(lambda time_ns: _sojourn_beyond(station, time_ns) - late, 0.0, high, xtol=1e-3))


def lost_share(station: Station) -> float:
    """Share of requests that find no free server where none may wait (Erlang B), however service varies."""
    return erlang_b(station.load_erlangs, station.servers)


def _sojourn_beyond(station: Station, time_ns: float) -> float:
    """P(wait + service > time): service alone, or service and an exponential wait after a full house."""
    busy, spare = erlang_c(station.load_erlangs, station.servers), station.servers - station.load_erlangs - 1
    units = time_ns / station.mean_ns
    grown = units if abs(spare) < 1e-9 else -expm1(-units * spare) / spare
    return exp(-units) * (1 + busy * grown)


def _refuse_unstable(station: Station) -> None:
    if station.utilisation >= 1:
        raise ValueError(f"{station.load_erlangs} erlangs at {station.servers} servers: the queue grows without bound")
