"""The tests' cloud leaves nothing behind, however it ends."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from openstack_cloud import VENV, need


def children(pid: int) -> set[int]:
    found = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found |= {int(word) for word in task.read_text().split()}
    return found


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_processes_of_a_cloud_end_with_its_keeper(tmp_path: Path, how: signal.Signals) -> None:
    need(full=False)
    folder = tmp_path / "cloud"
    folder.mkdir()
    command = [sys.executable, "cloud_keeper.py", str(folder), str(VENV), "min"]
    keeper = subprocess.Popen(command, cwd=Path(__file__).parent, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    until(lambda: children(keeper.pid))
    below = children(keeper.pid)
    keeper.send_signal(how)
    keeper.wait(30)
    until(lambda: not any(lives(pid) for pid in below))
    assert folder.exists() == (how is signal.SIGKILL), "what a killed keeper leaves is swept away by the next"
