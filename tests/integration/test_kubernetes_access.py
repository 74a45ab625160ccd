"""What the agent may do on a cluster by its manifests: enough for all it does, and nothing beyond."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hansa_agent.artefacts import Artefact
from hansa_agent.kubernetes.rights import RIGHTS, rights_for
from kubernetes import client as official
from kubernetes_api.kube_bench import IMAGE, IMAGE_DIGEST, KSERVE, Bench, desired, kube_bench, section
from kubernetes_api.kube_cluster import NAMESPACE
from kubernetes_api.kube_kinds import KINDS
from kubernetes_api.kube_roles import FOLDER, GATEWAY_ROUTE, INGRESS_ROUTE, granted, manifests, rules
from kubernetes_api.kube_routing import gateway

from hansa.v1.common_pb2 import ArtefactRef
from hansa.v1.instance_pb2 import INSTANCE_STATE_READY, INSTANCE_STATE_STARTING

NOT_CALLED = {("", "configmaps/finalizers", "update")}
"""Asked for by admission plugins on the agent's behalf, not by the agent."""


def in_table(*parts: str) -> set[tuple[str, str, str, str]]:
    return {
        (right.scope and NAMESPACE, right.group, right.resource, verb)
        for right in RIGHTS
        if right.part in parts
        for verb in right.verbs
    }


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with kube_bench(tmp_path) as built:
        built.cluster.access.rules = rules()
        yield built


PARTS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "base": ((), {}),
    "ingress": (("ingress",), {"route": INGRESS_ROUTE, "service": {"type": "ClusterIP"}}),
    "gateway": (("gateway",), {"route": GATEWAY_ROUTE, "service": {"type": "ClusterIP"}}),
    "kserve": (("kserve",), {"kserve": True, "tls_secret": "instance-tls"}),
}


@pytest.mark.parametrize("name", PARTS)
def test_table_of_rights_and_roles_are_the_same(name: str) -> None:
    parts, changes = PARTS[name]
    assert granted(rules(*parts)) == in_table("inventory", "runtime", *parts)
    asked = {
        (right.scope and NAMESPACE, right.group, right.resource, verb)
        for right in rights_for(section(**changes), inventory=True, runtime=True)
        for verb in right.verbs
    }
    assert asked == granted(rules(*parts))


@pytest.mark.parametrize("name", PARTS)
async def test_roles_allow_all_that_the_agent_does_and_nothing_else(bench: Bench, name: str) -> None:
    parts, changes = PARTS[name]
    bench.policy = bench.policy.__class__(stop_grace_ms=200)
    bench.cluster.access.rules = rules(*parts)
    bench.cluster.rest.served = list(KINDS)
    bench.cluster.put("gateways", gateway())
    source = bench.source()
    assert not (await source.read()).unsound
    await source.close()
    bench.cluster.put("secrets", {"metadata": {"name": "instance-tls", "namespace": NAMESPACE}})
    agent = await bench.agent(**changes)
    agent.runtime.artefacts = {
        **agent.runtime.artefacts,
        "llm": Artefact("llm", (), (), IMAGE_DIGEST, {}, IMAGE, KSERVE),
    }
    llm = desired("c2-0", artefact=ArtefactRef(name="llm", digest=IMAGE_DIGEST))
    agent.order(desired(gpus=1), *([llm] if name == "kserve" else []))
    await agent.until(lambda: {each.state for each in agent.supervisor.statuses().values()} == {INSTANCE_STATE_READY})
    bench.cluster.controllers.hanging = True
    agent.order()
    await agent.until(lambda: bench.cluster.faults.count("DELETE", "/pods/"))
    bench.cluster.controllers.hanging = False
    bench.cluster.controllers.settle()
    await agent.until(lambda: not agent.supervisor.statuses())
    bench.cluster.controllers.ready = False
    agent.order(desired())
    await agent.until(lambda: bench.cluster.faults.count("GET", "/events"))
    allowed = {each[1:] for each in granted(rules(*parts))}
    # Server-side apply makes what is not there, for which the real server wants the verb "create" as well.
    applied = {(group, resource, "create") for group, resource, verb in bench.cluster.access.used if verb == "patch"}
    watched = {(group, resource, "watch") for group, resource, verb in bench.cluster.access.used if verb == "list"}
    called = bench.cluster.access.used | applied | {each for each in watched if each[1] != "events"}
    assert called == allowed - NOT_CALLED


async def test_missing_right_is_told_with_the_verb_and_the_resource_and_may_be_granted_later(bench: Bench) -> None:
    bench.cluster.access.rules = {"": rules()[""], NAMESPACE: [*rules()[NAMESPACE][:3]]}
    agent = await bench.agent(patience_s=0.5)
    agent.order(desired())
    await agent.until(lambda: 'cannot get resource "networkpolicies"' in agent.status().message)
    assert agent.status().state == INSTANCE_STATE_STARTING
    bench.cluster.access.rules = rules()
    await agent.ready()


async def test_inventory_without_the_cluster_role_is_told(bench: Bench) -> None:
    bench.cluster.access.rules = {NAMESPACE: rules()[NAMESPACE]}
    source = bench.source()
    machine = await source.read()
    await source.close()
    assert machine.unsound and 'cannot list resource "nodes"' in machine.trouble


@pytest.mark.parametrize("name", sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.yaml")))
def test_manifests_are_valid(name: str) -> None:
    for body in manifests(name):
        if not body["apiVersion"].startswith("kustomize"):
            getattr(official, f"V1{body['kind']}").model_validate(body)


def test_kustomize_base_and_components_name_every_manifest() -> None:
    for base in FOLDER.rglob("kustomization.yaml"):
        (body,) = manifests(str(base.relative_to(FOLDER)))
        beside = sorted(path.name for path in base.parent.glob("*.yaml"))
        assert sorted([*body["resources"], "kustomization.yaml"]) == beside
        assert body["kind"] == ("Kustomization" if base.parent == FOLDER else "Component")
