"""The demonstration's processes: real ones, started, killed with -9 and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hansa_agent.instance_store import ProcessMark
from hansa_agent.processes import lives

from hansa_demo.prepare import Prepared
from hansa_demo.scenario import OPERATORS

BIN = Path(sys.executable).parent
PROGRAMS = frozenset({"hansa-control", "hansa-agent"})


class DemoFailed(Exception):
    """Something that the demonstration promises did not happen."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command printed and how it ended; ``seconds`` includes the start of its interpreter."""

    exit_code: int
    out: str
    err: str
    seconds: float

    def json(self) -> dict[str, Any]:
        """Standard output as one JSON object; DemoFailed if it is none."""
        try:
            parsed: dict[str, Any] = json.loads(self.out)
        except ValueError as error:
            raise DemoFailed(f"expected JSON, got: {self.out[:200]!r} {self.err[:400]!r}") from error
        return parsed


class Processes:
    """Control planes and agents by name: "nordavind", "nordavind/oslo-1"."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.logs = prepared.directory / "logs"
        self.logs.mkdir(exist_ok=True)

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._running))

    def start_operator(self, operator: str) -> None:
        config = self._prepared.operator(operator) / "control-plane.yaml"
        self._start(operator, [str(BIN / "hansa-control"), "serve", "--config", str(config)])

    def start_replica(self, operator: str, replica: str) -> None:
        """One of several control planes of an operator; its name here is "operator@replica"."""
        config = self._prepared.operator(operator) / f"control-plane-{replica}.yaml"
        self._start(f"{operator}@{replica}", [str(BIN / "hansa-control"), "serve", "--config", str(config)])

    def start_agent(self, operator: str, zone: str) -> None:
        config = self._prepared.operator(operator) / "agents" / f"{zone}.yaml"
        self._start(f"{operator}/{zone}", [str(BIN / "hansa-agent"), "serve", "--config", str(config)])

    def start_all(self) -> None:
        for operator in OPERATORS:
            self.start_operator(operator.name)
        for operator in OPERATORS:
            for zone in operator.zones:
                self.start_agent(operator.name, zone.name)

    def _start(self, name: str, command: list[str]) -> None:
        log = self.log(name).open("ab")
        self._running[name] = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment()
        )
        log.close()

    def log(self, name: str) -> Path:
        return self.logs / f"{name.replace('/', '-')}.log"

    def log_lines(self, name: str) -> list[dict[str, Any]]:
        """The JSON lines that a process has logged so far."""
        lines = self.log(name).read_text(encoding="utf-8", errors="replace").splitlines()
        return [found for line in lines if isinstance(found := _parsed(line), dict)]

    def kill(self, name: str) -> None:
        """SIGKILL to the process alone; what it started lives on."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def kill_zone(self, zone: str) -> list[int]:
        """SIGKILL to a zone's agent and to its instances, as when the power fails; answers the instances' pids."""
        pids = self.instance_pids(zone)
        self.kill(zone)
        for pid in pids:
            _kill_group(pid)
        return pids

    def instance_pids(self, zone: str) -> list[int]:
        """Pids of a zone's instances that are alive, from what its agent wrote down."""
        return instance_pids(self._prepared, zone)

    def check_alive(self) -> None:
        """DemoFailed if a process that should run has ended."""
        for name, process in self._running.items():
            if process.poll() is not None:
                tail = self.log(name).read_text(encoding="utf-8", errors="replace")[-800:]
                raise DemoFailed(f"{name} ended with {process.returncode}:\n{tail}")

    def pids(self) -> Mapping[str, int]:
        return {name: process.pid for name, process in sorted(self._running.items())}

    def stop_all(self) -> None:
        """Ends everything: instances at once, the others by SIGTERM and, if need be, SIGKILL."""
        zones = [name for name in self._running if "/" in name]
        everywhere = [f"{op.name}/{zone.name}" for op in OPERATORS for zone in op.zones]
        for process in self._running.values():
            process.terminate()
        deadline_s = time.monotonic() + 8  # noqa: TID251 - a person waits
        for process in self._running.values():
            try:
                process.wait(max(0.1, deadline_s - time.monotonic()))  # noqa: TID251
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for zone in {*zones, *everywhere}:
            for pid in self.instance_pids(zone):
                _kill_group(pid)
        self._running.clear()

    def hansa(self, *arguments: str, columns: int = 0) -> Answer:
        """Runs the command line as the app team."""
        command = [str(BIN / "hansa"), "--profile", str(self._prepared.profile), *arguments]
        started_s = time.monotonic()  # noqa: TID251
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=150, env=environment(columns), check=False
        )
        return Answer(done.returncode, done.stdout, done.stderr, time.monotonic() - started_s)  # noqa: TID251


def _parsed(line: str) -> Any:
    """A line as JSON; None for plain text and for a line that is being written."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def instance_pids(prepared: Prepared, zone: str) -> list[int]:
    """Pids of a zone's instances that are alive; a number that another process has by now is not among them."""
    operator, _, name = zone.partition("/")
    files = sorted((prepared.operator(operator) / "state" / name / "instances").glob("*/process"))
    return [mark.pid for mark in map(_mark_in, files) if lives(mark)]


def instance_claims(prepared: Prepared, zone: str) -> list[str]:
    """The claims of a zone's instances that are alive, whoever knows of them; "" for one that nobody wrote down."""
    operator, _, name = zone.partition("/")
    folder = prepared.operator(operator) / "state" / name / "instances"
    records = [record for file in folder.glob("*/instance.json") if isinstance(record := _json_in(file), dict)]
    claim_of = {record.get("pid"): str(record.get("claim", "")) for record in records}
    return [claim_of.get(pid, "") for pid in instance_pids(prepared, zone)]


def _json_in(file: Path) -> Any:
    """What a file holds; None if it was removed between looking and reading."""
    try:
        return _parsed(file.read_text(encoding="utf-8"))
    except OSError:
        return None


def _mark_in(file: Path) -> ProcessMark:
    """What an instance's own process wrote about itself; an empty mark while that cannot be read."""
    try:
        pid, start_ticks, boot_id = file.read_text(encoding="utf-8").split()
        return ProcessMark(int(pid), int(start_ticks), boot_id)
    except (OSError, ValueError):
        return ProcessMark()


def end_left_running(prepared: Prepared) -> int:
    """Ends the processes of a world that was left running; answers how many there were."""
    record = prepared.directory / "pids"
    pids = [int(pid) for pid in record.read_text(encoding="utf-8").split()] if record.exists() else []
    ours = [pid for pid in pids if _is_ours(pid, prepared)]
    for op in OPERATORS:
        for zone in op.zones:
            ours += instance_pids(prepared, f"{op.name}/{zone.name}")
    for pid in ours:
        _kill_group(pid)
    record.unlink(missing_ok=True)
    return len(ours)


def _is_ours(pid: int, prepared: Prepared) -> bool:
    """Whether the process that has this number now is a control plane or an agent of this very world."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        started_in = Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return False
    world = prepared.directory.resolve()
    named = [started_in / word for word in words if word]
    return any(path.name in PROGRAMS for path in named) and any(path.resolve().is_relative_to(world) for path in named)


def environment(columns: int = 0) -> dict[str, str]:
    """A small environment: nothing of the caller's but the search path and, if given, a terminal's width."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}  # noqa: TID251
    return kept | {"PYTHONUNBUFFERED": "1"} | ({"COLUMNS": str(columns)} if columns else {})


def is_alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def _kill_group(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        except PermissionError:
            continue
