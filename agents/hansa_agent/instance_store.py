"""What the agent writes down of each instance, so that its next process finds again what this one started.

One folder an instance, ``instances/<instance>/`` under the state directory:

- ``instance.json``: the record, replaced atomically and synced.
- ``process``: written by the instance's own process before it becomes the artefact ("PID START_TICKS BOOT_ID"), so
  that an agent that dies between starting and recording still leaves a trace.
- ``lock``: held by the process for its life; two processes of one instance never run at once.
- ``client_ca.pem``, ``log``, ``log.1``, ``home/`` (working directory; ``home/ready`` appears when it is ready).
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from hansa.v1.agent_service_pb2 import Order

RETIRED_LOGS_MAX = 16
TRIAL_BYTES = 1 << 16
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """Names one process beyond doubt: a number that is used again has another start (field 22 of /proc/PID/stat)."""

    pid: int = 0
    start_ticks: int = 0
    boot_id: str = ""


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """One instance. ``ordered`` is False once the order was withdrawn and the process is yet to end.

    ``handle`` is what a platform calls it, for example the id of its server; empty until it is known.
    """

    instance: str
    order: bytes = b""
    ordered: bool = True
    port: int = 0
    restarts: int = 0
    failures: int = 0
    started_at_ms: int = 0
    process: ProcessMark = ProcessMark()
    handle: str = ""

    def parsed_order(self) -> Order:
        """The order that it runs under, as it came."""
        return Order.FromString(self.order)


class InstanceStore:
    """The records of a state directory. Reads them all at start; raises OSError when the disk does not answer."""

    def __init__(self, state_dir: Path) -> None:
        self._root = state_dir / "instances"
        self._retired = state_dir / "logs"
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._records: dict[str, InstanceRecord] = {record.instance: record for record in self._load()}

    @property
    def records(self) -> Mapping[str, InstanceRecord]:
        """By instance."""
        return self._records

    def folder(self, instance: str) -> Path:
        """Where everything of the instance lies."""
        return self._root / instance

    def put(self, record: InstanceRecord) -> None:
        """Writes a record down; returns once it is on the disk."""
        if self._records.get(record.instance) == record:
            return
        folder = self.folder(record.instance)
        folder.mkdir(exist_ok=True, mode=0o700)
        write_atomically(folder / "instance.json", json.dumps(_to_json(record), indent=1).encode())
        self._records[record.instance] = record

    def set_process(self, instance: str, mark: ProcessMark, port: int) -> None:
        """Writes down which process runs and where it listens."""
        record = self._records.get(instance, InstanceRecord(instance))
        self.put(replace(record, process=mark, port=port))

    def set_handle(self, instance: str, handle: str) -> None:
        """Writes down what the platform calls it."""
        record = self._records.get(instance, InstanceRecord(instance))
        self.put(replace(record, handle=handle))

    def try_to_write(self) -> None:
        """Writes as much as a start needs, and takes it away again; raises OSError where there is no room for it."""
        trial = self._root.parent / "room"
        try:
            write_atomically(trial, bytes(TRIAL_BYTES))
        finally:
            trial.unlink(missing_ok=True)

    def remove(self, instance: str) -> None:
        """Forgets an instance; its log is kept among the last ``RETIRED_LOGS_MAX`` under ``logs/``."""
        self._records.pop(instance, None)
        folder = self.folder(instance)
        with contextlib.suppress(OSError):  # a log that cannot be kept is lost; the record must go
            self._retire_log(folder / "log", instance)
        (folder / "instance.json").unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def strays(self) -> tuple[str, ...]:
        """Folders without a readable record; what still runs there belongs to nobody."""
        return tuple(sorted(path.name for path in self._root.iterdir() if path.name not in self._records))

    def written_mark(self, instance: str) -> ProcessMark:
        """What the instance's own process wrote about itself; an empty mark if nothing usable."""
        try:
            pid, ticks, boot_id = (self.folder(instance) / "process").read_text().split()
            return ProcessMark(int(pid), int(ticks), boot_id)
        except (OSError, ValueError):
            return ProcessMark()

    def _load(self) -> Iterator[InstanceRecord]:
        for path in sorted(self._root.glob("*/instance.json")):
            try:
                yield _from_json(json.loads(path.read_bytes()))
            except (ValueError, KeyError, TypeError, DecodeError):
                self._retired.mkdir(exist_ok=True, mode=0o700)
                path.rename(self._retired / f"{path.parent.name}.instance.json.unreadable")

    def _retire_log(self, log: Path, instance: str) -> None:
        if not log.exists():
            return
        self._retired.mkdir(exist_ok=True, mode=0o700)
        log.replace(self._retired / f"{instance}.log")
        oldest_first = sorted(self._retired.glob("*.log"), key=lambda path: path.stat().st_mtime)
        for path in oldest_first[:-RETIRED_LOGS_MAX]:
            path.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes, owner: tuple[int, int] | None = None) -> None:
    """Replaces a file so that it has the old or the new content after a crash, never a part, and is on the disk.

    ``owner`` is the user and group, by number, whose it is to be where root writes it. A link in the place of the
    fresh file is not followed: whoever may write in a folder may not choose what root writes to and gives away.
    """
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    try:
        _write_synced(fresh, content, owner)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)  # a part of it would take room where there is none
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _write_synced(path: Path, content: bytes, owner: tuple[int, int] | None) -> None:
    # O_EXCL fails at a link, too, wherever it leads (open(2)).
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as stream:
        if owner is not None and os.geteuid() == 0:
            os.fchown(stream.fileno(), *owner)
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _to_json(record: InstanceRecord) -> dict[str, Any]:
    order = record.parsed_order()
    plain = asdict(record) | {"order": base64.b64encode(record.order).decode(), "format": _FORMAT}
    process: dict[str, Any] = plain.pop("process")
    return plain | process | {"claim": order.instance.claim, "fencing_token": order.instance.fencing_token}


def _from_json(plain: dict[str, Any]) -> InstanceRecord:
    if plain["format"] != _FORMAT:
        raise ValueError(f"format {plain['format']} is not known")
    order = base64.b64decode(plain["order"], validate=True)
    Order.FromString(order)
    return InstanceRecord(
        instance=str(plain["instance"]),
        order=order,
        ordered=bool(plain["ordered"]),
        port=int(plain["port"]),
        restarts=int(plain["restarts"]),
        failures=int(plain["failures"]),
        started_at_ms=int(plain["started_at_ms"]),
        process=ProcessMark(int(plain["pid"]), int(plain["start_ticks"]), str(plain["boot_id"])),
        handle=str(plain.get("handle", "")),
    )
