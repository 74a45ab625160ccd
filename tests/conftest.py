"""What every test leaves behind as it was, and the servers that tests of several folders share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from hansa_demo.postgres_server import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for the whole run, started by the first test that asks; each test makes databases of its own."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server that the test may stop, kill and start."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have a terminal or say so (pytest-xdist does); what a test prints is for none."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """The configuration of logs is the process's, and some tests set it up."""
    before, bound = structlog.get_config(), structlog.contextvars.get_contextvars()
    yield
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**bound)
