"""Values of options that several commands share; imports nothing heavy."""

from __future__ import annotations

from enum import StrEnum


class OutputFormat(StrEnum):
    """How answers are written."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"

    @property
    def for_programs(self) -> bool:
        return self in (OutputFormat.JSON, OutputFormat.YAML)


class Until(StrEnum):
    """What a watch waits for."""

    READY = "ready"
    GONE = "gone"


class Shell(StrEnum):
    """Shells that completion is written for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
