"""What an operator promises its partners and app teams at every instant, seen from outside: leases, one of each, moves
without a gap, and the law of what is decided and of what stands by.

Like the rest of the watching it works with the records and with what really runs, not with the code under test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from hansa_control.application.control_plane import ControlPlane
from hansa_control.application.ports import StoredDecision
from hansa_control.domain.model import (
    AccessLatency,
    Claim,
    ClaimState,
    ConditionStatus,
    Decision,
    OnChange,
    Placement,
    PlacementState,
    ResidencyPolicy,
    Workload,
    WorkloadState,
    ZoneId,
    ZoneState,
)

from hansa_sim.agents import ZoneNode
from hansa_sim.judging import answers_wholly, batches, is_lawful
from hansa_sim.operators import OperatorNode
from hansa_sim.world import World

EXPIRY_LAG_MS = 1_500
"""How long after the end of its lease a hold may still be there: some ticks, beside the commits that hold them up."""

LIVE = frozenset({PlacementState.STARTING, PlacementState.READY})
BATCHES_LIVE_MAX = 2
"""What users have, and what is to replace it."""


class Promises:
    """Checks operators and zones of a world, and tells ``break_`` what does not hold."""

    def __init__(self, world: World, break_: Callable[[str], None], law_lag_us: int) -> None:
        self._world = world
        self._break = break_
        self._law_lag_us = law_lag_us
        self._planes: dict[str, ControlPlane] = {}
        self._homes: dict[tuple[str, str], ZoneId] = {}
        self._claims: dict[str, dict[tuple[str, str], Claim]] = {}
        self._workloads: dict[tuple[str, str], Workload] = {}
        self._decisions: dict[tuple[str, str], StoredDecision] = {}
        networks = [operator.profile.network for operator in world.operators.values()]
        self._countries = {node.name: node.country for nodes, _ in networks for node in nodes}
        self._ways = {frozenset((link.node_a, link.node_b)) for _, links in networks for link in links}

    def check_zones(self, zones: Iterable[ZoneNode]) -> None:
        """No replica of a claim runs twice, and nobody ends what answers while its claim is in force."""
        running: set[tuple[str, str]] = set()
        for zone in zones:
            for instance in zone.machine.running():
                replica = (instance.order.claim, instance.order.instance.rpartition("-")[2])
                if replica in running:
                    self._break(f"replica {replica[1]} of claim {replica[0]} runs twice")
                running.add(replica)
            self._check_ended(zone)

    def _check_ended(self, zone: ZoneNode) -> None:
        asked, zone.machine.asked_to_end = zone.machine.asked_to_end, []
        plane = self._world.plane(zone.id.operator)
        claims = plane.world.claims_in(zone.id.zone) if plane else ()
        serving = {(claim.name, claim.fencing_token) for claim in claims if claim.state is ClaimState.SERVING}
        for instance in asked:
            if (instance.order.claim, instance.order.fencing_token) in serving:
                self._break(f"{zone.name} is to end {instance.order.instance}, whose claim is serving")

    def check_operator(self, operator: OperatorNode, plane: ControlPlane) -> None:
        """Everything that one operator's records tell."""
        if self._planes.get(operator.name) is not plane:
            self._planes[operator.name] = plane
            self._forget_unkept(operator.name)
        for claim in plane.state.claims.values():
            self._check_lease(operator, claim)
            self._check_one_place(operator.name, claim)
        for key, workload in plane.state.workloads.items():
            before = self._workloads.get((operator.name, key))
            if before is not workload:
                self._check_batches(workload)
                if before is not None and before.uid == workload.uid:
                    self._check_move(before, workload)
                self._workloads[(operator.name, key)] = workload
        for key, stored in plane.state.recent_decisions.items():
            if self._decisions.get((operator.name, key)) is not stored:
                self._decisions[(operator.name, key)] = stored
                self._check_decision(key, stored.decision)
        self._claims[operator.name] = {(claim.home, claim.name): claim for claim in plane.state.claims.values()}

    def _forget_unkept(self, name: str) -> None:
        """A control plane that starts again knows what was durable; what it had not kept was never promised."""
        self._claims.pop(name, None)
        self._homes = {key: place for key, place in self._homes.items() if place.operator != name}
        self._workloads = {key: workload for key, workload in self._workloads.items() if key[0] != name}

    # --- claims ---

    def _check_lease(self, operator: OperatorNode, claim: Claim) -> None:
        """A hold that nobody confirms is gone soon after its lease."""
        if claim.state is not ClaimState.HELD or operator.process is None or operator.process.frozen:
            return
        late_ms = operator.clock.monotonic_ms() - claim.lease_until_ms
        # A tick waits for its commit, which may wait for the one before: each pauses twice.
        if late_ms > EXPIRY_LAG_MS + 4 * operator.pause_us_max // 1_000:
            self._break(f"{operator.name} still holds {claim.name} of {claim.home} {late_ms} ms after its lease")

    def _check_one_place(self, owner: str, claim: Claim) -> None:
        """A claim, which is one request for so many replicas, is never granted in two places."""
        place = ZoneId(owner, claim.zone)
        if self._homes.setdefault((claim.home, claim.name), place) != place:
            self._break(f"claim {claim.name} is in {place} and in {self._homes[(claim.home, claim.name)]}")

    # --- workloads ---

    def _check_batches(self, workload: Workload) -> None:
        """Nothing is placed more often than once beside what it is to replace."""
        live = [placement for placement in workload.placements if placement.state in LIVE]
        numbers = {placement.batch for placement in live}
        if len(numbers) > BATCHES_LIVE_MAX:
            self._break(f"{workload.id} is placed {len(numbers)} times at once")
        for number in numbers:
            parts = [placement for placement in live if placement.batch == number]
            if len(parts) > parts[0].batch_parts:
                self._break(f"{workload.id} has {len(parts)} parts of {parts[0].batch_parts} in batch {number}")

    def _check_move(self, before: Workload, after: Workload) -> None:
        """Who gives up a batch that answers has another one that does, unless there is to be none."""
        if after.state is WorkloadState.DELETING or before.spec.residency.on_change is OnChange.TERMINATE:
            return
        if any(answers_wholly(parts) for parts in batches(after).values()):
            return
        kept = {placement.claim for placement in after.placements if placement.state is not PlacementState.RELEASING}
        for parts in batches(before).values():
            given_up = [part for part in parts if part.claim not in kept]
            if answers_wholly(parts) and given_up and all(self._answers(part) for part in parts):
                self._break(f"{after.id} gives up {given_up[0].zone}, which answers, before anything else does")

    def _answers(self, placement: Placement) -> bool:
        """Whether a placement really answers and its owner knows it: the zone is heard, the claim was serving, all its
        instances are ready.
        """
        zone, owner = self._world.zone(placement.zone), self._world.plane(placement.zone.operator)
        heard = owner is not None and any(
            known.id == placement.zone and known.state is not ZoneState.LOST for known in owner.world.own_zones()
        )
        claims = self._claims.get(placement.zone.operator, {})
        held = next((claim for (_, name), claim in claims.items() if name == placement.claim), None)
        ready = [i for i in zone.machine.running() if i.is_ready and i.order.claim == placement.claim]
        return heard and held is not None and held.state is ClaimState.SERVING and len(ready) >= placement.replicas

    # --- the law of what is decided ---

    def _check_decision(self, key: str, decision: Decision) -> None:
        """What is chosen, what is planned and what stands by: all of it is lawful, with the ways that lead there."""
        policy = decision.policy
        if policy is None:
            return
        for what, zone, latencies in _considered(decision):
            node = self._world.zones.get(str(zone))
            facts = node.facts_since(self._law_lag_us) if node else []
            if not any(is_lawful(policy, told) for told in facts):
                self._break(f"{key} has {zone} as {what}, which its policy forbids")
            for latency in latencies:
                self._check_way(f"{key} to {zone}", policy, latency)

    def _check_way(self, what: str, policy: ResidencyPolicy, latency: AccessLatency) -> None:
        """A way leads over links that there are, and through no country that the policy forbids."""
        for path in (latency.path, latency.return_path):
            steps = pairwise(path)
            if any(frozenset(step) not in self._ways for step in steps):
                self._break(f"{what}: there is no such way as {' '.join(path)}")
            crossed = {country for node in path if (country := self._countries.get(node))}
            if policy.transit is not None and policy.transit.countries.refused(crossed):
                self._break(f"{what}: the way {' '.join(path)} crosses {', '.join(sorted(crossed))}")

    # --- when all is calm ---

    def unlawful_and_untold(self, name: str, plane: ControlPlane) -> Iterator[str]:
        """Where something runs against its policy although nobody says so."""
        for workload in plane.state.workloads.values():
            told = {condition.type: condition.status for condition in workload.conditions}
            for placement in workload.placements:
                facts = self._world.zone(placement.zone).profile.facts
                lawful = is_lawful(workload.spec.residency, facts)
                if not lawful and told.get("Lawful") is not ConditionStatus.FALSE:
                    yield f"{name}: {workload.id} runs in {placement.zone} against its policy, and nobody says so"


def _considered(decision: Decision) -> Iterator[tuple[str, ZoneId, tuple[AccessLatency, ...]]]:
    for choice in decision.choices:
        yield "a choice", choice.zone, choice.latencies
    for assignment in decision.plan.assignments if decision.plan else ():
        yield "a part of its plan", assignment.zone, assignment.latencies
        if assignment.fallback is not None:
            yield "a fallback", assignment.fallback, ()
