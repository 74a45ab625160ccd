"""What a decision comes to: where a workload would run, with how many replicas and for whose traffic.

Two decisions with the same answer may differ in scores, paths or figures; whoever expects an answer is served by both.
"""

from __future__ import annotations

from typing import NamedTuple

from hansa_control.domain.model import Decision, ZoneId


class Part(NamedTuple):
    """A zone's part: replicas, and the share of each access point in the order of the spec, thousandths."""

    zone: ZoneId
    replicas: int
    share_permille: tuple[int, ...]


class Answer(NamedTuple):
    """The parts by zone id; none where nothing fits."""

    parts: tuple[Part, ...]

    def __str__(self) -> str:
        """For people: ``nordavind/oslo-1 x 2, skargard/gbg-1 x 1``, with shares where there are several zones."""
        if not self.parts:
            return "infeasible"
        alone = len(self.parts) == 1
        return ", ".join(f"{part.zone} x {part.replicas}{'' if alone else _shares(part)}" for part in self.parts)


def answer_of(decision: Decision) -> Answer:
    """The answer of a decision; feasible zones that do not add up to a plan are no answer."""
    assignments = decision.plan.assignments if decision.plan else ()
    parts = (Part(at.zone, at.replicas, at.share_permille) for at in assignments)
    return Answer(tuple(sorted(parts)))


def _shares(part: Part) -> str:
    return f" ({'/'.join(f'{share / 10:g}' for share in part.share_permille)} %)"
