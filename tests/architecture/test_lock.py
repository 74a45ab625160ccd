"""What is installed is what was tested: the locks cover the project's dependencies, with hashes and no addresses."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from source_tree import ROOT

RUN_LOCK = ROOT / "requirements.lock"
AGENT_LOCK = ROOT / "requirements-agent.lock"
DEV_LOCK = ROOT / "requirements-dev.lock"
OPENSTACK_LOCK = ROOT / "requirements-openstack.lock"
PIN = re.compile(r"([a-z0-9][a-z0-9.-]*)==([\w.!+]+) \\(?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?)+\n")
TABLE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS: dict[str, list[str]] = TABLE["project"]["optional-dependencies"]


@pytest.mark.parametrize("lock", [RUN_LOCK, AGENT_LOCK, DEV_LOCK, OPENSTACK_LOCK], ids=lambda lock: lock.name)
def test_lock_has_only_pins_with_hashes(lock: Path) -> None:
    text = "".join(line for line in lock.read_text().splitlines(keepends=True) if not line.startswith("#"))
    assert PIN.sub("", text) == ""
    assert PIN.search(text)


def test_run_lock_serves_every_dependency_of_the_demo() -> None:
    assert list(_not_served("demo", _pins(RUN_LOCK))) == []


@pytest.mark.parametrize("extra", ["agent", "kubernetes", "openstack", "mqtt"])
def test_lock_of_the_agents_image_serves_every_platform_and_the_demo_does_without(extra: str) -> None:
    assert list(_not_served(extra, _pins(RUN_LOCK) | _pins(AGENT_LOCK))) == []
    assert extra == "agent" or list(_not_served(extra, _pins(RUN_LOCK)))


def test_three_locks_serve_every_dependency_of_the_tests_and_none_names_what_another_has() -> None:
    locks = [_pins(lock) for lock in (RUN_LOCK, AGENT_LOCK, DEV_LOCK)]
    every = {name: version for pins in locks for name, version in pins.items()}
    assert list(_not_served("dev", every)) == []
    assert len(every) == sum(len(pins) for pins in locks)


def test_images_share_their_layers_and_the_agents_alone_has_the_platforms() -> None:
    agent, control = (_steps(ROOT / folder / "Dockerfile") for folder in ("agents", "control_plane"))
    shared = control.index("ENV PATH=/opt/hansa/bin:/usr/local/bin:/usr/bin:/bin     HOME=/tmp     PYTHONUNBUFFERED=1")
    assert agent[:shared] == control[:shared]
    assert [step for step in agent if AGENT_LOCK.name in step] and AGENT_LOCK.name not in " ".join(control)


def test_build_backend_is_locked_because_the_project_is_installed_without_isolation() -> None:
    missing = [one for one in TABLE["build-system"]["requires"] if not _is_served(Requirement(one), _pins(RUN_LOCK))]
    assert missing == []


def test_dependency_that_the_lock_has_not_or_has_too_old_is_noticed() -> None:
    pins = {"numpy": "1.0"}
    assert not _is_served(Requirement("numpy>=2"), pins)
    assert not _is_served(Requirement("scipy"), pins)
    assert _is_served(Requirement("NumPy>=1"), pins)


def _steps(dockerfile: Path) -> list[str]:
    lines = [line for line in dockerfile.read_text().splitlines() if line and not line.startswith("#")]
    return "\n".join(lines).replace("\\\n", "").split("\n")


def _pins(lock: Path) -> dict[str, str]:
    return dict(PIN.findall(lock.read_text()))


def _not_served(extra: str, pins: dict[str, str]) -> Iterator[str]:
    return (text for text in _wanted(extra) if not _is_served(Requirement(text), pins))


def _wanted(extra: str) -> Iterator[str]:
    yield from TABLE["project"]["dependencies"]
    for text in EXTRAS[extra]:
        requirement = Requirement(text)
        if requirement.name != "hansa":
            yield text
        for part in requirement.extras if requirement.name == "hansa" else ():
            yield from _wanted(part)


def _is_served(requirement: Requirement, pins: dict[str, str]) -> bool:
    version = pins.get(canonicalize_name(requirement.name))
    return version is not None and requirement.specifier.contains(version, prereleases=True)
