"""The committed stubs are what the protos say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from source_tree import ROOT

STUBS = ROOT / "hansa/v1"
SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stubs")
    subprocess.run([ROOT / "tools/generate_stubs.sh", str(folder)], check=True, capture_output=True)
    return folder / "hansa/v1"


def test_committed_stubs_equal_what_the_protos_generate(generated: Path) -> None:
    differing = sorted(
        name for name in _stub_names(generated) | _stub_names(STUBS) if _read(generated / name) != _read(STUBS / name)
    )
    assert differing == [], "run make stubs"


def test_every_proto_has_all_its_stubs(generated: Path) -> None:
    protos = {path.stem for path in (ROOT / "proto/hansa/v1").glob("*.proto")}
    assert protos
    assert _stub_names(generated) == {f"{proto}{suffix}" for proto in protos for suffix in SUFFIXES}


def _stub_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name.endswith(SUFFIXES)}


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None
