"""A real Mosquitto for tests, with mutual TLS and access rules, that can be killed and started again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Iterable
from pathlib import Path

import pytest
from agent_harness import free_ports
from control_harness import Operator
from hansa_control.adapters.authority import Role

from hansa.mqtt_client import BrokerTls
from hansa.mqtt_topics import access_rules

PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
START_S = 10.0

CONFIG = """\
user root
per_listener_settings false
persistence false
allow_anonymous false
allow_zero_length_clientid false
listener {port} 127.0.0.1
cafile {folder}/ca.pem
certfile {folder}/broker.pem
keyfile {folder}/broker.key
require_certificate true
use_identity_as_username true
acl_file {folder}/acl
max_queued_messages 10000
"""


def need_mosquitto() -> None:
    """Without the program a laptop is told so; under CI=true that is a failure."""
    if PROGRAM is None:
        why = "mosquitto is not installed: tools/install_test_needs.sh"
        in_ci = os.environ.get("CI") == "true"  # noqa: TID251 - what CI cannot run is a failure
        (pytest.fail if in_ci else pytest.skip)(why)


class Broker:
    """One operator's broker in a folder of its own."""

    def __init__(self, folder: Path, operator: Operator, zones: Iterable[str]) -> None:
        need_mosquitto()
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.operator = operator
        self.port = free_ports(1)
        self._process: asyncio.subprocess.Process | None = None
        pair = operator.certificate(Role.INSTANCE, "broker")
        self._write("ca.pem", operator.authority.cert_pem)
        self._write("broker.pem", pair.cert_pem)
        self._write("broker.key", pair.key_pem)
        self._write("acl", access_rules(operator.name, zones).encode())
        self._write("mosquitto.conf", CONFIG.format(port=self.port, folder=folder).encode())

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def tls(self, role: Role, name: str = "") -> BrokerTls:
        """Files with a certificate of the operator's authority."""
        pair = self.operator.certificate(role, name)
        return self.files(f"{role}-{name}", pair.cert_pem, pair.key_pem)

    def files(self, stem: str, cert_pem: bytes, key_pem: bytes) -> BrokerTls:
        self._write(f"{stem}.pem", cert_pem)
        self._write(f"{stem}.key", key_pem)
        return BrokerTls(self.folder / "ca.pem", self.folder / f"{stem}.pem", self.folder / f"{stem}.key")

    async def start(self) -> None:
        assert PROGRAM is not None
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                PROGRAM, "-c", str(self.folder / "mosquitto.conf"), stdout=log, stderr=log
            )
        async with asyncio.timeout(START_S):
            while not await self._listens():
                assert self._process.returncode is None, (self.folder / "mosquitto.log").read_text()
                await asyncio.sleep(0.01)

    async def kill(self) -> None:
        """kill -9; whatever it held is gone."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()
        self._process = None

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    def _write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(0o644)
