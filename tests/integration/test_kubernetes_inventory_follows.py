"""The inventory of a cluster is the cluster's truth again after a thousand random changes and whatever goes wrong."""

from __future__ import annotations

import asyncio
import random  # noqa: TID251 - seeded
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hansa_agent.inventory import full_capacity
from hansa_agent.kubernetes.names import label_value
from hansa_agent.ports import Machine
from kubernetes_api.kube_bench import H100, ZONE, Bench, kube_bench
from kubernetes_api.kube_cluster import NAMESPACE, node, pod
from kubernetes_api.kube_faults import Fault
from kubernetes_api.kube_scheduling import active, amount, requested

CHANGES, BATCH_MAX, WAIT_S = 1_000, 100, 30.0
GPU, MIG = "nvidia.com/gpu", "nvidia.com/mig-2g.20gb"
OWN = {"app.kubernetes.io/managed-by": "hansa-agent", "hansa-project.github.io/zone": label_value(ZONE)}
L4 = {"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.memory": "23034"}
SLICED = {f"{MIG}.product": "NVIDIA-H100-80GB-HBM3-MIG-2g.20gb", f"{MIG}.memory": "19968"}
FLAVOURS: dict[str, tuple[dict[str, str], str, str]] = {
    "plain": ({}, "", ""),
    "h100": (H100, GPU, "nvidia/H100"),
    "l4": (L4, GPU, "nvidia/L4"),
    "mig": (SLICED, MIG, "nvidia/H100/mig-2g.20gb"),
    "shared": ({**L4, "nvidia.com/gpu.product": "NVIDIA-L4-SHARED"}, GPU, ""),
    "bare": ({}, GPU, ""),
}
Truth = tuple[int, int, dict[str, int]]


class Disturber:
    """Changes a cluster at random."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.cluster = bench.cluster
        self.cluster.controllers.paused = True
        self._random = random.Random(seed)
        self._number = 0

    def disturb(self) -> None:
        """One change."""
        many: list[Callable[[], None]] = [self._add_node, self._change_node, self._change_node, self._drop_node]
        many += 4 * [self._add_pod] + 2 * [self._end_pod] + 2 * [self._drop_pod] + [self._go_wrong]
        self._random.choice(many)()

    def _add_node(self) -> None:
        self._number += 1
        name = self._random.choice(sorted(FLAVOURS))
        labels, resource, _ = FLAVOURS[name]
        body = node(f"{name}-{self._number}", labels, cpu=f"{self._random.randint(1_000, 64_000)}m")
        has = body["status"]["allocatable"] | {"memory": f"{self._random.randint(1, 1 << 28)}Ki"}
        has |= {resource: str(self._random.randint(1, 8))} if resource else {}
        body["status"] |= {"allocatable": has, "capacity": has}
        self.cluster.put("nodes", body)

    def _change_node(self) -> None:
        body = self._one("nodes")
        if body is None:
            return
        spec = self._random.choice([{}, {}, {"unschedulable": True}, {"taints": [{"key": "x", "effect": "NoExecute"}]}])
        ready = {"type": "Ready", "status": self._random.choice(["True", "True", "False", "Unknown"])}
        self.cluster.put("nodes", {**body, "spec": spec, "status": {**body["status"], "conditions": [ready]}})

    def _drop_node(self) -> None:
        body = self._one("nodes")
        if body is not None and len(self.cluster.store.all("nodes")) > 5:
            self.cluster.drop("nodes", body["metadata"]["name"])

    def _add_pod(self) -> None:
        place = self._one("nodes")
        if place is None:
            return
        self._number += 1
        own = self._random.random() < 0.3
        where = self._random.choice([place["metadata"]["name"]] * 4 + [""])
        body = pod(f"p-{self._number}", where, NAMESPACE if own else "others")
        body["metadata"]["labels"] = OWN if own or self._random.random() < 0.1 else {}
        spec = body["spec"]
        spec["containers"] = [self._container() for _ in range(self._random.randint(1, 3))]
        if self._random.random() < 0.3:
            spec["initContainers"] = [self._container() | self._random.choice([{}, {"restartPolicy": "Always"}])]
        if self._random.random() < 0.2:
            spec["overhead"] = {"cpu": "250m", "memory": "120Mi"}
        self.cluster.put("pods", body)

    def _container(self) -> dict[str, Any]:
        self._number += 1
        asked = {"cpu": f"{self._random.randint(1, 3_000)}m", "memory": f"{self._random.randint(1, 1 << 22)}Ki"}
        devices = {self._random.choice([GPU, MIG]): str(self._random.randint(1, 3))}
        chosen = self._random.choice([{"requests": asked}, {"limits": devices}, {"requests": asked, "limits": devices}])
        return {"name": f"c-{self._number}", "image": "other", "resources": chosen}

    def _end_pod(self) -> None:
        body = self._one("pods")
        if body is not None:
            phase = self._random.choice(["Running", "Succeeded", "Failed"])
            self.cluster.put("pods", {**body, "status": {"phase": phase}})

    def _drop_pod(self) -> None:
        body = self._one("pods")
        if body is not None:
            self.cluster.drop("pods", body["metadata"]["name"], body["metadata"]["namespace"])

    def _go_wrong(self) -> None:
        faults = [Fault("GET", status=status) for status in (429, 500, 503)] + [Fault("GET", cut="middle")]
        if not any(fault.times for fault in self.cluster.faults.waiting):
            self.cluster.faults.add(self._random.choice(faults))
        if self._random.random() < 0.4:
            self.cluster.store.compact()
        self.cluster.watching.cut()

    def _one(self, plural: str) -> dict[str, Any] | None:
        bodies = self.cluster.store.all(plural)
        return self._random.choice(bodies) if bodies else None


def truth(bench: Bench) -> Truth:
    """What the zone has, from the cluster's own objects."""
    held: dict[tuple[str, bool], Counter[str]] = {}
    for body in bench.cluster.store.all("pods"):
        own = body["metadata"]["namespace"] == NAMESPACE and body["metadata"]["labels"] == OWN
        if active(body) and body["spec"].get("nodeName"):
            held.setdefault((body["spec"]["nodeName"], own), Counter()).update(requested(body))
    cpu_millis = memory_mib = 0
    pools: Counter[str] = Counter()
    for body in bench.cluster.store.all("nodes"):
        name = body["metadata"]["name"]
        _, resource, pool = FLAVOURS[name.partition("-")[0]]
        free = free_of(body, held.get((name, False), Counter()), held.get((name, True), Counter()))
        cpu_millis += int(free("cpu") * 1_000)
        memory_mib += int(free("memory")) >> 20
        if pool:
            pools[pool] += int(free(resource))
    return cpu_millis, memory_mib, {pool: count for pool, count in pools.items() if count}


