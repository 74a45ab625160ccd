"""What the planner is told of an app, whose service takes times of its own or steps of tokens; and recorded arrivals.

The planner knows slots and mean times. A replica that serves tokens is as many slots as requests are in a full batch
(the least over accelerators), and a request takes so many times the work that it is for a full replica: so a replica's
capacity is exact, and times are those of a full batch, which is the longest. Scatter is that of the work. Requests that
fit nowhere are turned away, and count for neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hansa_control.domain.model import ServiceProfile, ServiceTime
from numpy.typing import NDArray

from hansa.spec_service import quantile_us
from hansa_sim.engines.service import Demand, Deterministic, Lognormal
from hansa_sim.engines.streams import generator
from hansa_sim.engines.token_model import TokenDemand, TokenModel, unpacked
from hansa_sim.latency.scenario_file import Loaded
from hansa_sim.latency.scenario_tokens import TokenCountPart, TokensPart
from hansa_sim.latency.trace_file import Trace, TraceFileError, read_trace

Ints = NDArray[np.int64]

SAMPLES = 20_000
"""Requests that are drawn to know a distribution's mean work; from a stream of one name, whatever the seed."""


@dataclass(frozen=True, slots=True)
class PlannedService:
    """What the planner is told; ``scv`` of the time that a request takes."""

    profile: ServiceProfile
    scv: float


def planned_service(loaded: Loaded) -> PlannedService:
    """Of the one app of a scenario. ScenarioError where no request fits, or a trace cannot be read."""
    service = loaded.scenario.app.service
    if service.tokens is None:
        times = tuple(_time(part.accelerator, part.mean_ms * 1_000, service.scv) for part in service.times)
        return PlannedService(ServiceProfile(times, service.concurrency), service.scv)
    models, sample = [part.model() for part in service.tokens.engines], _sample(loaded, service.tokens)
    fits = [model.fits(*sample) for model in models]
    for at, some in enumerate(fits):
        if not some.any():
            least, name = int((sample[0] + sample[1]).min()), loaded.scenario.app.name
            what = f"engines[{at}].kv_tokens of {name!r}: none of its requests fits; they have {least} tokens at least"
            raise loaded.problem("apps", what)
    prompt, generated = (column[np.all(fits, axis=0)] for column in sample)
    slots = min(model.batch_when_full(prompt, generated) for model in models)
    works = [model.work_ps(prompt, generated) for model in models]
    scv = max(float(work.var() / work.mean() ** 2) for work in works)
    names = [part.accelerator for part in service.tokens.engines]
    means = [slots * float(work.mean()) / 1e6 for work in works]
    times = tuple(_time(name, mean_us, scv) for name, mean_us in zip(names, means, strict=True))
    return PlannedService(ServiceProfile(times, slots), scv)


def models_by_accelerator(tokens: TokensPart) -> dict[str, TokenModel]:
    """Token models by the accelerator that they are for; the first of equals."""
    return {part.accelerator: part.model() for part in reversed(tokens.engines)}


def token_demand(tokens: TokensPart, planned: PlannedService) -> TokenDemand:
    """The distribution of a request's tokens; a single token where a trace tells them."""
    mean_ns = min(time.mean_us for time in planned.profile.times) * 1_000.0
    return TokenDemand(_counts(tokens.prompt), _counts(tokens.generated), mean_ns, planned.scv)


def trace_of(loaded: Loaded) -> Trace | None:
    """The requests that a scenario's arrivals name, as fast as it says. ScenarioError where they cannot be read."""
    arrivals = loaded.scenario.arrivals
    if arrivals.file is None:
        return None
    try:
        return read_trace(loaded.path.parent / arrivals.file).faster(arrivals.speed)
    except TraceFileError as error:
        raise loaded.problem("arrivals.file", str(error)) from error


def _sample(loaded: Loaded, tokens: TokensPart) -> tuple[Ints, Ints]:
    trace = trace_of(loaded)
    if trace is not None:
        return trace.prompt, trace.generated
    both = TokenDemand(_counts(tokens.prompt), _counts(tokens.generated), 0.0, 0.0)
    return unpacked(both.draw(generator(0, "planned-tokens"), SAMPLES))


def _counts(part: TokenCountPart | None) -> Demand:
    if part is None:
        return Deterministic(1.0)
    return Lognormal(part.mean, part.scv) if part.scv else Deterministic(part.mean)


def _time(accelerator: str, mean_us: float, scv: float) -> ServiceTime:
    mean, scv_permille = round(mean_us), round(scv * 1_000)
    p95_us, p99_us = (quantile_us(mean, scv_permille, percent) for percent in (95, 99))
    return ServiceTime(accelerator, mean, p95_us, p99_us, scv_permille)
