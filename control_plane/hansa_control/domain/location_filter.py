"""The filter on places: whether a zone can be where it says, by what was measured and by its network node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hansa_control.domain.claim_groups import FOREVER_MS, steady_between
from hansa_control.domain.columns import Standing
from hansa_control.domain.filters import Mask, Question
from hansa_control.domain.locations import Sighting, applies_to, check_location, sightings_of
from hansa_control.domain.model import ConstraintResult, NetworkNode, Rejection, ZoneId
from hansa_control.domain.residency import Finding
from hansa_control.domain.snapshot import Measured


class Location:
    """Whether each zone can stand where it says; asked by every policy that asks where zones are."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._applies = applies_to(question.spec.residency)
        self.failing: Mask = (
            _view(question).refused if self._applies else np.zeros(len(question.columns), dtype=np.bool_)
        )

    def refuse(self, rows: Sequence[int]) -> Iterator[tuple[int, Rejection]]:
        """What refutes the places of the zones of these rows."""
        for row in rows:
            zone = self._question.columns.zones[row]
            for found in _findings(self._question, _view(self._question).sightings, row):
                if found.reason is not None:
                    yield row, Rejection(zone.id, found.reason, found.result)

    def passed(self, row: int) -> Iterable[ConstraintResult]:
        """What could have refuted the zone's place and did not."""
        if not self._applies:
            return []
        findings = _findings(self._question, _view(self._question).sightings, row)
        return [found.result for found in findings if found.reason is None]


class _View(NamedTuple):
    """What is known of the places of all zones, for the very nodes and probes, and the span in which it stays."""

    nodes: Sequence[NetworkNode]
    measured: Measured
    since_ms: int
    until_ms: int
    sightings: Mapping[ZoneId, tuple[Sighting, ...]]
    refused: Mask

    def is_of(self, question: Question) -> bool:
        same = self.nodes is question.network.nodes and self.measured is question.snapshot.measured
        return same and self.since_ms <= question.now_ms < self.until_ms


def _view(question: Question) -> _View:
    kept, key = question.columns.standing.kept, ("places", question.own)
    known: _View | None = kept.get(key)
    if known is None or not known.is_of(question):
        known = _seen(question)
        kept.keep(key, known)
    return known


def _seen(question: Question) -> _View:
    standing, network, measured = question.columns.standing, question.network, question.snapshot.measured
    probes = measured.probes if question.snapshot.places_checked else ()
    nodes = {node.name: node for node in network.nodes} if probes else {}
    sightings = sightings_of(question.own, standing.zones, nodes, probes)
    spans = [steady_between(zone.facts, question.now_ms) for zone in standing.zones]
    refused = [
        any(found.reason is not None for found in _findings(question, sightings, row))
        for row in range(len(standing.zones))
    ]
    return _View(
        network.nodes,
        measured,
        max((since for since, _ in spans), default=0),
        min((until for _, until in spans), default=FOREVER_MS),
        sightings,
        np.array(refused, dtype=np.bool_),
    )


def _findings(question: Question, sightings: Mapping[ZoneId, tuple[Sighting, ...]], row: int) -> tuple[Finding, ...]:
    standing: Standing = question.columns.standing
    zone = standing.zones[row]
    node = question.network.node(zone.inventory.node)
    return check_location(zone, node, sightings.get(zone.id, ()), question.now_ms)
