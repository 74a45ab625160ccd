"""Reading: nothing here changes anything."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from hansa_control.application.deciding import Decider
from hansa_control.application.journal import Journal
from hansa_control.application.ports import RefusalError, StoredDecision, StoredGrant
from hansa_control.application.signals import Signal
from hansa_control.application.state import State
from hansa_control.application.workloads import Current, current_of, most_used
from hansa_control.application.world import World
from hansa_control.domain.batches import serving
from hansa_control.domain.model import (
    Decision,
    Event,
    NetworkLink,
    NetworkNode,
    NodeProbe,
    Placement,
    ProbeResult,
    Reason,
    RoundTrip,
    Workload,
    WorkloadId,
    WorkloadSpec,
    WorkloadState,
    Zone,
    ZoneId,
)
from hansa_control.domain.record import DecisionRecord
from hansa_control.domain.routing import fastest_between
from hansa_control.domain.segments import UsedPath, used_paths
from hansa_control.domain.sharing import shares_now
from hansa_control.domain.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision that placed a workload, the answer to the same question now, and the paths that are used now."""

    decision: Decision
    current: Current
    decided_at_ms: int
    now: Decision
    paths: tuple[UsedPath, ...]


@dataclass(frozen=True, slots=True)
class ZoneEndpoint:
    """What answers in one zone; shares are what it is to get now, thousandths by access point."""

    zone: str
    claim: str
    urls: tuple[str, ...]
    ca_pem: bytes
    replicas: int
    shares: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to send requests now: all zones that answer, sorted, and the one that gets most of the requests."""

    urls: tuple[str, ...]
    ca_pem: bytes
    zone: str
    claim: str
    zones: tuple[ZoneEndpoint, ...]


@dataclass(frozen=True, slots=True)
class NetworkView:
    """The network that this operator sees, and what its agents measured beside what the model says."""

    nodes: tuple[NetworkNode, ...]
    links: tuple[NetworkLink, ...]
    probes: tuple[tuple[ProbeResult | NodeProbe, RoundTrip | None], ...]
    generation: int


class Queries:
    """Answers from the records as they are in memory; decisions alone may have to be read from the store."""

    def __init__(self, state: State, world: World, journal: Journal, decider: Decider) -> None:
        self._state = state
        self._world = world
        self._journal = journal
        self._decider = decider
        self.authority_of: Callable[[ZoneId], bytes] = lambda zone: b""
        self.authorities_changed: Callable[[], int] = lambda: 0

    def workload(self, workload: WorkloadId) -> Workload:
        """RefusalError NOT_FOUND if there is none."""
        return self._state.workloads.get(str(workload)) or self._missing(workload)

    def has_workload(self, workload: WorkloadId) -> bool:
        """Whether there is such a workload now, durable or not."""
        return str(workload) in self._state.workloads

    async def kept_workload(self, workload: WorkloadId) -> Workload:
        """The same for app teams, answered or refused once what it says would survive a crash."""
        held = self._state.workloads.get(str(workload))
        await self._journal.kept(workload)
        return held or self._missing(workload)

    async def kept_story(self, workload: WorkloadId, after_sequence: int) -> tuple[Workload | None, tuple[Event, ...]]:
        """A workload, None if there is none, and its events after one, as they were when this was asked: answered once
        all of it would survive a crash.
        """
        held, events = self._state.workloads.get(str(workload)), self.events(workload, after_sequence)
        await self._journal.kept(workload)
        return held, events

    async def kept_workloads(self, tenant: str, after: str, limit: int) -> tuple[Workload, ...]:
        """A page of ``workloads``, answered once what it says would survive a crash."""
        page = self.workloads(tenant, after, limit)
        await self._state.commit()
        return page

    def _missing(self, workload: WorkloadId) -> NoReturn:
        raise RefusalError(Reason.NOT_FOUND, f"there is no {workload}", "name")

    def workloads(self, tenant: str, after: str, limit: int) -> tuple[Workload, ...]:
        """A tenant's workloads whose names follow ``after``, ordered by name."""
        prefix = f"tenants/{tenant}/"
        keys = sorted(key for key in self._state.workloads if key.startswith(prefix) and key > after)
        return tuple(self._state.workloads[key] for key in keys[:limit])

    def zones(self, after: str, limit: int) -> tuple[Zone, ...]:
        """Zones, own and offered, whose names follow ``after``, ordered by "operator/zone"."""
        zones = sorted(self._world.snapshot().zones, key=lambda zone: str(zone.id))
        page = [zone for zone in zones if str(zone.id) > after][:limit]
        return tuple(replace(zone, heard_at_ms=self._world.heard_at_ms(zone.id)) for zone in page)

    def network(self) -> NetworkView:
        snapshot = self._world.snapshot()
        probes: list[tuple[ProbeResult | NodeProbe, RoundTrip | None]] = []
        probes += [(probe, _modelled(snapshot, probe)) for probe in snapshot.probes]
        probes += [(probe, _modelled_to(snapshot, probe)) for probe in self._world.node_probes()]
        return NetworkView(snapshot.nodes, snapshot.links, tuple(probes), snapshot.generation)

    async def explain(self, workload: WorkloadId, zone: ZoneId | None) -> Explanation:
        """Why a workload is where it is. RefusalError UNAVAILABLE before the first decision."""
        stored = await self._decided(workload)
        held = self.workload(workload)
        spec = self._decider.laws.enforced(held.spec, workload.tenant)
        now = self._decider.decide(spec, held)
        if zone is not None and zone not in {seen.id for seen in self._world.snapshot().zones}:
            raise RefusalError(Reason.NOT_FOUND, f"no zone {zone} is seen from here", "zone")
        decision = _restricted(stored.decision, zone)
        current, snapshot = current_of(held), self._world.snapshot()
        zones = [zone for zone in snapshot.zones if str(zone.id) in current.zones]
        paths = used_paths(snapshot.network, spec, sorted(zones, key=lambda zone: str(zone.id)))
        return Explanation(decision, current, stored.decided_at_ms, _restricted(now, zone), paths)

    def grants(self, workload: WorkloadId) -> tuple[StoredGrant, ...]:
        """The partners' grants under which a workload is placed, in the order of its placements."""
        claims = (placement.claim for placement in self.workload(workload).placements)
        return tuple(grant for claim in claims if (grant := self._state.grants.get(claim)) is not None)

    async def record(self, workload: WorkloadId) -> DecisionRecord:
        """What the decision that placed a workload rests on; RefusalError UNAVAILABLE if that is not kept any more."""
        return self._decider.records.record((await self._decided(workload)).decision)

    async def _decided(self, workload: WorkloadId) -> StoredDecision:
        self.workload(workload)
        stored = await self._state.decision(str(workload))
        if stored is None:
            raise RefusalError(Reason.UNAVAILABLE, f"{workload} has not been decided yet")
        return stored

    def endpoint(self, workload: WorkloadId) -> Endpoint:
        """Where to send requests: the newest batch that answers wholly, else what answers. RefusalError if nothing.

        It is the same as long as the workload and ``authorities_changed`` are.
        """
        held = self.workload(workload)
        batch = serving([placement for placement in held.placements if placement.endpoint_urls])
        if batch is not None:
            zones = self._zone_endpoints(held.spec, batch.ready)
            best = next(one for one in zones if one.zone == most_used(held.spec, batch.ready))
            return Endpoint(best.urls, best.ca_pem, best.zone, best.claim, zones)
        if held.state is WorkloadState.UNPLACEABLE:
            raise RefusalError(Reason.NO_FEASIBLE_ZONE, f"{workload} runs nowhere: no zone satisfies its constraints")
        raise RefusalError(Reason.UNAVAILABLE, f"{workload} is {held.state} and does not answer yet")

    def _zone_endpoints(self, spec: WorkloadSpec, answering: Sequence[Placement]) -> tuple[ZoneEndpoint, ...]:
        places = {at.access_point: n for n, at in enumerate(spec.access)}
        found = [
            ZoneEndpoint(
                str(part.zone),
                part.claim,
                part.endpoint_urls,
                # As it is now, since its owner may have changed it; what is not known any more is as it was.
                self.authority_of(part.zone) or part.endpoint_ca_pem,
                part.replicas,
                tuple(sorted(shares.items(), key=lambda item: (places.get(item[0], len(places)), item[0]))),
            )
            for part, shares in zip(answering, shares_now(answering), strict=True)
        ]
        return tuple(sorted(found, key=lambda one: one.zone))

    def events(self, workload: WorkloadId, after_sequence: int) -> tuple[Event, ...]:
        return self._journal.events(str(workload), after_sequence)

    def workload_signal(self, workload: WorkloadId) -> Signal:
        return self._journal.signal(str(workload))

    def counts(self) -> Mapping[str, int]:
        """Numbers for metrics: "zones|AVAILABLE", "workloads|RUNNING", "claims|HELD", "decisions", ..."""
        tally: Tally[str] = Tally()
        tally.update(f"zones|{zone.state}" for zone in self._world.own_zones())
        tally.update(f"workloads|{workload.state}" for workload in self._state.workloads.values())
        tally.update(f"claims|{claim.state}" for claim in self._state.claims.values())
        tally.update(f"federations|{federation.state}" for federation in self._state.federations.values())
        tally["decisions"] = self._decider.decision_count
        return tally


def _modelled(snapshot: Snapshot, probe: ProbeResult) -> RoundTrip | None:
    """What the network graph says for the pair that a probe measured; None if a zone is not seen or no path leads."""
    source, target = snapshot.zone(probe.source_zone), snapshot.zone(probe.target_zone)
    return fastest_between(snapshot, source, target) if source and target else None


def _modelled_to(snapshot: Snapshot, probe: NodeProbe) -> RoundTrip | None:
    """The same for a zone and a node: as if a zone stood at the node."""
    source = snapshot.zone(probe.source_zone)
    if source is None or all(node.name != probe.probed_node for node in snapshot.nodes):
        return None
    there = replace(source, inventory=replace(source.inventory, node=probe.probed_node))
    return fastest_between(snapshot, source, there)


def _restricted(decision: Decision, zone: ZoneId | None) -> Decision:
    if zone is None:
        return decision
    return replace(
        decision,
        choices=tuple(choice for choice in decision.choices if choice.zone == zone),
        rejections=tuple(rejection for rejection in decision.rejections if rejection.zone == zone),
    )
