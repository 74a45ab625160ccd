"""The unit that systemd starts the agent with: instances outlive the agent, and nothing is granted that is not used."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import hansa_agent
import pytest

UNIT = Path(hansa_agent.__file__).parents[1] / "systemd/hansa-agent.service"
EXPOSURE_MAX = 2.0


def directives() -> dict[str, str]:
    lines = [tuple(line.split("=", 1)) for line in UNIT.read_text().splitlines() if re.match(r"[A-Z]\w+=", line)]
    return dict(lines)


def test_stopping_the_agent_stops_the_agent_alone() -> None:
    unit = directives()
    assert unit["KillMode"] == "process" and unit["OOMPolicy"] == "continue"
    assert "DynamicUser" not in unit, "instances that go on running keep their user"
    assert unit["RestartPreventExitStatus"] == "78"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("User", "hansa"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
        ("RestrictNamespaces", "yes"),
        ("DevicePolicy", "closed"),
        ("UMask", "0077"),
    ],
)
def test_unit_is_hardened(name: str, value: str) -> None:
    assert directives()[name] == value


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_knows_every_directive_and_finds_little_exposed() -> None:
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(UNIT)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot judge a file")
    level = re.search(r"Overall exposure level for hansa-agent.service: ([\d.]+)", done.stdout)
    assert level and float(level[1]) <= EXPOSURE_MAX, done.stdout[-400:] + done.stderr
    assert "Unknown" not in done.stderr, done.stderr
