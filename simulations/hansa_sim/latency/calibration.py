"""Calibrates the token model on what a server noted: two shares of a device's speed, found by replaying the arrivals.

Nothing else is fitted: what is read and computed follows from the model's shape and the device's facts
(``token_facts``). The shares are those at which the replayed times from arrival to last token come nearest to the seen
ones, in squares of their ratio's logarithm (J. A. Nelder and R. Mead, "A simplex method", 1965).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from hansa_sim.engines.token_model import TokenModel
from hansa_sim.engines.tokens import answers_of
from hansa_sim.latency.served_file import Served
from hansa_sim.latency.token_facts import DeviceFacts, Limits, ModelShape, Shares, model_from

Floats = NDArray[np.float64]

STARTS = ((2.0, 2.0), (1.0, 1.0), (3.0, 1.0))
"""Where searches begin, in logits of the shares."""

PERCENT = 95

REQUESTS_MIN = 100
"""Of fewer the shares say little. Fitted to the first so many of two real runs of 300, the mean of the whole run was
missed by 34 and 125 % (20), 12 and 92 % (40), 4 and 35 % (100), 1 and 13 % (200)."""


@dataclass(frozen=True, slots=True)
class Server:
    """What served: a model on a device with its limits."""

    shape: ModelShape
    device: DeviceFacts
    limits: Limits

    def model(self, shares: Shares) -> TokenModel:
        """The token model at some shares."""
        return model_from(self.shape, self.device, shares, self.limits)


@dataclass(frozen=True, slots=True)
class Errors:
    """A replay against what was seen, as shares of it: mean and 95th percentile of the time from arrival to last token,
    mean of the time to the first, and the mean distance of single requests."""

    mean: float
    p95: float
    first_mean: float
    single: float


def calibrate(served: Served, server: Server) -> Shares:
    """The shares at which the server's replay is nearest to what was seen; ValueError for too few requests."""
    if len(served.prompt) < REQUESTS_MIN:
        count = f"{len(served.prompt)} request{'s' if len(served.prompt) > 1 else ''}"
        raise ValueError(f"{count} to fit to; {REQUESTS_MIN} are the least, and a few hundred are better")

    def distance(logits: Floats) -> float:
        whole = replay(served, server.model(_shares(logits)))[0]
        return float((np.log(whole / served.whole_ns) ** 2).mean())

    options = {"maxiter": 300, "xatol": 1e-3, "fatol": 1e-8}
    found = [minimize(distance, start, method="Nelder-Mead", options=options) for start in STARTS]
    return _shares(min(found, key=lambda one: float(one.fun)).x)


def replay(served: Served, model: TokenModel) -> tuple[Floats, Floats]:
    """(N,) each: what the model says of the same arrivals, ns from arrival to last and to first token."""
    requests = (served.arrival_ns, served.prompt, served.generated)
    if not model.fits(served.prompt, served.generated).all():
        return np.full(len(served.prompt), np.inf), np.full(len(served.prompt), np.inf)
    _, first, last = answers_of(model, 1, requests).T
    return np.asarray(last - served.arrival_ns, np.float64), np.asarray(first - served.arrival_ns, np.float64)


def errors_of(served: Served, model: TokenModel) -> Errors:
    """How far a model's replay is from what was seen."""
    whole, first = replay(served, model)
    return Errors(
        mean=float(whole.mean() / served.whole_ns.mean() - 1),
        p95=float(np.percentile(whole, PERCENT) / np.percentile(served.whole_ns, PERCENT) - 1),
        first_mean=float(first.mean() / served.to_first_ns.mean() - 1),
        single=float(np.abs(whole / served.whole_ns - 1).mean()),
    )


def _shares(logits: Floats) -> Shares:
    memory, arithmetic = expit(logits)
    return Shares(float(memory), float(arithmetic))
