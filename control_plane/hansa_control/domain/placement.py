"""Deciding: a pure function of a request and a snapshot.

Filters run on every zone and keep every reason; what is left is ranked by score. Nothing here acts, waits or looks at
a clock. ``judge`` answers which zones and in which order, which is what placing needs; ``explain`` puts the same
judgement into words, for people and for the record.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from hansa_control.domain.feasibility import Verdicts, judge_zones
from hansa_control.domain.model import Choice, Decision, Plan, Rejection, ScoreTerm, WorkloadSpec, ZoneId
from hansa_control.domain.planning import NoPlan, make_plan
from hansa_control.domain.relaxation import nearest_fix
from hansa_control.domain.scoring import Scores
from hansa_control.domain.snapshot import Snapshot

_SCORE_TERM = partial(tuple.__new__, ScoreTerm)
"""A term from its name and value, many times a decision; what ScoreTerm's own constructor comes to."""

EVIDENCED_MAX = 8
"""Choices, from the best, that carry what the filters measured; the others carry their score and paths."""


@dataclass(frozen=True, slots=True)
class PlacementRequest:
    """What is to be decided: a workload, for its home operator, without the zones that were tried already.

    current are the zones that it runs in, which a move must beat by more than it costs. with_fix asks for the nearest
    fix too, which costs a few more filter runs.
    """

    spec: WorkloadSpec
    home: str
    exclude: frozenset[ZoneId] = frozenset()
    with_fix: bool = True
    current: frozenset[ZoneId] = frozenset()


class Judgement:
    """Which zones may and which is best, before anything is put into words."""

    def __init__(self, request: PlacementRequest, verdicts: Verdicts) -> None:
        self.request = request
        self.verdicts = verdicts
        self.scores = Scores(verdicts, request.home, request.current)
        for zone in request.exclude:
            row = verdicts.question.snapshot.index.get(zone)
            if row is not None:
                self.scores.total[row] = -np.inf

    @cached_property
    def planned(self) -> Plan | NoPlan | None:
        """The joint plan, why there is none although zones are feasible, or None where none is."""
        return make_plan(self.verdicts, self.scores)

    @property
    def plan(self) -> Plan | None:
        return self.planned if isinstance(self.planned, Plan) else None

    @property
    def _unplanned(self) -> str:
        return self.planned.message if isinstance(self.planned, NoPlan) else ""

    def of_better_tier(self, zones: Collection[ZoneId]) -> frozenset[ZoneId]:
        """Zones that may, of a better tier of the ordered preferences than every one of these; none where these, or
        their tiers, are not known.
        """
        tier, index = self.scores.terms.get("tier"), self.verdicts.question.snapshot.index
        if tier is None or not zones or any(zone not in index for zone in zones):
            return frozenset()
        held = max(float(tier[index[zone]]) for zone in zones)
        rows = np.flatnonzero(np.isfinite(self.scores.total) & (tier > held)).tolist()
        return frozenset(self.verdicts.columns.zones[row].id for row in rows)

    def choices(self, count: int) -> tuple[Choice, ...]:
        """The best zones with their scores and paths, best first, ties by zone id; without evidence."""
        return self._choices(self.scores.best(count), evidenced=0)

    def _choices(self, rows: list[int], evidenced: int) -> tuple[Choice, ...]:
        """Choices of some rows, the first of them with what the filters measured."""
        verdicts, zones, names = self.verdicts, self.verdicts.columns.zones, tuple(self.scores.terms)
        at = np.array(rows, dtype=np.int64)
        columns = [self.scores.terms[name][at].tolist() for name in names]
        terms = [tuple(map(_SCORE_TERM, zip(names, values, strict=True))) for values in zip(*columns, strict=True)]
        listed = zip(
            rows, self.scores.total[at].tolist(), verdicts.pools(at), verdicts.replicas[at].tolist(), strict=True
        )
        return tuple(
            [
                Choice(
                    zones[row].id,
                    score,
                    terms[n],
                    verdicts.reach.latencies(row),
                    pool,
                    verdicts.passed(row) if n < evidenced else (),
                    replicas,
                )
                for n, (row, score, pool, replicas) in enumerate(listed)
            ]
        )

    def explained(self) -> Decision:
        """The decision in full: all choices, every reason for every other zone, the nearest fix."""
        request, snapshot = self.request, self.verdicts.question.snapshot
        rows = self.scores.best(len(self.verdicts.columns))
        choices = self._choices(rows, EVIDENCED_MAX)
        rejections = self._rejections()
        fix = nearest_fix(self.verdicts, rejections, request.exclude) if request.with_fix else ""
        evaluated = len(self.verdicts.columns) - sum(zone in snapshot.index for zone in request.exclude)
        margin, pivotal = lead(choices)
        return Decision(
            choices,
            rejections,
            evaluated,
            snapshot.generation,
            self._unplanned or fix,
            plan=self.plan,
            margin=margin,
            pivotal=pivotal,
            policy=request.spec.residency,
        )

    def _rejections(self) -> tuple[Rejection, ...]:
        rejections, exclude = self.verdicts.rejections(), self.request.exclude
        return rejections if not exclude else tuple(found for found in rejections if found.zone not in exclude)


def lead(choices: Sequence[Choice]) -> tuple[float, str]:
    """By how much the first choice beats the second, and the term that decided between them.

    That is the term without which the second would have won, the greatest of them if several; where there is none, the
    term in which the first is ahead most. Nothing and no term where there are not two.
    """
    if len(choices) < 2:
        return 0.0, ""
    first, second = choices[:2]
    margin = round(first.score - second.score, 9)
    ahead = {a.name: a.value - b.value for a, b in zip(first.terms, second.terms, strict=True)}
    return margin, max(sorted(ahead), key=lambda name: ahead[name])


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
