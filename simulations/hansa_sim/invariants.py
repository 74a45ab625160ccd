"""What must always hold, seen by somebody who sees everything at once; and what must hold once all is calm.

``Watcher.look`` is called before each jump of virtual time after which something may have changed. It tells changes to
the trace and collects what is broken. What it knows of law and capacity it reads from the zones' own profiles and
works out by itself, not with the code under test.
"""

from __future__ import annotations

from collections.abc import Iterator

from hansa_control.application.control_plane import ControlPlane
from hansa_control.application.queries import Endpoint
from hansa_control.domain.model import (
    Claim,
    Placement,
    PlacementState,
    Workload,
    WorkloadState,
)

from hansa_sim.accounts import Accounts
from hansa_sim.agents import ZoneNode
from hansa_sim.judging import answers_in_part, answers_wholly, batches, is_lawful, shown, within
from hansa_sim.promises import Promises
from hansa_sim.world import World

LAW_LAG_US = 10_000_000
"""How long an operator may go on believing facts that the owner has changed: an offer's time to live, and the way."""

NOTICE_US = 10_000_000
"""How long an operator may take to notice that an instance in its own zone has ended."""


LOOK_EVERY_US = 500_000
"""What must happen by itself, such as the end of a lease, is looked for as time passes."""

WHOLE_PERMILLE = 1_000


