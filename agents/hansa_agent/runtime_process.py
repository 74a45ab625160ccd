"""Runs instances as processes of this machine.

An instance leads its own session and process group, so it outlives the agent and is ended as a whole. What runs is
decided by the zone owner's configuration alone: the order names an artefact, its digest is computed from the disk
before every start, and the command comes from the configuration.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import structlog

from hansa.v1.instance_pb2 import DesiredInstance
from hansa_agent import shim
from hansa_agent.artefacts import Artefact, ArtefactUnreadable, artefact_digest
from hansa_agent.instance_ports import InstanceSettings, free_port, reachable_host
from hansa_agent.instance_store import InstanceRecord, InstanceStore, ProcessMark, write_atomically
from hansa_agent.launch import NICENESS, Place, chosen_cpus, environment, resource_limits
from hansa_agent.ports import StartRefused
from hansa_agent.processes import ProcessGroup, how_it_ended, lives, mark_of

_log = structlog.get_logger(__name__)
_CONNECT_TIMEOUT_S = 1.0


class RunningProcess:
    """An instance that runs as a process group."""

    def __init__(self, group: ProcessGroup, place: Place, endpoint_url: str) -> None:
        self._group = group
        self._place = place
        self._endpoint_url = endpoint_url

    @property
    def pid(self) -> int:
        return self._group.pid

    @property
    def endpoint_url(self) -> str:
        return self._endpoint_url

    @property
    def silent(self) -> bool:
        return False

    @property
    def trouble(self) -> str:
        return ""

    async def exited(self) -> str:
        return how_it_ended(await self._group.exited())

    async def unready(self) -> str:
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    async def ready(self) -> bool:
        if not self._place.ready_file.exists():
            return False
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                _, writer = await asyncio.open_connection(reachable_host(self._place.host), self._place.port)
        except (OSError, TimeoutError):
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True

    async def terminate(self) -> None:
        self._group.signal(signal.SIGTERM)

    async def kill(self) -> None:
        self._group.signal(signal.SIGKILL)


class ProcessRuntime:
    """Starts, adopts and forgets instances. ``artefacts`` may be replaced while instances run."""

    collects = False

    def __init__(self, artefacts: Mapping[str, Artefact], settings: InstanceSettings, store: InstanceStore) -> None:
        self.artefacts = artefacts
        self._settings = settings
        self._store = store

    async def start(self, order: DesiredInstance) -> RunningProcess:
        artefact = await self._verified(order)
        leftover = self._store.written_mark(order.instance)
        if lives(leftover):
            await _end(leftover)
        place = self._place(order.instance, free_port(order.instance, self._settings, self._store))
        try:
            return self._spawn(order, artefact, place)
        except OSError as error:
            raise StartRefused(f"not started: {error.strerror}", permanent=False) from error

    async def adopt(self) -> dict[str, RunningProcess]:
        self._end_strays()
        found: dict[str, RunningProcess] = {}
        for instance, record in list(self._store.records.items()):
            mark = self._living(record)
            if mark.pid == 0:
                continue
            with contextlib.suppress(ProcessLookupError):
                group = ProcessGroup(mark.pid)
                self._note_process(instance, mark, record.port)
                place = self._place(instance, record.port)
                found[instance] = RunningProcess(group, place, self._settings.endpoint_url(place.port))
        return found

    def _note_process(self, instance: str, mark: ProcessMark, port: int) -> None:
        """What runs is taken over though it cannot be noted: it is found again as it was this time."""
        try:
            self._store.set_process(instance, mark, port)
        except OSError as error:
            _log.warning("process not noted", instance=instance, message=error.strerror)

    def _end_strays(self) -> None:
        for name in self._store.strays():
            mark = self._store.written_mark(name)
            if lives(mark):
                _log.warning("process without a record killed", instance=name, pid=mark.pid)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(mark.pid, signal.SIGKILL)
            self._store.remove(name)

    async def forget(self, instance: str) -> None:
        self._store.remove(instance)

    async def run(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def housekeep(self) -> None:
        await asyncio.to_thread(self._bound_logs)

    def _bound_logs(self) -> None:
        for instance in list(self._store.records):
            log = self._place(instance, 0).log
            with contextlib.suppress(FileNotFoundError):
                if log.stat().st_size > self._settings.log_bytes_max:
                    _cut(log)

    async def _verified(self, order: DesiredInstance) -> Artefact:
        artefact = self.artefacts.get(order.artefact.name)
        if artefact is None:
            raise StartRefused(f"artefact {order.artefact.name!r} is not allowed here", permanent=True)
        try:
            found = await asyncio.to_thread(artefact_digest, artefact.files)
        except ArtefactUnreadable as error:
            raise StartRefused(str(error), permanent=True) from error
        if not found == artefact.digest == order.artefact.digest:
            message = f"{artefact.name} has digest {found} on disk, {artefact.digest} is allowed"
            raise StartRefused(message, permanent=True)
        return artefact

    def _spawn(self, order: DesiredInstance, artefact: Artefact, place: Place) -> RunningProcess:
        _prepare(place, order.client_ca_pem)
        # The port first: should this process die now, the next one knows where the new instance listens.
        self._store.set_process(order.instance, ProcessMark(), place.port)
        child = _popen(place)
        group = ProcessGroup(child.pid, child)
        try:
            _tell(child, self._specification(order, artefact, place))
            self._store.set_process(order.instance, mark_of(child.pid), place.port)
        except OSError:
            group.signal(signal.SIGKILL)  # nobody would find it again
            raise
        return RunningProcess(group, place, self._settings.endpoint_url(place.port))

    def _specification(self, order: DesiredInstance, artefact: Artefact, place: Place) -> dict[str, object]:
        available = tuple(sorted(os.sched_getaffinity(0)))
        seat = place.port - self._settings.ports[0]
        return {
            "lock": str(place.folder / "lock"),
            "process_file": str(place.folder / "process"),
            "directory": str(place.home),
            "command": list(artefact.command),
            "environment": environment(order, artefact, place),
            "limits": resource_limits(order.limits),
            "cpus": chosen_cpus(order.limits.cpu_millis, available, seat),
            "niceness": NICENESS,
        }

    def _place(self, instance: str, port: int) -> Place:
        settings = self._settings
        folder = self._store.folder(instance)
        return Place(folder, settings.listen_host, port, settings.tls_cert, settings.tls_key)

    def _living(self, record: InstanceRecord) -> ProcessMark:
        for mark in (record.process, self._store.written_mark(record.instance)):
            if lives(mark):
                return mark
        return ProcessMark()


def _cut(log: Path) -> None:
    """Keeps one copy and begins anew; anew also where the disk has no room for a copy, for then it needs it most."""
    try:
        shutil.copyfile(log, log.with_name("log.1"))
    except FileNotFoundError:
        raise
    except OSError as error:
        _log.warning("log cut without a copy", log=str(log), message=error.strerror)
    os.truncate(log, 0)


def _prepare(place: Place, client_ca_pem: bytes) -> None:
    place.folder.mkdir(exist_ok=True, mode=0o700)
    place.home.mkdir(exist_ok=True, mode=0o700)
    place.ready_file.unlink(missing_ok=True)
    (place.folder / "process").unlink(missing_ok=True)
    write_atomically(place.client_ca, client_ca_pem)


def _popen(place: Place) -> subprocess.Popen[bytes]:
    log = os.open(place.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(shim.__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={},
            start_new_session=True,
        )
    finally:
        os.close(log)


def _tell(child: subprocess.Popen[bytes], specification: dict[str, object]) -> None:
    assert child.stdin is not None  # noqa: S101 - asked for above
    with contextlib.suppress(BrokenPipeError), child.stdin:
        child.stdin.write(json.dumps(specification).encode())


async def _end(mark: ProcessMark) -> None:
    with contextlib.suppress(ProcessLookupError):
        group = ProcessGroup(mark.pid)
        group.signal(signal.SIGKILL)
        await group.exited()
