"""What a new server is told to do: cloud-init user data that starts the workload with hansa's environment. Pure.

cloud-init's "cloud config" (cloudinit.readthedocs.io) is YAML, of which JSON is a part; commands are lists of words, so
nothing of an order is ever read by a shell. The same order gives the same bytes.

The instance's folder is handed to the user that the image names, which only podman can look up (its mount option "U",
podman-run(1)). The folder above lets root alone through: a user of the server who happens to have the same number does
not get to the key.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from hansa.v1.instance_pb2 import DesiredInstance
from hansa_agent.artefacts import Artefact
from hansa_agent.launch import Place, environment

FOLDER = Path("/var/lib/hansa/instance")
UNIT = "hansa-workload"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the instance serves with, PEM; both empty if the zone's owner configured none."""

    cert: bytes = b""
    key: bytes = b""


@dataclass(frozen=True, slots=True)
class Start:
    """How the workload is started in the server: by podman from its image, or as a command that the image has.

    ``folder`` is what the instance gets, at the same path in the server and in the container.
    """

    port: int
    with_podman: bool = True
    folder: Path = FOLDER


def user_data(order: DesiredInstance, artefact: Artefact, certificate: Certificate, start: Start) -> bytes:
    """The user data, plain. It bears the certificate's key: whoever may read it may serve as the instance."""
    place = _place(start, certificate)
    variables = environment(order, artefact, place)
    files = [_file(place.client_ca, order.client_ca_pem, "0644")]
    if certificate.key:
        files += [_file(place.tls_cert, certificate.cert, "0644"), _file(place.tls_key, certificate.key, "0600")]
    command = _podman(artefact, variables, order, place) if start.with_podman else _command(artefact, variables)
    # The files are there by now: cloud-init writes them first, root's alone or not worth hiding.
    closed = ["chmod", "0700", str(start.folder.parent)]
    config = {"write_files": files, "runcmd": [["mkdir", "-p", str(place.home)], closed, command]}
    return b"#cloud-config\n" + json.dumps(config, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def encoded(plain: bytes) -> str:
    """As Nova wants it: base64."""
    return base64.b64encode(plain).decode()


def _place(start: Start, certificate: Certificate) -> Place:
    tls = start.folder / "tls"
    cert, key = (str(tls / "cert.pem"), str(tls / "key.pem")) if certificate.key else ("", "")
    return Place(start.folder, "0.0.0.0", start.port, cert, key)  # noqa: S104 - the server's security groups bound it


def _file(path: str | Path, content: bytes, mode: str) -> dict[str, str]:
    text = base64.b64encode(content).decode()
    return {"path": str(path), "encoding": "b64", "content": text, "permissions": mode, "owner": "root:root"}


def _podman(artefact: Artefact, variables: dict[str, str], order: DesiredInstance, place: Place) -> list[str]:
    """On the server's own network, because the server is the instance's alone; devices by CDI."""
    # The image has a PATH of its own.
    told = [
        word for name, value in sorted(variables.items()) if name != "PATH" for word in ("--env", f"{name}={value}")
    ]
    devices = ["--device", "nvidia.com/gpu=all"] if any(one.count for one in order.limits.accelerators) else []
    volume = ["--volume", f"{place.folder}:{place.folder}:Z,U"]
    options = ["--detach", "--name", UNIT, "--restart", "on-failure", "--network", "host", *devices, *volume, *told]
    # In place of the image's entry point and its arguments, as on every platform.
    replaced = ["--entrypoint", json.dumps(artefact.command)] if artefact.command else []
    return ["podman", "run", *options, *replaced, artefact.image]


def _command(artefact: Artefact, variables: dict[str, str]) -> list[str]:
    told = [f"--setenv={name}={value}" for name, value in sorted(variables.items())]
    return ["systemd-run", f"--unit={UNIT}", "--property=Restart=on-failure", *told, "--", *artefact.command]
