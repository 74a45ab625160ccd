"""Simulations from Python, for notebooks: results as data frames, and as the report where they are shown.

::

    from hansa_sim.notebook import simulate, sweep

    results = simulate("scenario.yaml", seed=7, changes={"users.oslo.requests_per_s": 200})
    results.to_frame()                     # a row of each policy; zones_frame(), points_frame() likewise
    results                                # the report, in a notebook
    sweep("scenario.yaml", {"run.seed": range(1, 9), "users.oslo.requests_per_s": [100, 200]}, out="sweep").to_frame()
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hansa_sim.latency.frames import frame_of
from hansa_sim.latency.records import Record, point_records, row_records, zone_records
from hansa_sim.latency.report import report_of
from hansa_sim.latency.results import Results, as_json
from hansa_sim.latency.run import run_scenario, runnable_world
from hansa_sim.latency.scenario_changes import Change, ChangeError
from hansa_sim.latency.scenario_file import load_scenario
from hansa_sim.latency.sweeps.grid import Axis, points_of
from hansa_sim.latency.sweeps.page import page_of_sweep
from hansa_sim.latency.sweeps.study import Engine, Swept, records_of, swept
from hansa_sim.latency.sweeps.summary import summary_of
from hansa_sim.latency.sweeps.workers import Processes

if TYPE_CHECKING:
    from polars import DataFrame

FRAME_HEIGHT_PX = 900
Values = str | int | float | bool | Mapping[str, Any] | list[Any] | None


@dataclass(frozen=True)
class Simulation:
    """What came of a scenario. Frames are polars' (``pip install 'hansa[sim-frames]'``); records need nothing."""

    results: Results

    @cached_property
    def rows(self) -> list[Record]:
        """A record of each row of the table; a figure with an interval has half its width beside it."""
        return row_records(self.results)

    def row(self, policy: str, view: str = "together") -> Record:
        """The record of a policy; KeyError where it was not compared."""
        for record in self.rows:
            if (record["policy"], record["view"]) == (policy, view):
                return record
        raise KeyError(f"no row of {policy}, {view}; there are {', '.join(record['row'] for record in self.rows)}")

    def to_frame(self) -> DataFrame:
        """The rows; FramesMissing without polars, and so the other frames."""
        return frame_of(self.rows)

    def zones_frame(self) -> DataFrame:
        """A row for each zone under each policy: replicas, share, utilisation, wait, whether it is stable."""
        return frame_of(zone_records(self.results))

    def points_frame(self) -> DataFrame:
        """A row for each access point under each policy: its zone and mean latency, or why nobody serves it."""
        return frame_of(point_records(self.results))

    def to_json(self) -> dict[str, Any]:
        """What ``results.json`` has."""
        return as_json(self.results)

    @property
    def report(self) -> str:
        """The report as one HTML page."""
        return report_of(self.results)

    def _repr_html_(self) -> str:
        return framed(self.report)


@dataclass(frozen=True)
class Sweep:
    """A sweep that is done: a record for each row of each point, with the values of the keys."""

    done: Swept

    @cached_property
    def rows(self) -> list[Record]:
        """In the order of the grid; a point without a result has a record with its status and error."""
        return records_of(self.done)

    def to_frame(self) -> DataFrame:
        """The rows; FramesMissing without polars."""
        return frame_of(self.rows)

    def page(self, least: str = "mean_ms") -> str:
        """Best settings and charts of a figure as one HTML page."""
        return page_of_sweep(self.done, summary_of(self.done, least), Path(self.done.bundle.name).stem)

    def _repr_html_(self) -> str:
        return framed(self.page())


def simulate(
    scenario: str | Path,
    *,
    seed: int | None = None,
    requests: int | None = None,
    changes: Mapping[str, Values] | None = None,
) -> Simulation:
    """Runs a scenario file. ``changes`` puts values at keys, as ``--set`` does; ``seed`` and ``requests`` are short for
    ``run.seed`` and ``run.requests``. ScenarioError says what is wrong with file or changes.
    """
    given: dict[str, Values] = dict(changes or {})
    if seed is not None:
        given["run.seed"] = seed
    if requests is not None:
        given |= {"run.duration_s": None, "run.requests": requests}
    loaded = load_scenario(Path(scenario), [Change(key, _text(value)) for key, value in given.items()])
    return Simulation(run_scenario(runnable_world(loaded)))


def sweep(
    scenario: str | Path,
    grid: Mapping[str, Iterable[Values]],
    out: str | Path,
    *,
    jobs: int = 1,
    engine: Engine | None = None,
) -> Sweep:
    """Plays every combination of the grid's values and keeps them in the folder ``out``; what is finished there is not
    played again. More than one of ``jobs`` starts processes: a script that does so keeps its own work under
    ``if __name__ == "__main__"``. ``engine`` plays elsewhere, such as ``sweeps.dask_cluster.DaskCluster``.
    ScenarioError, ChangeError, JournalBusy as the command's.
    """
    axes = [_axis(key, values) for key, values in grid.items()]
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    return Sweep(swept(Path(scenario), points_of(axes), folder, engine or Processes(jobs)))


def _axis(key: str, values: Iterable[Values]) -> Axis:
    steps = tuple((Change(key, _text(value)),) for value in values)
    if not steps:
        raise ChangeError(f"{key} has no values")
    return Axis(steps)


def framed(page: str) -> str:
    """A page in a frame, so that its style and a notebook's leave one another alone."""
    text = page.replace("&", "&amp;").replace('"', "&quot;")
    return f'<iframe srcdoc="{text}" style="width:100%;height:{FRAME_HEIGHT_PX}px;border:0" sandbox=""></iframe>'


def _text(value: Values) -> str:
    """The value as YAML, of which JSON is a part."""
    return json.dumps(value)
