"""The user data of a server, carried out as cloud-init would, with a real podman: tools/test_containers.sh runs it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from agent_harness import Certificates
from hansa_agent.artefacts import Artefact
from hansa_agent.cloud_init import UNIT, Certificate, Start, user_data

from hansa.v1.common_pb2 import Capacity
from hansa.v1.instance_pb2 import DesiredInstance

IMAGE = os.environ.get("HANSA_PODMAN_IMAGE", "")  # noqa: TID251
pytestmark = [
    pytest.mark.containers,
    pytest.mark.skipif(not IMAGE, reason="needs podman in namespaces of its own: make test-containers"),
]
OF_THE_IMAGE, OF_THE_SERVER = 4711, 4712
PATIENCE_S = 30
OWN = ("/usr/bin/python3", "-I", "/srv/agent_artefact.py", "its own")


@pytest.fixture
def folder() -> Iterator[Path]:
    """As /var/lib/hansa/instance: what is above it lets everybody through."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as above:
        Path(above).chmod(0o755)
        try:
            yield Path(above) / "hansa" / "instance"
        finally:
            subprocess.run(["podman", "rm", "--force", "--time", "0", UNIT], check=True, capture_output=True)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "tls")


@pytest.mark.parametrize("command", [(), OWN])
async def test_image_with_a_user_of_its_own_serves_with_a_key_that_nobody_else_reads(
    folder: Path, certificates: Certificates, command: tuple[str, ...]
) -> None:
    port = _free_port()
    _boot(_user_data(folder, certificates, command, port), folder)
    assert await _answers(certificates, port), _podman("logs", UNIT)
    args = _podman("top", UNIT, "args").splitlines()[-1]
    assert args == " ".join(command or ("/usr/bin/python3", "-I", "/srv/agent_artefact.py"))
    key = folder / "tls" / "key.pem"
    assert (key.stat().st_uid, key.stat().st_mode & 0o777) == (OF_THE_IMAGE, 0o600)
    assert (folder / "home" / "ready").stat().st_uid == OF_THE_IMAGE, "its home is its own to write"
    for user in (OF_THE_IMAGE, OF_THE_SERVER):
        assert _read_as(user, key) != 0, "users of the server do not get there, whatever their number"
    assert "Permission denied" in _podman_fails("exec", "--user", str(OF_THE_SERVER), UNIT, "cat", str(key))


def _user_data(folder: Path, certificates: Certificates, command: tuple[str, ...], port: int) -> dict[str, Any]:
    cert, key = certificates.issue("instance", "spiffe://waldnetz/instance")
    order = DesiredInstance(
        instance="c1-0",
        claim="c1",
        limits=Capacity(cpu_millis=500, memory_mib=256),
        client_ca_pem=certificates.ca.read_bytes(),
    )
    artefact = Artefact("echo", (), command, IMAGE.rpartition("@")[2], {}, IMAGE)
    plain = user_data(order, artefact, Certificate(cert.read_bytes(), key.read_bytes()), Start(port, folder=folder))
    told: dict[str, Any] = yaml.safe_load(plain)
    return told


def _boot(told: dict[str, Any], folder: Path) -> None:
    """What cloud-init's modules write_files and runcmd do, in their order."""
    for file in told["write_files"]:
        path = Path(file["path"])
        assert path.is_relative_to(folder) and (file["owner"], file["encoding"]) == ("root:root", "b64")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(file["content"]))
        path.chmod(int(file["permissions"], 8))
    for words in told["runcmd"]:
        done = subprocess.run(words, capture_output=True, check=False, text=True)
        assert done.returncode == 0, done.stderr


async def _answers(certificates: Certificates, port: int) -> bool:
    cert, key = certificates.issue("caller", "spiffe://waldnetz/app/shop")
    context = ssl.create_default_context(cafile=str(certificates.ca))
    context.load_cert_chain(cert, key)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(OSError):
                    return b" 200 " in await _ask(context, port)
                await asyncio.sleep(0.1)
    return False


async def _ask(context: ssl.SSLContext, port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(b"GET /v2/health/ready HTTP/1.0\r\n\r\n")
    told = await reader.read(4_096)
    writer.close()
    return told


def _read_as(user: int, path: Path) -> int:
    return subprocess.run(["cat", str(path)], user=user, group=user, capture_output=True, check=False).returncode


def _podman(*words: str) -> str:
    done = subprocess.run(["podman", *words], capture_output=True, check=False, text=True)
    return (done.stdout + done.stderr).strip()


def _podman_fails(*words: str) -> str:
    done = subprocess.run(["podman", *words], capture_output=True, check=False, text=True)
    assert done.returncode != 0, done.stdout
    return done.stderr


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
