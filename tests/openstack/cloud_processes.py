"""Which processes a test's OpenStack is made of, and what is done once before they start: commands as data."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cloud_settings import PASSWORD, READER_ROLE, SERVICES, Site

HERE = Path(__file__).resolve().parent / "site"
RABBIT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


@dataclass(frozen=True)
class Process:
    """One process: what is executed, with which variables besides PATH, and as whom (root only)."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""


def postgres_folder() -> Path:
    """Where PostgreSQL's programs lie; the newest, because Debian keeps them out of the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return found[-1] if found else Path("/usr/bin")


class Commands:
    """Everything that is executed for one site, with the programs of ``venv``."""

    def __init__(self, site: Site, venv: Path) -> None:
        self._site = site
        self._venv = venv
        self._folder = site.folder

    def postgres(self) -> Process:
        options = {
            "port": self._site.ports.postgres,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,
            "fsync": "off",
        }
        flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        data = str(self._folder / "postgres")
        return Process((str(postgres_folder() / "postgres"), "-D", data, *flags), user=_postgres_user())

    def initdb(self) -> Process:
        flags = ("-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")
        data = str(self._folder / "postgres")
        return Process((str(postgres_folder() / "initdb"), "-D", data, *flags), user=_postgres_user())

    def databases(self) -> Process:
        names = ("keystone", "placement", "glance", "neutron", "nova_api", "nova_cell0", "nova")
        statements = [part for name in names for part in ("-c", f"create database {name}")]
        where = ("-h", "127.0.0.1", "-p", str(self._site.ports.postgres), "-U", "postgres")
        return Process((str(postgres_folder() / "psql"), "-q", *where, *statements))

    def rabbit(self) -> Process:
        ports, folder = self._site.ports, self._folder / "rabbit"
        environment = {
            "RABBITMQ_NODENAME": f"hansa{ports.rabbit}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(ports.rabbit),
            "RABBITMQ_DIST_PORT": str(ports.rabbit_distribution),
            "RABBITMQ_MNESIA_BASE": str(folder),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(ports.epmd),
            "HOME": str(folder),
        }
        return Process((str(RABBIT),), environment)

    def wsgi(self, service: str) -> Process:
        """An API behind a web server."""
        module = {
            "keystone": "keystone.wsgi.api",
            "placement": "placement.wsgi.api",
            "glance": "glance.wsgi.api",
            "nova": "nova.wsgi.osapi_compute",
            "neutron": "hansa_neutron",
        }[service]
        address = f"127.0.0.1:{getattr(self._site.ports, service)}"
        command = (self._bin("python"), str(HERE / "hansa_wsgi.py"), address, module)
        return Process(command, self.environment())

    def nova(self, program: str) -> Process:
        return Process(
            (self._bin(f"nova-{program}"), "--config-file", self._file("nova/nova.conf")), self.environment()
        )

    def compute(self, host: str) -> Process:
        files = ("--config-file", self._file("nova/nova.conf"), "--config-file", self._file(f"nova/{host}.conf"))
        return Process((self._bin("python"), str(HERE / "hansa_compute.py"), *files), self.environment())

    def manage(self, service: str, *words: str) -> Process:
        """A service's own administration, such as ``keystone-manage db_sync``."""
        file = {"glance": "glance/glance-api.conf"}.get(service, f"{service}/{service}.conf")
        program = {"neutron": "neutron-db-manage"}.get(service, f"{service}-manage")
        return Process((self._bin(program), "--config-file", self._file(file), *words), self.environment())

    def nova_tables(self) -> Process:
        databases = (self._site.database("nova_cell0"), self._site.database("nova"))
        script = (str(HERE / "hansa_nova_tables.py"), self._file("nova/nova.conf"), *databases, self._site.rabbit())
        return Process((self._bin("python"), *script), self.environment())

    def neutron_tables(self) -> Process:
        script = str(HERE / "hansa_neutron_tables.py")
        return Process((self._bin("python"), script, self._site.database("neutron")), self.environment())

    def bootstrap(self) -> Process:
        url = self._site.url("keystone")
        urls = [part for kind in ("admin", "internal", "public") for part in (f"--bootstrap-{kind}-url", url)]
        words = ("--bootstrap-password", PASSWORD, *urls, "--bootstrap-region-id", "RegionOne")
        return self.manage("keystone", "bootstrap", *words)

    def people(self, auth: Mapping[str, str]) -> Process:
        kinds = {"placement": "placement", "glance": "image", "nova": "compute", "neutron": "network"}
        services = {name: [kinds[name], self._site.url(name)] for name in SERVICES}
        told = {"auth": auth, "services": services, "password": PASSWORD, "reader_role": READER_ROLE}
        return Process((self._bin("python"), str(HERE / "hansa_people.py"), json.dumps(told)), self.environment())

    def environment(self) -> dict[str, str]:
        folder = self._folder
        return {
            "OS_KEYSTONE_CONFIG_DIR": str(folder / "keystone"),
            "OS_KEYSTONE_CONFIG_FILES": "keystone.conf",
            "OS_PLACEMENT_CONFIG_DIR": str(folder / "placement"),
            "OS_NOVA_CONFIG_DIR": str(folder / "nova"),
            "OS_GLANCE_CONFIG_DIR": str(folder / "glance"),
            "OS_NEUTRON_CONFIG_DIR": str(folder / "neutron"),
            "OS_NEUTRON_CONFIG_FILES": "neutron.conf",
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
        }

    def copies(self) -> Iterator[tuple[Path, Path]]:
        """Files that the packages bring and the services want beside their configuration: from, to."""
        for name in ("nova/api-paste.ini", "glance/glance-api-paste.ini", "neutron/api-paste.ini"):
            yield self._venv / "etc" / name, self._folder / name

    def _bin(self, program: str) -> str:
        return str(self._venv / "bin" / program)

    def _file(self, path: str) -> str:
        return str(self._folder / path)


@functools.cache
def _postgres_user() -> str:
    """PostgreSQL refuses to run as root."""
    return "postgres" if os.geteuid() == 0 else ""


def missing(venv: Path, *, full: bool) -> str:
    """What a test cannot start without, as one sentence; empty if nothing is missing."""
    if not (venv / ".installed").exists():
        return f"OpenStack is not installed in {venv}; run `make needs-openstack`"
    if full and not RABBIT.exists():
        return "RabbitMQ is missing: apt-get install rabbitmq-server"
    if full and shutil.which(str(postgres_folder() / "initdb")) is None:
        return "PostgreSQL is missing: apt-get install postgresql"
    return ""
