"""What the architecture tests look at: the repository's files, parsed, without what is generated."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "hansa",
    "control_plane/hansa_control",
    "agents/hansa_agent",
    "simulations/hansa_sim",
    "demo/hansa_demo",
)
STUBS = "hansa/v1"
NOT_OURS = frozenset({".git", ".venv", "__pycache__", "build", "dist", "node_modules"})


@dataclass(frozen=True)
class Source:
    """One Python file: its path relative to the root, its text and its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def line_count(self) -> int:
        return self.text.count("\n")


@cache
def sources_of_product() -> tuple[Source, ...]:
    """Every module of the five packages, generated stubs excluded."""
    return tuple(_sources(*PACKAGES))


@cache
def sources_of_tools() -> tuple[Source, ...]:
    """The maintainers' scripts."""
    return tuple(_sources("tools"))


@cache
def sources_of_tests() -> tuple[Source, ...]:
    """Every test and what only tests use."""
    return tuple(_sources("tests"))


def documents() -> tuple[Path, ...]:
    """Every Markdown page of the repository."""
    return tuple(path for path in sorted(ROOT.rglob("*.md")) if _is_ours(path))


def _sources(*folders: str) -> Iterator[Source]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if _is_ours(path) and not name.startswith(f"{STUBS}/"):
                text = path.read_text(encoding="utf-8")
                yield Source(name, text, ast.parse(text, name))


def _is_ours(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return not any(part in NOT_OURS or (part.startswith(".") and part != ".github") for part in parts)
