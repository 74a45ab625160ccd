"""Closed loops: so many callers, each of which calls again as soon as it is answered. And the rows they come to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypedDict

import numpy as np


class Row(TypedDict):
    """One line of the benchmark's table; floor and ratio are None where there is nothing to compare with."""

    name: str
    value: float
    unit: str
    floor: float | None
    ratio: float | None
    target: float | None
    met: bool | None


@dataclass(frozen=True)
class Run:
    """How long each call took, and all of them together; and the processor's time that the server spent meanwhile."""

    calls_ms: np.ndarray
    seconds: float
    cpu_s: float

    @property
    def cpu_per_1000_s(self) -> float:
        """Steadier than the others on a machine that has other work to do, too."""
        return self.cpu_s / len(self.calls_ms) * 1_000

    @property
    def rate(self) -> float:
        return len(self.calls_ms) / self.seconds

    def percentile_ms(self, percentile: int) -> float:
        return float(np.percentile(self.calls_ms, percentile))

    def __add__(self, other: Run) -> Run:
        calls_ms = np.concatenate([self.calls_ms, other.calls_ms])
        return Run(calls_ms, self.seconds + other.seconds, self.cpu_s + other.cpu_s)


NO_RUN = Run(np.empty(0), 0.0, 0.0)
"""To add others to."""


async def closed_loop(
    call: Callable[[int], Awaitable[object]], count: int, in_flight: int, cpu_s: Callable[[], float] = lambda: 0.0
) -> Run:
    """Calls ``call(0)`` to ``call(count - 1)``, so many at a time. What a call raises ends the run.

    ``cpu_s`` says how many seconds of the processor the server has spent so far.
    """
    numbers = iter(range(count))
    taken_ms: list[float] = []

    async def caller() -> None:
        for number in numbers:
            began_ns = time.perf_counter_ns()
            await call(number)
            taken_ms.append((time.perf_counter_ns() - began_ns) / 1e6)

    began_ns, cpu_before_s = time.perf_counter_ns(), cpu_s()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(caller())
    return Run(np.array(taken_ms), (time.perf_counter_ns() - began_ns) / 1e9, cpu_s() - cpu_before_s)


def row(name: str, value: float, unit: str, floor: float | None = None) -> dict[str, object]:
    ratio = value / floor if floor else None
    return dict(Row(name=name, value=value, unit=unit, floor=floor, ratio=ratio, target=None, met=None))


def at_least(target: float, measured: dict[str, object]) -> dict[str, object]:
    """The row with a target that its value must reach."""
    return {**measured, "target": target, "met": float(str(measured["value"])) >= target}


def at_most(target: float, measured: dict[str, object]) -> dict[str, object]:
    """The row with a target that its value must not exceed."""
    return {**measured, "target": target, "met": float(str(measured["value"])) <= target}


def rows_of(name: str, run: Run, floor: Run) -> list[dict[str, object]]:
    """Rate, median and 99th percentile of a run, each beside that of its floor."""
    return [
        row(f"{name}.rate", run.rate, "1/s", floor.rate),
        *(
            row(f"{name}.p{percentile}", run.percentile_ms(percentile), "ms", floor.percentile_ms(percentile))
            for percentile in (50, 99)
        ),
    ]
