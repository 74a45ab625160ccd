"""What links add to a path, against sampled sums of delays: conservative over the families that docs/latency.md names.

Every case is seeded. A link's own percentiles are those of its sample, so that only the sum is a matter of chance.
Run as a script it prints the table of docs/latency.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pytest
from hansa_control.domain.arcs import added_to_path, path_columns
from hansa_control.domain.model import LatencyBasis, RoundTrip
from numpy.typing import NDArray
from scipy import stats

SAMPLES = 20_000
NOISE = 0.99
PERCENTILES = (50, 95, 99)
Floats = NDArray[np.float64]
Delay = Callable[[Floats], Floats]
"""From a standard normal variable to a delay with a scale of about one."""

_GRID = np.linspace(-6, 6, 4_001)


def gamma(shape: float) -> Delay:
    quantiles = stats.gamma.ppf(stats.norm.cdf(_GRID), shape)
    return lambda z: np.interp(z, _GRID, quantiles)


def lognormal(sigma: float) -> Delay:
    return lambda z: np.exp(sigma * z)


def spikes(share: float, height: float = 20.0) -> Delay:
    """Nearly steady, and now and then, as often as share says, many times as slow."""
    threshold = stats.norm.ppf(1 - share)
    return lambda z: np.where(z > threshold, height, np.exp(0.2 * z))


FAMILIES: dict[str, Delay] = {
    "exponential": gamma(1.0),
    "gamma, shape 2": gamma(2.0),
    "gamma, shape 4": gamma(4.0),
    **{f"lognormal, sigma {sigma}": lognormal(sigma) for sigma in (0.1, 0.3, 0.6, 1.0, 1.25, 1.5)},
}
OUTSIDE: dict[str, Delay] = {
    "gamma, shape 0.5": gamma(0.5),
    "spikes, 1 % of the time": spikes(0.01),
    "spikes, 4 % of the time": spikes(0.04),
}


class Sampled(NamedTuple):
    """Of one path: what the sum of its parts' percentiles is, what is counted with, and what was sampled."""

    plain_us: Floats
    counted_us: Floats
    sampled_us: Floats


def sampled_path(delay: Delay, scales_us: Floats, correlation: float, seed: int) -> Sampled:
    """Parts with these scales; the first stands for the attachment, which adds its own percentiles."""
    stream = np.random.default_rng(seed)
    common = stream.standard_normal((1, SAMPLES))
    apart = stream.standard_normal((len(scales_us), SAMPLES))
    parts = delay(np.sqrt(correlation) * common + np.sqrt(1 - correlation) * apart) * scales_us[:, None]
    own = np.percentile(parts, PERCENTILES, axis=1)
    rtts = [RoundTrip(*(int(us) for us in column), LatencyBasis.MODELLED) for column in own.T]
    added = [rtts[0], *(added_to_path(rtt) for rtt in rtts[1:])]
    counted = np.array([sum(rtt.at(p) for rtt in added) for p in PERCENTILES], dtype=np.float64)
    return Sampled(own.sum(axis=1), counted, np.percentile(parts.sum(axis=0), PERCENTILES))


def paths(delay: Delay) -> Iterator[Sampled]:
    """2 to 30 parts; alike, or of very different size with the attachment the largest or the smallest."""
    for number, count in enumerate((2, 3, 6, 12, 30)):
        for scales in (np.full(count, 1e6), np.geomspace(1e7, 1e5, count), np.geomspace(1e5, 1e7, count)):
            for correlation in (0.0, 0.3, 1.0):
                yield sampled_path(delay, scales, correlation, seed=number)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_counted_with_is_never_faster_than_what_is_sampled(family: str) -> None:
    for path in paths(FAMILIES[family]):
        assert (path.counted_us >= path.sampled_us * NOISE).all(), path


def test_so_it_is_on_paths_whose_links_are_of_different_families() -> None:
    stream = np.random.default_rng(4)
    for seed in range(40):
        count = int(stream.integers(2, 31))
        delays = [list(FAMILIES.values())[at] for at in stream.integers(0, len(FAMILIES), count)]
        scales = 10 ** stream.uniform(5, 7, count)

        def mixed(z: Floats, delays: list[Delay] = delays) -> Floats:
            return np.stack([delay(row) for delay, row in zip(delays, z, strict=True)])

        path = sampled_path(mixed, scales, float(stream.choice((0.0, 0.3))), seed)
        assert (path.counted_us >= path.sampled_us * NOISE).all(), path


def test_delays_that_rise_and_fall_together_have_high_percentiles_that_add_up_exactly() -> None:
    for delay in FAMILIES.values():
        path = sampled_path(delay, np.geomspace(1e5, 1e7, 12), 1.0, seed=3)
        assert path.counted_us[1:] == pytest.approx(path.sampled_us[1:], rel=1e-4)


def test_the_sum_of_medians_is_too_fast_for_skewed_delays_which_is_why_they_are_lifted() -> None:
    path = sampled_path(FAMILIES["exponential"], np.full(10, 1e6), 0.0, seed=1)
    assert path.plain_us[0] == pytest.approx(6.93e6, rel=0.02)
    assert path.sampled_us[0] == pytest.approx(9.67e6, rel=0.02)
    assert path.plain_us[0] < path.sampled_us[0] < path.counted_us[0]


def test_rare_large_spikes_are_not_in_the_figure_as_the_documentation_says() -> None:
    """A percentile says nothing of what is rarer than it; several links together make it common."""
    seldom = sampled_path(OUTSIDE["spikes, 4 % of the time"], np.full(30, 1e6), 0.0, seed=1)
    assert (seldom.counted_us < seldom.sampled_us)[:2].all()
    rarely = sampled_path(OUTSIDE["spikes, 1 % of the time"], np.full(6, 1e6), 0.0, seed=1)
    assert rarely.counted_us[1] < rarely.sampled_us[1]


def test_figures_never_fall_from_one_percentile_to_the_next_and_a_steady_link_adds_what_it_has() -> None:
    stream = np.random.default_rng(9)
    for _ in range(500):
        p50, p95, p99 = (int(us) for us in np.cumsum(stream.integers(0, 50, 3)))
        added = added_to_path(RoundTrip(p50, p95, p99, LatencyBasis.MEASURED, 7, 8))
        assert p50 <= added.p50_us <= p95 == added.p95_us
        assert (added.p99_us, added.basis, added.sample_count, added.observed_at_ms) == (p99, "MEASURED", 7, 8)
        assert added.p50_us == p50 + -(-(p95 - p50) // 5)
        assert path_columns([added, added]).tolist()[1:] == [[p95, p95], [p99, p99]]
    steady = RoundTrip(5, 5, 5, LatencyBasis.PHYSICAL)
    assert added_to_path(steady) == steady


def table() -> Iterator[str]:
    """For each family the smallest and largest ratio of figure to sample, independent and correlated paths alike."""
    for name, delay in {**FAMILIES, **OUTSIDE}.items():
        found = list(paths(delay))
        plain = min(path.plain_us[0] / path.sampled_us[0] for path in found)
        ratios = np.array([path.counted_us / path.sampled_us for path in found])
        cells = [f"{low:.2f} to {high:.2f}" for low, high in zip(ratios.min(axis=0), ratios.max(axis=0), strict=True)]
        yield " | ".join((f"| {name}", f"{plain:.2f}", *cells)) + " |"


if __name__ == "__main__":
    print("\n".join(table()))
