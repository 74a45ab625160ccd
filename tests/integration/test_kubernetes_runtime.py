"""Instances on a cluster: made, ready, in trouble, ended; all through the real supervisor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hansa_agent.ports import Machine
from kubernetes_api.kube_bench import IMAGE, PARTS, Bench, desired, kube_bench
from kubernetes_api.kube_cluster import NAMESPACE

from hansa.v1.common_pb2 import AcceleratorPool, Capacity
from hansa.v1.instance_pb2 import INSTANCE_STATE_FAILED, INSTANCE_STATE_READY, INSTANCE_STATE_STARTING

ROOM = Machine(
    Capacity(cpu_millis=8_000, memory_mib=32_768), (AcceleratorPool(vendor="nvidia", model="H100", count=4),), "test"
)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with kube_bench(tmp_path) as built:
        yield built


async def test_instance_is_made_becomes_ready_and_leaves_nothing_behind(bench: Bench) -> None:
    agent = await bench.agent()
    agent.order(desired(gpus=2))
    status = await agent.ready()
    assert status.endpoint_url == "https://192.0.2.10:8443"
    made = bench.made()
    assert tuple(made) == PARTS
    (pod,) = bench.cluster.store.all("pods", NAMESPACE)
    container = pod["spec"]["containers"][0]
    assert container["image"] == IMAGE
    assert container["resources"]["limits"] == {"cpu": "500m", "memory": "256Mi", "nvidia.com/gpu": "2"}
    agent.order()
    await agent.until(lambda: not agent.supervisor.statuses() and not agent.store.records)
    assert bench.is_empty()


async def test_every_object_can_be_traced_to_its_order(bench: Bench) -> None:
    agent = await bench.agent()
    agent.order(desired())
    await agent.ready()
    for body in bench.made().values():
        marks = body["metadata"]["annotations"]
        assert marks["hansa-project.github.io/zone"] == "nordavind/osl-1"
        assert marks["hansa-project.github.io/instance"] == "c1-0"
        assert marks["hansa-project.github.io/claim"] == "c1"
        assert marks["hansa-project.github.io/workload"] == "workloads/shop"
        assert marks["hansa-project.github.io/fencing-token"] == "7"


async def test_too_few_devices_are_told_in_the_schedulers_words(bench: Bench) -> None:
    agent = await bench.agent()
    agent.order(desired(gpus=5))
    await agent.until(lambda: agent.status().message)
    assert agent.status().message == "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
    assert agent.status().state == INSTANCE_STATE_STARTING


async def test_image_that_cannot_be_pulled_is_told(bench: Bench) -> None:
    bench.cluster.controllers.bad_images.add(IMAGE)
    agent = await bench.agent()
    agent.order(desired())
    await agent.until(lambda: agent.status().message)
    assert agent.status().message.startswith("ImagePullBackOff: Back-off pulling image")


async def test_pod_killed_for_its_memory_is_told_and_comes_back(bench: Bench) -> None:
    agent = await bench.agent()
    agent.order(desired())
    await agent.ready()
    (pod,) = bench.cluster.names("pods")
    bench.cluster.controllers.out_of_memory(NAMESPACE, pod)
    await agent.until(lambda: agent.status().state == INSTANCE_STATE_STARTING)
    await agent.until(lambda: agent.status().message.startswith("OOMKilled with exit code 137: CrashLoopBackOff"))
    bench.cluster.drop("pods", pod, NAMESPACE)
    await agent.ready()


async def test_secret_that_is_not_there_is_told_by_its_event(bench: Bench) -> None:
    agent = await bench.agent(tls_secret="instance-tls")
    agent.order(desired())
    await agent.until(lambda: agent.status().message)
    assert 'FailedMount: MountVolume.SetUp failed for volume: secret "instance-tls" not found' in agent.status().message


async def test_quota_that_allows_no_pod_is_told(bench: Bench) -> None:
    bench.cluster.controllers.refuse_pods = 'pods "x" is forbidden: exceeded quota: small'
    agent = await bench.agent()
    agent.order(desired())
    await agent.until(lambda: agent.status().message)
    assert agent.status().message == 'FailedCreate: pods "x" is forbidden: exceeded quota: small'


async def test_changed_order_replaces_the_pod_and_another_token_does_not(bench: Bench) -> None:
    agent = await bench.agent()
    agent.order(desired())
    await agent.ready()
    (first,) = bench.cluster.names("pods")
    agent.order(desired(fencing_token=8))
    assert agent.status().fencing_token == 8 and bench.cluster.names("pods") == [first]
    agent.order(desired(fencing_token=8, client_ids=["spiffe://nordavind/app/other"]))
    await agent.until(lambda: bench.cluster.names("pods") not in ([first], []))
    await agent.ready()
    assert len(bench.cluster.names("pods")) == 1


async def test_pod_of_the_former_order_is_not_taken_for_the_new_one(bench: Bench, tmp_path: Path) -> None:
    former = await bench.agent()
    former.order(desired())
    await former.ready()
    await former.stop()
    bench.cluster.controllers.paused = True
    bench.folder = tmp_path / "empty"
    bench.folder.mkdir()
    agent = await bench.agent(orphan_grace_s=60.0)
    agent.order(desired(fencing_token=8, client_ids=["spiffe://nordavind/app/other"]))
    await agent.until(lambda: bench.made()["deployments"]["metadata"]["generation"] == 2)
    polls = bench.cluster.faults.count("GET", "/events")
    await agent.until(lambda: bench.cluster.faults.count("GET", "/events") > polls)
    assert agent.status().state == INSTANCE_STATE_STARTING
    bench.cluster.controllers.paused = False
    bench.cluster.controllers.settle()
    await agent.ready()
    assert len(bench.cluster.names("pods")) == 1


async def test_pod_that_is_gone_is_not_taken_for_ready_however_late_its_end_is_heard_of(bench: Bench) -> None:
    agent = await bench.agent()
    agent.order(desired())
    await agent.ready()
    bench.cluster.watching.deaf = {"pods"}
    agent.order()
    await agent.until(lambda: not agent.store.records)
    bench.cluster.controllers.ready = False
    agent.order(desired())
    await agent.until(lambda: bench.cluster.names("pods"))
    polls = bench.cluster.faults.count("GET", "/events")
    await agent.until(lambda: bench.cluster.faults.count("GET", "/events") > polls)
    assert agent.status().state == INSTANCE_STATE_STARTING
    bench.cluster.controllers.ready = True
    bench.cluster.controllers.settle()
    bench.cluster.watching.deaf = set()
    await agent.ready()


async def test_newer_token_of_an_unchanged_instance_reaches_the_cluster(bench: Bench) -> None:
    agent = await bench.agent()
    agent.order(desired(fencing_token=7))
    await agent.ready()
    (pod,) = bench.cluster.names("pods")
    agent.order(desired(fencing_token=9))
    await agent.runtime.housekeep()
    assert bench.made()["configmaps"]["metadata"]["annotations"]["hansa-project.github.io/fencing-token"] == "9"
    assert bench.cluster.names("pods") == [pod]


async def test_what_a_pod_holds_that_no_record_names_is_told_until_it_is_gone(bench: Bench, tmp_path: Path) -> None:
    former = await bench.agent()
    former.order(desired(gpus=2))
    await former.ready()
    await former.runtime.housekeep()
    assert former.runtime.strays.less(ROOM) is ROOM
    await former.stop()
    bench.folder = tmp_path / "empty"
    bench.folder.mkdir()
    agent = await bench.agent(orphan_grace_s=60.0)
    await agent.until(lambda: agent.runtime.board.fresh and bool(agent.runtime.board.pods.bodies))
    await agent.runtime.housekeep()
    left = agent.runtime.strays.less(ROOM)
    assert (left.capacity.cpu_millis, left.capacity.memory_mib, left.pools[0].count) == (7_500, 32_512, 2)
    assert left.trouble == "instances left over and not gone yet: 1"
    agent.order(desired(gpus=2))
    await agent.ready()
    await agent.runtime.housekeep()
    assert agent.runtime.strays.less(ROOM) is ROOM


async def test_order_older_than_what_stands_on_the_cluster_is_refused_for_good(bench: Bench) -> None:
    newer = await bench.agent()
    newer.order(desired(fencing_token=9))
    await newer.ready()
    await newer.stop()
    bench.folder = bench.folder / "other-state"
    bench.folder.mkdir()
    older = await bench.agent(orphan_grace_s=60.0)
    older.order(desired(fencing_token=8))
    await older.until(lambda: older.status().state == INSTANCE_STATE_FAILED)
    assert older.status().message == "stale: the cluster has fencing token 9, the order 8"
    older.order()
    await older.until(lambda: not older.supervisor.statuses() and not older.store.records)
    assert tuple(bench.made()) == PARTS, "what a newer order made is left alone"


async def test_what_somebody_else_named_so_is_not_touched(bench: Bench) -> None:
    from hansa_agent.kubernetes.names import object_name

    theirs = {"metadata": {"name": object_name("nordavind/osl-1", "c1-0"), "namespace": NAMESPACE}, "data": {"a": "b"}}
    bench.cluster.put("configmaps", theirs)
    agent = await bench.agent()
    agent.order(desired())
    await agent.until(lambda: agent.status().state == INSTANCE_STATE_FAILED)
    assert "is not hansa's" in agent.status().message
    agent.order()
    await agent.until(lambda: not agent.supervisor.statuses() and not agent.store.records)
    assert bench.made()["configmaps"]["data"] == {"a": "b"}


async def test_deployment_deleted_by_hand_is_made_again(bench: Bench) -> None:
    agent = await bench.agent()
    agent.order(desired())
    await agent.ready()
    bench.cluster.drop("deployments", bench.made()["deployments"]["metadata"]["name"], NAMESPACE)
    await agent.until(lambda: agent.status().restarts == 1 and agent.status().state == INSTANCE_STATE_READY)
    assert tuple(bench.made()) == PARTS
