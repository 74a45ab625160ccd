"""The world of ``hansa demo ha``: one operator with two control planes on one PostgreSQL, one partner, three zones.

What runs are tiny artefacts that listen and answer nothing, so that many of them start at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import yaml
from hansa_agent.artefacts import artefact_digest

from hansa.spec_file import parse_workload_text
from hansa_demo.addressing import LISTENERS, LoopbackAddressing, free_addresses
from hansa_demo.prepare import Prepared, prepare
from hansa_demo.scenario import TENANT

HOME, PARTNER = "nordavind", "waldnetz"
CAST: Mapping[str, tuple[str, ...]] = {HOME: ("oslo-1", "bergen-1"), PARTNER: ("hamburg-1",)}
REPLICAS = ("op-0", "op-1")
INSTANCES_PER_ZONE = 32
SCRIPT = Path(__file__).with_name("tiny_artefact.py")
SPEC = """\
kind: Workload
name: any
artefact: {{name: tiny, digest: {digest}}}
resources: {{cpu: 200m, memory: 64MiB}}
users: [{{access_point: {access_point}, requests_per_s: 1}}]
latency: {{rtt_ms_max: 60}}
residency: {{data: ['{country}'], control: ['NO', DE], transit: ['{country}']}}
"""


def prepare_replicated(folder: Path, now_ms: int, postgres_url: str) -> Prepared:
    """Writes everything into ``folder``, with a configuration for each replica; starts nothing."""
    prepared = prepare(folder, LoopbackAddressing(instance_ports=INSTANCES_PER_ZONE), now_ms)
    addresses = {replica: dict(zip(LISTENERS, free_addresses(len(LISTENERS)), strict=True)) for replica in REPLICAS}
    home = prepared.operator(HOME)
    for replica in REPLICAS:
        document = _read(home / "control-plane.yaml")
        keep_partners(document)
        document["listen"] = addresses[replica]
        document["store"] = {"postgres": postgres_url, "replica": replica}
        _write(home / f"control-plane-{replica}.yaml", document)

    def of_all(listener: str) -> str:
        return ",".join(addresses[replica][listener] for replica in REPLICAS)

    def point_home(document: dict[str, Any]) -> None:
        keep_partners(document)
        document["partners"][0]["endpoint"] = of_all("partners")

    def point_client(document: dict[str, Any]) -> None:
        document["endpoint"] = of_all("api")

    rewrite(prepared.operator(PARTNER) / "control-plane.yaml", point_home)
    rewrite(prepared.profile, point_client)
    for operator, zones in CAST.items():
        for zone in zones:
            rewrite(prepared.operator(operator) / "agents" / f"{zone}.yaml", with_tiny_artefact)

    def point_agent(document: dict[str, Any]) -> None:
        document["operator"]["endpoints"] = of_all("agents").split(",")

    for zone in CAST[HOME]:
        rewrite(home / "agents" / f"{zone}.yaml", point_agent)
    return prepared


def tiny_spec(country: str) -> Any:
    """A workload that may run in one country only: in Norway at home, in Germany at the partner's."""
    access_point = {"NO": "oslo", "DE": "hamburg"}[country]
    text = SPEC.format(digest=artefact_digest([SCRIPT]), access_point=access_point, country=country)
    return parse_workload_text(text, TENANT).spec


def keep_partners(document: dict[str, Any], cast: Collection[str] = frozenset(CAST)) -> None:
    """Takes the partners that are not in ``cast`` out of a control plane's configuration."""
    document["partners"] = [partner for partner in document["partners"] if partner["operator"] in cast]


def with_tiny_artefact(document: dict[str, Any]) -> None:
    """Makes an agent's configuration allow the tiny artefact and nothing else."""
    command = [sys.executable, "-I", "-S", str(SCRIPT)]
    document["artefacts"] = [{"name": "tiny", "files": [str(SCRIPT)], "command": command}]
    document["instance"]["stop_grace_s"] = 2.0


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes a configuration file."""
    document = _read(path)
    change(document)
    _write(path, document)
