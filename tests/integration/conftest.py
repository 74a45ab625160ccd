"""Real control planes in threads of their own, for clients and for the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from operator_thread import L40S, OperatorThread, ZoneByHand
from real_command import DIGEST, SPEC, ZONES, Hansa, Result, Write
from structlog.testing import capture_logs

from hansa.cli.main import main
from hansa.profile import Profile

OSLO = ZoneByHand("oslo-1", "oslo", L40S)


@pytest.fixture(scope="module")
def _silent() -> Iterator[None]:
    with capture_logs():
        yield


@pytest.fixture(scope="module")
def home(_silent: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorThread]:
    """One operator with one zone, for everybody who leaves it as it was."""
    thread = OperatorThread(tmp_path_factory.mktemp("home"), OSLO)
    thread.start()
    yield thread
    thread.close()


@pytest.fixture
def fleeting(_silent: None, tmp_path: Path) -> Iterator[OperatorThread]:
    """One operator with one zone that a test may stop and start again."""
    thread = OperatorThread(tmp_path, OSLO)
    thread.start()
    yield thread
    thread.close()


@pytest.fixture
def profile(home: OperatorThread, request: pytest.FixtureRequest) -> Profile:
    """A tenant for each test, so that none sees what another left."""
    name: str = request.node.name.replace("_", "-").partition("[")[0]
    return home.profile(name[-40:].strip("-"))


# --- for the command line ---


@pytest.fixture(scope="module")
def nordfjord(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorThread]:
    thread = OperatorThread(tmp_path_factory.mktemp("nordfjord"), *ZONES)
    with capture_logs():  # a server in the same process would write between the command's lines
        thread.start()
        yield thread
        thread.close()


@pytest.fixture
def real(
    nordfjord: OperatorThread, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Hansa]:
    """The command as an app team has it; every workload that is left at the end is deleted."""
    monkeypatch.setenv("HANSA_PROFILE", str(nordfjord.write_profile()))
    monkeypatch.delenv("COLUMNS", raising=False)

    def call(*words: Any) -> Result:
        with pytest.raises(SystemExit) as stopped:
            main([str(word) for word in words])
        written = capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        return Result(stopped.value.code, written.out, written.err)

    yield call
    for workload in call("get", "-o", "json").data()["workloads"]:
        assert call("delete", workload["name"], "--wait", "--timeout-s", "20").code == 0


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a workload file, with parts of its text replaced."""

    def written(name: str = "yard-ocr", **changes: str) -> Path:
        text = SPEC.format(name=name, digest=DIGEST)
        for old, new in changes.items():
            marked = {"budget": "rtt_ms_max: 40", "memory": "memory: 64MiB", "accelerators": "any_of: [L40S], "}[old]
            assert marked in text
            text = text.replace(marked, new)
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        return path

    return written


@pytest.fixture
def placed(real: Hansa, write: Write) -> Path:
    """A workload that runs in oslo-1."""
    path = write()
    assert real("submit", "-f", path, "--wait", "--timeout-s", "20").code == 0
    return path
