"""Starts a test's OpenStack, keeps it, and ends it whole, also when the test's own process is killed.

Run as a process of its own: ``cloud_keeper.py FOLDER VENV min|full HOST...``. It prints one JSON line once everything
answers, then obeys JSON lines {"do": "kill" | "start", "name": ...} on its standard input, each answered by a line, and
ends everything at their end: however the test goes, that end comes. It adopts what its children leave behind
(PR_SET_CHILD_SUBREAPER, prctl(2)), such as Erlang's epmd, and they die with it (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path

from cloud_processes import Commands, Process
from cloud_settings import PASSWORD, Ports, Site, compute_file, files

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
_PORTS = range(21_000, 31_000)  # below those that the kernel hands out to clients
_WAIT_S = 90.0
_libc = ctypes.CDLL(None)


class Keeper:
    """The processes of one site."""

    def __init__(self, site: Site, venv: Path, hosts: tuple[str, ...]) -> None:
        self.site = site
        self._hosts = hosts
        self._commands = Commands(site, venv)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._began = time.monotonic()
        self.steps: dict[str, float] = {}

    def start_all(self) -> None:
        self._write_files()
        tables: tuple[subprocess.Popen[bytes], ...] = ()
        if self.site.full:
            self._start_stores()
            tables = self._begin_tables()
        self._start_identity()
        if self.site.full:
            self._finish(*tables)
            self._run("neutron-stamp", self._commands.manage("neutron", "stamp", "heads"))
            self._step("tables")
            self._start_machines()
        self._step("ready")

    def start(self, name: str) -> None:
        kind, _, host = name.partition(":")
        if kind == "wsgi":
            self._spawn(name, self._commands.wsgi(host))
        elif kind == "compute":
            self._spawn(name, self._commands.compute(host))
        else:
            self._spawn(name, self._commands.nova(kind))

    def kill(self, name: str) -> None:
        process = self._running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def end(self) -> None:
        """Ends every process below this one, twice over: a child may be born while its parent is killed."""
        for _ in range(50):
            below = list(_below(os.getpid()))
            if not below:
                break
            for pid in below:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            _reap()
            time.sleep(0.02)
        for _ in range(50):
            shutil.rmtree(self.site.folder, ignore_errors=True)
            if not self.site.folder.exists():
                break
            time.sleep(0.1)  # what was killed may still be writing its last file

    def _write_files(self) -> None:
        for path, text in files(self.site).items():
            file = self.site.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        for folder in ("log", "images", "rabbit", "nova/lock", "neutron/lock", "fernet", "credential"):
            (self.site.folder / folder).mkdir(parents=True, exist_ok=True)
        for ring in ("fernet", "credential"):
            for number in ("0", "1"):
                self._write_key(self.site.folder / ring / number)
        if self.site.full:
            for source, target in self._commands.copies():
                shutil.copyfile(source, target)

    def _write_key(self, file: Path) -> None:
        """A Fernet key, as `keystone-manage fernet_setup` writes it, which takes two seconds for it."""
        file.write_bytes(base64.urlsafe_b64encode(os.urandom(32)))
        file.chmod(0o600)

    def _start_stores(self) -> None:
        data = self.site.folder / "postgres"
        data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(data, "postgres")
        self._spawn("rabbit", self._commands.rabbit())
        self._run("initdb", self._commands.initdb())
        self._spawn("postgres", self._commands.postgres())
        self._until_open(self.site.ports.postgres)
        self._retry(lambda: self._run("databases", self._commands.databases()))
        self._step("stores")

    def _start_identity(self) -> None:
        manage = self._commands.manage
        placement = self._begin("placement-sync", _placement_sync(self._commands))
        self._run("keystone-sync", manage("keystone", "db_sync"))
        self._run("bootstrap", self._commands.bootstrap())
        self._spawn("wsgi:keystone", self._commands.wsgi("keystone"))
        self._until_open(self.site.ports.keystone)
        self._step("keystone")
        self._finish(placement)
        self._spawn("wsgi:placement", self._commands.wsgi("placement"))
        self._run("people", self._commands.people(self.auth()))
        self._until_open(self.site.ports.placement)
        self._step("placement")

    def _start_machines(self) -> None:
        for service in ("glance", "nova", "neutron"):
            self._spawn(f"wsgi:{service}", self._commands.wsgi(service))
        self._until_open(self.site.ports.rabbit)
        for program in ("conductor", "scheduler"):
            self.start(program)
        self._until_logged("conductor", "Starting conductor")
        for host in self._hosts:
            (self.site.folder / host).mkdir()
            (self.site.folder / f"nova/{host}.conf").write_text(compute_file(self.site, host))
            self.start(f"compute:{host}")
        for port in (self.site.ports.glance, self.site.ports.nova, self.site.ports.neutron):
            self._until_open(port)
        self._step("machines started")

    def _begin_tables(self) -> tuple[subprocess.Popen[bytes], ...]:
        """Nobody needs these tables before the machines are started, and making them takes longest."""
        return (
            self._begin("nova-tables", self._commands.nova_tables()),
            self._begin("glance-tables", self._commands.manage("glance", "db_sync")),
            self._begin("neutron-tables", self._commands.neutron_tables()),
        )

    def auth(self) -> dict[str, str]:
        """The administrator, as keyword arguments of ``openstack.connect``."""
        return {
            "auth_url": self.site.url("keystone"),
            "username": "admin",
            "password": PASSWORD,
            "project_name": "admin",
            "user_domain_id": "default",
            "project_domain_id": "default",
            "region_name": "RegionOne",
        }

    # --- processes ---

    def _spawn(self, name: str, process: Process) -> None:
        self._running[name] = self._begin(name, process)

    def _begin(self, name: str, process: Process) -> subprocess.Popen[bytes]:
        with self._log(name).open("ab") as log:
            child = subprocess.Popen(
                process.command,
                env={"PATH": os.environ["PATH"], **process.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.site.folder,
                start_new_session=True,
                user=process.user or None,
                group=process.user or None,
                preexec_fn=_die_with_parent,
            )
        child.args = name
        return child

    def _run(self, name: str, process: Process) -> None:
        self._finish(self._begin(name, process))

    def _finish(self, *children: subprocess.Popen[bytes]) -> None:
        for child in children:
            if child.wait(_WAIT_S) != 0:
                raise Failed(f"{child.args} ended with {child.returncode}:\n{self._tail(str(child.args))}")

    def _log(self, name: str) -> Path:
        return self.site.folder / "log" / f"{name.replace(':', '-')}.log"

    def _tail(self, name: str) -> str:
        return "\n".join(self._log(name).read_text(errors="replace").splitlines()[-15:])

    def _step(self, name: str) -> None:
        self.steps[name] = round(time.monotonic() - self._began, 1)

    # --- waiting ---

    def _until(self, what: str, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + _WAIT_S
        while not condition():
            for name, child in self._running.items():
                if child.poll() is not None:
                    raise Failed(f"{name} ended with {child.returncode}:\n{self._tail(name)}")
            if time.monotonic() > until:
                raise Failed(f"{what} not within {_WAIT_S:.0f} s; logs in {self.site.folder}/log")
            time.sleep(0.05)

    def _until_open(self, port: int) -> None:
        self._until(f"port {port}", lambda: _is_open(port))

    def _until_logged(self, name: str, text: str) -> None:
        self._until(f"{text!r} in {name}", lambda: text in self._log(name).read_text(errors="replace"))

    def _retry(self, action: Callable[[], None]) -> None:
        for _ in range(50):
            with contextlib.suppress(Failed):
                return action()
            time.sleep(0.1)
        return action()


class Failed(Exception):
    """Something did not start; the text has the end of its log."""


def _placement_sync(commands: Commands) -> Process:
    return commands.manage("placement", "db", "sync")


def _die_with_parent() -> None:
    _libc.prctl(_SET_PDEATHSIG, signal.SIGKILL)


def _is_open(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def _below(root: int) -> Iterator[int]:
    """Every living process that descends from ``root``."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            words = stat.read_text().rpartition(")")[2].split()
            if words[0] not in "ZX":
                children.setdefault(int(words[1]), []).append(int(stat.parent.name))
    waiting = list(children.get(root, ()))
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting.extend(children.get(pid, ()))


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _free_ports() -> Ports:
    """Ports that nobody has; another cloud that starts at this moment begins to look elsewhere."""
    names = [field.name for field in fields(Ports)]
    start = os.getpid() * 16 % len(_PORTS)
    found = (port for port in (*_PORTS[start:], *_PORTS[:start]) if not _is_open(port))
    return Ports(**{name: next(found) for name in names})


def main(arguments: list[str]) -> int:
    """Runs one cloud until standard input ends."""
    folder, venv, mode, *hosts = arguments
    _libc.prctl(_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    site = Site(Path(folder), _free_ports(), mode == "full")
    keeper = Keeper(site, Path(venv), tuple(hosts))
    try:
        keeper.start_all()
        _say({"auth": keeper.auth(), "ports": asdict(site.ports), "steps": keeper.steps})
        for line in sys.stdin:
            order = json.loads(line)
            {"kill": keeper.kill, "start": keeper.start}[order["do"]](order["name"])
            _say({"done": order})
    except (Failed, subprocess.TimeoutExpired) as failure:
        _say({"failed": str(failure)})
        return 1
    finally:
        keeper.end()
    return 0


def _say(content: object) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(content), flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
