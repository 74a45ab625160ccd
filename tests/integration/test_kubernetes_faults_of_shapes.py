"""The fault matrix of kinds that are not the cluster's own: found out, made and ended once, whatever goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes_api.kube_bench import KSERVE, OPTIONAL, PARTS, Bench, desired, kube_bench
from kubernetes_api.kube_cluster import NAMESPACE
from kubernetes_api.kube_faults import Fault
from kubernetes_api.kube_kinds import KINDS
from kubernetes_api.kube_roles import GATEWAY_ROUTE
from kubernetes_api.kube_routing import gateway

CHANGES: dict[str, Any] = {
    "kserve": True,
    "tls_secret": "instance-tls",
    "serve": KSERVE,
    "route": GATEWAY_ROUTE,
    "service": {"type": "ClusterIP"},
}
FAULTS: dict[str, dict[str, Any]] = {
    "cut before": {"cut": "before"},
    "answer lost": {"cut": "after"},
    "answer cut": {"cut": "middle"},
    "slow": {"hold": "after"},
    "429": {"status": 429, "retry_after_s": 1},
    "503": {"status": 503},
    "conflict": {"status": 409},
}
STEPS = [
    ("GET", "/apis/serving.kserve.io$"),
    ("GET", "/inferenceservices/"),
    ("PATCH", "/inferenceservices/"),
    ("GET", "/apis/gateway.networking.k8s.io/v1$"),
    ("GET", "/tlsroutes/"),
    ("PATCH", "/tlsroutes/"),
]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with kube_bench(tmp_path) as built:
        built.cluster.rest.served = list(KINDS)
        built.cluster.put("secrets", {"metadata": {"name": "instance-tls", "namespace": NAMESPACE}})
        built.cluster.put("gateways", gateway())
        yield built


def counts(bench: Bench) -> dict[str, int]:
    return {plural: len(bench.cluster.names(plural)) for plural in (*PARTS, *OPTIONAL, "pods")}


@pytest.mark.parametrize(("method", "path"), STEPS)
@pytest.mark.parametrize("fault", FAULTS)
async def test_start_that_something_befalls_makes_one_of_each(bench: Bench, fault: str, method: str, path: str) -> None:
    bench.cluster.faults.add(Fault(method, path, **FAULTS[fault]))
    agent = await bench.agent(request_timeout_s=0.5, **CHANGES)
    agent.order(desired())
    assert (await agent.ready()).restarts == 0
    assert counts(bench) == {**dict.fromkeys((*PARTS, *OPTIONAL, "pods"), 1), "ingresses": 0}
    agent.order()
    await agent.until(lambda: not agent.supervisor.statuses() and not agent.store.records)
    assert bench.is_empty()


@pytest.mark.parametrize(("method", "path"), STEPS)
@pytest.mark.parametrize("hold", ["before", "after"])
async def test_agent_that_dies_at_any_step_is_followed_by_one_that_ends_it(
    bench: Bench, hold: Any, method: str, path: str
) -> None:
    former = await bench.agent(request_timeout_s=30.0, **CHANGES)
    fault = bench.cluster.faults.add(Fault(method, path, hold=hold))
    former.order(desired())
    await fault.hit.wait()
    await former.stop()
    agent = await bench.agent(**CHANGES)
    await agent.ready()
    assert counts(bench)["pods"] == counts(bench)["inferenceservices"] == counts(bench)["tlsroutes"] == 1
    agent.order()
    await agent.until(lambda: not agent.supervisor.statuses() and not agent.store.records)
    assert bench.is_empty()
