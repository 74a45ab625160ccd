"""What own pods hold: what their orders granted is the operator's to subtract; what is beyond is room for nobody."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hansa_agent.inventory import full_capacity
from hansa_agent.kubernetes.names import label_value
from hansa_agent.ports import Machine
from kubernetes_api.kube_bench import ZONE, Bench, desired, kube_bench
from kubernetes_api.kube_cluster import NAMESPACE, pod


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with kube_bench(tmp_path) as built:
        yield built


def pools(machine: Machine) -> dict[str, int]:
    return {amount.pool: amount.count for amount in full_capacity(machine).accelerators}


async def read(bench: Bench) -> Machine:
    source = bench.source()
    try:
        return await source.read()
    finally:
        await source.close()


def own_pod(granted: dict[str, str] | str | None, **more: Any) -> dict[str, Any]:
    """Requests 2 cores, 4 GiB and 2 devices."""
    body = pod("own", "gpu-1", NAMESPACE, cpu="2", memory="4Gi", gpu="2")
    body["metadata"]["labels"] = {
        "app.kubernetes.io/managed-by": "hansa-agent",
        "hansa-project.github.io/zone": label_value(ZONE),
    }
    if granted is not None:
        told = granted if isinstance(granted, str) else json.dumps(granted)
        body["metadata"]["annotations"] = {"hansa-project.github.io/granted": told}
    body["spec"] |= more
    return body


GRANTED = {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "2"}
SIDECAR = {"name": "proxy", "image": "mesh", "resources": {"requests": {"cpu": "300m", "memory": "128Mi"}}}


@pytest.mark.parametrize(
    ("granted", "more", "cpu_millis", "memory_mib"),
    [
        (GRANTED, {}, 16_000, 65_536),
        (GRANTED, {"overhead": {"cpu": "250m", "memory": "120Mi"}}, 15_750, 65_416),
        (GRANTED, {"initContainers": [SIDECAR | {"restartPolicy": "Always"}]}, 15_700, 65_408),
        (GRANTED, {"initContainers": [SIDECAR]}, 16_000, 65_536),
        ({**GRANTED, "cpu": "1500m"}, {}, 15_500, 65_536),
        ({"memory": "4Gi", "nvidia.com/gpu": "2"}, {}, 14_000, 65_536),
        ({**GRANTED, "cpu": "8"}, {}, 16_000, 65_536),
        (None, {"overhead": {"cpu": "250m"}}, 16_000, 65_536),
        ("{cpu", {"overhead": {"cpu": "250m"}}, 16_000, 65_536),
        ("[1]", {"overhead": {"cpu": "250m"}}, 16_000, 65_536),
    ],
)
async def test_what_own_pods_hold_beyond_their_order_is_no_room(
    bench: Bench, granted: Any, more: dict[str, Any], cpu_millis: int, memory_mib: int
) -> None:
    bench.cluster.put("pods", own_pod(granted, **more))
    machine = await read(bench)
    assert (machine.capacity.cpu_millis, machine.capacity.memory_mib) == (cpu_millis, memory_mib)
    assert pools(machine) == {"nvidia/H100": 8}


async def test_forged_grant_in_a_foreign_namespace_frees_nothing(bench: Bench) -> None:
    body = own_pod(GRANTED)
    body["metadata"]["namespace"] = "others"
    bench.cluster.put("pods", body)
    assert pools(await read(bench)) == {"nvidia/H100": 6}


async def test_cordoned_node_counts_with_what_orders_granted_there_and_no_more(bench: Bench) -> None:
    found = bench.cluster.store.objects[("nodes", "", "gpu-1")]
    bench.cluster.put("nodes", {**found, "spec": {"unschedulable": True}})
    bench.cluster.put("pods", own_pod(GRANTED, overhead={"cpu": "250m"}))
    assert (await read(bench)).capacity.cpu_millis == 8_000 + 2_000


async def test_pods_that_the_runtime_makes_say_what_was_granted(bench: Bench) -> None:
    agent = await bench.agent()
    agent.order(desired(gpus=2))
    await agent.ready()
    (key,) = [key for key in bench.cluster.store.objects if key[0] == "pods"]
    whole = (await read(bench)).capacity.cpu_millis
    bench.cluster.store.objects[key]["spec"]["overhead"] = {"cpu": "250m"}
    machine = await read(bench)
    assert machine.capacity.cpu_millis == whole - 250 and pools(machine) == {"nvidia/H100": 8}
