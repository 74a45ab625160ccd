"""Acting on a decision: hold with the owner of the best zone, confirm, and keep every step so that a crash loses none.

The intent is durable before a partner is asked; in an own zone it is in one journal with the claim, before it, so
that no crash keeps the claim and loses the intent. What became of an intent that a crash cut off is unknown, so it is
released, never assumed: a claim that the owner does not know is released without harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from hansa_control.application.deciding import Decider
from hansa_control.application.journal import Journal
from hansa_control.application.partners import PartnerIngest
from hansa_control.application.ports import (
    Clock,
    HoldRequest,
    Owner,
    OwnerUnreachable,
    RefusalError,
    Refused,
    StoredDecision,
    Table,
)
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.domain.model import (
    AccessLatency,
    Assignment,
    Choice,
    ClaimStatus,
    ConstraintResult,
    Decision,
    HoldGrant,
    Manifest,
    Placement,
    PlacementState,
    Plan,
    Reason,
    Rejection,
    Workload,
    WorkloadSpec,
    ZoneId,
)
from hansa_control.domain.planning import part_of


@dataclass(frozen=True, slots=True)
class Placed:
    """What came of placing: the workload as it is now, and whether some owner granted and confirmed."""

    workload: Workload
    granted: bool
    decision: Decision


class _Part(NamedTuple):
    """What one zone is asked for, with what is kept of it in the placement."""

    zone: ZoneId
    spec: WorkloadSpec
    share_permille: tuple[int, ...]
    latencies: tuple[AccessLatency, ...]
    pool: str
    batch: int


class Placer:
    """Tries the choices of a decision one after another, never two at once."""

    def __init__(
        self,
        settings: Settings,
        records: tuple[State, Journal, PartnerIngest],
        decider: Decider,
        owners: Mapping[str, Owner],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._state, self._journal, self._partners = records
        self._decider = decider
        self._owners = owners
        self._clock = clock

    async def place(self, workload: Workload, exclude: Mapping[ZoneId, Rejection]) -> Placed:
        """Decides without the excluded zones, then holds and confirms with owners until the workload is placed."""
        if workload.spec.zones.maximum > 1:
            return await self._place_in_several(workload, exclude)
        decision = self._with_excluded(self._decider.decide_anew(workload, exclude), exclude)
        refused: list[Rejection] = []
        for choice in decision.choices[: self._settings.choices_tried_max]:
            workload, outcome = await self._try(workload, self._whole(workload, choice))
            if outcome is None:
                self._keep(workload, self._with_refusals(decision, refused))
                return Placed(workload, granted=True, decision=decision)
            refused.extend(outcome)
        decision = self._with_refusals(decision, refused)
        self._keep(workload, decision)
        return Placed(workload, granted=False, decision=decision)

    async def _place_in_several(self, workload: Workload, exclude: Mapping[ZoneId, Rejection]) -> Placed:
        """All parts of a plan or none: where an owner refuses its part, the others are given back and another plan is
        made without that zone.
        """
        told, refused = dict(exclude), []
        for _ in range(self._settings.choices_tried_max):
            decision = self._with_excluded(self._decider.decide_anew(workload, told), exclude)
            if decision.plan is None:
                break
            workload, outcome = await self._try_all(workload, decision.plan)
            if not outcome:
                self._keep(workload, decision)
                return Placed(workload, granted=True, decision=decision)
            refused.extend(outcome)
            told.update({rejection.zone: rejection for rejection in outcome})
        decision = self._with_refusals(decision, refused)
        self._keep(workload, decision)
        return Placed(workload, granted=False, decision=decision)

    async def _try_all(self, workload: Workload, plan: Plan) -> tuple[Workload, list[Rejection]]:
        """Every part of a plan; as soon as one is refused, why, and what was granted before is given up."""
        batch = workload.attempt + 1
        for assignment in plan.assignments:
            workload, outcome = await self._try(workload, self._share(workload, assignment, batch))
            if outcome is not None:
                for claim in [p.claim for p in workload.placements if p.batch == batch]:
                    workload = self._give_up(workload, claim, f"the plan failed in {assignment.zone}")
                return workload, list(outcome)
        return workload, []

    def _whole(self, workload: Workload, choice: Choice) -> _Part:
        spec = self._decider.laws.enforced(workload.spec, workload.id.tenant)
        replicas = choice.replicas or spec.replicas
        asked = spec if replicas == spec.replicas else replace(spec, replicas=replicas, replicas_max=0)
        return _Part(choice.zone, asked, (), choice.latencies, choice.pool, workload.attempt + 1)

    def _share(self, workload: Workload, assignment: Assignment, batch: int) -> _Part:
        spec = self._decider.laws.enforced(workload.spec, workload.id.tenant)
        shares = assignment.share_permille
        asked = part_of(spec, assignment.replicas, shares)
        return _Part(assignment.zone, asked, shares, assignment.latencies, assignment.pool, batch)

    @staticmethod
    def _with_excluded(decision: Decision, exclude: Mapping[ZoneId, Rejection]) -> Decision:
        """A zone that was not asked is told with its reason, like any other that does not get the workload."""
        told = tuple(rejection for _, rejection in sorted(exclude.items()))
        return replace(
            decision, rejections=decision.rejections + told, zones_evaluated=decision.zones_evaluated + len(told)
        )

    def _with_refusals(self, decision: Decision, refused: list[Rejection]) -> Decision:
        zones = {rejection.zone for rejection in refused}
        choices = tuple(choice for choice in decision.choices if choice.zone not in zones)
        plan = decision.plan
        if plan is not None and any(assignment.zone in zones for assignment in plan.assignments):
            plan = None
        return replace(decision, choices=choices, rejections=decision.rejections + tuple(refused), plan=plan)

    def _keep(self, workload: Workload, decision: Decision) -> None:
        """Keeps every choice and every rejection; what the filters measured is kept of the first choices alone."""
        full = self._settings.choices_evidenced_max
        rest = tuple(replace(choice, passed=()) for choice in decision.choices[full:])
        kept = replace(decision, choices=decision.choices[:full] + rest)
        self._decider.records.stored(decision.digest)
        self._state.put(Table.DECISION, str(workload.id), StoredDecision(kept, self._clock.wall_ms()))

    async def _try(self, workload: Workload, part: _Part) -> tuple[Workload, tuple[Rejection, ...] | None]:
        """One part in one zone: the workload afterwards, and None if granted, else why not."""
        if owed := _owed(workload, part.zone):
            why = f"{owed} is not taken back yet"
            return workload, (_owner_rejection(part.zone, Reason.PARTNER_UNREACHABLE, why),)
        workload, claim = await self._intend(workload, part)
        owner = self._owners.get(part.zone.operator)
        try:
            if owner is None:
                raise OwnerUnreachable(f"no way to {part.zone.operator}")
            return await self._hold_and_confirm(workload, part, claim, owner)
        except OwnerUnreachable as unreachable:
            workload = self._give_up(workload, claim, str(unreachable))
            reason, why = Reason.PARTNER_UNREACHABLE, str(unreachable)
        except RefusalError as refusal:
            workload = self._give_up(workload, claim, refusal.message)
            reason, why = refusal.reason, refusal.message
        self._journal.warning(workload.id, "HoldFailed", f"{part.zone}: {reason}: {why}")
        return workload, (_owner_rejection(part.zone, reason, why),)

    async def _hold_and_confirm(
        self, workload: Workload, part: _Part, claim: str, owner: Owner
    ) -> tuple[Workload, tuple[Rejection, ...] | None]:
        request = HoldRequest(claim, part.zone.zone, part.spec, self._settings.hold_lease_ms)
        outcome = await owner.hold(request)
        if isinstance(outcome, Refused):
            workload = self._drop(workload, claim)
            why = "; ".join(f"{r.reason} {r.result.measured} ({r.result.bound})" for r in outcome.rejections)
            self._journal.warning(workload.id, "HoldRefused", f"{part.zone} refused: {why}")
            return workload, outcome.rejections
        status = await owner.confirm(claim, outcome.fencing_token, self._manifest(workload))
        await self._partners.confirmed(part.zone.operator, status)
        return self._granted(workload, claim, outcome, status), None

    def _manifest(self, workload: Workload) -> Manifest:
        return Manifest(str(workload.id), self._settings.client_ca_pem, (workload.client_id,))

    async def _intend(self, workload: Workload, part: _Part) -> tuple[Workload, str]:
        attempt = workload.attempt + 1
        claim = f"c{workload.uid[:16]}-{attempt}"
        placement = Placement(
            claim=claim,
            zone=part.zone,
            replicas=part.spec.replicas,
            state=PlacementState.HELD,
            latencies=part.latencies,
            endpoint_ca_pem=self._endpoint_ca(part.zone.operator),
            pool=part.pool,
            generation=workload.generation,
            batch=part.batch,
            share_permille=part.share_permille,
        )
        workload = self._journal.record(
            replace(workload, attempt=attempt, placements=(*workload.placements, placement))
        )
        if part.zone.operator != self._settings.operator:
            await self._state.commit()
        return workload, claim

    def _endpoint_ca(self, operator: str) -> bytes:
        if operator == self._settings.operator:
            return self._settings.endpoint_ca_pem
        federation = self._partners.context(operator)
        return federation.endpoint_ca_pem if federation else b""

    def _granted(self, workload: Workload, claim: str, grant: HoldGrant, status: ClaimStatus) -> Workload:
        placement = _placement(workload, claim)
        granted = replace(
            placement,
            state=PlacementState.STARTING,
            fencing_token=grant.fencing_token,
            pool=grant.pool,
            message=status.message,
        )
        self._journal.normal(workload.id, "Placed", f"{placement.zone} granted claim {claim}")
        return self._journal.record(_with_placement(workload, granted))

    def _give_up(self, workload: Workload, claim: str, message: str) -> Workload:
        placement = replace(_placement(workload, claim), state=PlacementState.RELEASING, message=message)
        return self._journal.record(_with_placement(workload, placement))

    def _drop(self, workload: Workload, claim: str) -> Workload:
        return self._journal.record(
            replace(workload, placements=tuple(p for p in workload.placements if p.claim != claim))
        )


def _owed(workload: Workload, zone: ZoneId) -> str:
    """A claim of which the zone's owner has not said that it is released; empty if there is none.

    Asking for another one would leave one more behind at each try, for as long as the owner does not answer.
    """
    given_up = (p for p in workload.placements if p.zone == zone and p.state is PlacementState.RELEASING)
    return next((f"claim {p.claim}" for p in given_up), "")


def _placement(workload: Workload, claim: str) -> Placement:
    return next(placement for placement in workload.placements if placement.claim == claim)


def _with_placement(workload: Workload, placement: Placement) -> Workload:
    placements = tuple(placement if p.claim == placement.claim else p for p in workload.placements)
    return replace(workload, placements=placements)


def _owner_rejection(zone: ZoneId, reason: Reason, why: str) -> Rejection:
    return Rejection(zone, reason, ConstraintResult("OwnerConsent", why, "granted", f"answer of {zone.operator}"))
