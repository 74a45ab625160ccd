"""Network namespaces of one run of the twin, and removing what runs that were killed have left.

Namespaces are called ``hansa-twin-RUN-HOST``. A run holds a lock on a file of its own name below ``/run/hansa-twin``,
which the kernel gives up with the process, however it ends: whoever gets the lock may remove what is there.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

RUNS = Path("/run/hansa-twin")
NAMESPACES = Path("/run/netns")
PREFIX = "hansa-twin-"
COMMANDS = ("ip", "nsenter", "setpriv")
TUN = Path("/dev/net/tun")


class TwinImpossible(Exception):
    """This machine, or this user, cannot have a twin; the text says why."""


def check_machine() -> None:
    """Raises TwinImpossible unless the user is root and namespaces, TUN and the commands needed are there."""
    if os.geteuid() != 0:
        raise TwinImpossible("the twin makes network namespaces, which only root may; run it as root")
    missing = [command for command in COMMANDS if shutil.which(command) is None]
    if missing:
        raise TwinImpossible(f"the twin needs the commands {', '.join(missing)} (packages iproute2 and util-linux)")
    if not TUN.exists():
        raise TwinImpossible(f"the twin needs {TUN}; load the kernel module tun")


class Run:
    """The namespaces of this process; ``remove`` takes them away with everything that runs in them."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is removed with the run, also by the next one if this one is killed."""
        self.name = str(os.getpid())
        self.folder = folder
        RUNS.mkdir(mode=0o700, exist_ok=True)
        self._record = RUNS / self.name
        self._lock = _locked(self._record, os.O_CREAT)
        if self._lock is None:
            raise TwinImpossible(f"{self._record} is locked by another process")
        self._record.write_text(str(folder), encoding="utf-8")

    def namespace(self, host: str) -> str:
        """The namespace of a host, such as "oslo" or "nordavind/oslo-1"."""
        return f"{PREFIX}{self.name}-{host.replace('/', '.')}"

    def make(self, hosts: Sequence[str]) -> None:
        """Makes the namespaces of these hosts, with nothing in them."""
        lines = "".join(f"netns add {self.namespace(host)}\n" for host in hosts)
        subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True)

    def inside(self, host: str, command: Sequence[str]) -> list[str]:
        """The command that runs in a host's namespace and is killed when this process is gone."""
        there = f"--net={NAMESPACES / self.namespace(host)}"
        return ["setpriv", "--pdeathsig", "KILL", "nsenter", there, "--", *command]

    def remove(self) -> None:
        """Kills what runs in the namespaces, removes them, and gives the lock up."""
        _remove(self.name)
        self._record.unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def remove_left() -> list[str]:
    """Removes what runs have left that were killed; answers their names. Runs that go on are not touched."""
    removed = []
    for record in sorted(RUNS.glob("*")) if RUNS.is_dir() else []:
        lock = _locked(record, 0)
        if lock is None:
            continue
        _remove(record.name)
        folder = Path(record.read_text(encoding="utf-8") or "/nothing")
        if folder.name.startswith(PREFIX):
            shutil.rmtree(folder, ignore_errors=True)
        record.unlink(missing_ok=True)
        os.close(lock)
        removed.append(record.name)
    return removed


def _locked(record: Path, flags: int) -> int | None:
    """The lock of a run's record; None while another process has it, or if it is gone."""
    try:
        lock = os.open(record, os.O_RDWR | flags, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _remove(run: str) -> None:
    for namespace in sorted(path.name for path in NAMESPACES.glob(f"{PREFIX}{run}-*")):
        # An agent that is killed cannot start anything; what it had started a moment before is seen the next time.
        while pids := _pids_in(namespace):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", namespace], check=False)


def _pids_in(namespace: str) -> list[int]:
    """Processes in a namespace; those that have ended and wait for their parent are in none any more."""
    told = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
    return [int(word) for word in told.stdout.split()]
