"""What every test leaves behind as it was: the configuration of logs is the process's, and some tests set it up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    before, bound = structlog.get_config(), structlog.contextvars.get_contextvars()
    yield
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**bound)
