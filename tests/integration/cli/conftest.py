from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cli_canned as canned
import pytest
from cli_certificates import Certificates, make_certificates
from cli_fake_service import FakeServer, FakeService

from hansa.cli.main import main
from hansa.profile import Profile, load_profile


@dataclass(frozen=True)
class Answer:
    """What a command wrote and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    return make_certificates()


@pytest.fixture(scope="session")
def running_server(certificates: Certificates) -> Iterator[tuple[FakeServer, FakeService]]:
    service = FakeService()
    server = FakeServer(certificates, service)
    server.start()
    yield server, service
    server.close()


@pytest.fixture
def service(running_server: tuple[FakeServer, FakeService]) -> FakeService:
    running_server[1].reset()
    return running_server[1]


@pytest.fixture
def server(running_server: tuple[FakeServer, FakeService], service: FakeService) -> FakeServer:
    return running_server[0]


@pytest.fixture
def profile_file(tmp_path: Path, certificates: Certificates, server: FakeServer) -> Path:
    return certificates.write_profile(tmp_path, server.port)


@pytest.fixture
def profile(profile_file: Path) -> Profile:
    return load_profile(profile_file)


@pytest.fixture
def workload_file(tmp_path: Path) -> Path:
    path = tmp_path / "yard-ocr.yaml"
    path.write_text(canned.YARD_OCR_YAML)
    return path


@pytest.fixture
def hansa(
    profile_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    monkeypatch.setenv("HANSA_PROFILE", str(profile_file))
    monkeypatch.delenv("COLUMNS", raising=False)

    def call(*args: Any) -> Answer:
        with pytest.raises(SystemExit) as stopped:
            main([str(arg) for arg in args])
        written = capsys.readouterr()
        code = stopped.value.code
        return Answer(code if isinstance(code, int) else 0, written.out, written.err)

    return call