class Watcher:
    """Watches a world. ``broken`` lists each broken invariant once, with the virtual time at which it broke."""

    def __init__(self, world: World) -> None:
        self.broken: list[str] = []
        self.look_count = 0
        self._looked_us = 0
        self._world = world
        self._told: set[str] = set()
        self._seen: dict[tuple[str, str], Workload] = {}
        self._served: dict[tuple[str, str], int] = {}
        self._events: dict[str, int] = {}
        self._tokens: dict[str, int] = {}
        self._planes: dict[str, ControlPlane] = {}
        self._since_us: dict[str, int] = {}
        self._promises = Promises(world, self.break_, LAW_LAG_US)
        self._accounts = Accounts()

    def look(self) -> None:
        """Checks everything that must hold at any time, if anything may have changed or time has passed."""
        now_us = self._world.loop.now_us
        if not self._world.is_dirty and now_us - self._looked_us < LOOK_EVERY_US:
            return
        self._world.is_dirty, self._looked_us = False, now_us
        self.look_count += 1
        for zone in self._world.zones.values():
            self._check_machine(zone)
        self._promises.check_zones(self._world.zones.values())
        for name, operator in self._world.operators.items():
            if operator.plane is not None:
                self._check_operator(name, operator.plane)

    def break_(self, what: str) -> None:
        """Notes a broken invariant."""
        if what not in self._told:
            self._told.add(what)
            self.broken.append(f"at {self._world.loop.now_us / 1_000_000:.6f} s: {what}")
            self._world.trace.add("BROKEN", what)

    # --- zones ---

    def _check_machine(self, zone: ZoneNode) -> None:
        running = [instance.amount for instance in zone.machine.running()]
        if not within(running, zone.profile.inventory.capacity):
            self.break_(f"{zone.name} really runs more than it has: {len(running)} instances")
        for claim, token in zone.machine.started:
            if token < self._tokens.get(claim, 0):
                self.break_(f"{zone.name} starts {claim} with token {token} after {self._tokens[claim]}")
            self._tokens[claim] = token
        zone.machine.started.clear()

    def _check_operator(self, name: str, plane: ControlPlane) -> None:
        if self._planes.get(name) is not plane:
            self._forget_unkept(name)
            self._planes[name] = plane
            self._since_us[name] = self._world.loop.now_us
        for zone in self._world.operators[name].profile.zones:
            claims = plane.world.claims_in(zone.id.zone)
            if not within([claim.amount for claim in claims], zone.inventory.capacity):
                self.break_(f"{zone.id} is oversold: {len(claims)} claims")
            self._check_covered(self._world.zone(zone.id), claims)
        self._accounts.see(name, plane)
        self._tell_events(name, plane)
        for key, workload in plane.state.workloads.items():
            self._check_workload((name, key), workload)
        self._check_acknowledged(name, plane)
        self._promises.check_operator(self._world.operators[name], plane)

    def _forget_unkept(self, name: str) -> None:
        """A control plane that starts again knows what was durable; what it had not kept was never promised."""
        self._seen = {key: workload for key, workload in self._seen.items() if key[0] != name}
        self._served = {key: attempt for key, attempt in self._served.items() if key[0] != name}

    def _check_covered(self, zone: ZoneNode, claims: tuple[Claim, ...]) -> None:
        """What runs holds capacity: its claim is in its owner's ledger, and has not been freed."""
        known = {(claim.name, claim.fencing_token) for claim in claims}
        for instance in zone.machine.running():
            if (instance.order.claim, instance.order.fencing_token) not in known:
                self.break_(f"{zone.name} runs {instance.order.instance}, whose claim was freed")

    # --- workloads ---

    def _tell_events(self, name: str, plane: ControlPlane) -> None:
        events = plane.state.events
        last = self._events.get(name, 0)
        newest = max(map(int, events), default=0)
        for sequence in range(min(last, newest) + 1, newest + 1):
            event = events.get(f"{sequence:016d}")
            if event is not None and sequence > last:
                self._world.trace.add(name, f"{event.workload} {event.reason}: {event.message}")
        self._events[name] = newest

    def _check_workload(self, key: tuple[str, str], workload: Workload) -> None:
        before = self._seen.get(key)
        if before is workload:
            return
        self._seen[key] = workload
        if before is not None and before != workload and before.uid == workload.uid:
            self._check_revision(key, before, workload)
        self._tell_workload(key, before, workload)
        known = {placement.claim for placement in before.placements} if before is not None else set()
        for placement in workload.placements:
            if placement.claim not in known:
                self._check_lawful(workload, placement)
        self._check_served(key, workload)

    def _check_revision(self, key: tuple[str, str], before: Workload, after: Workload) -> None:
        if after.revision <= before.revision:
            self.break_(f"{key[1]} changed at revision {before.revision} without a new one")
        if before.state is WorkloadState.DELETING is not after.state:
            self.break_(f"{key[1]} came back from being deleted: {after.state}")
        if after.generation < before.generation:
            self.break_(f"{key[1]} went back to the spec of generation {after.generation}")

    def _tell_workload(self, key: tuple[str, str], before: Workload | None, after: Workload) -> None:
        told = f"{key[1]} {after.state} {shown(after)}"
        if before is None or told != f"{key[1]} {before.state} {shown(before)}":
            self._world.trace.add(key[0], told)

    def _check_lawful(self, workload: Workload, placement: Placement) -> None:
        zone = self._world.zone(placement.zone)
        if not any(is_lawful(workload.spec.residency, facts) for facts in zone.facts_since(LAW_LAG_US)):
            self.break_(f"{workload.id} is placed in {placement.zone}, which its policy forbids")
        rule = workload.spec.residency.transit
        crossed = {country for latency in placement.latencies for country in latency.countries}
        if rule is not None and rule.countries.refused(crossed):
            self.break_(f"{workload.id} in {placement.zone} is reached through {sorted(crossed)}")

    def _check_served(self, key: tuple[str, str], workload: Workload) -> None:
        whole = [batch for batch, parts in batches(workload).items() if answers_wholly(parts)]
        if len(whole) > 1:
            self.break_(f"{workload.id} is served by {len(whole)} batches at once")
        endpoint = self._world.endpoint(key[0], workload.id)
        if endpoint is None:
            return
        self._check_alive(key[0], workload, endpoint)
        self._check_shares(workload, endpoint)
        claims = {zone.claim for zone in endpoint.zones}
        told = {placement.batch for placement in workload.placements if placement.claim in claims}
        if len(told) > 1 or (whole and told != set(whole)):
            self.break_(f"{workload.id} is told to answer from batches {sorted(told)} while {whole} answer wholly")
        if min(told) < self._served.get((key[0], workload.uid), 0):
            self.break_(f"{workload.id} is served by {endpoint.claim} after a later batch")
        self._served[(key[0], workload.uid)] = min(told)

    def _check_shares(self, workload: Workload, endpoint: Endpoint) -> None:
        """All requests of an access point go somewhere, and none of them twice."""
        given: dict[str, int] = {}
        for zone in endpoint.zones:
            for name, share in zone.shares:
                given[name] = given.get(name, 0) + share
        wrong = {name: share for name, share in given.items() if share != WHOLE_PERMILLE}
        if wrong:
            self.break_(f"{workload.id} is told shares that do not add up: {wrong}")

    def _check_alive(self, operator: str, workload: Workload, endpoint: Endpoint) -> None:
        """An operator does not go on telling an endpoint in its own zone that ended long ago."""
        now_us = self._world.loop.now_us
        for told in endpoint.zones:
            zone = self._world.zone(told.zone)
            if zone.id.operator != operator:
                continue
            for url in told.urls:
                ended_us = max(zone.machine.ended_us.get(url, now_us), self._since_us[operator])
                if now_us - ended_us > NOTICE_US:
                    self.break_(f"{workload.id} is told to answer at {url}, which ended long ago")

    def _check_acknowledged(self, name: str, plane: ControlPlane) -> None:
        for (operator, workload), promise in self._world.acknowledged.items():
            if operator != name:
                continue
            held = plane.state.workloads.get(str(workload))
            if held is None and not promise.deleted:
                self.break_(f"{workload} was accepted and is not known any more")
            if promise.deleted and held is not None and held.state is not WorkloadState.DELETING:
                self.break_(f"the deletion of {workload} was accepted and is forgotten: {held.state}")

    # --- when all is calm ---

    def unsettled(self) -> Iterator[str]:
        """What is still on its way; nothing once all is calm."""
        for zone in self._world.zones.values():
            if zone.process is None:
                yield f"{zone.name} has no agent"
        for name, operator in self._world.operators.items():
            if operator.plane is None:
                yield f"{name} has no control plane"
            else:
                yield from self._unsettled_at(name, operator.plane)
        yield from self._accounts.wrong(self._world.operators)

    def _unsettled_at(self, name: str, plane: ControlPlane) -> Iterator[str]:
        states = {
            WorkloadState.RUNNING: {PlacementState.READY},
            WorkloadState.UNPLACEABLE: set[PlacementState](),
        }
        for key, workload in plane.state.workloads.items():
            placed = [placement.state for placement in workload.placements]
            if workload.state not in states or set(placed) != states[workload.state] or len(batches(workload)) > 1:
                yield f"{name}: {key} is {workload.state} {shown(workload)}"
            elif not any(placement.generation == workload.generation for placement in workload.placements):
                choices = plane.decider.decide(workload.spec).choices
                if choices and (workload.spec.zones.maximum == 1 or plane.decider.decide(workload.spec).plan):
                    yield f"{name}: {key} is {workload.state} {shown(workload)}, although {choices[0].zone} fits"
            elif answers_in_part(workload) and plane.decider.decide_anew(workload, ()).plan is not None:
                # The whole batch that is to replace what is left needs room beside it; without, it stays in part.
                yield f"{name}: {key} answers in part, {shown(workload)}, although there is a plan for all of it"
        placements = self._placements()
        for claim in plane.state.claims.values():
            if (claim.home, claim.name, claim.fencing_token) not in placements:
                yield f"{name}: claim {claim.name} of {claim.home} is {claim.state} and belongs to no placement"
        yield from self._unsettled_zones(name, placements)
        yield from self._promises.unlawful_and_untold(name, plane)

    def _placements(self) -> set[tuple[str, str, int]]:
        return {
            (name, placement.claim, placement.fencing_token)
            for name, operator in self._world.operators.items()
            if operator.plane is not None
            for workload in operator.plane.state.workloads.values()
            for placement in workload.placements
        }

    def _unsettled_zones(self, name: str, placements: set[tuple[str, str, int]]) -> Iterator[str]:
        known = {(claim, token) for _, claim, token in placements}
        for zone in self._world.zones.values():
            if zone.id.operator != name:
                continue
            for instance in zone.machine.running():
                if (instance.order.claim, instance.order.fencing_token) not in known:
                    yield f"{zone.name} runs {instance.order.instance}, which belongs to no placement"

    def check_calm(self) -> None:
        """What must hold once all is calm: each workload runs exactly once, and its endpoint is where it runs."""
        for what in self.unsettled():
            self.break_(f"not settled: {what}")
        for name, operator in self._world.operators.items():
            for workload in operator.plane.state.workloads.values() if operator.plane else ():
                self._check_runs_once(name, workload)
        for (operator_name, workload_id), promise in self._world.acknowledged.items():
            if promise.deleted and self._world.workload(operator_name, workload_id) is not None:
                self.break_(f"{workload_id} was deleted and is still there")

    def _check_runs_once(self, name: str, workload: Workload) -> None:
        running = [
            instance
            for zone in self._world.zones.values()
            for instance in zone.machine.running()
            if instance.order.workload == str(workload.id) and instance.order.claim.startswith(f"c{workload.uid[:16]}-")
        ]
        wanted = sum(placement.replicas for placement in workload.placements)
        if len(running) != wanted:
            self.break_(f"{workload.id} is {workload.state} with {len(running)} running instances, not {wanted}")
        endpoint = self._world.endpoint(name, workload.id)
        told = sorted(url for zone in endpoint.zones for url in zone.urls) if endpoint else []
        if told != sorted(instance.url for instance in running if instance.is_ready):
            self.break_(f"{workload.id} is told to answer at {told}, which is not where it runs")
