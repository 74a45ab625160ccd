"""Writes requirements.lock (what the demo runs on), requirements-agent.lock (what an agent needs on top for every
platform), requirements-dev.lock (what the tests need on top of both) and, when told ``--openstack``,
requirements-openstack.lock alone: the cloud of the tests, in a virtual environment of its own.

Run it with the virtual environment's own Python: ``make lock``. Versions stay as the present locks have them, so that a
new dependency does not move the others; ``--upgrade`` takes the newest that pyproject.toml allows, and
``--constraints FILE`` takes the pins of a file, such as the output of ``pip freeze``. The resolution is pip's own (a
dry run with a report). Every released file of a pinned version is listed with its hash, so that one lock serves several
Pythons and machines, and the locks name neither an index nor a host: pip takes what it is configured to take.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from pip._internal.commands import create_command
from pip._internal.commands.install import InstallCommand
from pip._internal.index.collector import parse_links
from pip._internal.index.package_finder import PackageFinder
from pip._internal.models.link import Link

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ((3, 11), (3, 12), (3, 13))
MACHINES = ("x86_64", "aarch64")
GLIBC_MINOR_NEWEST = 36  # Debian 12; Ubuntu 24.04 is newer, and takes all that Debian 12 takes
# An agent's platforms and ways to its operator; not in the demo, nor in the image of the control plane.
AGENT_EXTRAS = "kubernetes,openstack,mqtt"
# An editable install without build isolation takes its build backend from the lock.
BUILD_BACKEND = ("hatchling", "editables")
# The services of the cloud in tests/openstack, the web server before them and the driver of their database.
OPENSTACK = ("keystone", "openstack-placement", "nova", "glance", "neutron", "gunicorn", "psycopg2-binary")
HEAD = """\
# {what}
# Written by `make lock`; every released file of a version is listed, for Python 3.11 to 3.13 on x86_64 and aarch64.
"""


@dataclass(frozen=True)
class Pin:
    """One distribution at one version, and what it asks for."""

    name: str
    version: str
    requires: tuple[str, ...]


def main(arguments: list[str] | None = None) -> int:
    """Writes the locks; 1 if a version has no file for a Python that is to be supported."""
    options = _parse(arguments)
    if options.openstack:
        return _lock_openstack(
            _constraints(options.upgrade, options.constraints or ROOT / "requirements-openstack.lock")
        )
    constraints = _constraints(options.upgrade, options.constraints)
    run = _resolve([f"{ROOT}[demo]", *BUILD_BACKEND], constraints)
    platforms = _resolve([f"{ROOT}[demo,{AGENT_EXTRAS}]", *BUILD_BACKEND], [*constraints, *_pinned(run)])
    every = _resolve([f"{ROOT}[dev]", *BUILD_BACKEND], [*constraints, *_pinned(platforms)])
    files = _release_files(every)
    faults = [*_missing_files(every, files), *_missing_requirements(every)]
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        return 1
    _write(ROOT / "requirements.lock", "What `make demo` installs.", run, files)
    agent, dev = _without(platforms, run), _without(every, platforms)
    _write(ROOT / "requirements-agent.lock", "What the agent's image has besides requirements.lock.", agent, files)
    _write(ROOT / "requirements-dev.lock", "What `make test` installs besides the two others.", dev, files)
    return 0


def _pinned(pins: Iterable[Pin]) -> list[str]:
    return [f"{pin.name}=={pin.version}" for pin in pins]


def _without(pins: Iterable[Pin], others: Iterable[Pin]) -> list[Pin]:
    names = {pin.name for pin in others}
    return [pin for pin in pins if pin.name not in names]


def _lock_openstack(constraints: Iterable[str]) -> int:
    """Some of OpenStack's requirements are sources alone; none of them needs a compiler."""
    pins = _resolve(OPENSTACK, constraints)
    files = _release_files(pins)
    _write(ROOT / "requirements-openstack.lock", "What the cloud in tests/openstack runs on.", pins, files)
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Writes the locks of the demo, of agents and of the tests.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that pyproject.toml allows")
    parser.add_argument("--constraints", type=Path, help="take the pins of this file instead of the present locks'")
    parser.add_argument("--openstack", action="store_true", help="write requirements-openstack.lock alone")
    return parser.parse_args(arguments)


def _constraints(upgrade: bool, file: Path | None) -> list[str]:  # noqa: FBT001 - one caller, two lines above
    if upgrade:
        return []
    if file is not None and not file.exists():
        return []
    kinds = ("", "-agent", "-dev")
    sources = [file] if file else [ROOT / f"requirements{kind}.lock" for kind in kinds]
    lines = chain.from_iterable(source.read_text().splitlines() for source in sources if source.exists())
    pins = [line.removesuffix(" \\").strip() for line in lines if "==" in line and not line.startswith("#")]
    return [pin for pin in pins if not pin.startswith("pip==")]


