"""The fault matrix of the runtime on a cluster: whatever goes wrong at whichever request: one instance, no orphan."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from kubernetes_api.kube_bench import PARTS, Agent, Bench, desired, kube_bench
from kubernetes_api.kube_cluster import NAMESPACE
from kubernetes_api.kube_faults import Fault

from hansa.v1.instance_pb2 import INSTANCE_STATE_FAILED, INSTANCE_STATE_READY, INSTANCE_STATE_STARTING

FAULTS: dict[str, dict[str, Any]] = {
    "cut before": {"cut": "before"},
    "answer lost": {"cut": "after"},
    "answer cut": {"cut": "middle"},
    "slow": {"hold": "after"},
    "429": {"status": 429, "retry_after_s": 1},
    "500": {"status": 500},
    "503": {"status": 503},
    "conflict": {"status": 409},
}
STEPS = [
    ("GET", "/configmaps/"),
    ("PATCH", "/configmaps/"),
    ("GET", "/networkpolicies/"),
    ("PATCH", "/networkpolicies/"),
    ("GET", "/services/"),
    ("PATCH", "/services/"),
    ("GET", "/poddisruptionbudgets/"),
    ("PATCH", "/poddisruptionbudgets/"),
    ("GET", "/deployments/"),
    ("PATCH", "/deployments/"),
]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with kube_bench(tmp_path) as built:
        yield built


def assert_once(bench: Bench) -> None:
    """Exactly one of everything, of one instance."""
    assert tuple(bench.made()) == PARTS
    counts = {plural: len(bench.cluster.names(plural)) for plural in (*PARTS, "pods")}
    assert counts == dict.fromkeys((*PARTS, "pods"), 1)


async def withdrawn(bench: Bench, agent: Agent) -> None:
    agent.order()
    await agent.until(lambda: not agent.supervisor.statuses() and not agent.store.records)
    assert bench.is_empty()


@pytest.mark.parametrize(("method", "path"), STEPS)
@pytest.mark.parametrize("fault", FAULTS)
async def test_start_that_something_befalls_is_done_once(bench: Bench, fault: str, method: str, path: str) -> None:
    agent = await bench.agent(request_timeout_s=0.5)
    bench.cluster.faults.add(Fault(method, path, **FAULTS[fault]))
    agent.order(desired())
    status = await agent.ready()
    assert_once(bench)
    assert status.restarts == 0
    await withdrawn(bench, agent)


@pytest.mark.parametrize(("method", "path"), STEPS)
@pytest.mark.parametrize("hold", ["before", "after"])
async def test_agent_that_dies_while_it_starts_is_followed_by_one_that_ends_it(
    bench: Bench, hold: Any, method: str, path: str
) -> None:
    former = await bench.agent(request_timeout_s=30.0)
    fault = bench.cluster.faults.add(Fault(method, path, hold=hold))
    former.order(desired())
    await fault.hit.wait()
    await former.stop()
    agent = await bench.agent()
    await agent.ready()
    assert_once(bench)
    await withdrawn(bench, agent)


@pytest.mark.parametrize("hold", ["before", "after"])
async def test_agent_that_dies_while_it_stops_is_followed_by_one_that_ends_it(bench: Bench, hold: Any) -> None:
    former = await bench.agent(request_timeout_s=30.0)
    former.order(desired())
    await former.ready()
    fault = bench.cluster.faults.add(Fault("DELETE", "/configmaps/", hold=hold))
    former.order()
    await fault.hit.wait()
    await former.stop()
    agent = await bench.agent()
    await agent.until(lambda: not agent.supervisor.statuses() and not agent.store.records)
    assert bench.is_empty()


@pytest.mark.parametrize("fault", FAULTS)
async def test_stop_that_something_befalls_is_told_again(bench: Bench, fault: str) -> None:
    bench.policy = bench.policy.__class__(stop_grace_ms=300)
    agent = await bench.agent(request_timeout_s=0.5)
    agent.order(desired())
    await agent.ready()
    bench.cluster.faults.add(Fault("DELETE", "/configmaps/", **FAULTS[fault]))
    await withdrawn(bench, agent)


async def test_agent_that_comes_back_finds_its_instance_as_it_was(bench: Bench) -> None:
    former = await bench.agent()
    former.order(desired())
    await former.ready()
    await former.stop()
    versions = {plural: body["metadata"]["resourceVersion"] for plural, body in bench.made().items()}
    agent = await bench.agent()
    assert (await agent.ready()).restarts == 0
    assert {plural: body["metadata"]["resourceVersion"] for plural, body in bench.made().items()} == versions


async def test_agent_without_the_records_of_the_former_finds_its_instance(bench: Bench, tmp_path: Path) -> None:
    former = await bench.agent()
    former.order(desired())
    await former.ready()
    await former.stop()
    (pod,) = bench.cluster.names("pods")
    bench.folder = tmp_path / "empty"
    bench.folder.mkdir()
    agent = await bench.agent(orphan_grace_s=60.0)
    agent.order(desired())
    assert (await agent.ready()).restarts == 0
    assert bench.cluster.names("pods") == [pod]


async def test_silent_cluster_ends_nothing(bench: Bench) -> None:
    former = await bench.agent()
    former.order(desired())
    await former.ready()
    await former.stop()
    bench.cluster.faults.down = True
    agent = await bench.agent(request_timeout_s=0.3)
    await agent.until(lambda: bench.cluster.faults.count("GET", r"/configmaps\?.*limit") >= 4)
    assert not agent.status().restarts and len(bench.cluster.names("pods")) == 1
    bench.cluster.faults.down = False
    assert (await agent.ready()).restarts == 0


async def test_instance_stays_ready_while_the_cluster_is_silent(bench: Bench) -> None:
    agent = await bench.agent()
    agent.order(desired())
    await agent.ready()
    bench.cluster.faults.down = True
    bench.cluster.watching.cut()
    seen = bench.cluster.faults.count("GET", "watch=")
    await agent.until(lambda: bench.cluster.faults.count("GET", "watch=") >= seen + 8)
    assert agent.status().state == INSTANCE_STATE_READY
    bench.cluster.faults.down = False
    bench.cluster.drop("pods", bench.cluster.names("pods")[0], NAMESPACE)
    await agent.ready()
    assert_once(bench)


async def test_pod_that_does_not_end_is_killed_and_is_not_taken_for_ended(bench: Bench) -> None:
    bench.policy = bench.policy.__class__(stop_grace_ms=200)
    bench.cluster.controllers.hanging = True
    agent = await bench.agent()
    agent.order(desired())
    await agent.ready()
    agent.order()
    await agent.until(lambda: bench.cluster.faults.count("DELETE", "/pods/"))
    (pod,) = bench.cluster.store.all("pods", NAMESPACE)
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 1
    assert agent.supervisor.statuses(), "the node has not said that it is over"
    bench.cluster.controllers.hanging = False
    bench.cluster.controllers.settle()
    await agent.until(lambda: not agent.supervisor.statuses())
    assert bench.is_empty()


POD_SECURITY = 'pods "x" is forbidden: violates PodSecurity "restricted:latest": privileged'
WEBHOOK = 'admission webhook "images.nordavind.example" denied the request: unsigned image'


@pytest.mark.parametrize(
    ("status", "message"), [(422, "no such thing here"), (403, POD_SECURITY), (403, WEBHOOK), (403, "no limits")]
)
async def test_refusal_of_the_body_itself_is_for_good(bench: Bench, status: int, message: str) -> None:
    agent = await bench.agent()
    bench.cluster.faults.add(Fault("PATCH", "/deployments/", status=status, message=message))
    agent.order(desired())
    await agent.until(lambda: agent.status().state == INSTANCE_STATE_FAILED)
    assert agent.status().message.startswith(f"{status} ") and message in agent.status().message
    await withdrawn(bench, agent)


QUOTA = 'services "x" is forbidden: exceeded quota: small, requested: count/services=1, used: 5, limited: 5'
RBAC = 'services "x" is forbidden: User "agent" cannot patch resource "services" in API group ""'


@pytest.mark.parametrize("message", [QUOTA, RBAC])
async def test_refusal_that_may_be_lifted_is_told_and_tried_again(bench: Bench, message: str) -> None:
    agent = await bench.agent()
    fault = bench.cluster.faults.add(Fault("PATCH", "/services/", times=1_000, status=403, message=message))
    agent.order(desired())
    await agent.until(lambda: message in agent.status().message)
    assert agent.status().state == INSTANCE_STATE_STARTING and not agent.status().restarts
    await agent.until(lambda: bench.cluster.faults.count("PATCH", "/services/") >= 3)
    fault.times = 0
    status = await agent.ready()
    assert_once(bench)
    assert status.restarts == 0 and not status.message
    await withdrawn(bench, agent)


async def test_refusal_that_is_not_lifted_in_time_is_for_good_and_leaves_nothing(bench: Bench) -> None:
    bench.policy = bench.policy.__class__(ready_timeout_ms=500, quick_failures_max=2, backoff_ms_min=50)
    agent = await bench.agent()
    bench.cluster.faults.add(Fault("PATCH", "/deployments/", times=1_000, status=403, message=QUOTA))
    agent.order(desired())
    await agent.until(lambda: agent.status().state == INSTANCE_STATE_FAILED)
    assert agent.status().message.startswith("given up after 2 failures in a row: ")
    assert "exceeded quota: small" in agent.status().message
    await withdrawn(bench, agent)


async def test_instance_that_is_withdrawn_while_it_is_refused_leaves_nothing(bench: Bench) -> None:
    agent = await bench.agent()
    bench.cluster.faults.add(Fault("PATCH", "/deployments/", times=1_000, status=403, message=QUOTA))
    agent.order(desired())
    await agent.until(lambda: "exceeded quota" in agent.status().message)
    await withdrawn(bench, agent)


async def test_agent_that_dies_while_it_is_refused_is_followed_by_one_that_goes_on(bench: Bench) -> None:
    former = await bench.agent()
    fault = bench.cluster.faults.add(Fault("PATCH", "/deployments/", times=1_000, status=403, message=QUOTA))
    former.order(desired())
    await former.until(lambda: "exceeded quota" in former.status().message)
    await former.stop()
    fault.times = 0
    agent = await bench.agent()
    await agent.ready()
    assert_once(bench)
    await withdrawn(bench, agent)


async def edited(bench: Bench, path: str, patch: dict[str, Any]) -> None:
    """As somebody with kubectl would."""
    headers = {"Authorization": "Bearer agent-token", "Content-Type": "application/merge-patch+json"}
    url = f"http://127.0.0.1:{bench.cluster.port}{path}"
    async with aiohttp.ClientSession(headers=headers) as session, session.patch(url, json=patch) as response:
        assert response.status == 200, await response.text()


async def test_field_of_another_manager_is_taken_back_when_an_agent_applies_again(bench: Bench, tmp_path: Path) -> None:
    former = await bench.agent()
    former.order(desired())
    await former.ready()
    await former.stop()
    name = bench.made()["deployments"]["metadata"]["name"]
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}?fieldManager=kubectl-edit"
    await edited(bench, path, {"spec": {"replicas": 0}})
    bench.folder = tmp_path / "empty"
    bench.folder.mkdir()
    agent = await bench.agent(orphan_grace_s=60.0)
    agent.order(desired())
    await agent.ready()
    assert bench.made()["deployments"]["spec"]["replicas"] == 1


async def test_what_nobody_asked_for_is_deleted_and_foreign_things_are_not(bench: Bench, tmp_path: Path) -> None:
    former = await bench.agent()
    former.order(desired("c1-0"), desired("c2-0"))
    await former.ready("c1-0")
    await former.ready("c2-0")
    await former.stop()
    theirs = {"metadata": {"name": "theirs", "namespace": NAMESPACE, "labels": {}}, "data": {}}
    bench.cluster.put("configmaps", theirs)
    bench.folder = tmp_path / "empty"
    bench.folder.mkdir()
    agent = await bench.agent(orphan_grace_s=0.0)
    agent.order(desired("c1-0"))
    await agent.ready("c1-0")
    await agent.until(lambda: agent.runtime.board.fresh)
    await agent.runtime.housekeep()
    await agent.until(lambda: len(bench.cluster.names("pods")) == 1)
    assert set(bench.cluster.names("configmaps")) == {"theirs", bench.made()["configmaps"]["metadata"]["name"]}
    assert not bench.made("c2-0") and tuple(bench.made("c1-0")) == PARTS
