"""Everything that the twin's operators, agents and app team read: a scenario as configurations of real processes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hansa_agent.artefacts import artefact_digest
from hansa_control.adapters.authority import Role, Subject, Validity
from hansa_control.domain.model import Fact, Zone

from hansa_sim.latency.scenario_schema import AppPart
from hansa_sim.latency.traffic import Traffic
from hansa_sim.latency.twin.plan import Network, Part
from hansa_sim.latency.world import ARTEFACT, World
from hansa_sim.operator_files import (
    AgentPlace,
    Document,
    Trust,
    agent_document,
    control_plane_document,
    profile_document,
    write_document,
)
from hansa_sim.topology import Segment, write_network_file

SERVER = Path(__file__).with_name("server.py")
TENANT = "twin"
PORTS = {"api": 7443, "agents": 7444, "partners": 7445, "metrics": 9464}
PROBE_PORT, INSTANCE_PORT = 8620, 8500
CERTIFICATE_DAYS, FACT_DAYS = 2, 365
PATIENCE = {"quiet_after_ms": 15_000, "lost_after_ms": 30_000, "offer_ttl_ms": 30_000}
"""A whole continent on one small machine is slow to start; nobody is given up for that."""


@dataclass(frozen=True, slots=True)
class Material:
    """What was written where."""

    folder: Path

    @property
    def profile(self) -> Path:
        """The app team's."""
        return self.folder / "profile.yaml"

    @property
    def workload(self) -> Path:
        """What the app team submits."""
        return self.folder / "workload.yaml"

    @property
    def certificate(self) -> tuple[Path, Path]:
        """The app team's certificate and key."""
        return self.folder / "tls" / f"{TENANT}.pem", self.folder / "tls" / f"{TENANT}-key.pem"

    def control_plane(self, operator: str) -> Path:
        return self.folder / operator / "control-plane.yaml"

    def agent(self, zone: str) -> Path:
        operator, _, name = zone.partition("/")
        return self.folder / operator / "agents" / f"{name}.yaml"


def write_material(world: World, network: Network, traffic: Traffic, where: tuple[Path, int]) -> Material:
    """Writes into a folder, at a time (ms since the epoch) from which certificates and facts are valid."""
    folder, now_ms = where
    operators = [host.name for host in network.of(Part.OPERATOR)]
    trust = Trust(operators, Validity.of_days(now_ms, CERTIFICATE_DAYS))
    writer = _Writer(world, network, trust, folder)
    for operator in operators:
        writer.operator(operator)
    for zone, speed_permille in zip(world.zones, traffic.speed_permille.tolist(), strict=True):
        settings = {"TWIN_CONCURRENCY": traffic.stations.concurrency, "TWIN_SPEED_PERMILLE": speed_permille}
        writer.zone(zone, {name: str(value) for name, value in settings.items()}, now_ms)
    return writer.app_team()


class _Writer:
    def __init__(self, world: World, network: Network, trust: Trust, folder: Path) -> None:
        self._world, self._network, self._trust, self._folder = world, network, trust, folder

    def operator(self, operator: str) -> None:
        home, host = self._folder / operator, self._network.of(Part.OPERATOR, operator)[0]
        (home / "tls").mkdir(parents=True)
        (home / "agents").mkdir()
        self._trust.write_authorities(operator, home / "tls")
        subject = Subject(Role.CONTROL_PLANE, "", (host.address,))
        self._trust.certify(operator, home / "tls" / "control-plane", subject)
        write_network_file(segment_of(self._world, operator), home / "network.yaml")
        others = [other for other in self._network.of(Part.OPERATOR) if other.name != operator]
        document = control_plane_document(
            operator,
            {name: f"{host.address}:{port}" for name, port in PORTS.items()},
            {other.name: f"{other.address}:{PORTS['partners']}" for other in others},
        )
        write_document(home / "control-plane.yaml", {**document, "timings": PATIENCE})

    def zone(self, zone: Zone, settings: Mapping[str, str], now_ms: int) -> None:
        operator, name = zone.id.operator, zone.id.zone
        host, control = self._network.of(Part.ZONE, str(zone.id))[0], self._network.of(Part.OPERATOR, operator)[0]
        self._trust.certify_zone(operator, self._folder / operator / "tls", name, (host.address,))
        probe, count = f"{host.address}:{PROBE_PORT}", sum(pool.count for pool in zone.inventory.pools)
        control_plane, ports = f"{control.address}:{PORTS['agents']}", (INSTANCE_PORT, INSTANCE_PORT + 2 * count)
        place = AgentPlace(operator, name, control_plane, probe, probe, host.address, host.address, ports)
        facts = [_fact(fact, operator, now_ms) for fact in zone.facts]
        document = agent_document(place, _inventory(zone), facts, _artefact(settings))
        write_document(self._folder / operator / "agents" / f"{name}.yaml", document)

    def app_team(self) -> Material:
        home, tls = self._world.loaded.scenario.app.home, self._folder / "tls"
        tls.mkdir()
        self._trust.write_authority(home, tls / "ca.pem")
        self._trust.certify(home, tls / TENANT, Subject(Role.TENANT, TENANT))
        endpoint = f"{self._network.of(Part.OPERATOR, home)[0].address}:{PORTS['api']}"
        write_document(self._folder / "profile.yaml", {"tenant": TENANT, **profile_document(home, endpoint, TENANT)})
        points = [host.name for host in self._network.of(Part.USERS)]
        write_document(self._folder / "workload.yaml", workload_document(self._world, points))
        return Material(self._folder)


