"""When enough was run: every interval that counts is as narrow as was asked for, or the most was run.

Replications are added one at a time, to all rows at once, so that policies stay on the same requests (A. M. Law,
"Simulation Modeling and Analysis", 5th ed. 2015, 9.4.1). A rule that looks at the intervals that it waits for stops
a little early, for it prefers samples whose spread came out small; the least number of replications keeps that small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from hansa_sim.engines.confidence import interval
from hansa_sim.engines.measured import Measured, Stability
from hansa_sim.latency.paired import MS_NS, PointSums, sums_of
from hansa_sim.latency.scenario_run import RunPart


@dataclass(frozen=True, slots=True)
class Width:
    """Half an interval's width in percent of the mean that it belongs to, and whose it is."""

    percent: float
    whose: str


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """What a run asks for."""

    run: RunPart

    @property
    def first(self) -> int:
        """Replications before the rule is asked."""
        return self.run.replications if self.run.half_width_percent is None else self.run.replications_min

    def is_content(self, width: Width | None, count: int) -> bool:
        """Whether so many replications are enough; without a sound row, more of them would narrow nothing."""
        wanted = self.run.half_width_percent
        return count >= self.run.replications or wanted is None or width is None or width.percent <= wanted

    def widest(self, rows: Mapping[str, Sequence[Measured]], base: str, groups: int) -> Width | None:
        """The widest interval that counts, of rows that are stable and serve somebody; the first of equals. ``base``
        is the row that differences are taken from, each access point has so many ``groups``.
        """
        sound = {name: measured for name, measured in rows.items() if _is_sound(measured)}
        sums = {name: sums_of(measured, groups) for name, measured in sound.items()}
        widths = [width for name in sound for width in self._widths(name, sound[name], (base, sums))]
        return max(widths, key=lambda width: width.percent, default=None)

    def _widths(
        self, name: str, measured: Sequence[Measured], against: tuple[str, Mapping[str, PointSums]]
    ) -> Iterator[Width]:
        base, sums = against
        means = [one.mean_latency_ns() / MS_NS for one in measured]
        if "mean" in self.run.stop_on:
            yield self._width(means, f"mean of {name}")
        if "p99" in self.run.stop_on:
            p99 = [float(one.latency_percentiles_ns([99])[0]) / MS_NS for one in measured]
            yield self._width(p99, f"p99 of {name}")
        if "difference" in self.run.stop_on and name != base and base in sums:
            of_base = sums[base].mean_beside_ms(sums[name])
            if isfinite(of_base):
                differences = sums[name].differences_ms(sums[base]).tolist()
                yield self._width(differences, f"difference of {name} from {base}", of_base)

    def _width(self, values: Sequence[float], whose: str, of: float | None = None) -> Width:
        found = interval(values, self.run.confidence_percent / 100)
        percent = 100 * found.half_width / (found.mean if of is None else of)
        return Width(percent if isfinite(percent) else 100.0, whose)


def _is_sound(measured: Sequence[Measured]) -> bool:
    """Stable in every replication, with something served in each."""
    return all(one.served.any() and Stability.UNSTABLE not in one.stability for one in measured)
