"""What the agent may do on a cluster by its manifests: enough for all it does, and nothing beyond."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import hansa_agent
import pytest
import yaml
from kubernetes import client as official
from kubernetes_api.kube_bench import Bench, desired, kube_bench
from kubernetes_api.kube_cluster import NAMESPACE
from kubernetes_api.kube_kinds import KINDS

from hansa.v1.instance_pb2 import INSTANCE_STATE_FAILED

FOLDER = Path(hansa_agent.__file__).parents[1] / "kubernetes"
NOT_CALLED = {("", "configmaps/finalizers", "update")}
"""Asked for by admission plugins on the agent's behalf, not by the agent."""


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def rules() -> dict[str, list[dict[str, Any]]]:
    """By scope, as the fake reads them."""
    found = {each["kind"]: each["rules"] for each in manifests("rbac.yaml") if "rules" in each}
    return {"": found["ClusterRole"], NAMESPACE: found["Role"]}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with kube_bench(tmp_path) as built:
        built.cluster.access.rules = rules()
        yield built


async def test_roles_allow_all_that_the_agent_does_and_nothing_else(bench: Bench) -> None:
    bench.policy = bench.policy.__class__(stop_grace_ms=200)
    bench.cluster.rest.served = list(KINDS)
    source = bench.source()
    assert not (await source.read()).unsound
    await source.close()
    agent = await bench.agent()
    agent.order(desired(gpus=1))
    await agent.ready()
    bench.cluster.controllers.hanging = True
    agent.order()
    await agent.until(lambda: bench.cluster.faults.count("DELETE", "/pods/"))
    bench.cluster.controllers.hanging = False
    bench.cluster.controllers.settle()
    await agent.until(lambda: not agent.supervisor.statuses())
    bench.cluster.controllers.ready = False
    agent.order(desired())
    await agent.until(lambda: bench.cluster.faults.count("GET", "/events"))
    allowed = {
        (group, resource, verb)
        for scope in rules().values()
        for rule in scope
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    # Server-side apply makes what is not there, for which the real server wants the verb "create" as well.
    applied = {(group, resource, "create") for group, resource, verb in bench.cluster.access.used if verb == "patch"}
    watched = {(group, resource, "watch") for group, resource, verb in bench.cluster.access.used if verb == "list"}
    called = bench.cluster.access.used | applied | {each for each in watched if each[1] != "events"}
    assert called == allowed - NOT_CALLED


async def test_missing_right_is_told_with_the_verb_and_the_resource(bench: Bench) -> None:
    bench.cluster.access.rules = {"": rules()[""], NAMESPACE: [*rules()[NAMESPACE][:3]]}
    agent = await bench.agent()
    agent.order(desired())
    await agent.until(lambda: agent.status().state == INSTANCE_STATE_FAILED)
    assert 'cannot get resource "networkpolicies"' in agent.status().message


async def test_inventory_without_the_cluster_role_is_told(bench: Bench) -> None:
    bench.cluster.access.rules = {NAMESPACE: rules()[NAMESPACE]}
    source = bench.source()
    machine = await source.read()
    await source.close()
    assert machine.unsound and 'cannot list resource "nodes"' in machine.trouble


@pytest.mark.parametrize("name", ["namespace.yaml", "rbac.yaml", "agent.yaml"])
def test_manifests_are_valid(name: str) -> None:
    for body in manifests(name):
        getattr(official, f"V1{body['kind']}").model_validate(body)


def test_kustomize_base_names_every_manifest() -> None:
    (base,) = manifests("kustomization.yaml")
    assert sorted([*base["resources"], "kustomization.yaml"]) == sorted(path.name for path in FOLDER.iterdir())
