"""What the measurements over the wire stand on: one operator's files in a folder, its process, a bare echo beside it.

The control plane is a real ``hansa-control`` on SQLite in WAL mode with synchronous=FULL, reached over loopback with
mutual TLS. The echo server has the same certificate, so that what differs is what hansa does with a call.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import yaml
from hansa_control.adapters.authority import KeyPair, Role, Subject, Validity, control_plane_host, issue, new_authority
from hansa_control.adapters.system import SystemClock
from hansa_sim.topology import operator_segments, write_network_file

ROOT = Path(__file__).resolve().parents[2]
OPERATOR, PARTNER, TENANT = "nordfjord", "fjordby", "shop"
COUNTRY = "NO"
NOWHERE = "127.0.0.1:1"
START_TIMEOUT_S = 30.0
POLL_S = 0.05


class BenchFailed(Exception):
    """A measurement could not be made; the numbers would be of something else."""


@dataclass(frozen=True, slots=True)
class Callers:
    """Who may call, and by whom the servers are known."""

    ca_pem: bytes
    tenant: KeyPair
    partner: KeyPair
    agents: tuple[KeyPair, ...]
    partner_ca_pem: bytes
    partner_tenant: KeyPair


class ServerProcess:
    """A process that is measured. It is ready once it has logged a line with the event "ready" and its ports."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._log = log
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=_environment(), cwd=ROOT
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ports(self) -> Mapping[str, int]:
        """Waits until it listens; BenchFailed if it ends before, or does not in time."""
        deadline_s = time.perf_counter() + START_TIMEOUT_S
        while time.perf_counter() < deadline_s:
            for line in self._log.read_text(encoding="utf-8").splitlines():
                if '"ready"' in line:
                    ports: dict[str, int] = json.loads(line)["ports"]
                    return ports
            if self._process.poll() is not None:
                break
            time.sleep(POLL_S)  # noqa: TID251 - nothing else runs yet
        raise BenchFailed(f"no server: {self._log.read_text(encoding='utf-8')[-800:]}")

    def cpu_s(self) -> float:
        """Seconds of user and system time so far, all threads, by the process's own clock: clock_getcpuclockid(3)."""
        return time.clock_gettime(~self.pid << 3 | 2)

    def resident_mib(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass(frozen=True, slots=True)
class World:
    """A running control plane and a running echo."""

    callers: Callers
    control_plane: ServerProcess
    echo: ServerProcess
    ports: Mapping[str, int]
    folder: Path

    def channel(self, listener: str, certificate: KeyPair) -> grpc.aio.Channel:
        """A connection of its own to listener "api", "agents", "partners" or "echo"."""
        return open_channel((OPERATOR, self.callers.ca_pem), certificate, self.ports[listener])


def open_channel(server: tuple[str, bytes], certificate: KeyPair, port: int) -> grpc.aio.Channel:
    """A connection of its own to a server, known by its operator and authority."""
    operator, ca_pem = server
    credentials = grpc.ssl_channel_credentials(ca_pem, certificate.key_pem, certificate.cert_pem)
    # Without a pool of its own, channels with equal arguments would share one connection.
    options = (
        ("grpc.ssl_target_name_override", control_plane_host(_trust_domain(operator))),
        ("grpc.use_local_subchannel_pool", 1),
    )
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options)


@contextmanager
def running_world(zone_count: int) -> Iterator[World]:
    """A fresh operator without any records, with certificates for agents of so many zones."""
    folder = Path(tempfile.mkdtemp(prefix="hansa-bench-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        callers = _prepare(folder, zone_count)
        control_plane = started_control_plane(folder, "operator")
        stack.callback(control_plane.stop)
        echo_script = str(Path(__file__).with_name("_echo.py"))
        echo = ServerProcess([sys.executable, echo_script, str(folder)], folder / "echo.log")
        stack.callback(echo.stop)
        yield World(callers, control_plane, echo, {**control_plane.ports(), **echo.ports()}, folder)


def started_control_plane(folder: Path, name: str) -> ServerProcess:
    """A control plane of the configuration of that name, started; whoever starts it stops it."""
    serve = [str(Path(sys.executable).parent / "hansa-control"), "serve", "--config", str(folder / f"{name}.yaml")]
    return ServerProcess(serve, folder / f"{name}.log")


@contextmanager
def running_partner(world: World) -> Iterator[tuple[ServerProcess, Mapping[str, int]]]:
    """The partner's control plane, with no zones of its own, which may place on those of the measured operator."""
    endpoint = f"127.0.0.1:{world.ports['partners']}"
    write_network_file(operator_segments({COUNTRY: PARTNER})[PARTNER], world.folder / "partner-network.yaml")
    config = _config() | {
        "operator": PARTNER,
        "data_dir": "partner-data",
        "network": "partner-network.yaml",
        "tls": {"ca": "partner-ca.pem", "cert": "partner-own.pem", "key": "partner-own-key.pem"},
        "partners": [{"operator": OPERATOR, "endpoint": endpoint, "ca": "ca.pem"}],
    }
    (world.folder / "partner.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    process = started_control_plane(world.folder, "partner")
    try:
        yield process, process.ports()
    finally:
        process.stop()


def zone_name(at: int) -> str:
    return f"zone-{at:02d}"


def _prepare(folder: Path, zone_count: int) -> Callers:
    valid = Validity.of_days(SystemClock().wall_ms(), 1)
    authority, partner_authority = (new_authority(name, _trust_domain(name), valid) for name in (OPERATOR, PARTNER))
    own, partner = (issue(one, Subject(Role.CONTROL_PLANE), valid) for one in (authority, partner_authority))
    files = {
        "ca.pem": authority.cert_pem,
        "own.pem": own.cert_pem,
        "own-key.pem": own.key_pem,
        "partner-ca.pem": partner_authority.cert_pem,
        "partner-own.pem": partner.cert_pem,
        "partner-own-key.pem": partner.key_pem,
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    write_network_file(operator_segments({COUNTRY: OPERATOR})[OPERATOR], folder / "network.yaml")
    (folder / "operator.yaml").write_text(yaml.safe_dump(_config()), encoding="utf-8")
    return Callers(
        ca_pem=authority.cert_pem,
        tenant=issue(authority, Subject(Role.TENANT, TENANT), valid),
        partner=partner,
        agents=tuple(issue(authority, Subject(Role.AGENT, zone_name(at)), valid) for at in range(zone_count)),
        partner_ca_pem=partner_authority.cert_pem,
        partner_tenant=issue(partner_authority, Subject(Role.TENANT, TENANT), valid),
    )


def _config() -> dict[str, Any]:
    """As shipped, but a loaded machine loses no zone, streams may say as much as they can, and stopping is quick."""
    return {
        "operator": OPERATOR,
        "data_dir": "data",
        "network": "network.yaml",
        "listen": dict.fromkeys(("api", "agents", "partners", "metrics"), "127.0.0.1:0"),
        "tls": {"ca": "ca.pem", "cert": "own.pem", "key": "own-key.pem"},
        "partners": [{"operator": PARTNER, "endpoint": NOWHERE, "ca": "partner-ca.pem"}],
        "timings": {"quiet_after_ms": 60_000, "lost_after_ms": 120_000, "drain_ms": 500},
        "limits": {"messages_per_s": 1_000_000, "messages_burst": 1_000_000},
    }


def _trust_domain(operator: str) -> str:
    return f"{operator}.hansa.example"


def _environment() -> dict[str, str]:
    """Little of the caller's: none of it overrides the configuration; PYTHONPATH lets another checkout be measured."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}  # noqa: TID251
    return kept | {"PYTHONUNBUFFERED": "1"}
