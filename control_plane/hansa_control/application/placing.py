"""Acting on a decision: its choices, best first, or its plan as a whole, until owners grant what they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hansa_control.application.deciding import Decider
from hansa_control.application.holding import Holder, Part
from hansa_control.application.ports import (
    Clock,
    StoredDecision,
    Table,
)
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.domain.model import (
    Choice,
    Decision,
    Plan,
    Rejection,
    Workload,
    ZoneId,
)
from hansa_control.domain.planning import part_of


@dataclass(frozen=True, slots=True)
class Placed:
    """What came of placing: the workload as it is now, and whether some owner granted and confirmed."""

    workload: Workload
    granted: bool
    decision: Decision


class Placer:
    """Tries the choices of a decision one after another, never two at once."""

    def __init__(
        self,
        settings: Settings,
        state: State,
        deciding: tuple[Decider, Holder],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._state = state
        self._decider, self.holder = deciding
        self._clock = clock
        self._kept: tuple[Decision, StoredDecision] | None = None

    async def place(self, workload: Workload, exclude: Mapping[ZoneId, Rejection]) -> Placed:
        """Decides without the excluded zones, then holds and confirms with owners until the workload is placed."""
        if workload.spec.zones.maximum > 1:
            return await self._place_in_several(workload, exclude)
        decision = self._with_excluded(self._decider.decide_anew(workload, exclude), exclude)
        refused: list[Rejection] = []
        deadline_ms = self._deadline_ms()
        for choice in decision.choices[: self._settings.choices_tried_max]:
            if choice.zone.operator != self._settings.operator and refused and self._is_over(deadline_ms):
                continue  # an own zone needs no waiting
            workload, outcome, _ = await self.holder.take(workload, [self._whole(workload, choice)], deadline_ms)
            if not outcome:
                self._keep(workload, self._with_refusals(decision, refused))
                return Placed(workload, granted=True, decision=decision)
            refused.extend(outcome)
        decision = self._with_refusals(decision, refused)
        self._keep(workload, decision)
        return Placed(workload, granted=False, decision=decision)

    async def _place_in_several(self, workload: Workload, exclude: Mapping[ZoneId, Rejection]) -> Placed:
        """All parts of a plan or none: where an owner refuses its part, the others are given back and another plan is
        made without that zone. No more owners are asked than choices may be tried, but for those of a first plan.
        """
        refused: list[Rejection] = []
        asked, most, deadline_ms = 0, self._settings.choices_tried_max, self._deadline_ms()
        while True:
            decision = self._decide_without(workload, exclude, refused)
            plan = decision.plan
            if plan is None or asked >= most or (asked and asked + len(plan.assignments) > most):
                break
            if asked and self._is_over(deadline_ms):
                break
            workload, outcome, holds = await self.holder.take(workload, self._shares(workload, plan), deadline_ms)
            if not outcome:
                self._keep(workload, decision)
                return Placed(workload, granted=True, decision=decision)
            asked += max(holds, 1)
            refused.extend(outcome)
        decision = replace(decision, plan=None, nearest_fix="" if decision.plan else decision.nearest_fix)
        self._keep(workload, decision)
        return Placed(workload, granted=False, decision=decision)

    def _deadline_ms(self) -> int:
        """Until when, monotonic, owners are asked for this placement: one deadline for all of them together."""
        return self._clock.monotonic_ms() + self._settings.placing_deadline_ms

    def _is_over(self, deadline_ms: int) -> bool:
        return self._clock.monotonic_ms() >= deadline_ms

    def _decide_without(
        self, workload: Workload, exclude: Mapping[ZoneId, Rejection], refused: list[Rejection]
    ) -> Decision:
        """A decision without the zones that are excluded or have refused; both are told among its rejections."""
        told = {**exclude, **{rejection.zone: rejection for rejection in refused}}
        decision = self._with_excluded(self._decider.decide_anew(workload, told), told)
        others = tuple(rejection for rejection in refused if told[rejection.zone] is not rejection)
        return replace(decision, rejections=decision.rejections + others)

    def _whole(self, workload: Workload, choice: Choice) -> Part:
        spec = self._decider.laws.enforced(workload.spec, workload.id.tenant)
        replicas = choice.replicas or spec.replicas
        asked = spec if replicas == spec.replicas else replace(spec, replicas=replicas, replicas_max=0)
        return Part(choice.zone, asked, (), choice.latencies, choice.pool)

    def _shares(self, workload: Workload, plan: Plan) -> list[Part]:
        spec = self._decider.laws.enforced(workload.spec, workload.id.tenant)
        return [
            Part(one.zone, part_of(spec, one), one.share_permille, one.latencies, one.pool) for one in plan.assignments
        ]

    @staticmethod
    def _with_excluded(decision: Decision, exclude: Mapping[ZoneId, Rejection]) -> Decision:
        """A zone that was not asked is told with its reason, like any other that does not get the workload."""
        if not exclude:
            return decision
        told = tuple(rejection for _, rejection in sorted(exclude.items()))
        return replace(
            decision, rejections=decision.rejections + told, zones_evaluated=decision.zones_evaluated + len(told)
        )

    def _with_refusals(self, decision: Decision, refused: list[Rejection]) -> Decision:
        if not refused:
            return decision
        zones = {rejection.zone for rejection in refused}
        choices = tuple(choice for choice in decision.choices if choice.zone not in zones)
        plan = decision.plan
        if plan is not None and any(assignment.zone in zones for assignment in plan.assignments):
            plan = None
        return replace(decision, choices=choices, rejections=decision.rejections + tuple(refused), plan=plan)

    def _keep(self, workload: Workload, decision: Decision) -> None:
        """Keeps every choice and every rejection; what the filters measured is kept of the first choices alone."""
        if self._kept is None or self._kept[0] is not decision:
            full = self._settings.choices_evidenced_max
            rest = tuple(replace(choice, passed=()) if choice.passed else choice for choice in decision.choices[full:])
            kept = replace(decision, choices=decision.choices[:full] + rest)
            self._kept = decision, StoredDecision(kept, self._clock.wall_ms())
        self._decider.records.stored(decision.digest)
        self._state.put(Table.DECISION, str(workload.id), self._kept[1])
