"""Processes by number, without mistaking one for another, and news of their end, whoever started them (Linux)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from pathlib import Path

from hansa_agent.instance_store import ProcessMark


def boot_id() -> str:
    """Changes when the machine starts anew; process start times count from there."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def mark_of(pid: int) -> ProcessMark:
    """The mark of a process that lives; an empty mark if there is none or it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ProcessMark()
    return ProcessMark() if fields[0] in "ZX" else ProcessMark(pid, int(fields[19]), boot_id())


def lives(mark: ProcessMark) -> bool:
    """Whether the very process lives that was marked."""
    return mark.pid > 0 and mark_of(mark.pid) == mark


def how_it_ended(status: int | None) -> str:
    """An exit status, negative for a signal, for a person."""
    if status is None:
        return "ended; its status is not known"
    return f"ended by signal {-status}" if status < 0 else f"ended with status {status}"


class ProcessGroup:
    """A process that leads its own group, a child or not. Learns of its end through a pidfd (pidfd_open(2)).

    When the leader ends, what is left of the group is killed. ``child`` is given where this process has to reap it.
    Raises ProcessLookupError if it ended before it could be watched.
    """

    def __init__(self, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        self._pid = pid
        self._child = child
        self._loop = asyncio.get_running_loop()
        self._status: asyncio.Future[int | None] = self._loop.create_future()
        self._pidfd = os.pidfd_open(pid)
        self._loop.add_reader(self._pidfd, self._on_end)

    @property
    def pid(self) -> int:
        return self._pid

    async def exited(self) -> int | None:
        """Waits for the end; the exit status, negative for a signal, None where another process was the parent."""
        return await asyncio.shield(self._status)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the group; nothing happens once the leader has ended."""
        if not self._status.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, number)

    def release(self) -> None:
        """Stops watching; the process goes on."""
        if not self._status.done():
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._status.cancel()

    def _on_end(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)
        status = self._child.wait() if self._child is not None else None
        if not self._status.done():
            self._status.set_result(status)
