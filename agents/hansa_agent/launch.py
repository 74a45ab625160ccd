"""How an allowed artefact is started: its command, its environment and its limits. Pure.

The environment is the whole contract between hansa and an artefact; ``ENVIRONMENT`` documents it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hansa.v1.common_pb2 import Capacity
from hansa.v1.instance_pb2 import DesiredInstance
from hansa_agent.artefacts import Artefact

ENVIRONMENT: Mapping[str, str] = {
    "HANSA_INSTANCE": "name of the instance",
    "HANSA_LISTEN_HOST": "address to listen on",
    "HANSA_LISTEN_PORT": "port to listen on, with TLS",
    "HANSA_TLS_CERT": "file with the server's certificate chain, PEM; empty if the zone's owner configured none",
    "HANSA_TLS_KEY": "file with the server's private key, PEM",
    "HANSA_CLIENT_CA": "file with the authority, PEM, whose client certificates may call; demand one",
    "HANSA_CLIENT_IDS": "SPIFFE identities that may call, comma-separated",
    "HANSA_READY_FILE": "file to create once requests are answered; the agent then checks that the port accepts",
    "HANSA_CPU_MILLIS": "thousandths of a CPU core granted; 0 if not limited",
    "HANSA_MEMORY_MIB": "main memory granted, MiB; 0 if not limited",
    "HANSA_ACCELERATORS": "devices granted, pool=count, comma-separated",
    "HOME": "working directory, the instance's own",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
}
PATH_MINIMAL = ENVIRONMENT["PATH"]
FILE_BYTES_MAX = 1 << 30
OPEN_FILES_MAX = 4_096
MEMORY_FACTOR = 2
MEMORY_MIB_MIN = 512
NICENESS = 5


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance runs: its folder, its address and the certificate that it serves with."""

    folder: Path
    host: str
    port: int
    tls_cert: str = ""
    tls_key: str = ""

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def ready_file(self) -> Path:
        return self.home / "ready"

    @property
    def client_ca(self) -> Path:
        return self.folder / "client_ca.pem"

    @property
    def log(self) -> Path:
        return self.folder / "log"


def environment(order: DesiredInstance, artefact: Artefact, place: Place) -> dict[str, str]:
    """The whole environment of the instance; the artefact's own variables never replace those of ``ENVIRONMENT``."""
    limits = order.limits
    ours = {
        "HANSA_INSTANCE": order.instance,
        "HANSA_LISTEN_HOST": place.host,
        "HANSA_LISTEN_PORT": str(place.port),
        "HANSA_TLS_CERT": place.tls_cert,
        "HANSA_TLS_KEY": place.tls_key,
        "HANSA_CLIENT_CA": str(place.client_ca),
        "HANSA_CLIENT_IDS": ",".join(order.client_ids),
        "HANSA_READY_FILE": str(place.ready_file),
        "HANSA_CPU_MILLIS": str(limits.cpu_millis),
        "HANSA_MEMORY_MIB": str(limits.memory_mib),
        "HANSA_ACCELERATORS": ",".join(f"{amount.pool}={amount.count}" for amount in limits.accelerators),
        "HOME": str(place.home),
        "PATH": PATH_MINIMAL,
    }
    return {**artefact.env, **ours}


def resource_limits(limits: Capacity) -> dict[str, int]:
    """Limits of the process by name of the resource (setrlimit(2)).

    Memory is bounded through RLIMIT_DATA, since the address space of an inference runtime says little; twice what was
    ordered, at least 512 MiB, because thread stacks and allocator arenas count in full from the moment they are
    mapped. RLIMIT_NPROC is left alone: it counts all processes of the user, not those of the instance.
    """
    bounds = {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": OPEN_FILES_MAX, "RLIMIT_FSIZE": FILE_BYTES_MAX}
    if limits.memory_mib:
        bounds["RLIMIT_DATA"] = max(MEMORY_FACTOR * limits.memory_mib, MEMORY_MIB_MIN) << 20
    return bounds


def chosen_cpus(cpu_millis: int, available: tuple[int, ...], seat: int) -> tuple[int, ...]:
    """The CPUs to stay on: as many as ordered, rounded up, beginning at ``seat`` so that neighbours differ."""
    wanted = -(-cpu_millis // 1_000)
    if not 0 < wanted < len(available):
        return available
    return tuple(sorted(available[(seat * wanted + index) % len(available)] for index in range(wanted)))
