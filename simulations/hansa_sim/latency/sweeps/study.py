"""A sweep from beginning to end: what is finished stays, what is not is played, all of it becomes records in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from hansa_sim.latency.records import Record
from hansa_sim.latency.scenario_changes import Change
from hansa_sim.latency.scenario_file import check_changes, value_of
from hansa_sim.latency.sweeps.bundle import Bundle, bundled, code_digest, point_digest
from hansa_sim.latency.sweeps.journal import Journal
from hansa_sim.latency.sweeps.playing import Outcome, Status, Task

JOURNAL = "journal.jsonl"

Points = Sequence[tuple[Change, ...]]


class ClusterError(RuntimeError):
    """A cluster that cannot be reached, or settings for it that cannot be used."""


class Engine(Protocol):
    """Plays points somewhere, and tells of each as it is done, in any order."""

    def play(self, bundle: Bundle, tasks: Sequence[Task]) -> Iterator[Outcome]: ...


@dataclass(frozen=True, slots=True)
class Sofar:
    """How far a sweep is: points that are finished, of how many, and how many of them were finished before."""

    done: int
    total: int
    before: int


Watch = Callable[[Sofar], None]


@dataclass(frozen=True, slots=True)
class Swept:
    """A sweep that is done: its points with their outcomes, in the order of the grid; ``before`` were finished when it
    began, ``unused`` are in the journal for other scenarios or other code."""

    bundle: Bundle
    points: tuple[tuple[Change, ...], ...]
    outcomes: tuple[Outcome, ...]
    before: int
    unused: int

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that were changed, in the order of the grid."""
        return tuple(change.key for change in self.points[0])

    @property
    def values(self) -> list[tuple[Any, ...]]:
        """The values of the keys at each point: all of a key's are numbers, or all are texts."""
        columns = [_alike([changes[at].text for changes in self.points]) for at in range(len(self.keys))]
        return list(zip(*columns, strict=True)) if columns else [() for _ in self.points]

    def count(self, status: Status) -> int:
        """How many points came out so."""
        return sum(outcome.status is status for outcome in self.outcomes)


def swept(scenario: Path, points: Points, out: Path, engine: Engine, watch: Watch = lambda _: None) -> Swept:
    """Plays the points that ``out`` does not have yet. ScenarioError where the scenario as it is, or a key, is wrong;
    JournalBusy where another sweep writes there; a value that cannot be is the outcome of its points.
    """
    bundle = bundled(scenario)
    check_changes(scenario, list(dict.fromkeys(change for changes in points for change in changes)))
    tasks = [Task(at, changes, point_digest(bundle, changes)) for at, changes in enumerate(points)]
    with Journal(out / JOURNAL) as journal:
        found = {task.digest: journal.finished[task.digest] for task in tasks if task.digest in journal.finished}
        before, unused = len(found), len(journal.finished) - len(found)
        watch(Sofar(before, len(tasks), before))
        for outcome in engine.play(bundle, [task for task in tasks if task.digest not in found]):
            journal.add(_of_this_code(outcome))
            found[outcome.digest] = _of_this_code(outcome)
            watch(Sofar(len(found), len(tasks), before))
    return Swept(bundle, tuple(points), tuple(found[task.digest] for task in tasks), before, unused)


def records_of(done: Swept) -> list[Record]:
    """A record for each row of each point, and one for a point that has none: number, values, status, row."""
    found: list[Record] = []
    for number, (values, outcome) in enumerate(zip(done.values, done.outcomes, strict=True), 1):
        head: Record = {"point": number, **dict(zip(done.keys, values, strict=True))}
        head |= {"status": outcome.status.value, "error": outcome.error}
        found += [{**head, **row} for row in outcome.rows or ({},)]
    return found


def _of_this_code(outcome: Outcome) -> Outcome:
    if outcome.code == code_digest():
        return outcome
    said = "its worker has another version of hansa or of numpy, scipy or topohub than this process"
    return Outcome(outcome.digest, Status.FAILED, said, code=outcome.code)


def _alike(texts: Sequence[str]) -> list[Any]:
    try:
        values = [value_of(text) for text in texts]
    except yaml.YAMLError:
        return list(texts)
    kinds = {type(value) for value in values}
    if kinds <= {int, float}:
        return values if len(kinds) == 1 else [float(value) for value in values]
    return values if kinds == {str} else list(texts)
