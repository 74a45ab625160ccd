"""The agent's chart: in substance the kustomize base, with the rights of the table, and values that a schema judges."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hansa_agent.config import AgentConfig
from hansa_agent.config_yaml import load_yaml
from hansa_agent.kubernetes.rights import RIGHTS
from helm_rendering import CHART, problems, render, rendered, values
from kubernetes import client as official

AGENTS = CHART.parents[1]
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
PARTS = ("ingress", "gateway", "kserve")
ALL_RIGHTS = {"rights": dict.fromkeys(PARTS, True)}
HELM = shutil.which("helm") or ""


def base(*parts: str) -> list[dict[str, Any]]:
    folders = [AGENTS / "kubernetes", *(AGENTS / "kubernetes" / part for part in parts)]
    names = [
        folder / name
        for folder in folders
        for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    ]
    return [body for name in names for body in yaml.safe_load_all(name.read_text()) if body["kind"] != "Namespace"]


def bare(body: dict[str, Any]) -> dict[str, Any]:
    """Without what a release has of its own: names of cluster-wide things, the image, what is empty."""
    plain = copy.deepcopy(body)
    for name in [plain["metadata"], *([plain["roleRef"]] if "roleRef" in plain else [])]:
        name["name"] = name["name"].removeprefix("hansa:hansa:hansa-agent:").removeprefix("hansa-agent-")
    if plain["kind"] == "ConfigMap":
        plain["data"] = {key: yaml.safe_load(text) for key, text in plain["data"].items()}
    if plain["kind"] == "Deployment":
        template = plain["spec"]["template"]
        template["metadata"].pop("annotations", None)
        template["spec"]["containers"][0]["image"] = "-"
        template["spec"] = {key: value for key, value in template["spec"].items() if value not in ([], {})}
    return plain


def keyed(bodies: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(body["kind"], bare(body)["metadata"]["name"]): bare(body) for body in bodies}


def granted(bodies: list[dict[str, Any]]) -> set[tuple[str, str, str, str]]:
    return {
        ("" if body["kind"] == "ClusterRole" else "namespace", group, resource, verb)
        for body in bodies
        for rule in body.get("rules", [])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("parts", [(), PARTS])
def test_chart_makes_what_the_kustomize_base_makes(parts: tuple[str, ...]) -> None:
    made = keyed(rendered(values(rights={part: part in parts for part in PARTS})))
    configuration = made.pop(("ConfigMap", "hansa-agent"))
    assert set(configuration["data"]) == {"agent.yaml"}
    assert made == keyed(base(*parts))


@pytest.mark.parametrize("parts", [(), *((part,) for part in PARTS), PARTS])
def test_chart_grants_the_rights_of_the_table(parts: tuple[str, ...]) -> None:
    wanted = {
        (right.scope, right.group, right.resource, verb)
        for right in RIGHTS
        if right.part in ("inventory", "runtime", *parts)
        for verb in right.verbs
    }
    assert granted(rendered(values(rights={part: part in parts for part in PARTS}))) == wanted


def test_every_manifest_is_valid_and_in_its_namespace() -> None:
    chosen = values(**ALL_RIGHTS, runAsUser=0, state={"size": "2Gi", "storageClass": "fast"})
    chosen["config"] = chosen["config"] | {"kubernetes": {"namespace": "instances"}}
    for body in rendered(chosen, "agents"):
        getattr(official, f"V1{body['kind']}").model_validate(body)
        expected = "instances" if body["kind"] in ("Role", "RoleBinding") else "agents"
        assert body["metadata"].get("namespace", expected) == expected
        assert all(each["namespace"] == "agents" for each in body.get("subjects", []))
    claim = next(body for body in rendered(chosen) if body["kind"] == "PersistentVolumeClaim")
    assert claim["spec"]["storageClassName"] == "fast"
    agent = next(body for body in rendered(chosen) if body["kind"] == "Deployment")
    assert "runAsUser" not in agent["spec"]["template"]["spec"]["securityContext"]


def test_configuration_reaches_the_agent_as_it_was_written(tmp_path: Path) -> None:
    config = yaml.safe_load((AGENTS / "agent.kubernetes.example.yaml").read_text())
    del config["kubernetes"]["kubeconfig"]
    config |= {"state_dir": "/var/lib/hansa", "log_level": "debug"}
    chosen = values(config=config)
    assert problems(chosen, SCHEMA) == []
    (told,) = [body["data"]["agent.yaml"] for body in rendered(chosen) if body["kind"] == "ConfigMap"]
    assert yaml.safe_load(told) == config
    (tmp_path / "agent.yaml").write_text(told)
    assert load_yaml(tmp_path / "agent.yaml", AgentConfig).kubernetes is not None


KEY = "LCTX8aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa="


def test_a_signed_configuration_is_mounted_as_it_is_and_its_key_pinned() -> None:
    made = rendered(values(signed={"key": KEY, "configMap": "osl-1-signed"}))
    assert not [body for body in made if body["kind"] == "ConfigMap"]
    (agent,) = [body["spec"]["template"]["spec"] for body in made if body["kind"] == "Deployment"]
    assert agent["containers"][0]["args"] == ["serve", "--config", "/etc/hansa/agent.yaml", "--config-key", KEY]
    assert agent["volumes"][0]["configMap"] == {"name": "osl-1-signed"}


def test_cluster_wide_names_of_two_agents_are_never_the_same() -> None:
    def names(namespace: str, name: str) -> set[str]:
        made = rendered(values(**ALL_RIGHTS, name=name), namespace)
        return {body["metadata"]["name"] for body in made if body["kind"].startswith("Cluster")}

    assert names("a-b", "c") and not names("a-b", "c") & names("a", "b-c")


def test_chart_is_of_the_version_that_the_changelog_begins_with() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    (newest, *_) = re.findall(r"^## (\S+)", (AGENTS.parent / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert chart["version"] == chart["appVersion"] == newest


def test_another_configuration_is_another_pod() -> None:
    def mark(zone: str) -> Any:
        chosen = values()
        chosen["config"] = chosen["config"] | {"zone": zone}
        (agent,) = [body for body in rendered(chosen) if body["kind"] == "Deployment"]
        return agent["spec"]["template"]["metadata"]["annotations"]

    assert mark("nordavind/osl-1") == mark("nordavind/osl-1") != mark("nordavind/osl-2")


def test_example_values_pass_and_the_chart_alone_does_not() -> None:
    assert problems(values(), SCHEMA) == []
    told = problems(yaml.safe_load((CHART / "values.yaml").read_text()), SCHEMA)
    assert told == ["values: image is required", "values: config is required"]
    assert set(SCHEMA["properties"]) - {"global"} == set(values()), "the schema and the values name the same"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": "registry.nordavind.example/hansa-agent:latest"}, "values.image"),
        ({"imagetag": "1"}, "imagetag is not known"),
        ({"runAsUser": -1}, "values.runAsUser: below 0"),
        ({"runAsUser": True}, "values.runAsUser: no integer"),
        ({"rights": {"ingress": "yes", "gateway": False, "kserve": False}}, "values.rights.ingress: no boolean"),
        ({"name": "Agent"}, "values.name"),
        ({"tolerations": ["x"]}, "values.tolerations.0: no object"),
        ({"state": {"size": "lots"}}, "values.state.size"),
        ({"signed": {"key": "LCTX8", "configMap": "osl-1-signed"}}, "values.signed: is none of"),
        ({"signed": {"key": KEY, "configMap": ""}}, "values.signed: is none of"),
        ({"signed": {"key": "", "configMap": "osl-1-signed"}}, "values.signed: is none of"),
    ],
)
def test_values_that_would_not_do_are_refused(changes: dict[str, Any], words: str) -> None:
    (told,) = problems(values(**changes), SCHEMA)
    assert words in told


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state_dir": "state"}, "values.config.state_dir"),
        ({"kubernetes": {"namespace": "hansa", "kubeconfig": "kubeconfig"}}, "values.config.kubernetes"),
        ({"kubernetes": {}}, "namespace is required"),
    ],
)
def test_configuration_that_does_not_fit_a_pod_is_refused(changes: dict[str, Any], words: str) -> None:
    chosen = values()
    chosen["config"] = chosen["config"] | changes
    (told,) = problems(chosen, SCHEMA)
    assert words in told


def test_templates_use_nothing_that_the_tests_do_not_know() -> None:
    scope = {"Values": values(), "Release": {"Namespace": "hansa", "Name": "zone"}}
    for path in (CHART / "templates").iterdir():
        assert "{{" not in render(path.read_text(), scope)
    for text in ("{{ include .Values.name }}", "{{ .Values.name | nindent 4 }}", "{{- range .Values.tolerations }}"):
        with pytest.raises(ValueError, match=r"more than the path|not known"):
            render(text, scope)


@pytest.mark.skipif(not HELM, reason="helm is not installed here; the rendering of the tests stands in for it")
def test_helm_itself_renders_the_same() -> None:
    example = CHART / "ci" / "example-values.yaml"
    lint = [HELM, "lint", "--strict", str(CHART), "-f", str(example)]
    subprocess.run(lint, check=True, capture_output=True)
    chosen = ",".join(f"rights.{part}=true" for part in PARTS)
    template = [HELM, "template", "zone", str(CHART), "-n", "hansa", "--kube-version", "1.30.0", "-f", str(example)]
    told = subprocess.run([*template, "--set", chosen], check=True, capture_output=True, text=True)
    found = [body for body in yaml.safe_load_all(told.stdout) if body]
    assert keyed(found) == keyed(rendered(values(**ALL_RIGHTS)))
