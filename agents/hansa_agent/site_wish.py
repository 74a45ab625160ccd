"""What those who keep the machines ask of the operator: kept in a file under the state directory, watched by the agent.

Whoever may write in the state directory (the agent's user and root) may ask; ``hansa-agent cordon`` and the like do it.
A file that is there and cannot be read closes the zone: nobody knows what it asks.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from hansa.v1 import zone_pb2
from hansa_agent.config_sections import Section
from hansa_agent.instance_store import write_atomically
from hansa_agent.plain_file import NotPlain, read_plain

NAME = "site-wish.json"
BYTES_MAX = 1 << 16
WINDOWS_MAX = 16
LEAD_MS_MAX = 7 * 24 * 3_600_000
LENGTH_MS_MAX = 14 * 24 * 3_600_000
NOTE_LENGTH_MAX = 200
LOCK_ATTEMPTS = 50
WALL_MS_MAX = 253_402_300_800_000
"""The end of the year 9999, the last that can be shown as a date."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it holds characters that cannot be printed")
    return text


Note = Annotated[str, Field(max_length=NOTE_LENGTH_MAX), AfterValidator(_printable)]


class WishWindow(Section):
    """Maintenance, Unix epoch, UTC; what runs in the zone starts to move away ``lead_ms`` before."""

    from_ms: int = Field(gt=0, lt=WALL_MS_MAX)
    until_ms: int = Field(gt=0, lt=WALL_MS_MAX)
    lead_ms: int = Field(default=0, ge=0, le=LEAD_MS_MAX)
    note: Note = ""

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if not 0 < self.until_ms - self.from_ms <= LENGTH_MS_MAX:
            raise ValueError(f"a window ends after its begin, within {LENGTH_MS_MAX // 86_400_000} days")
        return self


class Wish(Section):
    """Everything that the site asks; ``due_ms`` belongs to the drain, 0 if there is no such time."""

    cordoned: bool = False
    drained: bool = False
    note: Note = ""
    due_ms: int = Field(default=0, ge=0, lt=WALL_MS_MAX)
    windows: tuple[WishWindow, ...] = Field(default=(), max_length=WINDOWS_MAX)

    @model_validator(mode="after")
    def _windows_are_apart(self) -> Self:
        ordered = sorted(self.windows, key=lambda one: one.from_ms)
        for before, after in itertools.pairwise(ordered):
            if after.from_ms < before.until_ms:
                raise ValueError("two windows overlap; withdraw the former first")
        return self

    @property
    def is_nothing(self) -> bool:
        return not (self.cordoned or self.drained or self.windows)

    @property
    def closed(self) -> str:
        """Why nothing new may begin here now, for a person; empty if it may."""
        if not (self.cordoned or self.drained):
            return ""
        return f"the site takes nothing new: {self.note}" if self.note else "the site takes nothing new"

    def message(self) -> zone_pb2.SiteWish | None:
        """As it is told to the operator; None where nothing is asked."""
        if self.is_nothing:
            return None
        windows = [zone_pb2.MaintenanceWindow(**one.model_dump()) for one in self.windows]
        return zone_pb2.SiteWish(
            cordoned=self.cordoned, drained=self.drained, note=self.note, due_ms=self.due_ms, windows=windows
        )


NOTHING = Wish.model_construct()
"""Without validation, since that would cost an agent of which nothing is asked a tenth of a MiB."""


_NEVER = (-1,)
"""The mark of no file."""


class WishUnreadable(Exception):
    """The file is there, and nobody knows what it asks; the text says why."""


class WishFile:
    """The file, as both the agent and its commands see it."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / NAME
        self._seen: tuple[tuple[int, ...], Wish] | None = None

    def read(self) -> Wish:
        """What is asked; nothing if there is no file. Raises ``WishUnreadable``."""
        try:
            content = read_plain(self.path, BYTES_MAX)
        except FileNotFoundError:
            return NOTHING
        except OSError as error:
            raise WishUnreadable(f"{self.path.name}: {error.strerror}") from error
        except NotPlain as error:
            raise WishUnreadable(f"{self.path.name}: {error}") from error
        try:
            return Wish.model_validate_json(content, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise WishUnreadable(f"{self.path.name}: {where + ': ' if where else ''}{first['msg']}") from error

    def look(self) -> Wish:
        """What the agent goes by: a wish that cannot be read closes the zone, with the reason. Cheap while it stays."""
        mark = self._mark()
        if self._seen is None or self._seen[0] != mark:
            wish, is_to_stay = self._read_or_closed()
            self._seen = mark if is_to_stay else _NEVER, wish
        return self._seen[1]

    def write(self, wish: Wish) -> None:
        """Replaces what is asked; it is on the disk on return, readable by the owner of the state directory."""
        owner = self.path.parent.stat()
        write_atomically(self.path, wish.model_dump_json(indent=1).encode(), owner=(owner.st_uid, owner.st_gid))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else changes it meanwhile. Raises OSError where somebody holds the folder for longer than a change."""
        lock = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._hold(lock)
            yield
        finally:
            os.close(lock)

    def _hold(self, lock: int) -> None:
        pause = threading.Event()
        for attempt in range(LOCK_ATTEMPTS):
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if attempt == LOCK_ATTEMPTS - 1:
                    who = "another process holds it and does not let go (lslocks says which)"
                    raise OSError(error.errno, who, str(self.path.parent)) from error
                pause.wait(0.1)

    def _mark(self) -> tuple[int, ...]:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return ()
        except OSError as error:
            return (-1, error.errno or 0)
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def _read_or_closed(self) -> tuple[Wish, bool]:
        """With whether it stays so while the file does; a disk or table of files that failed once may do better."""
        try:
            return self.read(), True
        except WishUnreadable as unreadable:
            note = " ".join(f"what the site asks cannot be read: {unreadable}".split())
            shown = "".join(char if char.isprintable() else "?" for char in note)
            return Wish(cordoned=True, note=shown[:NOTE_LENGTH_MAX]), not isinstance(unreadable.__cause__, OSError)
