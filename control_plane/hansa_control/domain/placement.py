"""Deciding: a pure function of a request and a snapshot.

Filters run on every zone and keep every reason; what is left is ranked by score. Nothing here acts, waits or looks at
a clock. ``judge`` answers which zones and in which order, which is what placing needs; ``explain`` puts the same
judgement into words, for people and for the record.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hansa_control.domain.feasibility import Verdicts, judge_zones
from hansa_control.domain.model import Choice, Decision, Rejection, ScoreTerm, WorkloadSpec, ZoneId
from hansa_control.domain.relaxation import nearest_fix
from hansa_control.domain.scoring import Scores
from hansa_control.domain.snapshot import Snapshot

EVIDENCED_MAX = 8
"""Choices, from the best, that carry what the filters measured; the others carry their score and paths."""


@dataclass(frozen=True, slots=True)
class PlacementRequest:
    """What is to be decided: a workload, for its home operator, without the zones that were tried already.

    with_fix asks for the nearest fix too, which costs a few more filter runs.
    """

    spec: WorkloadSpec
    home: str
    exclude: frozenset[ZoneId] = frozenset()
    with_fix: bool = True


class Judgement:
    """Which zones may and which is best, before anything is put into words."""

    def __init__(self, request: PlacementRequest, verdicts: Verdicts) -> None:
        self.request = request
        self.verdicts = verdicts
        self.scores = Scores(verdicts, request.home)
        for zone in request.exclude:
            row = verdicts.question.snapshot.index.get(zone)
            if row is not None:
                self.scores.total[row] = -np.inf

    def choices(self, count: int) -> tuple[Choice, ...]:
        """The best zones with their scores and paths, best first, ties by zone id; without evidence."""
        return self._choices(self.scores.best(count), evidenced=0)

    def _choices(self, rows: list[int], evidenced: int) -> tuple[Choice, ...]:
        """Choices of some rows, the first of them with what the filters measured."""
        verdicts, zones, names = self.verdicts, self.verdicts.columns.zones, tuple(self.scores.terms)
        columns = [self.scores.terms[name][rows].tolist() for name in names]
        terms = [tuple(map(ScoreTerm, names, values)) for values in zip(*columns, strict=True)]
        return tuple(
            Choice(
                zones[row].id,
                score,
                terms[n],
                verdicts.reach.latencies(row),
                verdicts.pool(row),
                verdicts.passed(row) if n < evidenced else (),
            )
            for n, (row, score) in enumerate(zip(rows, self.scores.total[rows].tolist(), strict=True))
        )

    def explained(self) -> Decision:
        """The decision in full: all choices, every reason for every other zone, the nearest fix."""
        request, snapshot = self.request, self.verdicts.question.snapshot
        rows = self.scores.best(len(self.verdicts.columns))
        choices = self._choices(rows, EVIDENCED_MAX)
        rejections = self._rejections()
        fix = nearest_fix(self.verdicts, rejections) if request.with_fix else ""
        evaluated = len(self.verdicts.columns) - sum(zone in snapshot.index for zone in request.exclude)
        return Decision(choices, rejections, evaluated, snapshot.generation, fix)

    def _rejections(self) -> tuple[Rejection, ...]:
        rejections, exclude = self.verdicts.rejections(), self.request.exclude
        return rejections if not exclude else tuple(found for found in rejections if found.zone not in exclude)


def judge(request: PlacementRequest, snapshot: Snapshot, now_ms: int) -> Judgement:
    """Evaluates and ranks. Excluded zones count as if they were not there. now_ms is wall-clock time (UTC), against
    which facts are read.
    """
    return Judgement(request, judge_zones(request.spec, snapshot, now_ms, request.home))


def decide(request: PlacementRequest, snapshot: Snapshot, now_ms: int) -> Decision:
    """Ranks the zones that satisfy every constraint and says why each other one does not.

    Choices come best first, ties by zone id; rejections come by zone id and then in the order of the filters.
    elapsed_us is the caller's.
    """
    return judge(request, snapshot, now_ms).explained()
