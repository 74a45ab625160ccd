"""How much a request demands: time in service at a server of speed 1, drawn from a distribution or a record.

Each has a mean and a squared coefficient of variation, which the closed forms need. What is drawn is rounded to whole
nanoseconds and is at least one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from typing import Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray


class Demand(Protocol):
    """A distribution of demands."""

    @property
    def mean_ns(self) -> float:
        """The mean, ns."""
        ...

    @property
    def scv(self) -> float:
        """Variance over squared mean."""
        ...

    def draw(self, stream: Generator, count: int) -> NDArray[np.int64]:
        """``count`` demands, (count,) ns."""
        ...


@dataclass(frozen=True, slots=True)
class Deterministic:
    """Always the same."""

    mean_ns: float
    scv: float = 0.0

    def draw(self, stream: Generator, count: int) -> NDArray[np.int64]:
        return np.full(count, max(1, round(self.mean_ns)), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Exponential:
    """Without memory: M/M/c."""

    mean_ns: float
    scv: float = 1.0

    def draw(self, stream: Generator, count: int) -> NDArray[np.int64]:
        return _whole(stream.standard_exponential(count) * self.mean_ns)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """The logarithm is normal; given by mean and scv, as measurements are."""

    mean_ns: float
    scv: float

    def __post_init__(self) -> None:
        _check_scv(self.scv)

    def draw(self, stream: Generator, count: int) -> NDArray[np.int64]:
        variance = log(1.0 + self.scv)
        return _whole(stream.lognormal(log(self.mean_ns) - variance / 2, sqrt(variance), count))


@dataclass(frozen=True, slots=True)
class Gamma:
    """Between deterministic (scv 0) and beyond exponential (scv 1); Erlang-k is scv 1/k."""

    mean_ns: float
    scv: float

    def __post_init__(self) -> None:
        _check_scv(self.scv)

    def draw(self, stream: Generator, count: int) -> NDArray[np.int64]:
        return _whole(stream.standard_gamma(1.0 / self.scv, count) * (self.mean_ns * self.scv))


@dataclass(frozen=True, slots=True, eq=False)
class Empirical:
    """Drawn from what was measured, each sample as likely. Raises ValueError if there is none."""

    samples_ns: NDArray[np.int64]

    def __post_init__(self) -> None:
        if not len(self.samples_ns) or self.samples_ns.min() < 1:
            raise ValueError("samples_ns needs one sample at least, and none below 1 ns")

    @property
    def mean_ns(self) -> float:
        return float(self.samples_ns.mean())

    @property
    def scv(self) -> float:
        return float(self.samples_ns.var() / self.mean_ns**2)

    def draw(self, stream: Generator, count: int) -> NDArray[np.int64]:
        return np.asarray(self.samples_ns[stream.integers(0, len(self.samples_ns), count)], dtype=np.int64)


def _check_scv(scv: float) -> None:
    if not scv > 0:
        raise ValueError(f"scv is {scv}; it is above 0 (a demand that never varies is Deterministic)")


def _whole(drawn_ns: NDArray[np.float64]) -> NDArray[np.int64]:
    np.rint(drawn_ns, out=drawn_ns)
    np.maximum(drawn_ns, 1.0, out=drawn_ns)
    return drawn_ns.astype(np.int64)
