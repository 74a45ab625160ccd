"""Ways to instances by Ingress and by Gateway: made, told once the platform has built them, and with TLS left whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes_api.kube_bench import Bench, desired, kube_bench
from kubernetes_api.kube_kinds import KINDS
from kubernetes_api.kube_routing import gateway

from hansa.v1.instance_pb2 import INSTANCE_STATE_READY, INSTANCE_STATE_STARTING

HOST = "{name}.edge.nordavind.example"
INGRESS: dict[str, Any] = {
    "kind": "Ingress",
    "host": HOST,
    "ingress_class": "nginx",
    "annotations": {"nginx.ingress.kubernetes.io/ssl-passthrough": "true"},
}
GATEWAY: dict[str, Any] = {
    "kind": "TLSRoute",
    "host": HOST,
    "port": 8443,
    "gateway": {"name": "edge", "namespace": "ingress", "listener": "passing"},
}
CLUSTER_IP = {"type": "ClusterIP"}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with kube_bench(tmp_path) as built:
        built.cluster.rest.served = list(KINDS)
        yield built


async def test_ingress_is_told_once_a_controller_has_taken_it_on(bench: Bench) -> None:
    bench.cluster.controllers.routing.on = False
    agent = await bench.agent(route=INGRESS, service=CLUSTER_IP)
    agent.order(desired())
    await agent.until(lambda: "no controller of its class" in agent.status().message)
    assert agent.status().state == INSTANCE_STATE_STARTING and not agent.status().endpoint_url
    bench.cluster.controllers.routing.on = True
    bench.cluster.controllers.settle()
    status = await agent.ready()
    name = bench.made()["ingresses"]["metadata"]["name"]
    assert status.endpoint_url == f"https://{name}.edge.nordavind.example:443"
    body = bench.made()["ingresses"]
    assert body["metadata"]["annotations"]["nginx.ingress.kubernetes.io/ssl-passthrough"] == "true"
    assert body["spec"]["ingressClassName"] == "nginx"
    (path,) = body["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": name, "port": {"number": 8443}}


async def test_route_of_a_gateway_is_told_once_it_is_programmed_and_goes_with_its_instance(bench: Bench) -> None:
    bench.cluster.put("gateways", gateway(programmed=False))
    agent = await bench.agent(route=GATEWAY, service=CLUSTER_IP)
    agent.order(desired())
    await agent.until(lambda: "not Programmed: Pending: no address" in agent.status().message)
    bench.cluster.put("gateways", gateway())
    status = await agent.ready()
    assert status.endpoint_url.endswith(".edge.nordavind.example:8443")
    assert bench.made()["tlsroutes"]["spec"]["hostnames"] == [status.endpoint_url[8:].rpartition(":")[0]]
    agent.order()
    await agent.until(lambda: not agent.supervisor.statuses() and not agent.store.records)
    assert bench.is_empty()


@pytest.mark.parametrize(("protocol", "mode"), [("TLS", "Terminate"), ("HTTPS", "Passthrough"), ("HTTPS", "Terminate")])
async def test_listener_that_would_end_tls_is_never_told_to_clients(bench: Bench, protocol: str, mode: str) -> None:
    bench.cluster.put("gateways", gateway(mode, protocol))
    agent = await bench.agent(route=GATEWAY, service=CLUSTER_IP)
    agent.order(desired())
    await agent.until(lambda: "would end TLS" in agent.status().message)
    assert agent.status().state == INSTANCE_STATE_STARTING and not agent.status().endpoint_url


async def test_route_that_the_gateway_refuses_is_told_in_its_words(bench: Bench) -> None:
    bench.cluster.put("gateways", gateway())
    bench.cluster.controllers.routing.refusal = "no listener has this host"
    agent = await bench.agent(route=GATEWAY, service=CLUSTER_IP)
    agent.order(desired())
    await agent.until(lambda: agent.status().message)
    await agent.until(lambda: "NoMatchingListenerHostname: no listener has this host" in agent.status().message)


async def test_instance_is_not_ready_any_more_once_its_route_is_taken_down(bench: Bench) -> None:
    agent = await bench.agent(route=INGRESS, service=CLUSTER_IP)
    agent.order(desired())
    await agent.ready()
    bench.cluster.controllers.routing.on = False
    bench.cluster.controllers.settle()
    await agent.until(lambda: agent.status().state == INSTANCE_STATE_STARTING)
    assert "no address yet" in agent.status().message
    bench.cluster.controllers.routing.on = True
    bench.cluster.controllers.settle()
    await agent.until(lambda: agent.status().state == INSTANCE_STATE_READY)
    assert agent.status().restarts == 0


async def test_instance_serves_nobody_until_the_gateway_api_is_installed(bench: Bench) -> None:
    bench.cluster.rest.served = [kind for kind in KINDS if kind.group != "gateway.networking.k8s.io"]
    agent = await bench.agent(route=GATEWAY, service=CLUSTER_IP, patience_s=0.5)
    agent.order(desired())
    await agent.until(lambda: "the cluster serves no tlsroutes" in agent.status().message)
    bench.cluster.rest.served = list(KINDS)
    bench.cluster.put("gateways", gateway())
    await agent.ready()


async def test_gateway_api_that_is_taken_away_unsettles_its_routes_and_no_other_view(bench: Bench) -> None:
    bench.cluster.put("gateways", gateway())
    agent = await bench.agent(route=GATEWAY, service=CLUSTER_IP)
    agent.order(desired())
    await agent.ready()
    bench.cluster.rest.served = [kind for kind in KINDS if kind.group != "gateway.networking.k8s.io"]
    bench.cluster.watching.cut()
    await agent.until(lambda: agent.status().state == INSTANCE_STATE_STARTING)
    await agent.until(lambda: agent.runtime.board.fresh)
    await agent.until(lambda: agent.status().message == "the TLSRoute is not there")
    bench.cluster.rest.served = list(KINDS)
    await agent.until(lambda: agent.status().state == INSTANCE_STATE_READY)
    assert agent.status().restarts == 0


async def test_pod_that_serves_is_not_to_be_evicted_unless_the_owner_allows_it(bench: Bench) -> None:
    agent = await bench.agent()
    agent.order(desired())
    await agent.ready()
    budget, deployment = bench.made()["poddisruptionbudgets"]["spec"], bench.made()["deployments"]["spec"]
    assert budget["minAvailable"] == 1 and budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert budget["selector"] == deployment["selector"]
    agent.order()
    await agent.until(lambda: not agent.store.records)
    await agent.stop()
    agent = await bench.agent(evictions="allowed")
    agent.order(desired())
    await agent.ready()
    assert "poddisruptionbudgets" not in bench.made()
