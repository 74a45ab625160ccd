"""What was answered to plans, so that a submit can be refused that expects an answer which is not given any more."""

from __future__ import annotations

from collections import OrderedDict

from hansa_control.application.ports import RefusalError
from hansa_control.domain.answer import Answer, answer_of
from hansa_control.domain.model import Decision, Reason, WorkloadId, WorkloadSpec

ANSWERS_KEPT_MAX = 1_000


class Expectations:
    """Answers by workload, spec and generation of the snapshot; the oldest is forgotten first, all at a restart."""

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[WorkloadId, WorkloadSpec, int], Answer] = OrderedDict()

    def remember(self, workload: WorkloadId, spec: WorkloadSpec, decision: Decision) -> None:
        """Keeps what a plan answered to a spec as it was asked."""
        key = (workload, spec, decision.snapshot_generation)
        self._answers[key] = answer_of(decision)
        self._answers.move_to_end(key)
        if len(self._answers) > ANSWERS_KEPT_MAX:
            self._answers.popitem(last=False)

    def check(self, workload: WorkloadId, spec: WorkloadSpec, generation: int, now: Decision) -> None:
        """Refuses with GENERATION_CHANGED unless a plan of this spec on ``generation`` had the answer of ``now``."""
        expected = self._answers.get((workload, spec, generation))
        if expected is None:
            message = f"no plan of this spec for {workload} at generation {generation} is remembered; plan again"
            raise RefusalError(Reason.GENERATION_CHANGED, message, "expect_generation")
        answer = answer_of(now)
        if answer != expected:
            was, is_now = f"{expected} at generation {generation}", f"{answer} at {now.snapshot_generation}"
            message = f"the answer for {workload} was {was} and now is {is_now}; plan again"
            raise RefusalError(Reason.GENERATION_CHANGED, message, "expect_generation")
