"""How long a request waits for a free server: M/M/c, M/D/c and M/G/c as closed forms, and how much load a bound allows.

Rates are integer thousandths of a request a second (``millirps``), times integer microseconds, rounded up, so that a
predicted wait is never below what the formula says; the greatest load is rounded down.

Sources. A. K. Erlang, "Solution of some problems in the theory of probabilities of significance in automatic telephone
exchanges" (1917), for loss and delay of M/M/c; L. Kleinrock, "Queueing Systems, Volume 1: Theory" (1975), 3.4-3.5;
A. O. Allen, "Probability, Statistics, and Queueing Theory" (2nd ed. 1990), 5.3, for the Allen-Cunneen approximation of
G/G/c, here with Poisson arrivals: the wait of M/M/c times ``(1 + scv) / 2``. It is exact for M/M/c, and for the mean of
M/G/1 (Pollaczek-Khinchine); elsewhere it is an approximation, in the mean within some percent at high utilisation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, exp, log
from typing import Any

import numpy as np
import scipy  # its parts are loaded when they are first used: a start does without
from numpy.typing import NDArray

_Ints = NDArray[np.int64]
_Erlang = Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]]

MILLIRPS_US = 1_000_000_000
"""Thousandths of a request a second, times microseconds, that keep one server busy."""

SPREADS_BEFORE = 12
"""The error of beginning there is at most ``exp(-12**2 / 2)``, far below what a float can hold."""

EXPONENTIAL_SCV = 1.0
"""Squared coefficient of variation of exponential service: M/M/c."""


@dataclass(frozen=True, slots=True)
class Station:
    """One queue before ``servers`` equal servers; ``scv`` is variance of service over its squared mean.

    Raises ValueError on a service time below one microsecond, no server, or a negative scv.
    """

    service_us: int
    servers: int
    scv: float = EXPONENTIAL_SCV

    def __post_init__(self) -> None:
        for field, value, least in (
            ("service_us", self.service_us, 1),
            ("servers", self.servers, 1),
            ("scv", self.scv, 0),
        ):
            if not value >= least:
                raise ValueError(f"{field} is {value}; the least is {least}")

    @property
    def saturation_millirps(self) -> int:
        """The least integer arrival rate at which every server is always busy: from here on it is unstable."""
        return -(-self.servers * MILLIRPS_US // self.service_us)


@dataclass(frozen=True, slots=True)
class WaitBound:
    """At most ``wait_us_max`` in the queue for ``percentile`` percent of requests, service not counted."""

    percentile: float
    wait_us_max: int

    def __post_init__(self) -> None:
        if not 0 < self.percentile < 100:
            raise ValueError(f"percentile is {self.percentile}; it lies between 1 and 99")
        if self.wait_us_max < 0:
            raise ValueError(f"wait_us_max is {self.wait_us_max}; a wait is never negative")


def offered_load(arrival_millirps: int, service_us: int) -> float:
    """Mean number of busy servers that the load asks for, in erlangs."""
    return arrival_millirps * service_us / MILLIRPS_US


def is_stable(arrival_millirps: int, station: Station) -> bool:
    """Whether utilisation is below one, computed in integers: at one the queue grows without bound."""
    return arrival_millirps * station.service_us < station.servers * MILLIRPS_US


def erlang_b(load_erlangs: float, servers: int) -> float:
    """Share of requests lost when none may wait (Erlang 1917), by the recursion that never forms a factorial.

    Every step towards as many servers as the load shrinks an error by servers over load, so that ``SPREADS_BEFORE``
    standard deviations of the load below it nothing of where the recursion began is left: there it begins.
    """
    first = min(int(_recursion_start(np.float64(load_erlangs))), servers) if load_erlangs < servers else 0
    blocked = 1.0
    for busy in range(first + 1, servers + 1):
        blocked = load_erlangs * blocked / (busy + load_erlangs * blocked)
    return blocked


def _recursion_start(load_erlangs: Any) -> Any:
    """Servers, elementwise, from which Erlang's recursion may begin with 1 for any load below its servers."""
    return np.maximum(np.floor(load_erlangs - SPREADS_BEFORE * np.sqrt(load_erlangs)), 0.0)


