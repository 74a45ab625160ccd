"""One real world for all steps: control planes and agents as processes, spoken to through the command line only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hansa_demo.addressing import LoopbackAddressing
from hansa_demo.prepare import now_ms, prepare
from hansa_demo.stage import Stage
from rich.console import Console


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder: Path = tmp_path_factory.mktemp("world")
    stage = Stage(prepare(folder / "w", LoopbackAddressing(), now_ms()), Console(width=120))
    yield stage
    stage.processes.stop_all()
