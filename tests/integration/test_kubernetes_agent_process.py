"""The agent's process on a cluster, from its configuration to the operator's view."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from agent_harness import World, zone_world
from kubernetes_api.kube_bench import H100, IMAGE, IMAGE_DIGEST
from kubernetes_api.kube_cluster import Cluster, fake_cluster, node, pod

from hansa.v1.common_pb2 import ArtefactRef, Capacity, PoolAmount
from hansa.v1.instance_pb2 import INSTANCE_STATE_READY


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with zone_world(tmp_path) as built:
        yield built


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with fake_cluster() as built:
        built.put("nodes", node("gpu-1", H100, gpu="4"))
        built.put("pods", pod("theirs", "gpu-1", cpu="1", gpu="1"))
        yield built


def config(world: World, cluster: Cluster) -> Path:
    cluster.kubeconfig(world.folder)
    section: dict[str, Any] = {"kubeconfig": "kubeconfig", "watch_s": 5.0, "request_timeout_s": 5.0}
    return world.config(
        inventory={"source": "kubernetes", "node": "oslo"},
        runtime="kubernetes",
        kubernetes=section,
        artefacts=[{"name": "ocr", "image": IMAGE}],
    )


async def test_zone_on_a_cluster_is_advertised_and_obeys(world: World, cluster: Cluster) -> None:
    agent = await world.spawn(config(world, cluster))
    await world.operator.until(lambda: "inventory" in world.operator.adverts)

    def devices() -> int:
        capacity = world.operator.adverts["inventory"].inventory.capacity
        return sum(amount.count for amount in capacity.accelerators if amount.pool == "nvidia/H100")

    await world.operator.until(lambda: devices() == 3)
    assert world.operator.adverts["inventory"].inventory.source == "kubernetes"
    limits = Capacity(cpu_millis=500, memory_mib=256, accelerators=[PoolAmount(pool="nvidia/H100", count=2)])
    await world.operator.order(world.desired(artefact=ArtefactRef(name="ocr", digest=IMAGE_DIGEST), limits=limits))
    status = await world.operator.ready("c1-0")
    assert status.endpoint_url == "https://192.0.2.10:8443"
    assert devices() == 3, "what own instances hold is the operator's to subtract"
    cluster.drop("pods", "theirs", "others")
    await world.operator.until(lambda: devices() == 4)
    agent.send_signal(signal.SIGTERM)
    assert await agent.wait() == 0
    assert len(cluster.names("pods")) == 1, "instances outlive the agent"
    seen = len(world.operator.received)
    await world.spawn(config(world, cluster))
    await world.operator.until(lambda: len(world.operator.of("heartbeat", seen)) >= 3)
    told = [advert.instance.state for each in world.operator.of("adverts", seen) for advert in each.updated]
    assert set(told) <= {0, INSTANCE_STATE_READY}, "an undisturbed instance is reported as it was"
    await world.operator.order()
    await world.operator.until(lambda: world.operator.status("c1-0") is None)
    assert not cluster.names("pods") and not cluster.names("configmaps")