def erlang_c(load_erlangs: float, servers: int) -> float:
    """Share of requests that wait at all in M/M/c (Erlang 1917; Kleinrock 1975, 3.4); 1 where it is unstable."""
    if load_erlangs >= servers:
        return 1.0
    return _delayed(erlang_b(load_erlangs, servers), load_erlangs, servers)


def _delayed(blocked: float, load_erlangs: float, servers: int) -> float:
    """Erlang C of Erlang B."""
    return blocked / (1.0 - load_erlangs / servers * (1.0 - blocked))


def mean_wait_us(arrival_millirps: int, station: Station) -> int:
    """Mean time in the queue, microseconds (Allen-Cunneen). Raises ValueError where it is unstable."""
    _check(arrival_millirps, station)
    load = offered_load(arrival_millirps, station.service_us)
    return _mean_us(load, station, erlang_c(load, station.servers))


def _mean_us(load_erlangs: float, station: Station, waits: float) -> int:
    return ceil(waits * _waiting_mean_us(load_erlangs, station))


def wait_percentile_us(arrival_millirps: int, station: Station, percentile: float) -> int:
    """A percentile of the time in the queue, microseconds; 0 where fewer wait at all.

    Who waits, waits an exponential time: exact for M/M/c (Kleinrock 1975, 5.2 gives the one-server case), and the usual
    tail with the Allen-Cunneen mean otherwise. Raises ValueError where it is unstable or on a bad percentile.
    """
    _check(arrival_millirps, station)
    load = offered_load(arrival_millirps, station.service_us)
    return _percentile_us(load, station, erlang_c(load, station.servers), WaitBound(percentile, 0))


def _percentile_us(load_erlangs: float, station: Station, waits: float, bound: WaitBound) -> int:
    late = 1.0 - bound.percentile / 100
    return ceil(_waiting_mean_us(load_erlangs, station) * log(waits / late)) if waits > late else 0


def waits_us(arrival_millirps: int, stations: Sequence[Station], percentile: float | None) -> list[int | None]:
    """The wait at each of several stations, which differ in their servers alone and have ever more of them, under the
    same load: the percentile, or the mean where that is None; None where it is unstable. In one recursion for all.
    """
    bound = WaitBound(percentile, 0) if percentile is not None else None
    waits: list[int | None] = []
    blocked, busy = 1.0, -1
    for station in stations:
        load = offered_load(arrival_millirps, station.service_us)
        if not is_stable(arrival_millirps, station):
            waits.append(None)
            continue
        busy = int(_recursion_start(np.float64(load))) if busy < 0 else busy
        for more in range(busy + 1, station.servers + 1):
            blocked = load * blocked / (more + load * blocked)
        busy = station.servers
        share = _delayed(blocked, load, station.servers) if load < station.servers else 1.0
        us = _mean_us(load, station, share) if bound is None else _percentile_us(load, station, share, bound)
        waits.append(us)
    return waits


def late_share(arrival_millirps: int, station: Station, wait_us: int) -> float:
    """Share of requests that wait longer than that. Raises ValueError where it is unstable."""
    _check(arrival_millirps, station)
    load = offered_load(arrival_millirps, station.service_us)
    mean_us = _waiting_mean_us(load, station)
    return erlang_c(load, station.servers) * (exp(-wait_us / mean_us) if mean_us else float(wait_us <= 0))


def load_max_millirps(station: Station, bound: WaitBound) -> int:
    """The greatest arrival rate at which the station is stable and keeps the bound; 0 where none does."""
    return int(load_max_table(station, bound, 1)[1])


