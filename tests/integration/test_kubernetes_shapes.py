"""Shapes of a workload on a cluster: a vLLM server, and an InferenceService where KServe is, each behind a front."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes_api.kube_bench import KSERVE, VLLM, Bench, desired, kube_bench
from kubernetes_api.kube_cluster import NAMESPACE
from kubernetes_api.kube_kinds import KINDS

from hansa.v1.common_pb2 import DATA_CLASS_INPUT
from hansa.v1.instance_pb2 import INSTANCE_STATE_READY, INSTANCE_STATE_STARTING

OF_KSERVE: dict[str, Any] = {"kserve": True, "tls_secret": "instance-tls", "serve": KSERVE}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with kube_bench(tmp_path) as built:
        built.cluster.rest.served = list(KINDS)
        built.cluster.put("secrets", {"metadata": {"name": "instance-tls", "namespace": NAMESPACE}})
        yield built


async def test_vllm_server_runs_behind_its_front_and_what_the_front_holds_is_no_room(bench: Bench) -> None:
    agent = await bench.agent(serve=VLLM, tls_secret="instance-tls")
    agent.order(desired(gpus=2))
    status = await agent.ready()
    assert status.endpoint_url == "https://192.0.2.10:8443"
    (pod,) = bench.cluster.store.all("pods", NAMESPACE)
    server, front = pod["spec"]["containers"]
    assert server["command"][:3] == ["vllm", "serve", "/hansa/cache/llama"] and "ports" not in server
    assert (
        server["resources"]["limits"]["nvidia.com/gpu"] == "2" and "nvidia.com/gpu" not in front["resources"]["limits"]
    )
    assert [port["containerPort"] for port in front["ports"]] == [8443]
    source = bench.source()
    machine = await source.read()
    await source.close()
    assert machine.capacity.cpu_millis == 16_000 - 100 and machine.capacity.memory_mib == 65_536 - 128
    agent.order()
    await agent.until(lambda: not agent.supervisor.statuses() and not agent.store.records)
    assert bench.is_empty()


async def test_inference_service_is_made_is_ready_when_kserve_says_so_and_leaves_nothing(bench: Bench) -> None:
    bench.cluster.controllers.kserve.trouble = "the predictor's revision failed"
    agent = await bench.agent(**OF_KSERVE)
    agent.order(desired(gpus=1))
    await agent.until(lambda: "KServe: PredictorReady: PredictorNotReady: the predictor" in agent.status().message)
    assert agent.status().state == INSTANCE_STATE_STARTING
    bench.cluster.controllers.kserve.trouble = ""
    bench.cluster.controllers.settle()
    status = await agent.ready()
    assert status.endpoint_url == "https://192.0.2.10:8443"
    made = bench.made()
    assert "deployments" not in made and made["inferenceservices"]["apiVersion"] == "serving.kserve.io/v1beta1"
    (pod,) = bench.cluster.store.all("pods", NAMESPACE)
    selector = made["services"]["spec"]["selector"]
    assert selector.items() <= pod["metadata"]["labels"].items(), "our Service is of KServe's pod"
    assert made["networkpolicies"]["spec"]["podSelector"]["matchLabels"] == selector
    agent.order()
    await agent.until(lambda: not agent.supervisor.statuses() and not agent.store.records)
    assert bench.is_empty()


async def test_pod_of_kserve_stays_when_only_the_token_changes(bench: Bench, tmp_path: Path) -> None:
    former = await bench.agent(**OF_KSERVE)
    former.order(desired(fencing_token=7))
    await former.ready()
    await former.stop()
    (pod,) = bench.cluster.names("pods")
    bench.folder = tmp_path / "empty"
    bench.folder.mkdir()
    agent = await bench.agent(orphan_grace_s=60.0, **OF_KSERVE)
    agent.order(desired(fencing_token=8, workload="workloads/other", asker="nordfjell/shop", data=[DATA_CLASS_INPUT]))
    assert (await agent.ready()).restarts == 0
    assert bench.cluster.names("pods") == [pod]


async def test_site_that_begins_to_refuse_some_stops_nothing_though_its_agent_starts_again(bench: Bench) -> None:
    former = await bench.agent()
    former.order(desired())
    await former.ready()
    (pod,) = bench.cluster.names("pods")
    # An operator says whose a workload is, and what it brings, from when the site refuses some.
    former.order(desired(asker="nordfjell/shop", data=[DATA_CLASS_INPUT]))
    await former.until(lambda: former.store.records["c1-0"].parsed_order().instance.asker == "nordfjell/shop")
    await former.stop()
    agent = await bench.agent()
    assert agent.status().state == INSTANCE_STATE_READY
    assert agent.status().restarts == 0 and bench.cluster.names("pods") == [pod]


async def test_inference_service_that_kserve_calls_unready_is_not_ready_any_more(bench: Bench) -> None:
    agent = await bench.agent(**OF_KSERVE)
    agent.order(desired())
    await agent.ready()
    bench.cluster.controllers.kserve.trouble = "no capacity"
    bench.cluster.controllers.settle()
    await agent.until(lambda: agent.status().state == INSTANCE_STATE_STARTING)
    bench.cluster.controllers.kserve.trouble = ""
    bench.cluster.controllers.settle()
    await agent.until(lambda: agent.status().state == INSTANCE_STATE_READY)
    assert agent.status().restarts == 0


async def test_cluster_without_kserve_is_told_and_waited_for(bench: Bench) -> None:
    bench.cluster.rest.served = [kind for kind in KINDS if kind.group != "serving.kserve.io"]
    agent = await bench.agent(**OF_KSERVE)
    agent.order(desired())
    await agent.until(lambda: "the cluster serves no inferenceservices of serving.kserve.io" in agent.status().message)
    bench.cluster.rest.served = list(KINDS)
    await agent.ready()


async def test_kserve_that_is_taken_away_has_ended_nothing_that_anybody_saw(bench: Bench) -> None:
    agent = await bench.agent(**OF_KSERVE)
    agent.order(desired())
    await agent.ready()
    bench.cluster.rest.served = [kind for kind in KINDS if kind.group != "serving.kserve.io"]
    bench.cluster.watching.cut()
    await agent.until(lambda: agent.status().message == "the InferenceService is not there")
    asked = bench.cluster.faults.count("GET", "/configmaps/")
    await agent.until(lambda: bench.cluster.faults.count("GET", "/configmaps/") >= asked + 2)
    assert agent.status().state == INSTANCE_STATE_STARTING and not agent.status().restarts
    bench.cluster.rest.served = list(KINDS)
    await agent.until(lambda: agent.status().state == INSTANCE_STATE_READY)
    assert agent.status().restarts == 0 and len(bench.cluster.names("pods")) == 1


async def test_inference_service_deleted_by_hand_is_made_again(bench: Bench) -> None:
    agent = await bench.agent(**OF_KSERVE)
    agent.order(desired())
    await agent.ready()
    bench.cluster.drop("inferenceservices", bench.made()["inferenceservices"]["metadata"]["name"], NAMESPACE)
    await agent.until(lambda: agent.status().restarts == 1 and agent.status().state == INSTANCE_STATE_READY)
    assert len(bench.cluster.names("pods")) == 1


async def test_agent_that_comes_back_finds_its_inference_service(bench: Bench) -> None:
    former = await bench.agent(**OF_KSERVE)
    former.order(desired())
    await former.ready()
    await former.stop()
    versions = {plural: body["metadata"]["resourceVersion"] for plural, body in bench.made().items()}
    agent = await bench.agent(**OF_KSERVE)
    assert (await agent.ready()).restarts == 0
    assert {plural: body["metadata"]["resourceVersion"] for plural, body in bench.made().items()} == versions


async def test_instance_of_another_shape_ends_before_it_is_made_anew(bench: Bench, tmp_path: Path) -> None:
    former = await bench.agent()
    former.order(desired())
    await former.ready()
    await former.stop()
    bench.folder = tmp_path / "empty"
    bench.folder.mkdir()
    agent = await bench.agent(orphan_grace_s=60.0, **OF_KSERVE)
    agent.order(desired())
    await agent.ready()
    assert "deployments" not in bench.made() and len(bench.cluster.names("pods")) == 1
