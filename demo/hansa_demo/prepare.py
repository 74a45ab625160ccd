"""Writes everything that the demonstration's processes read: authorities, certificates, configuration, workloads.

    DIRECTORY/
      OPERATOR/tls/            authority, control plane, agents, instances; keys readable by their owner only
      OPERATOR/network.yaml    what the operator carries
      OPERATOR/control-plane.yaml
      OPERATOR/profile.yaml    the operator's own engineers'
      OPERATOR/agents/ZONE.yaml
      profile.yaml, tls/       the app team's
      yard-ocr.yaml, gate-ocr.yaml

Addresses come from an ``Addressing``: loopback ports for processes on this machine, service names for containers.
"""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

from hansa_agent.artefacts import artefact_digest
from hansa_control.adapters.authority import Role, Subject, Validity
from hansa_control.domain.model import LinkKind, NetworkLink, NetworkNode
from hansa_control.domain.units import modelled_link_rtt
from hansa_sim.operator_files import (
    AgentPlace,
    Trust,
    agent_document,
    control_plane_document,
    profile_document,
    write_document,
)
from hansa_sim.topology import Segment, operator_segments, write_network_file

from hansa.errors import HansaError
from hansa_demo.scenario import (
    ARTEFACT,
    HOME,
    OPERATORS,
    TENANT,
    DemoOperator,
    DemoZone,
    PointOfPresence,
    gate_spec,
    yard_spec,
)

CERTIFICATE_DAYS = 30
FACT_DAYS = 365


class Addressing(Protocol):
    """Where each process listens and how the others reach it."""

    def control_plane(self, operator: str, listener: str) -> tuple[str, str]:
        """Listen and dial address, host:port, of listener "api", "agents", "partners" or "metrics"."""
        ...

    def probe(self, operator: str, zone: str) -> tuple[str, str]:
        """Listen and dial address of a zone's reflector."""
        ...

    def instances(self, operator: str, zone: str) -> tuple[str, str, tuple[int, int]]:
        """Listen host, advertised host, first and last port of a zone's instances."""
        ...

    def hosts(self, operator: str, process: str) -> tuple[str, ...]:
        """Host names and addresses that the certificate of a process must carry; process is a zone or ""."""
        ...

    def python(self) -> str:
        """The interpreter that runs artefacts."""
        ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was written where."""

    directory: Path
    artefact_digest: str

    def operator(self, name: str) -> Path:
        return self.directory / name

    @property
    def profile(self) -> Path:
        return self.directory / "profile.yaml"


def artefact_files() -> tuple[Path, ...]:
    """The files whose digest is the OCR server's: its modules and the models that rapidocr ships."""
    here = Path(__file__).parent
    modules = sorted(here.glob("ocr_*.py"))
    models = sorted(Path(str(resources.files("rapidocr"))).joinpath("models").glob("*.onnx"))
    return (*modules, *models)


def prepare(directory: Path, addressing: Addressing, now_ms: int) -> Prepared:
    """Writes the whole world into ``directory``, which must be new or empty; HansaError if it is not."""
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise HansaError("INVALID_FIELD", f"{directory} is not empty; name a new one", field="--directory")
    directory.chmod(0o700)
    digest = artefact_digest(artefact_files())
    trust = Trust([operator.name for operator in OPERATORS], Validity.of_days(now_ms, CERTIFICATE_DAYS))
    segments = _segments()
    writer = _Writer(directory, addressing, trust, now_ms)
    for operator in OPERATORS:
        writer.operator(operator, segments[operator.name])
    writer.app_team()
    write_document(directory / "yard-ocr.yaml", yard_spec(digest))
    write_document(directory / "gate-ocr.yaml", gate_spec(digest))
    return Prepared(directory, digest)


def _segments() -> dict[str, Segment]:
    carried = {country: op.name for op in OPERATORS for country in op.carries}
    segments = operator_segments(carried)
    return segments | {op.name: _presence(op) for op in OPERATORS if op.presence}


def _presence(operator: DemoOperator) -> Segment:
    """Rooms of an operator without a network, and its fibre to a carrier's node."""
    nodes = tuple(
        NetworkNode(room.name, room.title, room.country, room.latitude_deg, room.longitude_deg, access_point=False)
        for room in operator.presence
    )
    links = tuple(_fibre(operator, room) for room in operator.presence)
    return Segment(operator.name, nodes, links)


def _fibre(operator: DemoOperator, room: PointOfPresence) -> NetworkLink:
    length_m = room.fibre_km * 1_000
    return NetworkLink(
        name=f"{room.name}--{room.to_node}",
        node_a=room.name,
        node_b=room.to_node,
        length_m=length_m,
        rtt=modelled_link_rtt(length_m),
        countries=(),
        carrier=operator.name,
        kind=LinkKind.TERRESTRIAL,
    )