def load_max_table(replica: Station, bound: WaitBound, replicas_max: int) -> NDArray[np.int64]:
    """Greatest arrival rates of 0, 1, ..., ``replicas_max`` replicas behind one queue, millirps, nondecreasing.

    The percentile rises with load and falls with servers. Bisection over integers with Erlang's formula in closed form
    comes within a unit; the recursion then decides, so the answer is exact, and its successor breaks the bound or is
    unstable.
    """
    servers = np.arange(replicas_max + 1, dtype=np.int64) * replica.servers
    top = -(-servers * MILLIRPS_US // replica.service_us)
    guess = _bisect((np.zeros_like(top), top), (servers, replica, bound), _erlang_c_closed)
    below, above = np.maximum(guess - 1, 0), np.minimum(guess + 1, top)
    low = np.where(_keeps(below, (servers, replica, bound), erlang_c_each), below, 0)
    high = np.where(_keeps(above, (servers, replica, bound), erlang_c_each), top, above)
    return np.maximum.accumulate(_bisect((low, high), (servers, replica, bound), erlang_c_each))


def _bisect(between: tuple[_Ints, _Ints], asked: tuple[_Ints, Station, WaitBound], erlang: _Erlang) -> _Ints:
    """The greatest loads that keep the bound, between one that does and one that does not, elementwise."""
    low, high = between
    while (wide := high - low > 1).any():
        middle = np.where(wide, (low + high) // 2, low)
        kept = _keeps(middle, asked, erlang)
        low, high = np.where(wide & kept, middle, low), np.where(wide & ~kept, middle, high)
    return low


def _erlang_c_closed(load_erlangs: NDArray[np.float64], servers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Erlang C from the Poisson distribution (B is its density over its distribution function): many servers at once,
    some digits less than the recursion."""
    density = np.exp(scipy.special.xlogy(servers, load_erlangs) - load_erlangs - scipy.special.gammaln(servers + 1.0))
    blocked = density / np.maximum(scipy.special.pdtr(servers, load_erlangs), 1e-300)
    use = load_erlangs / np.maximum(servers, 1)
    shares = blocked / np.maximum(1.0 - use * (1.0 - blocked), 1e-300)
    return np.where(load_erlangs < servers, shares, 1.0)


def erlang_c_each(load_erlangs: NDArray[np.float64], servers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Erlang C of many stations at once: loads (N,) and servers (N,) to shares (N,); 1 where unstable."""
    blocked = np.ones(len(load_erlangs))
    busy = np.where(load_erlangs < servers, np.minimum(_recursion_start(load_erlangs), servers), servers)
    for _ in range(int((servers - busy).max(initial=0))):
        busy += 1
        carried = load_erlangs * blocked
        blocked = np.where(busy <= servers, carried / (busy + carried), blocked)
    use = np.divide(load_erlangs, servers, out=np.ones(len(load_erlangs)), where=servers > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = blocked / (1.0 - use * (1.0 - blocked))
    return np.where(load_erlangs < servers, shares, 1.0)


def _keeps(millirps: _Ints, asked: tuple[_Ints, Station, WaitBound], erlang: _Erlang) -> NDArray[np.bool_]:
    """Which of the loads keep the bound: percentile <= bound is share of the late <= 1 - percentile, elementwise."""
    servers, replica, bound = asked
    load = millirps * replica.service_us / MILLIRPS_US
    waits, late = erlang(load, servers), 1.0 - bound.percentile / 100
    spare = np.maximum(servers - load, 1e-12)
    mean_us = replica.service_us * (1.0 + replica.scv) / 2 / spare
    tail_us = np.ceil(mean_us * np.log(np.maximum(waits / late, 1.0)))
    return np.asarray((millirps * replica.service_us < servers * MILLIRPS_US) & (tail_us <= bound.wait_us_max))


def _waiting_mean_us(load_erlangs: float, station: Station) -> float:
    """Mean wait of those that wait."""
    return station.service_us / (station.servers - load_erlangs) * (1.0 + station.scv) / 2


def _check(arrival_millirps: int, station: Station) -> None:
    if arrival_millirps < 0:
        raise ValueError(f"arrival_millirps is {arrival_millirps}; a rate is never negative")
    if not is_stable(arrival_millirps, station):
        bound = station.saturation_millirps
        raise ValueError(f"arrival_millirps is {arrival_millirps}; from {bound} on the queue grows without bound")
