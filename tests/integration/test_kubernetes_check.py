"""``hansa-agent check`` on a cluster: what it may, what it sees, and what keeps it from either, in plain words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hansa_agent.check import Finding, Level
from hansa_agent.check_run import findings_of
from hansa_agent.kubernetes.api import KubernetesApi
from hansa_agent.kubernetes.check import ClusterLook, check_cluster, check_instances_of
from hansa_agent.kubernetes.connection import connector
from hansa_agent.kubernetes.rights import rights_for
from hansa_agent.system import SystemClock, SystemIds
from kubernetes_api.kube_bench import IMAGE, Bench, kube_bench, section
from kubernetes_api.kube_cluster import NAMESPACE, node
from kubernetes_api.kube_kinds import KINDS
from kubernetes_api.kube_roles import GATEWAY_ROUTE, rules

ROUTED: dict[str, Any] = {"route": GATEWAY_ROUTE, "service": {"type": "ClusterIP"}}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with kube_bench(tmp_path) as built:
        built.cluster.access.rules = rules("gateway")
        built.cluster.rest.served = list(KINDS)
        yield built


async def findings(bench: Bench, **changes: Any) -> list[Finding]:
    api = KubernetesApi(connector(bench.cluster.kubeconfig(bench.folder), ""), 2.0)
    chosen = section(**changes)
    try:
        rights = tuple(rights_for(chosen, inventory=True, runtime=True))
        return await check_cluster(ClusterLook(api, chosen, SystemClock()), rights)
    finally:
        await api.close()


def bad(found: list[Finding]) -> list[Finding]:
    return [each for each in found if each.level is not Level.OK]


async def test_zone_that_is_all_right_has_nothing_but_good_findings(bench: Bench) -> None:
    found = await findings(bench, **ROUTED)
    assert bad(found) == []
    told = {each.message for each in found}
    assert "Kubernetes v1.37.1 answers" in told
    assert "may get, list, watch, create, patch, delete configmaps in hansa" in told
    assert "may list, watch nodes in the whole cluster" in told
    assert "served as gateway.networking.k8s.io/v1" in told
    assert "2 of 2 take new pods" in told and "8 x nvidia/H100" in told


@pytest.mark.parametrize("missing", range(len(tuple(rights_for(section(**ROUTED), inventory=True, runtime=True)))))
async def test_every_missing_right_is_told_with_what_it_is_for(bench: Bench, missing: int) -> None:
    right = tuple(rights_for(section(**ROUTED), inventory=True, runtime=True))[missing]
    scopes = rules("gateway")
    for rule in scopes[right.scope and NAMESPACE]:
        if right.group in rule["apiGroups"]:
            rule["resources"] = [each for each in rule["resources"] if each != right.resource]
    bench.cluster.access.rules = scopes
    (finding,) = [each for each in bad(await findings(bench, **ROUTED)) if each.subject == "rights"]
    assert f" {right.resource}" in finding.message and right.verbs[-1] in finding.message.split(":")[0]
    assert finding.level is (Level.PROBLEM if right.needed else Level.WARNING)
    assert finding.remedy.startswith("kubectl apply -k agents/kubernetes")


async def test_more_than_it_needs_is_told_too(bench: Bench) -> None:
    broad = rules("gateway")
    broad[NAMESPACE].append({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]})
    bench.cluster.access.rules = broad
    (finding,) = bad(await findings(bench, **ROUTED))
    assert finding.level is Level.WARNING and "may read the secrets of hansa" in finding.message


async def test_devices_without_labels_and_shared_ones_are_told_with_their_nodes(bench: Bench) -> None:
    for name in ("bare-1", "bare-2", "bare-3", "bare-4"):
        bench.cluster.put("nodes", node(name, gpu="2"))
    shared = {"nvidia.com/gpu.product": "NVIDIA-L4-SHARED", "nvidia.com/gpu.memory": "23034"}
    bench.cluster.put("nodes", node("shared", shared, gpu="4"))
    unlabelled, sliced = bad(await findings(bench))
    assert unlabelled.message.startswith("8 devices without labels of GPU feature discovery")
    assert "on bare-1, bare-2, bare-3 and 1 more" in unlabelled.message and "GPU Feature Discovery" in unlabelled.remedy
    assert sliced.message == "4 devices shared by time-slicing or MPS, on shared: they do not count"


async def test_zone_without_a_node_is_told(bench: Bench) -> None:
    (finding,) = bad(await findings(bench, node_selector={"offered": "true"}))
    assert finding.level is Level.PROBLEM and finding.message == "no node bears offered=true: the zone has nothing"


@pytest.mark.parametrize(("ahead_s", "words"), [(90, "s ahead of this machine"), (-90, "s behind this machine")])
async def test_difference_of_the_clocks_is_told(bench: Bench, ahead_s: int, words: str) -> None:
    bench.cluster.ahead_s = ahead_s
    (finding,) = bad(await findings(bench))
    assert finding.subject == "cluster clock" and words in finding.message
    assert abs(int(finding.message.split("is ")[1].split(" s")[0]) - 89) <= 1


async def test_kind_that_is_not_installed_is_a_problem_only_where_it_is_configured(bench: Bench) -> None:
    bench.cluster.rest.served = [kind for kind in KINDS if "." not in kind.group or kind.group == "networking.k8s.io"]
    assert bad(await findings(bench)) == []
    routes, gateways = bad(await findings(bench, **ROUTED))
    assert routes.message == "the cluster serves no tlsroutes of gateway.networking.k8s.io"
    assert routes.level is gateways.level is Level.PROBLEM


async def test_old_cluster_and_silent_cluster_are_told(bench: Bench) -> None:
    bench.cluster.version = {"major": "1", "minor": "26+", "gitVersion": "v1.26.9"}
    (old,) = bad(await findings(bench))
    assert "v1.26.9; 1.27 is the oldest" in old.message
    bench.cluster.faults.down = True
    (silent,) = await findings(bench)
    assert silent.level is Level.PROBLEM and silent.message.startswith("it does not answer: no answer")


def test_what_cannot_be_seen_is_said() -> None:
    found = check_instances_of(section(tls_secret="instance-tls"), [])
    assert [each.level for each in found] == [Level.UNKNOWN, Level.UNKNOWN, Level.WARNING]
    assert "the agent reads none" in found[1].message


async def test_check_of_the_whole_agent_speaks_of_its_cluster(bench: Bench, tmp_path: Path) -> None:
    bench.cluster.kubeconfig(tmp_path)
    (tmp_path / "agent.yaml").write_text(
        f"""
zone: nordavind/osl-1
operator: {{endpoints: ["127.0.0.1:9"], tls: {{ca: ca.pem, cert: agent.pem, key: agent.key}}}}
state_dir: state
inventory: {{source: kubernetes, node: oslo}}
artefacts: [{{name: ocr, image: "{IMAGE}"}}]
runtime: kubernetes
kubernetes: {{kubeconfig: kubeconfig}}
instance: {{port_range: {{first: 20000, last: 20001}}}}
"""
    )
    found = await findings_of(tmp_path / "agent.yaml", SystemClock(), SystemIds())
    told = {each.subject for each in found}
    assert {"cluster", "cluster clock", "rights", "nodes", "accelerators", "instance certificate"} <= told
    assert "ports" not in told, "instances listen on no port of this machine"
