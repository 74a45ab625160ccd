"""Reading the data files of this package: strictly, each with its digest, as text that an auditor can compare."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from importlib import resources
from typing import TypeAlias

from hansa.errors import HansaError
from hansa.yaml_tree import YamlValue, read_yaml

Refusal: TypeAlias = Callable[[str], HansaError]


@dataclass(frozen=True, slots=True)
class Source:
    """Where something is laid down.

    ``checked`` is False where nobody compared the data with the text or with a reproduction of it.
    """

    law: str
    article: str
    url: str
    checked: bool = True


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of this package: its path within it, what it says, and the SHA-256 of its bytes."""

    path: str
    document: YamlValue
    sha256: str


def data_files(folder: str) -> list[DataFile]:
    """Every YAML file of a folder of this package, by name."""
    names = (entry.name for entry in resources.files("hansa.law").joinpath(folder).iterdir())
    return [data_file(f"{folder}/{name}") for name in sorted(names) if name.endswith(".yaml")]


def data_file(path: str) -> DataFile:
    """One file of this package."""
    raw = resources.files("hansa.law").joinpath(path).read_bytes()
    return DataFile(path, read_yaml(raw.decode(), source=path), hashlib.sha256(raw).hexdigest())


def joint_digest(files: Iterable[tuple[str, str]]) -> str:
    """One digest over paths and digests: that of what ``sha256sum PATH...`` prints in this folder, paths in order."""
    lines = "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


def read_sources(value: YamlValue) -> tuple[Source, ...]:
    """The sources of a file; one without any is refused."""
    found = tuple(_source(entry) for entry in value.items())
    if not found:
        raise value.error("must name at least one source")
    return found


def _source(value: YamlValue) -> Source:
    parts = value.mapping(("law", "article", "url"), ("checked",))
    checked = "checked" not in parts or read_flag(parts["checked"])
    return Source(parts["law"].text(), parts["article"].text(), parts["url"].text(), checked)


def read_flag(value: YamlValue) -> bool:
    """``true`` or ``false``."""
    return value.one_of(("true", "false")) == "true"


def read_day(value: YamlValue) -> date:
    """A day, YYYY-MM-DD."""
    return parse_day(value.text(), value.error)


def parse_day(text: str, refusal: Refusal) -> date:
    """A day, YYYY-MM-DD; ``refusal`` makes the error of a message."""
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise refusal(f"{text!r} is no day, for example 2026-11-01") from error
    if day.isoformat() != text:
        raise refusal(f"{text!r} is not written YYYY-MM-DD; did you mean {day.isoformat()}?")
    return day
