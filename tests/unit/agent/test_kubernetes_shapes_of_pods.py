"""What a vLLM server and a predictor of KServe are made of, and which configurations of them are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hansa_agent.artefacts import Artefact
from hansa_agent.config import AgentConfig
from hansa_agent.config_kubernetes import KubernetesSection
from hansa_agent.front import FrontSettings
from hansa_agent.kubernetes.names import object_name
from hansa_agent.kubernetes.pod_spec import pod_spec
from hansa_agent.kubernetes.shapes import missing
from hansa_agent.kubernetes.wanted import Wanted
from hansa_agent.serving import KServe, Vllm
from kubernetes import client as official

from hansa.v1.common_pb2 import Capacity
from hansa.v1.instance_pb2 import DesiredInstance

EXAMPLE = Path(__file__).parents[3] / "agents" / "agent.kubernetes.example.yaml"
IMAGE = "registry.nordavind.example/vllm@sha256:" + "a" * 64
FRONT = {"image": "registry.nordavind.example/hansa-agent@sha256:" + "b" * 64}
SECTION = KubernetesSection(tls_secret="instance-tls", run_as_user=10_001, kserve=True)
ORDER = DesiredInstance(
    instance="c1-0",
    limits=Capacity(cpu_millis=8_000, memory_mib=65_536),
    client_ca_pem=b"PEM",
    client_ids=["spiffe://nordavind/app/shop"],
)


def vllm(**changes: Any) -> Vllm:
    return Vllm.model_validate({"shape": "vllm", "model": "/hansa/cache/llama", "front": FRONT, **changes})


def kserve(**changes: Any) -> KServe:
    args = ["--host", "127.0.0.1", "--http_port", "{port}"]
    return KServe.model_validate({"shape": "kserve", "args": args, "front": FRONT, **changes})


def pod(serve: Vllm | KServe, gpus: int = 1, command: tuple[str, ...] = ()) -> dict[str, Any]:
    artefact = Artefact("llm", (), command, "", {"HF_HUB_OFFLINE": "1"}, IMAGE, serve)
    made = pod_spec(Wanted("nordavind/osl-1", ORDER, artefact, (("nvidia.com/gpu", gpus),)), SECTION)
    official.V1PodSpec.model_validate(made)
    return made


def test_vllm_listens_on_loopback_and_uses_what_was_ordered() -> None:
    made = pod(vllm(served_name="llama", args=["--max-model-len", "8192"]), gpus=4)
    server, front = made["containers"]
    assert server["command"] == [
        *("vllm", "serve", "/hansa/cache/llama", "--host", "127.0.0.1", "--port", "8000"),
        *("--served-model-name", "llama", "--tensor-parallel-size", "4", "--max-model-len", "8192"),
    ]
    assert server["resources"]["requests"] == {"cpu": "8000m", "memory": "65536Mi", "nvidia.com/gpu": "4"}
    assert front["resources"]["requests"] == {"cpu": "100m", "memory": "128Mi"}
    assert "--tensor-parallel-size" not in pod(vllm(), gpus=1)["containers"][0]["command"]
    assert pod(vllm(), command=("python3", "-m", "api"))["containers"][0]["command"][:4] == [
        *("python3", "-m", "api", "/hansa/cache/llama")
    ]


def test_health_is_asked_for_long_while_it_starts_and_briefly_once_it_serves() -> None:
    server, front = pod(vllm(startup_s=601))["containers"]
    startup, readiness = server["startupProbe"], server["readinessProbe"]
    (interpreter, _, program) = readiness["exec"]["command"]
    assert interpreter == "python3" and "HTTPConnection('127.0.0.1', 8000" in program and "'/health'" in program
    compile(program, "probe", "exec")
    assert startup["periodSeconds"] * startup["failureThreshold"] == 605 and readiness["failureThreshold"] == 3
    assert front["readinessProbe"]["tcpSocket"] == {"port": "https"}


def test_shared_memory_and_models_have_their_places() -> None:
    made = pod(vllm(shm_mib=2_048, cache={"claim": "models", "read_only": True}))
    volumes = {volume["name"]: volume for volume in made["volumes"]}
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "2048Mi"}
    assert volumes["cache"]["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
    mounts = {mount["mountPath"]: mount for mount in made["containers"][0]["volumeMounts"]}
    assert mounts["/dev/shm"]["name"] == "shm" and mounts["/hansa/cache"]["readOnly"]
    environment = {each["name"]: each["value"] for each in made["containers"][0]["env"]}
    assert environment["HF_HOME"] == "/hansa/cache" and environment["HF_HUB_OFFLINE"] == "1"
    made = pod(vllm(shm_mib=0, cache={"size_mib": 100}))
    assert {"name": "cache", "emptyDir": {"sizeLimit": "100Mi"}} in made["volumes"]
    assert "shm" not in {volume["name"] for volume in made["volumes"]}


@pytest.mark.parametrize("serve", [vllm(), kserve()])
def test_key_and_contract_are_the_fronts_alone(serve: Vllm | KServe) -> None:
    server, front = pod(serve)["containers"]
    environment = {each["name"]: each["value"] for each in front["env"]}
    settings = FrontSettings.of(environment)
    assert settings.listen == ("0.0.0.0", 8_443) and settings.server_port == 8_000
    assert settings.client_ids == {"spiffe://nordavind/app/shop"} and "HF_HUB_OFFLINE" not in environment
    mounted = [mount["mountPath"] for mount in front["volumeMounts"]]
    assert all(any(path.startswith(each) for each in mounted) for path in (settings.key, settings.client_ca))
    assert not {"/hansa/tls", "/hansa/client"} & {mount["mountPath"] for mount in server["volumeMounts"]}
    assert not any("TLS" in each["name"] or "CLIENT" in each["name"] for each in server["env"])
    for container in (server, front):
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_predictor_is_the_container_that_kserve_looks_for() -> None:
    server, _ = pod(kserve())["containers"]
    assert server["name"] == "kserve-container" and "command" not in server
    assert server["args"] == ["--host", "127.0.0.1", "--http_port", "8000"]
    assert "'/v2/health/ready'" in server["readinessProbe"]["exec"]["command"][2]
    assert len(object_name("nordavind/osl-1", "i" * 128) + "-predictor") <= 63


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({}, "KServe has not looked at the InferenceService yet"),
        ({"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}, "has not looked"),
        ({"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True"}]}, ""),
        ({"observedGeneration": 2}, "KServe does not say that it is ready"),
        ({"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "Unknown"}]}, "KServe: Ready"),
        (
            {
                "observedGeneration": 2,
                "conditions": [
                    {"type": "Ready", "status": "False", "message": "not ready"},
                    {"type": "PredictorReady", "status": "False", "reason": "Failed", "message": "no such image"},
                ],
            },
            "KServe: PredictorReady: Failed: no such image",
        ),
    ],
)
def test_kserve_is_believed_for_the_generation_that_it_has_seen(status: dict[str, Any], words: str) -> None:
    told = missing({"metadata": {"generation": 2}, "status": status})
    assert words in told and bool(told) == bool(words)


def problem(serve: dict[str, Any], **kubernetes: Any) -> str:
    content = yaml.safe_load(EXAMPLE.read_text())
    content["artefacts"] = [{"name": "llm", "image": IMAGE, "serve": serve}]
    content["kubernetes"] |= kubernetes
    try:
        AgentConfig.model_validate(content)
    except ValueError as error:
        return str(error)
    return ""


VLLM = {"shape": "vllm", "model": "m", "front": FRONT}
KSERVE = {"shape": "kserve", "args": ["{port}"], "front": FRONT}


@pytest.mark.parametrize(
    ("serve", "kubernetes", "words"),
    [
        (VLLM, {}, ""),
        ({"shape": "deployment"}, {"tls_secret": ""}, ""),
        (KSERVE, {"kserve": True}, ""),
        (KSERVE, {"kserve": False}, "needs kubernetes.kserve: true"),
        (VLLM, {"tls_secret": ""}, "needs kubernetes.tls_secret"),
        ({**VLLM, "port": 8_443}, {}, "its front listens there"),
        ({**VLLM, "args": ["--host", "0.0.0.0"]}, {}, "the agent sets where a server listens"),
        ({**VLLM, "args": ["--hos=0.0.0.0"]}, {}, "the agent sets where a server listens"),
        ({**VLLM, "args": ["--tensor_parallel_size", "8"]}, {}, "the agent sets where a server listens"),
        ({**VLLM, "args": ["--tensor-parallel-size=8"]}, {}, "how many devices"),
        ({**KSERVE, "args": []}, {"kserve": True}, "{port}"),
        ({**VLLM, "front": {"image": "hansa-agent:latest"}}, {}, "front.image"),
        ({**VLLM, "cache": {}}, {}, "either 'claim' or 'size_mib'"),
        ({**VLLM, "health": "/h'"}, {}, "health"),
        ({"shape": "knative"}, {}, "'deployment', 'vllm', 'kserve'"),
    ],
)
def test_shape_that_would_not_do_is_refused(serve: dict[str, Any], kubernetes: dict[str, Any], words: str) -> None:
    told = problem(serve, **kubernetes)
    assert words in told and bool(told) == bool(words)


def test_shapes_are_for_clusters_alone() -> None:
    content = yaml.safe_load(EXAMPLE.read_text())
    content |= {"runtime": "container", "container": {}, "artefacts": [{"name": "l", "image": IMAGE, "serve": VLLM}]}
    with pytest.raises(ValueError, match=r"artefacts\.0\.serve: only the runtime 'kubernetes' knows shapes"):
        AgentConfig.model_validate(content)
