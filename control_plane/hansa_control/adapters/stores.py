"""Which store a configuration asks for: a file, or a database that needs an extra to be installed."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from hansa_control.adapters.store_sql import Patience
from hansa_control.adapters.store_sqlite import SqliteStore
from hansa_control.adapters.system import SystemClock
from hansa_control.application.ports import Store


class Wanted(Protocol):
    """What is configured; see ``config.StoreConfig``. Without a URL of a database it is a file."""

    @property
    def postgres(self) -> str: ...
    @property
    def replica(self) -> str | None: ...
    @property
    def lease_ms(self) -> int: ...
    @property
    def patience_ms(self) -> int: ...


def check_store(wanted: Wanted) -> None:
    """ValueError if the database that is named cannot be used as things stand."""
    if not wanted.postgres:
        return
    try:
        from hansa_control.adapters.store_postgres import check_url
    except ImportError as error:
        raise ValueError(f"store.postgres needs the extra: pip install 'hansa[control,postgres]' ({error})") from error
    try:
        check_url(wanted.postgres)
    except ValueError as error:
        raise ValueError(f"store.postgres: {error}") from error


def new_store(file: Path, wanted: Wanted) -> Store:
    """The store, not opened yet; ``check_store`` comes first."""
    if not wanted.postgres:
        return SqliteStore(file, patience=Patience(SystemClock(), wanted.patience_ms))
    from hansa_control.adapters.store_postgres import Leadership, PostgresStore

    leadership = Leadership(wanted.replica or "", wanted.lease_ms, wanted.patience_ms)
    return PostgresStore(wanted.postgres, leadership, SystemClock())