def segment_of(world: World, operator: str) -> Segment:
    """What an operator tells of the network: its nodes, and links whose first end by name is its own. What belongs to a
    carrier that is no operator, the app's home operator tells.
    """
    names = {part.name for part in world.loaded.scenario.operators}
    home, ground = world.loaded.scenario.app.home, world.ground
    teller = {node: owner if owner in names else home for node, owner in ground.owners.items()}
    nodes = tuple(node for node in ground.nodes if teller[node.name] == operator)
    links = tuple(link for link in ground.links if teller[min(link.node_a, link.node_b)] == operator)
    return Segment(operator, nodes, links)


def workload_document(world: World, points: Sequence[str]) -> Document:
    """The scenario's app as its team writes it, for the users of some access points: a workload file."""
    app, spec = world.loaded.scenario.app, world.spec
    need = {"any_of": app.accelerators.any_of, "memory_gib_min": app.accelerators.memory_gib_min}
    return {
        "kind": "Workload",
        "name": app.name,
        "artefact": {"name": ARTEFACT.name, "digest": artefact_digest([SERVER])},
        "accelerators": {"count": app.accelerators.count} | {key: value for key, value in need.items() if value},
        "resources": {"cpu": f"{spec.cpu_millis}m", "memory": f"{spec.memory_mib}MiB"},
        "replicas": {"min": spec.replicas, "max": spec.replicas_max},
        "zones": {"min": spec.zones.minimum, "max": spec.zones.maximum},
        "users": [
            {"access_point": user.access_point, "requests_per_s": user.millirps / 1_000}
            for user in world.users
            if user.access_point in points
        ],
        "latency": app.latency.model_dump(),
        "service": _service(app),
        "objective": app.objective.model_dump(),
        "residency": app.residency,
    }


def _service(app: AppPart) -> Document:
    times = [
        ({"accelerator": time.accelerator} if time.accelerator else {})
        | {"mean_ms": time.mean_ms, "scv": app.service.scv}
        for time in app.service.times
    ]
    return {"times": times, "concurrency": app.service.concurrency}


def _inventory(zone: Zone) -> Document:
    inventory = zone.inventory
    return {
        "source": "file",
        "node": inventory.node,
        "title": inventory.title,
        "capacity": {"cpu_millis": inventory.capacity.cpu_millis, "memory_mib": inventory.capacity.memory_mib},
        "pools": [
            {"vendor": pool.vendor, "model": pool.model, "memory_mib": pool.memory_mib, "count": pool.count}
            for pool in inventory.pools
        ],
        "price_millieur_per_hour": inventory.price_millieur_per_hour,
        "device_watts": inventory.device_watts,
    }


def _fact(fact: Fact, operator: str, now_ms: int) -> Document:
    now = datetime.fromtimestamp(now_ms / 1_000, UTC)
    evidence = {
        "kind": "DECLARATION",
        "issuer": operator,
        "scheme": "scenario",
        "valid_from": now - timedelta(days=1),
        "valid_until": now + timedelta(days=FACT_DAYS),
    }
    details = {key: value for key, value in (("version", fact.version), ("level", fact.level)) if value}
    return {"kind": fact.kind.value, "value": fact.value, **details, "evidence": evidence}


def _artefact(settings: Mapping[str, str]) -> Document:
    command = [sys.executable, "-I", str(SERVER)]
    return {"name": ARTEFACT.name, "files": [str(SERVER)], "command": command, "env": dict(settings)}
