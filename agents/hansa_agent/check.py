"""Findings: what ``hansa-agent check`` says, in plain words, of what the agent sees and of what it may not."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum

EXIT_PROBLEMS = 78
"""EX_CONFIG of sysexits(3)."""
EXIT_WARNINGS = 1


class Level(StrEnum):
    """OK: as it should be. UNKNOWN: it could not be found out, which is said. WARNING: it works, and may not for long,
    or not as meant. PROBLEM: the agent would not start, or could not do what it promises.
    """

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``remedy`` says what to do about it, empty where nothing is to be done."""

    level: Level
    subject: str
    message: str
    remedy: str = ""


Check = Callable[[], Awaitable[list[Finding]]]
"""Looks at one thing. A platform offers its own; see ``platforms.checks_of``."""


def ok(subject: str, message: str) -> Finding:
    """As it should be."""
    return Finding(Level.OK, subject, message)


def unknown(subject: str, message: str, remedy: str = "") -> Finding:
    """Not to be found out from here."""
    return Finding(Level.UNKNOWN, subject, message, remedy)


def warning(subject: str, message: str, remedy: str = "") -> Finding:
    """It works, and may not for long, or not as meant."""
    return Finding(Level.WARNING, subject, message, remedy)


def problem(subject: str, message: str, remedy: str = "") -> Finding:
    """It does not work."""
    return Finding(Level.PROBLEM, subject, message, remedy)


def exit_status(findings: Iterable[Finding], *, strict: bool) -> int:
    """0 if all is well; ``EXIT_PROBLEMS``; ``EXIT_WARNINGS`` for warnings, if ``strict``."""
    levels = {finding.level for finding in findings}
    if Level.PROBLEM in levels:
        return EXIT_PROBLEMS
    return EXIT_WARNINGS if strict and Level.WARNING in levels else 0


def as_json(findings: Iterable[Finding]) -> str:
    """A list of objects with level, subject, message and remedy."""
    return json.dumps([asdict(finding) for finding in findings], indent=1)


def as_lines(findings: Iterable[Finding]) -> Iterator[str]:
    """A table: level, subject, message; a remedy stands beneath what it mends."""
    listed = list(findings)
    width = max((len(finding.subject) for finding in listed), default=0)
    for finding in listed:
        yield f"{finding.level.value.upper():<8}  {finding.subject:<{width}}  {finding.message}"
        if finding.remedy:
            yield f"{'':<8}  {'':<{width}}  -> {finding.remedy}"
