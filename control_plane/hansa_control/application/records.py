"""Decisions get the digest of what they were made of, and what the recent ones were made of is kept for a while.

Kept are the parts of snapshots, which share nearly everything with one another, and never what was worked out from
them.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import NamedTuple

from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import Decision, Reason
from hansa_control.domain.record import Afterwards, DecisionInputs, DecisionRecord, Digests, record_of

RECENT_MAX = 64
"""Decisions of any kind, for a record that is asked for at once."""

SUPPOSED_MAX = 4
"""Decisions in supposed worlds, of which each may bring zones of its own, megabytes of them."""

STORED_MAX = 256
"""Decisions that placed a workload."""


class _Made(NamedTuple):
    inputs: DecisionInputs
    rejection_count: int
    zones_evaluated: int


class Records:
    """What recent decisions were made of, by digest; the oldest is forgotten first, and all of it at a restart."""

    def __init__(self) -> None:
        self._digests = Digests()
        self._recent: OrderedDict[str, _Made] = OrderedDict()
        self._supposed: OrderedDict[str, _Made] = OrderedDict()
        self._stored: OrderedDict[str, _Made] = OrderedDict()

    def sealed(self, inputs: DecisionInputs, decision: Decision) -> Decision:
        """The decision with the digest of its inputs, which are kept."""
        digest = self._digests.of(inputs)
        kept, most = (self._supposed, SUPPOSED_MAX) if inputs.hypothetical else (self._recent, RECENT_MAX)
        _keep(kept, digest, _Made(inputs, len(decision.rejections), decision.zones_evaluated), most)
        return replace(decision, digest=digest)

    def stored(self, digest: str) -> None:
        """The decision of this digest is kept as the one that placed a workload, so its inputs stay longer."""
        made = self._recent.get(digest)
        if made is not None:
            _keep(self._stored, digest, made, STORED_MAX)

    def record(self, decision: Decision) -> DecisionRecord:
        """The record of a decision. RefusalError UNAVAILABLE if what it was made of is not kept any more."""
        kept = (self._stored, self._recent, self._supposed)
        made = next((found for table in kept if (found := table.get(decision.digest)) is not None), None)
        if made is None:
            message = "what this decision was made of is not kept any more (too many since, or a restart); only its"
            raise RefusalError(Reason.UNAVAILABLE, f"{message} digest can be compared: {decision.digest or 'none'}")
        left_out = decision.zones_evaluated - made.zones_evaluated
        return record_of(made.inputs, decision, Afterwards(decision.rejections[made.rejection_count :], left_out))


def _keep(kept: OrderedDict[str, _Made], digest: str, made: _Made, count_max: int) -> None:
    kept[digest] = made
    kept.move_to_end(digest)
    if len(kept) > count_max:
        kept.popitem(last=False)
