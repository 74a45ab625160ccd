"""A configuration file becomes an inventory and a runtime on a real cloud, as the agent's process makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hansa_agent.config import LoadedConfig
from hansa_agent.instance_store import InstanceStore
from hansa_agent.inventory import full_capacity, inventory_of
from hansa_agent.openstack_running import RunningServer
from hansa_agent.platforms import runtime_of, source_of
from hansa_agent.system import SystemClock, SystemRandom
from openstack_cloud import ROOT
from server_bench import DIGEST, IMAGE, ZONE, Bench, desired


def configuration(bench: Bench, **section: Any) -> Path:
    content = yaml.safe_load((ROOT / "agents" / "agent.openstack.example.yaml").read_text())
    content |= {"zone": ZONE, "artefacts": [{"name": "ocr", "image": IMAGE}]}
    content["instance"]["tls"] = {"cert": "cert.pem", "key": "key.pem"}
    content["openstack"] |= {"aggregates": [], "server": {"image": "tiny"}} | section
    (bench.folder / "cert.pem").write_text("certificate")
    (bench.folder / "key.pem").write_text("key")
    path = bench.folder / "agent.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


async def test_zone_of_a_configuration_file_advertises_and_runs(bench: Bench) -> None:
    loaded = LoadedConfig(configuration(bench, accelerators=[]))
    machine = await source_of(loaded, SystemClock()).read()
    inventory = inventory_of(loaded.config, machine, {"ocr": DIGEST}, "")
    assert inventory.source == "openstack" and not inventory.cordoned
    amounts = {amount.pool: amount.count for amount in full_capacity(machine).accelerators}
    assert amounts == {"nvidia/A100": 7, "nvidia/H100": 2, "nvidia/L40S": 4}
    assert "VGPU" in inventory.trouble
    runtime = runtime_of(loaded, InstanceStore(bench.folder / "wired"), SystemClock(), SystemRandom())
    running = await runtime.start(desired())
    assert isinstance(running, RunningServer)
    await bench.until(lambda: [one["status"] for one in bench.servers()] == ["ACTIVE"])


async def test_shares_count_where_the_configuration_says_what_they_are(bench: Bench) -> None:
    share = {"resource_class": "VGPU", "model": "L40S", "memory_mib": 12_288, "mig_profile": "vgpu-12q"}
    machine = await source_of(LoadedConfig(configuration(bench, accelerators=[share])), SystemClock()).read()
    amounts = {amount.pool: amount.count for amount in full_capacity(machine).accelerators}
    assert amounts["nvidia/L40S/mig-vgpu-12q"] == 16
    assert machine.trouble == ""
