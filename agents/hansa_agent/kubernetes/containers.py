"""The container that keeps an instance's contract: its environment, its mounts, how it is probed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hansa_agent.config_kubernetes import KubernetesSection
from hansa_agent.kubernetes.names import Json
from hansa_agent.kubernetes.wanted import Wanted
from hansa_agent.launch import Place, environment

PORT_NAME = "https"
CA_KEY = "ca.pem"
ROOT = Path("/hansa")
RESTRICTED: Json = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_CLIENT, _TLS = "/hansa/client", "/hansa/tls"
_PROBE_PERIOD_S = 2
_PROBE_FAILURES = 3


def instance_container(wanted: Wanted, section: KubernetesSection) -> Json:
    """The one that keeps the contract by itself."""
    command = list(wanted.artefact.command)
    probe = {"tcpSocket": {"port": PORT_NAME}, "periodSeconds": _PROBE_PERIOD_S, "failureThreshold": _PROBE_FAILURES}
    return {
        "name": "instance",
        "image": wanted.artefact.image,
        "ports": [{"name": PORT_NAME, "containerPort": section.service.port, "protocol": "TCP"}],
        "env": variables(contract(wanted, section)),
        "resources": {"requests": wanted.amounts, "limits": wanted.amounts},
        "readinessProbe": probe,
        "volumeMounts": mounts(section),
        "securityContext": dict(RESTRICTED),
        **({"command": command} if command else {}),
    }


def contract(wanted: Wanted, section: KubernetesSection) -> dict[str, str]:
    """The contract of ``launch.ENVIRONMENT``; the image keeps its own PATH."""
    tls = (f"{_TLS}/tls.crt", f"{_TLS}/tls.key") if section.tls_secret else ("", "")
    place = Place(ROOT, section.listen_host, section.service.port, *tls)
    found = environment(wanted.order, wanted.artefact, place) | {"HANSA_CLIENT_CA": f"{_CLIENT}/{CA_KEY}"}
    del found["PATH"]
    return dict(sorted(found.items()))


def volumes(wanted: Wanted, section: KubernetesSection) -> list[Json]:
    """What ``mounts`` mounts."""
    found: list[Json] = [
        {"name": "home", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "client", "configMap": {"name": wanted.name}},
    ]
    return found + ([{"name": "tls", "secret": {"secretName": section.tls_secret}}] if section.tls_secret else [])


def mounts(section: KubernetesSection) -> list[Json]:
    """Where the contract says that things are."""
    found: list[Json] = [
        {"name": "home", "mountPath": str(ROOT / "home")},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - of the container, its own
        {"name": "client", "mountPath": _CLIENT, "readOnly": True},
    ]
    return found + ([{"name": "tls", "mountPath": _TLS, "readOnly": True}] if section.tls_secret else [])


def variables(environment_: Mapping[str, str]) -> list[Json]:
    """As a container has them."""
    return [{"name": name, "value": value} for name, value in sorted(environment_.items())]
