"""Two operators with a zone on each of three platforms: processes here, a real OpenStack, and a Kubernetes cluster.

Nordavind has oslo-1, which runs processes, and bergen-1, a cluster (the stateful fake of the tests); waldnetz has
hamburg-1, an OpenStack that is real but for its hypervisor, so that servers are made, claimed and deleted but no guest
answers. What is called by clients is what really serves: the processes of oslo-1.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hansa_agent.artefacts import artefact_digest
from hansa_demo.addressing import LoopbackAddressing
from hansa_demo.check import wait_for
from hansa_demo.prepare import now_ms, prepare
from hansa_demo.processes import Processes, instance_pids
from hansa_demo.replicated import SCRIPT, keep_partners, rewrite, with_tiny_artefact

from hansa.client import Client
from hansa.errors import HansaError
from hansa.operator_client import OperatorClient
from hansa.profile import load_profile
from hansa.spec_file import parse_workload_text
from hansa.sync import SyncClient
from hansa.v1 import workload_pb2, zone_pb2

sys.path.append(str(Path(__file__).resolve().parents[1] / "integration"))

from kubernetes_api.kube_cluster import NAMESPACE, Cluster, node
from openstack_cloud import Cloud

HOME, PARTNER = "nordavind", "waldnetz"
CAST = {HOME: ("oslo-1", "bergen-1"), PARTNER: ("hamburg-1",)}
PROCESSES, SERVERS, PODS = f"{HOME}/oslo-1", f"{PARTNER}/hamburg-1", f"{HOME}/bergen-1"
DIGEST = artefact_digest([SCRIPT])
IMAGE_DIGEST = "sha256:" + "7" * 64
IMAGE = f"registry.nordavind.example/tiny@{IMAGE_DIGEST}"
SPEC = f"""\
kind: Workload
name: any
artefact: tiny@{DIGEST}
artefact_forms: [tiny-image@{IMAGE_DIGEST}]
resources: {{cpu: 500m, memory: 64MiB}}
users: [{{access_point: oslo, requests_per_s: 1}}]
latency: {{rtt_ms_max: 200}}
residency: {{data: ['NO', DE], control: ['NO', DE]}}
prefer: {{ordered: [{{zones: [{PROCESSES}]}}, {{zones: [{SERVERS}]}}, {{zones: [{PODS}]}}]}}
"""


class Threaded:
    """The cluster, served by a thread of its own while others wait for processes."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.cluster.start(), self._loop).result(20)
        self.at(lambda cluster: cluster.put("nodes", node("worker-1")))

    def at(self, look: Callable[[Cluster], Any]) -> Any:
        """What ``look`` finds, or does, in the cluster's own thread."""

        async def there() -> Any:
            return look(self.cluster)

        return asyncio.run_coroutine_threadsafe(there(), self._loop).result(20)

    def end(self) -> None:
        asyncio.run_coroutine_threadsafe(self.cluster.stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)


class InfraWorld:
    """Everything that runs on a furnished cloud; ``end`` ends it, but for the cloud."""

    def __init__(self, folder: Path, cloud: Cloud) -> None:
        self.cloud = cloud
        self.cluster = Threaded()
        self.prepared = prepare(folder, LoopbackAddressing(), now_ms())
        self.processes = Processes(self.prepared)
        for operator, zones in CAST.items():
            rewrite(self.prepared.operator(operator) / "control-plane.yaml", lambda it: keep_partners(it, CAST))
            for zone in zones:
                rewrite(self.agent(operator, zone), with_tiny_artefact)
        rewrite(self.agent(HOME, "bergen-1"), self._on_kubernetes)
        rewrite(self.agent(PARTNER, "hamburg-1"), self._on_openstack)

    def agent(self, operator: str, zone: str) -> Path:
        return self.prepared.operator(operator) / "agents" / f"{zone}.yaml"

    def start(self) -> None:
        """Starts all processes and returns once the home operator sees every zone with room."""
        for operator in CAST:
            self.processes.start_operator(operator)
        for operator, zones in CAST.items():
            for zone in zones:
                self.processes.start_agent(operator, zone)
        with SyncClient(load_profile(self.prepared.profile), timeout_ms=1_000) as client:
            wait_for("three zones", lambda: self._sees_all(client), 60)

    def end(self) -> None:
        self.processes.stop_all()
        self.cluster.end()

    def client(self) -> Client:
        """The app team's."""
        return Client(load_profile(self.prepared.profile))

    def engineer(self, operator: str) -> OperatorClient:
        """With the operator's own certificate."""
        return OperatorClient(load_profile(self.prepared.operator(operator) / "profile.yaml"))

    # --- what really is there ---

    def pids(self) -> list[int]:
        return instance_pids(self.prepared, PROCESSES)

    def servers(self) -> list[dict[str, Any]]:
        """As Nova's administrator sees them."""
        found: list[dict[str, Any]] = self.cloud.ask("GET", "compute", "/servers/detail?all_tenants=1")["servers"]
        return found

    def cpus_held(self) -> int:
        """VCPUs that Placement counts as used."""
        providers = self.cloud.ask("GET", "placement", "/resource_providers")["resource_providers"]
        usages = [self.cloud.ask("GET", "placement", f"/resource_providers/{one['uuid']}/usages") for one in providers]
        return sum(usage["usages"].get("VCPU", 0) for usage in usages)

    def deployments(self) -> list[str]:
        found: list[str] = self.cluster.at(lambda cluster: cluster.names("deployments", NAMESPACE))
        return found

    def _sees_all(self, client: SyncClient) -> bool:
        self.processes.check_alive()
        try:
            zones = list(client.zones())
        except HansaError:
            return False
        seen = [zone for zone in zones if zone.state == zone_pb2.ZONE_STATE_AVAILABLE and zone.free.cpu_millis >= 500]
        return len(seen) == 3 and not any(zone.inventory.cordoned for zone in seen)

    def _on_kubernetes(self, document: dict[str, Any]) -> None:
        kubeconfig = self.cluster.cluster.kubeconfig(self.prepared.operator(HOME))
        _on_platform(document, "kubernetes")
        document["kubernetes"] = {"kubeconfig": str(kubeconfig), "orphan_grace_s": 1.0}

    def _on_openstack(self, document: dict[str, Any]) -> None:
        clouds = self.cloud.clouds_file(self.prepared.operator(PARTNER) / "clouds.yaml")
        _on_platform(document, "openstack")
        server = {"image": "tiny", "ready": "active", "endpoint": "https://{name}.waldnetz.example:{port}"}
        document["openstack"] = {"clouds_file": str(clouds), "cloud": "edge", "poll_s": 1.0, "server": server}


def spec() -> workload_pb2.WorkloadSpec:
    """Wishes for the processes first, then the servers, then the pods."""
    return parse_workload_text(SPEC, "harbour").spec


def _on_platform(document: dict[str, Any], platform: str) -> None:
    inventory = document["inventory"]
    kept = {key: inventory[key] for key in inventory.keys() - {"capacity", "pools"}}
    document["inventory"] = kept | {"source": platform}
    document["runtime"] = platform
    document["artefacts"] = [{"name": "tiny-image", "image": IMAGE}]
