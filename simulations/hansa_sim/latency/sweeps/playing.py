"""Plays one point of a sweep. What goes wrong with it is its result; nothing of it stops the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from hansa_sim.latency.records import Record, row_records
from hansa_sim.latency.run import run_scenario, runnable_world
from hansa_sim.latency.scenario_changes import Change
from hansa_sim.latency.scenario_file import ScenarioError, load_scenario
from hansa_sim.latency.sweeps.bundle import Bundle, code_digest


class Status(StrEnum):
    """OK: rows. REFUSED: the scenario cannot be that way. FAILED: the simulation broke; the point is tried again when
    the sweep is run again."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Task:
    """A point to be played: its number from 0, its changes, its digest."""

    number: int
    changes: tuple[Change, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a point. ``code`` is the digest of the code that played it."""

    digest: str
    status: Status
    error: str = ""
    rows: tuple[Record, ...] = ()
    code: str = ""


def play(bundle: Bundle, task: Task) -> Outcome:
    """Plays a point, in a folder of its own, so that it can be done on any machine."""
    with TemporaryDirectory(prefix="hansa-point-") as folder, _told(task, bundle, folder) as told:
        world = runnable_world(load_scenario(bundle.write_to(Path(folder)), task.changes))
        told.append(Outcome(task.digest, Status.OK, rows=tuple(row_records(run_scenario(world))), code=code_digest()))
    return told[0]


@contextmanager
def _told(task: Task, bundle: Bundle, folder: str) -> Iterator[list[Outcome]]:
    """Whatever is raised becomes the outcome. Places are named as the user knows them."""
    told: list[Outcome] = []
    try:
        yield told
    except ScenarioError as error:
        what = "; ".join(error.problems).replace(f"{folder}/", f"{bundle.folder}/" if bundle.folder != "." else "")
        told.append(Outcome(task.digest, Status.REFUSED, what, code=code_digest()))
    except Exception as error:
        told.append(Outcome(task.digest, Status.FAILED, f"the simulation itself failed: {error!r}", code=code_digest()))
