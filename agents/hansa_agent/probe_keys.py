"""Keys for authenticated probes: which zones are probed with which, and who is answered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

KEY_BYTES_MIN = 32
KEY_BYTES_MAX = 4_096


@dataclass(frozen=True, slots=True)
class ProbeKeys:
    """Pairs of a pattern of zones ("operator/zone", with * and ?) and a key; the first that fits counts.

    ``strangers``: whether requests without authentication are answered, too.
    """

    pairs: tuple[tuple[str, bytes], ...] = ()
    strangers: bool = True

    def __repr__(self) -> str:
        return f"ProbeKeys({len(self.pairs)} keys)"

    @property
    def known(self) -> tuple[bytes, ...]:
        """Every key with which a request may be made."""
        return tuple(key for _, key in self.pairs)

    def key_for(self, zone: str) -> bytes:
        """The key with which a zone is probed; empty if it is probed without authentication."""
        return next((key for pattern, key in self.pairs if fnmatchcase(zone, pattern)), b"")


NO_KEYS = ProbeKeys()


def read_key(path: Path) -> bytes:
    """The key in a file, blanks around it left out; OSError, or ValueError if it is too short to be one."""
    key = path.read_bytes().strip()
    if not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise ValueError(f"{path}: a key has {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes, not {len(key)}")
    return key


def read_keys(sections: Iterable[tuple[str, Path]], *, strangers: bool) -> ProbeKeys:
    """Patterns of zones, each with its key's file; OSError, ValueError."""
    return ProbeKeys(tuple((pattern, read_key(path)) for pattern, path in sections), strangers)
