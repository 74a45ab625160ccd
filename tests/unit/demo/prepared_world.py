"""The prepared world in memory: what every agent would advertise and every operator carries, taken in by the codec."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from hansa_agent.config import LoadedConfig
from hansa_agent.inventory import FileSource, facts_of, inventory_of
from hansa_control.adapters.codec_workload import spec_in
from hansa_control.adapters.codec_zone import facts_in, inventory_in
from hansa_control.adapters.network_file import read_network_file
from hansa_control.domain.model import NetworkLink, NetworkNode, WorkloadSpec, Zone, ZoneId, ZoneState
from hansa_control.domain.snapshot import Snapshot, build_snapshot
from hansa_demo.prepare import Prepared
from hansa_demo.scenario import OPERATORS, TENANT, DemoOperator, DemoZone

from hansa.spec_file import load_workload

NOW_MS = 1_795_000_000_000


def places() -> Iterator[tuple[DemoOperator, DemoZone]]:
    """Every zone with its operator."""
    return ((operator, zone) for operator in OPERATORS for zone in operator.zones)


@cache
def agent_config(prepared: Prepared, operator: str, zone: str) -> LoadedConfig:
    return LoadedConfig(prepared.operator(operator) / "agents" / f"{zone}.yaml")


def network_of(prepared: Prepared, operator: str) -> tuple[tuple[NetworkNode, ...], tuple[NetworkLink, ...]]:
    return read_network_file(prepared.operator(operator) / "network.yaml")


def zone_of(loaded: LoadedConfig, now_ms: int) -> Zone:
    """The zone as its own control plane sees it once the agent has said all it has to say."""
    config = loaded.config
    digests = {name: artefact.digest for name, artefact in loaded.artefacts.items()}
    machine = FileSource(config.inventory).look()
    inventory = inventory_in(inventory_of(config, machine, digests, config.probe.advertise or ""), "inventory")
    facts = facts_in(list(facts_of(config.facts).values()), "facts")
    return Zone(ZoneId.parse(config.zone), inventory, inventory.capacity, facts, ZoneState.AVAILABLE, 1, now_ms)


def snapshot_of(prepared: Prepared, now_ms: int) -> Snapshot:
    """Everything that the home operator sees, with every zone free."""
    zones = [zone_of(agent_config(prepared, operator.name, zone.name), now_ms) for operator, zone in places()]
    networks = [network_of(prepared, operator.name) for operator in OPERATORS]
    nodes = [node for nodes, _ in networks for node in nodes]
    links = [link for _, links in networks for link in links]
    return build_snapshot(1, zones, nodes, links, now_ms)


def spec_of(path: Path) -> WorkloadSpec:
    """A workload file as the control plane takes it in."""
    return spec_in(load_workload(path, TENANT).spec, "spec")
