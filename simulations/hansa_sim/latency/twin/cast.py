"""The twin's processes: control planes, agents, users and the relay, each in its namespace."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path
from typing import Any

from hansa_sim.latency.twin.namespaces import Run
from hansa_sim.latency.twin.system import kept_environment

BIN = Path(sys.executable).parent
LINE_BYTES_MAX = 64 * 1024 * 1024
LOG_TAIL = 600
ENDING_S = 5.0
PROGRAMS = "hansa_sim.latency.twin"


class TwinFailed(Exception):
    """The twin could not be built or driven; the text says at what it failed."""


class Cast:
    """Every process of a run."""

    def __init__(self, run: Run, profile: Path) -> None:
        self._run, self._profile = run, profile
        self._logs = run.folder / "logs"
        self._logs.mkdir(exist_ok=True)
        self._servants: dict[str, Process] = {}
        self._speaking: list[Process] = []

    async def serve(self, host: str, program: str, config: Path) -> None:
        """Starts ``program serve --config`` in a host's namespace; what it says goes into a log."""
        command = self._run.inside(host, [str(BIN / program), "serve", "--config", str(config)])
        with self._log(host).open("ab") as log:
            self._servants[host] = await asyncio.create_subprocess_exec(
                *command, stdin=DEVNULL, stdout=log, stderr=log, start_new_session=True, env=_environment()
            )

    async def speak(self, program: str, host: str = "") -> Process:
        """Starts one of the twin's own programs, which reads and writes lines; outside of all namespaces without a
        host."""
        command = [sys.executable, "-m", f"{PROGRAMS}.{program}"]
        words = self._run.inside(host, command) if host else ["setpriv", "--pdeathsig", "KILL", *command]
        with self._log(host or program).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
                limit=LINE_BYTES_MAX,
                start_new_session=True,
                env=_environment(),
            )
        self._speaking.append(process)
        return process

    async def hansa(self, host: str, *arguments: str) -> dict[str, Any] | None:
        """What the command line answers the app team at a host, as JSON; None where it ends with an error."""
        command = [str(BIN / "hansa"), "--profile", str(self._profile), *arguments, "-o", "json"]
        with self._log("hansa").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._run.inside(host, command), stdin=DEVNULL, stdout=PIPE, stderr=log, env=_environment()
            )
        self._speaking.append(process)
        out, _ = await process.communicate()
        return None if process.returncode else dict(json.loads(out))

    def check_alive(self) -> None:
        """TwinFailed if a process that should serve has ended."""
        for host, process in self._servants.items():
            if process.returncode is not None:
                raise TwinFailed(f"{host} ended with {process.returncode}: {self.tail(host)}")

    def tail(self, name: str) -> str:
        """The end of a log."""
        return self._log(name).read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:].strip()

    async def end(self) -> None:
        """Waits for what was killed with its namespaces, and kills what has none."""
        for process in (*self._servants.values(), *self._speaking):
            with suppress(ProcessLookupError):
                process.kill()
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), ENDING_S)

    def _log(self, name: str) -> Path:
        return self._logs / f"{name.replace('/', '-')}.log"


async def told(process: Process, line: str) -> None:
    """Gives a program a line."""
    if process.stdin is None:
        raise TypeError("the program was not started to speak with")
    process.stdin.write(line.encode() + b"\n")
    await process.stdin.drain()


async def heard(process: Process, what: str, timeout_s: float) -> str:
    """The next line of a program; TwinFailed when it has ended or says nothing in time."""
    if process.stdout is None:
        raise TypeError("the program was not started to speak with")
    try:
        line = await asyncio.wait_for(process.stdout.readline(), timeout_s)
    except TimeoutError as error:
        raise TwinFailed(f"{what}: nothing within {timeout_s:.0f} s") from error
    if not line:
        raise TwinFailed(f"{what}: ended before it said anything")
    return line.decode().strip()


def _environment() -> dict[str, str]:
    return kept_environment(("PATH", "HOME", "LANG", "PYTHONPATH")) | {"PYTHONUNBUFFERED": "1"}
