"""A scenario with the files that it names, as bytes: what a sweep plays wherever it is, and what digests are of.

A digest of a point covers the scenario, its files, the changes, the code that plays it and the libraries that count in
numbers. So nothing is ever taken for finished that could come out otherwise now.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from pathlib import Path, PurePosixPath
from typing import Any

from hansa_sim.latency.scenario_changes import Change
from hansa_sim.latency.scenario_file import ScenarioError, load_scenario

PACKAGES = ("hansa", "hansa_control", "hansa_sim")
LIBRARIES = ("numpy", "scipy", "topohub")
"""Whose versions may change a result by a bit."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The scenario file and those beside it that it names: where it stood, its name, and bytes by name."""

    folder: str
    name: str
    files: tuple[tuple[str, bytes], ...]

    @property
    def digest(self) -> str:
        """Of names and contents; where they stood does not count."""
        whole = hashlib.sha256(self.name.encode())
        for name, content in self.files:
            whole.update(f"|{name}|{len(content)}|".encode() + content)
        return whole.hexdigest()

    def write_to(self, folder: Path) -> Path:
        """Writes all files there; answers where the scenario is."""
        for name, content in self.files:
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        return folder / self.name


def bundled(path: Path) -> Bundle:
    """The scenario of a file with every file beside it, or below, that one of its values names. ScenarioError where the
    scenario cannot be used as it is."""
    loaded = load_scenario(path)
    folder = path.resolve().parent
    names = {path.name, *_named_files(loaded.scenario.model_dump(mode="json"), folder)}
    return Bundle(str(path.parent), path.name, tuple((name, (folder / name).read_bytes()) for name in sorted(names)))


def _named_files(value: Any, folder: Path) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _named_files(each, folder)
    elif isinstance(value, list):
        for each in value:
            yield from _named_files(each, folder)
    elif isinstance(value, str) and _is_file(folder / value):
        if not (folder / value).resolve().is_relative_to(folder) or PurePosixPath(value).is_absolute():
            raise ScenarioError([f"{folder}: {value} is not beside the scenario; a sweep takes along what is"])
        yield value


def _is_file(place: Path) -> bool:
    try:
        return place.is_file()
    except (OSError, ValueError):
        return False


@cache
def code_digest() -> str:
    """Of every file of the packages that play a scenario, of Python's version, and of the libraries' versions."""
    whole = hashlib.sha256()
    for package in PACKAGES:
        root = Path(str(resources.files(package)))
        for place in sorted(root.rglob("*")):
            if place.is_file() and place.suffix != ".pyc" and "__pycache__" not in place.parts:
                whole.update(f"|{package}|{place.relative_to(root).as_posix()}|".encode() + place.read_bytes())
    for library in LIBRARIES:
        whole.update(f"|{library}|{metadata.version(library)}".encode())
    return whole.hexdigest()


def point_digest(bundle: Bundle, changes: Sequence[Change]) -> str:
    """What a finished point is known by."""
    pairs = sorted((change.key, change.text) for change in changes)
    return hashlib.sha256(f"{code_digest()}|{bundle.digest}|{json.dumps(pairs)}".encode()).hexdigest()
