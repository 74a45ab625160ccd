"""A zone on a fake cluster: the real supervisor and the real runtime, agents that come and go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from hansa_agent.artefacts import Artefact
from hansa_agent.config_kubernetes import KubernetesSection
from hansa_agent.instance_store import InstanceStore
from hansa_agent.kubernetes.api import KubernetesApi
from hansa_agent.kubernetes.connection import connector
from hansa_agent.kubernetes.follower import Outside
from hansa_agent.kubernetes.names import object_name
from hansa_agent.kubernetes.runtime import KubernetesRuntime
from hansa_agent.kubernetes.source import KubernetesSource
from hansa_agent.reconciliation import RestartPolicy
from hansa_agent.serving import KServe, Vllm
from hansa_agent.supervisor import Supervisor
from hansa_agent.system import SystemClock, SystemRandom
from kubernetes_api.kube_cluster import NAMESPACE, Cluster, fake_cluster, node

from hansa.v1.agent_service_pb2 import Order
from hansa.v1.common_pb2 import ArtefactRef, Capacity, PoolAmount
from hansa.v1.instance_pb2 import INSTANCE_STATE_READY, DesiredInstance, InstanceStatus

ZONE = "nordavind/osl-1"
IMAGE_DIGEST = "sha256:" + "a" * 64
IMAGE = f"registry.nordavind.example/ocr@{IMAGE_DIGEST}"
H100 = {
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.memory": "81559",
    "nvidia.com/gpu.count": "4",
}
CA_PEM = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
FRONT = {"image": f"registry.nordavind.example/hansa-agent@sha256:{'b' * 64}"}
VLLM = Vllm.model_validate({"shape": "vllm", "model": "/hansa/cache/llama", "served_name": "llama", "front": FRONT})
KSERVE = KServe.model_validate({"shape": "kserve", "args": ["--http_port", "{port}"], "front": FRONT})
WAIT_S = 20.0
PARTS = ("configmaps", "networkpolicies", "services", "poddisruptionbudgets", "deployments")
OPTIONAL = ("ingresses", "tlsroutes", "inferenceservices")


def section(**changes: Any) -> KubernetesSection:
    """Patient for a second, so that tests of what does not answer are short."""
    brief = {
        "request_timeout_s": 2.0,
        "watch_s": 20.0,
        "patience_s": 3.0,
        "orphan_grace_s": 0.0,
        "unsound_after_s": 0.3,
    }
    return KubernetesSection.model_validate(brief | changes)


def desired(instance: str = "c1-0", gpus: int = 0, **changes: Any) -> DesiredInstance:
    """An order."""
    accelerators = [PoolAmount(pool="nvidia/H100", count=gpus)] if gpus else []
    content: dict[str, Any] = {
        "instance": instance,
        "claim": instance.rpartition("-")[0],
        "workload": "workloads/shop",
        "artefact": ArtefactRef(name="ocr", digest=IMAGE_DIGEST),
        "limits": Capacity(cpu_millis=500, memory_mib=256, accelerators=accelerators),
        "fencing_token": 7,
        "client_ca_pem": CA_PEM,
        "client_ids": ["spiffe://nordavind/app/shop"],
    }
    return DesiredInstance(**(content | changes))


class Agent:
    """One agent process' runtime and supervisor."""

    def __init__(
        self, folder: Path, cluster: Cluster, policy: RestartPolicy, *, serve: Any = None, **changes: Any
    ) -> None:
        self.outside = Outside(SystemClock(), SystemRandom())
        self.store = InstanceStore(folder / "state")
        self.api = KubernetesApi(connector(cluster.kubeconfig(folder), ""), section(**changes).request_timeout_s)
        self.runtime = KubernetesRuntime(section(**changes), ZONE, self.api, self.store, self.outside)
        self.runtime.artefacts = {"ocr": Artefact("ocr", (), (), IMAGE_DIGEST, {}, IMAGE, serve)}
        self.changed = asyncio.Event()
        self.supervisor = Supervisor(self.runtime, self.store, self.outside.clock, self.changed.set)
        self._policy = policy
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.supervisor.adopt(self._policy, self.outside.random)
        self._task = asyncio.create_task(self.supervisor.run())
        await asyncio.sleep(0)

    async def stop(self) -> None:
        """As when the process ends: what runs goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.api.close()

    def order(self, *instances: DesiredInstance) -> None:
        """These are from now on all orders."""
        orders = {f"instances/{each.instance}": each for each in instances}
        self.supervisor.desire({name: Order(name=name, etag="e", instance=each) for name, each in orders.items()})

    def status(self, instance: str = "c1-0") -> InstanceStatus:
        return self.supervisor.statuses().get(instance, InstanceStatus())

    async def until(self, predicate: Callable[[], Any]) -> Any:
        async with asyncio.timeout(WAIT_S):
            while not (found := predicate()):
                self.changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await self.changed.wait()
        return found

    async def ready(self, instance: str = "c1-0") -> InstanceStatus:
        await self.until(lambda: self.status(instance).state == INSTANCE_STATE_READY)
        return self.status(instance)


class Bench:
    """A cluster with two GPU nodes, and the agents that a test starts on one folder."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder = folder
        self.cluster = cluster
        self.policy = RestartPolicy(backoff_ms_min=50, backoff_ms_max=200, stop_grace_ms=2_000, quick_failures_max=50)
        self._agents: list[Agent] = []
        for name in ("gpu-1", "gpu-2"):
            cluster.put("nodes", node(name, H100, gpu="4"))

    async def agent(self, **changes: Any) -> Agent:
        """Another agent process; the former one is to be stopped."""
        built = Agent(self.folder, self.cluster, self.policy, **changes)
        self._agents.append(built)
        await built.start()
        return built

    def source(self, **changes: Any) -> KubernetesSource:
        api = KubernetesApi(connector(self.cluster.kubeconfig(self.folder), ""), section(**changes).request_timeout_s)
        return KubernetesSource(section(**changes), ZONE, api, Outside(SystemClock(), SystemRandom()))

    def made(self, instance: str = "c1-0") -> dict[str, Any]:
        """What of an instance is on the cluster, by plural."""
        name = object_name(ZONE, instance)
        keys = ((plural, (plural, NAMESPACE, name)) for plural in (*PARTS, *OPTIONAL))
        return {plural: self.cluster.store.objects[key] for plural, key in keys if key in self.cluster.store.objects}

    def is_empty(self) -> bool:
        """Whether nothing of any instance is left."""
        return not any(self.cluster.names(plural) for plural in (*PARTS, *OPTIONAL, "pods", "replicasets"))

    async def stop(self) -> None:
        for agent in self._agents:
            await agent.stop()


@contextlib.asynccontextmanager
async def kube_bench(folder: Path) -> AsyncIterator[Bench]:
    """A bench whose cluster listens."""
    async with fake_cluster() as cluster:
        bench = Bench(folder, cluster)
        try:
            yield bench
        finally:
            await bench.stop()
