"""A scenario as the values that the production domain decides on: a snapshot, a request, and its users."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from hansa_control.domain.capacity import count_of
from hansa_control.domain.model import (
    AcceleratorNeed,
    AcceleratorPool,
    AccessDemand,
    ArtefactRef,
    Capacity,
    Evidence,
    EvidenceKind,
    Fact,
    FactKind,
    Inventory,
    LatencyBudget,
    Objective,
    WorkloadSpec,
    Zone,
    ZoneBounds,
    ZoneId,
    ZoneState,
)
from hansa_control.domain.snapshot import Snapshot, build_snapshot
from numpy.typing import NDArray

from hansa_sim.engines.streams import generator
from hansa_sim.latency.fault_schedule import check_faults
from hansa_sim.latency.ground import Ground, lay_ground
from hansa_sim.latency.journeys import Journey, journeys_of, peaks_of
from hansa_sim.latency.scenario_file import Loaded, ScenarioError
from hansa_sim.latency.scenario_schema import AppPart, LegalPart, OperatorPart, UsersPart, ZonePart
from hansa_sim.latency.token_service import PlannedService, planned_service, trace_of
from hansa_sim.latency.trace_file import Trace

YEAR_MS = 365 * 86_400_000
CPU_MILLIS, MEMORY_MIB = 1, 1
"""What a replica takes besides its devices: nothing that counts, for devices are what scenarios are about."""

REPLICAS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class UserClass:
    """Users of an app at one access point, of the operator that has its node."""

    access_point: str
    millirps: int
    """What plans reckon with: those who stay, and the most at a time of those who move."""
    operator: str
    app: str
    staying_millirps: int


@dataclass(frozen=True)
class World:
    """What a scenario says, built: the snapshot of all operators together, the request, and the users by name.

    A world of several apps has a world for each of them in ``parts``, on the same ground; ``base`` is what such a part
    is of, and what has the same accelerators all free. What asks for the one app raises ValueError on the whole.
    """

    loaded: Loaded
    ground: Ground
    users: tuple[UserClass, ...]
    base: World | None = None
    devices_free: tuple[int, ...] | None = None
    """By zone; None where all are."""
    fallen: frozenset[str] = frozenset()
    """Zones that have fallen, as ``operator/zone``."""
    current: frozenset[ZoneId] = frozenset()
    """Zones that the app runs in already."""

    @cached_property
    def parts(self) -> tuple[World, ...]:
        """A world of each app with its users, in the order of the scenario; the world itself where there is one."""
        apps = self.loaded.scenario.apps
        return (self,) if len(apps) == 1 else tuple(_part(self, at) for at in range(len(apps)))

    def without(self, zones: frozenset[str], links: frozenset[str]) -> World:
        """The same where these zones and links have fallen; nodes stay, though no way may lead there."""
        left = tuple(link for link in self.ground.links if link.name not in links)
        return replace(self, ground=replace(self.ground, links=left), fallen=zones)

    def with_free(self, devices: NDArray[np.int64]) -> World:
        """The same where so many devices (Z,) of each zone are free, and others have the rest."""
        return replace(self, base=self.base or self, devices_free=tuple(devices.tolist()))

    @cached_property
    def zones(self) -> tuple[Zone, ...]:
        """Every operator's zones, sorted by id."""
        if self.base is None:
            operators, record = self.loaded.scenario.operators, self.loaded.record
            written = [_zone(self, op, zone) for op in operators for zone in op.zones]
            seen = [_with_apps(zone) for zone in record.snapshot.zones if zone.inventory.pools] if record else []
            zones = sorted((*written, *seen), key=lambda zone: zone.id)
            return tuple(replace(z, state=ZoneState.LOST) if str(z.id) in self.fallen else z for z in zones)
        if self.devices_free is None:
            return self.base.zones
        return tuple(_with_free(zone, free) for zone, free in zip(self.base.zones, self.devices_free, strict=True))

    @property
    def replication_s(self) -> float:
        """How long a replication lasts: as the scenario says, or as the wanted number of requests takes."""
        run = self.loaded.scenario.run
        return run.duration_s or run.requests / run.replications / self.rate_rps

    @property
    def request_seed(self) -> int:
        """The seed of requests: an app among others has one by its name, so that they do not hang on who they are."""
        seed = self.loaded.scenario.run.seed
        is_alone = self.base is None or len(self.base.loaded.scenario.apps) == 1
        return seed if is_alone else seed_of_app(seed, self.loaded.scenario.app.name)

    @cached_property
    def snapshot(self) -> Snapshot:
        """The world as operators that federate see it."""
        if self.base is None:
            return self.snapshot_of(None)
        shared = replace(self.base.snapshot, own=self.loaded.scenario.app.home)
        return shared.with_zones(shared.generation + 1, self.zones, shared.taken_at_ms)

    @cached_property
    def devices(self) -> NDArray[np.int64]:
        """(Z,): free devices of each zone."""
        return np.array([devices_free(zone) for zone in self.zones], dtype=np.int64)

    @cached_property
    def rate_rps(self) -> float:
        """Requests a second of all users, those of other apps among them."""
        whole = self.base or self
        moving = [part.requests_per_s for part in whole.loaded.scenario.users if part.is_moving]
        staying = np.array([user.staying_millirps for user in whole.users], dtype=np.float64) / 1_000
        return float(staying.sum()) + sum(round(rate * 1_000) for rate in moving) / 1_000

    @cached_property
    def journeys(self) -> tuple[Journey, ...]:
        """Where those who move are, in a replication."""
        return journeys_of(self.loaded, self.ground, self.replication_s)

    @cached_property
    def planned(self) -> PlannedService:
        """What the planner is told of the app's service."""
        return planned_service(self.loaded)

    @cached_property
    def spec(self) -> WorkloadSpec:
        """What the app team asks for, from all access points."""
        app = self.loaded.scenario.app
        replicas = min(int(self.devices.sum()) // app.accelerators.count, REPLICAS_MAX) or 1
        most = max(app.zones.min, min(app.zones.max, replicas, len(self.zones)))
        return WorkloadSpec(
            artefact=ARTEFACT,
            accelerator=_need(app),
            cpu_millis=CPU_MILLIS,
            memory_mib=MEMORY_MIB,
            replicas=app.zones.min,
            access=tuple(AccessDemand(user.access_point, user.millirps) for user in self.users),
            latency=_budget(app),
            residency=self.loaded.residency,
            replicas_max=max(app.zones.min, replicas),
            zones=ZoneBounds(app.zones.min, most),
            service=self.planned.profile,
            objective=_objective(app),
            priority=app.priority,
        )

    def snapshot_of(self, operator: str | None) -> Snapshot:
        """The world as one operator alone has it: its own zones, nodes and links; everybody's where None."""
        owners, nodes, links = self.ground.owners, self.ground.nodes, self.ground.links
        zones = self.zones
        if operator is not None:
            nodes = tuple(node for node in nodes if owners[node.name] == operator)
            own = {node.name for node in nodes}
            links = tuple(link for link in links if link.node_a in own and link.node_b in own)
            zones = tuple(zone for zone in zones if zone.id.operator == operator)
        built = build_snapshot(1, zones, nodes, links, self.loaded.now_ms)
        return replace(built, own=operator or self.loaded.scenario.apps[0].home)


ARTEFACT = ArtefactRef("app", "sha256:" + "5e" * 32)


def build_world(loaded: Loaded) -> World:
    """The world of a scenario; ScenarioError where its network cannot be had or does not have what is named."""
    ground = lay_ground(loaded)
    world = World(loaded, ground, _users(loaded, ground, {}))
    doubles = sorted(str(zone.id) for at, zone in enumerate(world.zones) if at and zone.id == world.zones[at - 1].id)
    if doubles:
        raise loaded.problem("operators", f"zone {doubles[0]} is in the snapshot already")
    if not loaded.scenario.apps:
        return world
    check_faults(loaded, ground, world.replication_s)
    for part in world.parts:
        _ = part.planned  # an app whose requests fit nowhere is an error now, not when it is played
    peaks = peaks_of(world.journeys)
    return replace(world, users=_users(loaded, ground, peaks)) if peaks else world


def inhabited_world(loaded: Loaded) -> World:
    """The same of a scenario that has apps; ScenarioError where it has none, as a snapshot."""
    if not loaded.scenario.apps:
        raise ScenarioError([f"{loaded.path}: apps: missing; a snapshot does not say how long requests take"])
    return build_world(loaded)


def devices_free(zone: Zone) -> int:
    """Devices of a zone that nobody has."""
    return count_of(zone.free, zone.inventory.pools[0].key)


def _part(world: World, at: int) -> World:
    """One app's world."""
    loaded = world.loaded
    app = loaded.scenario.apps[at]
    users = [part for part in loaded.scenario.users if part.app == app.name]
    scenario = loaded.scenario.model_copy(update={"apps": [app], "users": users})
    mine = tuple(user for user in world.users if user.app == app.name)
    return World(Loaded(scenario, (loaded.laws[at],), loaded.path), world.ground, mine, world)


def seed_of_app(seed: int, app: str) -> int:
    """The seed of an app where there are several."""
    return int(generator(seed, f"app/{app}").integers(0, 2**63 - 1))


def _with_free(zone: Zone, devices: int) -> Zone:
    key = zone.inventory.pools[0].key
    return replace(zone, free=replace(zone.free, accelerators=((key, devices),) if devices else ()))


def _users(loaded: Loaded, ground: Ground, moving: dict[tuple[str, str], int]) -> tuple[UserClass, ...]:
    """Users by app and access point, in the order of names; demands at the same one are added, and what those who are
    ``moving`` ask there at the most."""
    demand: dict[tuple[str, str], int] = {}
    first = next((app.name for app in loaded.scenario.apps), "")
    for at, part in enumerate(loaded.scenario.users):
        shares = demand_of(ground, part)
        if not shares and part.trace is None:
            raise loaded.problem(f"users[{at}].countries", "no access point of the network is in these countries")
        for point, millirps in shares.items():
            key = (part.app or first, point)
            demand[key] = demand.get(key, 0) + millirps * (not part.is_moving)
    demand = _of_trace(demand, trace_of(loaded))
    asked = {key: demand.get(key, 0) + moving.get(key, 0) for key in demand | moving}
    return tuple(
        UserClass(point, rate, ground.owners[point], app, demand.get((app, point), 0))
        for (app, point), rate in sorted(asked.items())
        if rate
    )


def _of_trace(demand: dict[tuple[str, str], int], trace: Trace | None) -> dict[tuple[str, str], int]:
    """Recorded arrivals have their own rate; users have parts of it as they have of all demand."""
    if trace is None:
        return demand
    scale = trace.rate_rps * 1_000 / sum(demand.values())
    return {key: max(1, round(millirps * scale)) for key, millirps in demand.items() if millirps}


def demand_of(ground: Ground, part: UsersPart) -> dict[str, int]:
    """Thousandths of a request a second by access point, of one entry of users, where there are any."""
    points = [part.access_point] if part.access_point else ground.points_in(part.countries, part.at_most)
    each, rest = divmod(round(part.requests_per_s * 1_000), len(points) or 1)
    return {point: each + (n < rest) for n, point in enumerate(points) if each or n < rest}


def _with_apps(zone: Zone) -> Zone:
    """A zone of a snapshot that runs the scenario's apps, too, on what is free there."""
    inventory = replace(zone.inventory, artefacts=(*zone.inventory.artefacts, ARTEFACT))
    return replace(zone, inventory=inventory)


def _zone(world: World, operator: OperatorPart, part: ZonePart) -> Zone:
    pool = AcceleratorPool(
        part.accelerators.vendor, part.accelerators.model, part.accelerators.memory_gib * 1_024, part.accelerators.count
    )
    capacity = Capacity(CPU_MILLIS * 1_000_000, MEMORY_MIB * 1_000_000, ((pool.key, pool.count),))
    price = round(part.price_eur_per_hour * 1_000)
    inventory = Inventory(
        part.node, part.name, capacity, (pool,), (ARTEFACT,), "", price, "scenario", cordoned=False,
        device_watts=part.device_watts,
    )  # fmt: skip
    now_ms = world.loaded.now_ms
    country = part.country or next((n.country for n in world.ground.nodes if n.name == part.node), None)
    facts = tuple(_facts(operator.legal, part, country, now_ms))
    return Zone(ZoneId(operator.name, part.name), inventory, capacity, facts, ZoneState.AVAILABLE, 1, now_ms)


def _facts(legal: LegalPart, zone: ZonePart, country: str | None, now_ms: int) -> Iterator[Fact]:
    """What the zone's owner declares; what it does not is unknown, which every rule that asks for it refuses."""
    proof = Evidence(EvidenceKind.DECLARATION, "scenario", "declaration", now_ms - YEAR_MS, now_ms + YEAR_MS, "")
    single = (
        (FactKind.SITE_COUNTRY, country),
        (FactKind.HEADQUARTERS_COUNTRY, legal.headquarters),
        (FactKind.FOREIGN_SHARE_PERCENT, legal.foreign_share_percent),
        (FactKind.CARBON_GCO2_PER_KWH, zone.carbon_gco2_per_kwh),
        (FactKind.RENEWABLE_PERCENT, zone.renewable_percent),
    )
    yield from (Fact(kind, str(value), proof) for kind, value in single if value is not None)
    yield from (Fact(FactKind.ULTIMATE_PARENT_COUNTRY, parent, proof) for parent in legal.ultimate_parents)
    yield from (Fact(FactKind.EXTRATERRITORIAL_LAW, law, proof) for law in legal.laws or ())
    for fact in zone.facts:
        yield Fact(FactKind[fact.kind], fact.value, proof, fact.version, fact.level)


def _need(app: AppPart) -> AcceleratorNeed:
    need = app.accelerators
    return AcceleratorNeed(tuple(need.any_of), need.count, need.memory_gib_min * 1_024)


def _budget(app: AppPart) -> LatencyBudget:
    bound = app.latency
    return LatencyBudget(bound.percentile, round(bound.rtt_ms_max * 1_000), round(bound.response_ms_max * 1_000))


def _objective(app: AppPart) -> Objective:
    weights = (app.objective.latency, app.objective.price, app.objective.carbon)
    return Objective(*(round(weight * 1_000) for weight in weights))
