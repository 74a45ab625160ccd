"""What a run measured, and whether it can be true.

Everything is counted in integers, so that results neither depend on the order in which requests are counted nor on who
counted them, and may be merged. Little's law (J. D. C. Little, "A proof for the queuing formula L = lambda W", 1961)
and bounds of utilisation are asserted in every run. An overloaded zone is labelled UNSTABLE: its mean would only say
how long was simulated.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines.histogram import percentiles_ns
from hansa_sim.engines.model import Ints, Window
from hansa_sim.engines.timeline import Timeline
from hansa_sim.engines.token_times import TokenTimes

BACKLOG_STEPS = 128
"""Times at which the number of requests in each zone is known, at most."""

GROWS = 1.5
"""A backlog grows where its last quarter is so many times its second."""


class Stability(StrEnum):
    """Whether a zone's figures mean anything."""

    IDLE = "IDLE"
    STABLE = "STABLE"
    UNSTABLE = "UNSTABLE"


class ImpossibleResult(AssertionError):
    """A run contradicts a law that holds for every run: the engine is wrong."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One run. ``C`` classes, ``U`` rows of users, ``Z`` zones, ``B`` buckets (see histogram), ``K`` steps of time.

    Latency is of requests sent within the window and served: ``latency_counts`` (C, B), ``latency_sum_ns`` and
    ``latency_max_ns`` (C,), ``latency_squares`` (C,) float; ``late`` (C,) are those over the run's bound, exactly;
    ``user_served``, ``user_sum_ns`` (U,). ``failed`` (C,) gave
    up, were turned away or found every place down; ``unlawful`` (C,) had ways but no lawful one, ``unreachable`` (C,)
    no way; ``user_lost`` (U,) are all of these. Of tries, ``cut`` (C,) were lost on a way that was no more, ``struck``
    (C,) in a zone that went down, ``retried`` (C,) sent again. ``servers`` (Z,) are those of a zone's peak.
    ``wait_counts`` (Z, B) and ``wait_sum_ns`` (Z,) are waits in zones. ``joined``, ``turned_away`` (Z,) count visits,
    ``sojourn_sum_ns``, ``sojourn_max_ns`` those in zones; ``area_ns`` and ``busy_ns`` (Z,) are requests present
    and servers busy, integrated over the window; ``offered_ns`` (Z,) is the service asked for in it and ``up_ns`` (Z,)
    how long the zone was up. ``backlog`` (Z, K): requests present at every ``backlog_step_ns``.
    ``series_sum_ns``, ``series_served`` (S,): of requests in order of sending, ``series_size`` a batch.
    """

    window: Window
    servers: Ints
    latency_counts: Ints
    latency_sum_ns: Ints
    latency_max_ns: Ints
    late: Ints
    latency_squares: NDArray[np.float64]
    user_served: Ints
    user_sum_ns: Ints
    failed: Ints
    unlawful: Ints
    unreachable: Ints
    cut: Ints
    struck: Ints
    retried: Ints
    user_lost: Ints
    wait_counts: Ints
    wait_sum_ns: Ints
    joined: Ints
    turned_away: Ints
    sojourn_sum_ns: Ints
    sojourn_max_ns: Ints
    area_ns: Ints
    busy_ns: Ints
    offered_ns: Ints
    up_ns: Ints
    backlog: Ints
    backlog_step_ns: int
    series_sum_ns: Ints
    series_served: Ints
    series_size: int
    timeline: Timeline | None = None
    in_spells: Ints = field(default_factory=lambda: np.zeros(2, np.int64))
    """(2,): requests sent in the run's spells, and how many of them were late or lost."""
    tokens: TokenTimes | None = None
    """Of an engine that serves tokens."""

    @property
    def served(self) -> Ints:
        """(C,) requests served."""
        return np.asarray(self.latency_counts.sum(axis=1))

    def mean_latency_ns(self, of_class: int | None = None) -> float:
        """Exact mean, of one class or all; NaN where nothing was served."""
        part = slice(None) if of_class is None else slice(of_class, of_class + 1)
        served = int(self.served[part].sum())
        return int(self.latency_sum_ns[part].sum()) / served if served else float("nan")

    def latency_percentiles_ns(self, percents: list[float], of_class: int | None = None) -> NDArray[np.float64]:
        """Percentiles within 0.4 %, of one class or all; NaN where nothing was served."""
        counts = self.latency_counts.sum(axis=0) if of_class is None else self.latency_counts[of_class]
        return percentiles_ns(counts, percents)

    def without_details(self) -> Measured:
        """The same in a small part of the memory, to be kept of many runs: without series, and with every wait of a
        zone in one bucket, so that its mean and count are left."""
        none = np.zeros(0, np.int64)
        waits = self.wait_counts.sum(axis=1, keepdims=True)
        return replace(self, wait_counts=waits, series_sum_ns=none, series_served=none, timeline=None)

    @property
    def mean_wait_ns(self) -> NDArray[np.float64]:
        """(Z,) mean wait in the queue of each zone, exact; NaN where nobody came."""
        return _over(self.wait_sum_ns, self.wait_counts.sum(axis=1))

    @property
    def utilisation(self) -> NDArray[np.float64]:
        """(Z,) share of the servers' time in the window that was worked, in [0, 1]."""
        return np.asarray(self.busy_ns / (self.servers * float(self.window.length_ns)))

    @property
    def mean_in_system(self) -> NDArray[np.float64]:
        """(Z,) requests present in the mean, waiting and served: L of Little's law."""
        return np.asarray(self.area_ns / self.window.length_ns)

    @property
    def offered_load(self) -> NDArray[np.float64]:
        """(Z,) service asked for over what the zone's servers can do while it is up; NaN where it never is."""
        return _over(self.offered_ns, self.servers * self.up_ns)

    @property
    def stability(self) -> tuple[Stability, ...]:
        """One label for each zone: UNSTABLE where more is asked than can be done, or where the backlog has come to grow
        at the window's end."""
        overloaded = (self.offered_load >= 1.0) | self._grows()
        return tuple(
            Stability.IDLE if not came else Stability.UNSTABLE if bad else Stability.STABLE
            for came, bad in zip(self.joined, overloaded, strict=True)
        )

    def _grows(self) -> NDArray[np.bool_]:
        """(Z,) whether no server was ever free in the last quarter, and more were present than in the second."""
        quarter = max(1, self.backlog.shape[1] // 4)
        early, last = self.backlog[:, quarter : 2 * quarter].mean(axis=1), self.backlog[:, -quarter:]
        never_free, late = (last >= self.servers[:, None]).all(axis=1), last.mean(axis=1)
        return np.asarray(never_free & (late > GROWS * early) & (late > 2 * self.servers), dtype=np.bool_)

    def check(self) -> None:
        """Raises ImpossibleResult where utilisation leaves [0, 1], a backlog is negative, or Little's law is broken.

        Between the time that requests spent in a zone (of those that came in the window) and the area under the number
        present there is only what the present ones at both ends spend outside: at most the longest stay each.
        """
        bad_use = np.asarray((self.busy_ns < 0) | (self.busy_ns > self.servers * self.window.length_ns))
        _refuse(bad_use, "utilisation outside [0, 1]", self.utilisation)
        _refuse(np.asarray((self.backlog < 0).any(axis=1)), "fewer than no requests present", self.backlog.min(axis=1))
        ends = (self.backlog[:, 0] + self.backlog[:, -1]).astype(np.float64)
        apart = np.abs(self.area_ns.astype(np.float64) - self.sojourn_sum_ns)
        _refuse(apart > ends * self.sojourn_max_ns, "Little's law broken by ns", apart)


def _refuse(where: NDArray[np.bool_], what: str, values: NDArray[np.generic]) -> None:
    if where.any():
        zone = int(np.argmax(where))
        raise ImpossibleResult(f"zone {zone}: {what}: {values[zone]}")


def _over(amount: Ints, count: Ints) -> NDArray[np.float64]:
    return np.asarray(np.divide(amount, count, out=np.full(len(amount), np.nan), where=count > 0))
