"""Servers that know nothing of hansa, and the front beside them that keeps hansa's contract. Pure.

The server speaks plain HTTP on loopback, where only its pod reaches it. The front ends mutual TLS, looks at who calls,
and hands bytes over (``hansa_agent.front``). What the order grants is the server's; the front comes on top of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hansa_agent.config_kubernetes import KubernetesSection
from hansa_agent.front import PORT
from hansa_agent.kubernetes.containers import RESTRICTED, ROOT, contract, instance_container, variables
from hansa_agent.kubernetes.names import Json
from hansa_agent.kubernetes.wanted import Wanted
from hansa_agent.launch import Place, environment
from hansa_agent.serving import KServe, Vllm

KSERVE_GROUP = "serving.kserve.io"
KSERVE_CONTAINER = "kserve-container"
"""The name by which KServe finds the server among the containers of a predictor."""
_LOOPBACK = "127.0.0.1"
_CACHE = str(ROOT / "cache")
_PERIOD_S, _FAILURES, _PATIENCE_S = 5, 3, 4
_OF_SERVER = ("HANSA_INSTANCE", "HANSA_CPU_MILLIS", "HANSA_MEMORY_MIB", "HANSA_ACCELERATORS", "HOME")
_ASK = (
    "import http.client as h; c = h.HTTPConnection('{host}', {port}, timeout={patience}); "
    "c.request('GET', '{path}'); raise SystemExit(c.getresponse().status != 200)"
)


def inference_services(namespace: str) -> str:
    """Where they are; the version is left open."""
    return f"/apis/{KSERVE_GROUP}/*/namespaces/{namespace}/inferenceservices"


def missing(body: Mapping[str, Any] | None) -> str:
    """What KServe has yet to do with an InferenceService; empty once it calls it ready."""
    if body is None:
        return "the InferenceService is not there"
    status, generation = body.get("status") or {}, int(body["metadata"].get("generation") or 0)
    if int(status.get("observedGeneration") or 0) < generation:
        return "KServe has not looked at the InferenceService yet"
    conditions = {each.get("type"): each for each in status.get("conditions") or []}
    ready = conditions.get("Ready") or {}
    if ready.get("status") == "True":
        return ""
    failed = [each for kind, each in sorted(conditions.items()) if kind != "Ready" and each.get("status") == "False"]
    told = next((each for each in [*failed, ready] if each.get("message")), ready)
    words = (str(told[key]) for key in ("type", "reason", "message") if told.get(key))
    return f"KServe: {': '.join(words)}" if told else "KServe does not say that it is ready"


def server(wanted: Wanted, serve: Vllm | KServe) -> Json:
    """The container that computes."""
    ask = _ASK.format(host=_LOOPBACK, port=serve.port, patience=_PATIENCE_S, path=serve.health)
    probe: Json = {"exec": {"command": ["python3", "-c", ask]}, "periodSeconds": _PERIOD_S, "timeoutSeconds": 5}
    return {
        "name": KSERVE_CONTAINER if isinstance(serve, KServe) else "instance",
        "image": wanted.artefact.image,
        **_command(wanted, serve),
        "env": variables(_environment(wanted)),
        "resources": {"requests": wanted.amounts, "limits": wanted.amounts},
        "startupProbe": probe | {"failureThreshold": -(-serve.startup_s // _PERIOD_S)},
        "readinessProbe": probe | {"failureThreshold": _FAILURES},
        "volumeMounts": _mounts(serve),
        "securityContext": dict(RESTRICTED),
    }


def front(wanted: Wanted, section: KubernetesSection, serve: Vllm | KServe) -> Json:
    """The container at the instance's port."""
    bare = replace(wanted, artefact=replace(wanted.artefact, env={}))
    amounts = {"cpu": f"{serve.front.cpu_millis}m", "memory": f"{serve.front.memory_mib}Mi"}
    return instance_container(bare, section) | {
        "name": "front",
        "image": serve.front.image,
        "command": ["python", "-m", "hansa_agent.front"],
        "env": variables(contract(bare, section) | {PORT: str(serve.port)}),
        "resources": {"requests": amounts, "limits": amounts},
    }


def volumes(serve: Vllm | KServe) -> list[Json]:
    """Shared memory, and where models lie."""
    found: list[Json] = []
    if serve.shm_mib:
        found.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{serve.shm_mib}Mi"}})
    if serve.cache is not None and serve.cache.claim:
        claim = {"claimName": serve.cache.claim, "readOnly": serve.cache.read_only}
        found.append({"name": "cache", "persistentVolumeClaim": claim})
    elif serve.cache is not None:
        found.append({"name": "cache", "emptyDir": {"sizeLimit": f"{serve.cache.size_mib}Mi"}})
    return found


def predictor(serve: KServe, pod: Json, marks: Json) -> tuple[Json, Json]:
    """Annotations and spec of an InferenceService whose one pod is ``pod``, with ``marks`` as its labels and marks."""
    annotations = {
        f"{KSERVE_GROUP}/deploymentMode": serve.deployment_mode,
        f"{KSERVE_GROUP}/autoscalerClass": "external",
    }
    one = {"minReplicas": 1, "maxReplicas": 1, "deploymentStrategy": {"type": "Recreate"}}
    return annotations, {"predictor": {**marks, **one, **pod}}


def _command(wanted: Wanted, serve: Vllm | KServe) -> Json:
    args = [each.replace("{port}", str(serve.port)) for each in serve.args]
    if isinstance(serve, KServe):
        command = list(wanted.artefact.command)
        return {"args": args} | ({"command": command} if command else {})
    devices = sum(count for _, count in wanted.devices)
    ours = ["--host", _LOOPBACK, "--port", str(serve.port)]
    ours += ["--served-model-name", serve.served_name] if serve.served_name else []
    ours += ["--tensor-parallel-size", str(devices)] if devices > 1 else []
    return {"command": [*(wanted.artefact.command or ("vllm", "serve")), serve.model, *ours, *args]}


def _environment(wanted: Wanted) -> dict[str, str]:
    """The artefact's own, what the server may want to know of its order, and where it may write."""
    granted = environment(wanted.order, wanted.artefact, Place(ROOT, _LOOPBACK, 0))
    kept = {name: granted[name] for name in _OF_SERVER}
    # Many libraries ask for the user's name, and a numeric user of a pod has none.
    places = {"USER": "hansa", "LOGNAME": "hansa", "HF_HOME": _CACHE, "VLLM_CACHE_ROOT": f"{granted['HOME']}/vllm"}
    return {**places, **wanted.artefact.env, **kept}


def _mounts(serve: Vllm | KServe) -> list[Json]:
    found: list[Json] = [
        {"name": "home", "mountPath": str(ROOT / "home")},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - of the container, its own
    ]
    if serve.cache is not None:
        found.append({"name": "cache", "mountPath": _CACHE, "readOnly": serve.cache.read_only})
    return found + ([{"name": "shm", "mountPath": "/dev/shm"}] if serve.shm_mib else [])  # noqa: S108 - likewise
