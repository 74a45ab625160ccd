"""Becomes an instance: takes its limits upon itself, says who it is, and then executes the artefact's command.

Run as a file by a fresh interpreter (``python -I -S shim.py``), never imported by the agent: between fork and exec of
a process with gRPC's threads nothing may run, so the limits are set here, after exec. The specification comes as one
JSON object on standard input; the agent wrote it from the zone owner's configuration.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any, NoReturn

EXIT_STILL_RUNNING = 75
EXIT_NOT_STARTED = 126
_PR_SET_NO_NEW_PRIVS = 38


def main() -> NoReturn:
    """Never returns: the process becomes the artefact, or ends with a status and a line on standard error."""
    try:
        spec = json.load(sys.stdin)
        _hold_lock(spec["lock"])
        _introduce(Path(spec["process_file"]))
        _limit(spec)
        os.chdir(spec["directory"])
        _detach_stdin()
        os.execvpe(spec["command"][0], spec["command"], spec["environment"])  # noqa: S606
    except BlockingIOError:
        _give_up("another process of this instance still runs", EXIT_STILL_RUNNING)
    except (OSError, ValueError, KeyError) as error:
        _give_up(f"not started: {error}", EXIT_NOT_STARTED)


def _hold_lock(path: str) -> None:
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.set_inheritable(lock, True)  # noqa: FBT003


def _introduce(path: Path) -> None:
    ticks = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(f"{os.getpid()} {ticks} {boot_id}\n")
    fresh.replace(path)


def _limit(spec: dict[str, Any]) -> None:
    os.umask(0o077)
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, spec["cpus"])
    with contextlib.suppress(OSError):
        os.nice(spec["niceness"])
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for name, bound in spec["limits"].items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        least = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(kind, (least, least))


def _detach_stdin() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _give_up(message: str, status: int) -> NoReturn:
    sys.stderr.write(f"hansa: {message}\n")
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