class _Writer:
    def __init__(self, directory: Path, addressing: Addressing, trust: Trust, now_ms: int) -> None:
        self._directory = directory
        self._addressing = addressing
        self._trust = trust
        self._now = datetime.fromtimestamp(now_ms / 1000, UTC)

    def operator(self, operator: DemoOperator, segment: Segment) -> None:
        home = self._directory / operator.name
        tls = home / "tls"
        tls.mkdir(parents=True)
        (home / "agents").mkdir()
        self._trust.write_authorities(operator.name, tls)
        hosts = self._addressing.hosts(operator.name, "")
        self._trust.certify(operator.name, tls / "control-plane", Subject(Role.CONTROL_PLANE, "", hosts))
        (home / "declaration.txt").write_text(_declaration(operator), encoding="utf-8")
        write_network_file(segment, home / "network.yaml")
        write_document(home / "control-plane.yaml", self._control_plane(operator))
        write_document(home / "profile.yaml", self._profile(operator.name, "control-plane"))
        for zone in operator.zones:
            self._trust.certify_zone(operator.name, tls, zone.name, self._addressing.hosts(operator.name, zone.name))
            write_document(home / "agents" / f"{zone.name}.yaml", self._agent(operator, zone))

    def app_team(self) -> None:
        tls = self._directory / "tls"
        tls.mkdir()
        self._trust.write_authority(HOME, tls / "ca.pem")
        self._trust.certify(HOME, tls / TENANT, Subject(Role.TENANT, TENANT))
        write_document(self._directory / "profile.yaml", {"tenant": TENANT, **self._profile(HOME, TENANT)})

    def _profile(self, operator: str, certificate: str) -> dict[str, Any]:
        return profile_document(operator, self._addressing.control_plane(operator, "api")[1], certificate)

    def _control_plane(self, operator: DemoOperator) -> dict[str, Any]:
        listeners = ("api", "agents", "partners", "metrics")
        partners = [partner.name for partner in OPERATORS if partner is not operator]
        return control_plane_document(
            operator.name,
            {name: self._addressing.control_plane(operator.name, name)[0] for name in listeners},
            {partner: self._addressing.control_plane(partner, "partners")[1] for partner in partners},
        )

    def _agent(self, operator: DemoOperator, zone: DemoZone) -> dict[str, Any]:
        control_plane = self._addressing.control_plane(operator.name, "agents")[1]
        listen, dial = self._addressing.probe(operator.name, zone.name)
        host, advertised, ports = self._addressing.instances(operator.name, zone.name)
        place = AgentPlace(operator.name, zone.name, control_plane, listen, dial, host, advertised, ports)
        return agent_document(place, _inventory(zone), self._facts(operator, zone), self._artefact())

    def _artefact(self) -> dict[str, Any]:
        return {
            "name": ARTEFACT,
            "files": [str(file) for file in artefact_files()],
            "command": [self._addressing.python(), "-I", "-m", "hansa_demo.ocr_server"],
        }

    def _facts(self, operator: DemoOperator, zone: DemoZone) -> list[dict[str, Any]]:
        claims = (
            ("SITE_COUNTRY", zone.country),
            ("HEADQUARTERS_COUNTRY", operator.headquarters_country),
            ("ULTIMATE_PARENT_COUNTRY", operator.ultimate_parent_country),
            ("EXTRATERRITORIAL_LAW", operator.extraterritorial_law),
        )
        return [{"kind": kind, "value": value, "evidence": self._evidence(operator)} for kind, value in claims]

    def _evidence(self, operator: DemoOperator) -> dict[str, Any]:
        document = _declaration(operator).encode()
        return {
            "kind": "DECLARATION",
            "issuer": operator.name,
            "scheme": "operator-declaration",
            "valid_from": self._now - timedelta(days=1),
            "valid_until": self._now + timedelta(days=FACT_DAYS),
            "digest": f"sha256:{sha256(document).hexdigest()}",
        }


def _inventory(zone: DemoZone) -> dict[str, Any]:
    pools = [
        {"vendor": "nvidia", "model": pool.model, "memory_mib": pool.memory_mib, "count": pool.count}
        | ({"mig_profile": pool.mig_profile} if pool.mig_profile else {})
        for pool in zone.pools
    ]
    return {
        "source": "file",
        "node": zone.node,
        "title": zone.title,
        "capacity": {"cpu_millis": zone.cpu_millis, "memory_mib": zone.memory_mib},
        "pools": pools,
        "price_millieur_per_hour": zone.price_millieur_per_hour,
    }


def _declaration(operator: DemoOperator) -> str:
    zones = "".join(f"  {zone.name}: {zone.title}, {zone.country}\n" for zone in operator.zones)
    return (
        f"{operator.title} declares, for a demonstration with invented operators:\n"
        f"headquarters: {operator.headquarters_country}\n"
        f"ultimate parent: {operator.ultimate_parent_country}\n"
        f"law of third countries: {operator.extraterritorial_law}\nsites:\n{zones}"
    )


def remove(directory: Path) -> None:
    """Forgets a prepared world."""
    shutil.rmtree(directory, ignore_errors=True)


def interpreter() -> str:
    return sys.executable


def now_ms() -> int:
    """Wall clock, milliseconds since the Unix epoch, UTC."""
    return time.time_ns() // 1_000_000