def free_of(body: dict[str, Any], others: Counter[str], own: Counter[str]) -> Callable[[str], Any]:
    """What of a node this zone may count with, by resource."""
    if body["status"]["conditions"][0]["status"] != "True":
        return lambda resource: 0
    if body["spec"]:
        return lambda resource: min(own[resource], amount(body["status"]["allocatable"].get(resource, 0)))
    return lambda resource: max(0, amount(body["status"]["allocatable"].get(resource, 0)) - others[resource])


def figures(machine: Machine) -> Truth:
    capacity = full_capacity(machine)
    pools = {amount.pool: amount.count for amount in capacity.accelerators}
    return capacity.cpu_millis, capacity.memory_mib, pools


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
async def test_inventory_is_the_clusters_truth_after_a_thousand_random_changes(tmp_path: Path, seed: int) -> None:
    async with kube_bench(tmp_path) as bench:
        for name in bench.cluster.names("nodes", ""):
            bench.cluster.drop("nodes", name)
        disturber, source = Disturber(bench, seed), bench.source(unsound_after_s=30.0)
        machines: list[Machine] = []
        await source.read()
        task = asyncio.create_task(source.watch(machines.append))
        sizes = random.Random(seed)
        try:
            left = CHANGES
            while left:
                size = min(left, sizes.randint(1, BATCH_MAX))
                for _ in range(size):
                    disturber.disturb()
                    await asyncio.sleep(0)
                left -= size
                await _equal(bench, machines)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _equal(bench: Bench, machines: list[Machine]) -> None:
    expected = truth(bench)
    try:
        async with asyncio.timeout(WAIT_S):
            while not machines or figures(machines[-1]) != expected:
                await asyncio.sleep(0.02)
    except TimeoutError:
        assert figures(machines[-1]) == expected