def _resolve(wanted: Iterable[str], constraints: Iterable[str]) -> list[Pin]:
    """What pip would install into an empty environment of this Python, sorted by name, without hansa itself."""
    with tempfile.TemporaryDirectory() as scratch:
        limits, report = Path(scratch) / "constraints.txt", Path(scratch) / "report.json"
        limits.write_text("\n".join(constraints) + "\n")
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        subprocess.run([*command, "--report", str(report), "--constraint", str(limits), *wanted], check=True)
        installs = json.loads(report.read_text())["install"]
    found = [install["metadata"] for install in installs]
    pins = [Pin(canonicalize_name(m["name"]), m["version"], tuple(m.get("requires_dist", ()))) for m in found]
    return sorted((pin for pin in pins if pin.name != "hansa"), key=lambda pin: pin.name)


def _release_files(pins: Iterable[Pin]) -> Mapping[str, Mapping[str, str]]:
    """For each name the files of its pinned version, with their SHA-256, from the index that pip is configured with.

    Local folders and wheels built on this machine are left out: nobody else could install them.
    """
    command = create_command("install")
    assert isinstance(command, InstallCommand)  # noqa: S101 - for the type checker
    options, _ = command.parse_args(["hansa"])
    with command.main_context():
        finder = command._build_package_finder(options, command.get_default_session(options))
        return {pin.name: dict(_files_of(finder, pin)) for pin in pins}


def _files_of(finder: PackageFinder, pin: Pin) -> Iterator[tuple[str, str]]:
    links: list[Link] = []

    def collect(page: Link) -> list[object]:
        response = None if page.scheme == "file" else finder._link_collector.fetch_response(page)
        links.extend(parse_links(response) if response else ())
        return []

    pages = finder._link_collector.collect_sources(pin.name, candidates_from_page=collect)  # type: ignore[arg-type]
    for source in chain(pages.find_links, pages.index_urls):
        if source is not None:
            list(source.page_candidates())
    for link in links:
        if (
            link.hash_name == "sha256"
            and link.hash
            and not link.is_yanked
            and _version_of(link.filename) == pin.version
        ):
            yield link.filename, link.hash


def _version_of(filename: str) -> str | None:
    try:
        if filename.endswith(".whl"):
            return str(parse_wheel_filename(filename)[1])
        return str(parse_sdist_filename(filename)[1])
    except (InvalidSdistFilename, InvalidWheelFilename):
        return None


def _missing_files(pins: Iterable[Pin], files: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """A sentence for each version that one of the Pythons and machines could not install without a compiler."""
    for python in PYTHONS:
        for machine in MACHINES:
            tags = set(_tags(python, machine))
            for pin in pins:
                wheels = [name for name in files[pin.name] if name.endswith(".whl")]
                if not any(tags & parse_wheel_filename(wheel)[3] for wheel in wheels):
                    where = f"Python {python[0]}.{python[1]} on {machine}"
                    yield f"{pin.name} {pin.version} has no wheel for {where}"


def _tags(python: tuple[int, int], machine: str) -> Iterator[Tag]:
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC_MINOR_NEWEST, 4, -1)]
    platforms += [f"manylinux2014_{machine}", f"manylinux1_{machine}", f"linux_{machine}"]
    yield from cpython_tags(python_version=python, platforms=platforms)
    yield from compatible_tags(python_version=python, interpreter=f"cp{python[0]}{python[1]}", platforms=platforms)


def _missing_requirements(pins: Iterable[Pin]) -> Iterator[str]:
    """A sentence for each requirement that only another Python or machine has, and that is not in the lock."""
    pins = list(pins)
    names = {pin.name for pin in pins}
    for pin in pins:
        for requirement in map(Requirement, pin.requires):
            if canonicalize_name(requirement.name) not in names and _applies_somewhere(requirement):
                yield f"{pin.name} {pin.version} needs {requirement}, which is not in the lock"


def _applies_somewhere(requirement: Requirement) -> bool:
    if requirement.marker is None:
        return True
    environments = (
        {
            "extra": "",
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": machine,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{python[0]}.{python[1]}.9",
            "python_version": f"{python[0]}.{python[1]}",
            "sys_platform": "linux",
        }
        for python in PYTHONS
        for machine in MACHINES
    )
    return any(requirement.marker.evaluate(environment) for environment in environments)


def _write(path: Path, what: str, pins: Iterable[Pin], files: Mapping[str, Mapping[str, str]]) -> None:
    lines = [HEAD.format(what=what)]
    for pin in pins:
        hashes = [f"    --hash=sha256:{one}" for one in sorted(set(files[pin.name].values()))]
        lines.append(" \\\n".join([f"{pin.name}=={pin.version}", *hashes]) + "\n")
    path.write_text("".join(lines))


if __name__ == "__main__":
    raise SystemExit(main())
