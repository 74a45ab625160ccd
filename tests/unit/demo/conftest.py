from __future__ import annotations

import pytest
from hansa_demo.addressing import ComposeAddressing, LoopbackAddressing
from hansa_demo.prepare import Prepared, prepare
from prepared_world import NOW_MS


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The world for processes on this machine. Nothing may be written into it."""
    return prepare(tmp_path_factory.mktemp("loopback") / "world", LoopbackAddressing(), NOW_MS)


@pytest.fixture(scope="session")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The world for containers. Nothing may be written into it."""
    return prepare(tmp_path_factory.mktemp("compose") / "world", ComposeAddressing(), NOW_MS)
