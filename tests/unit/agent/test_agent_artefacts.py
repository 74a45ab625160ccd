"""The digest of an artefact."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hansa_agent.artefacts import ArtefactUnreadable, artefact_digest


def tree(root: Path) -> list[Path]:
    (root / "model").mkdir(parents=True)
    (root / "model/weights.onnx").write_bytes(b"\x00\x01" * 1_000_000)
    (root / "model/labels.txt").write_text("a\nb\n")
    (root / "server.py").write_text("print(1)\n")
    return [root / "server.py", root / "model"]


def test_digest_does_not_depend_on_place_or_order(tmp_path: Path) -> None:
    one, other = tree(tmp_path / "one"), tree(tmp_path / "elsewhere/two")
    assert artefact_digest(one) == artefact_digest(list(reversed(other)))


def test_digest_is_what_sha256sum_makes_of_the_sorted_files(tmp_path: Path) -> None:
    files = tree(tmp_path)
    command = "sha256sum model/labels.txt model/weights.onnx server.py | sha256sum"
    printed = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, check=True, text=True).stdout
    assert artefact_digest(files) == "sha256:" + printed.split()[0]


def test_any_change_of_content_or_name_changes_the_digest(tmp_path: Path) -> None:
    files = tree(tmp_path)
    seen = {artefact_digest(files)}
    (tmp_path / "model/labels.txt").write_text("a\nc\n")
    seen.add(artefact_digest(files))
    (tmp_path / "model/labels.txt").rename(tmp_path / "model/names.txt")
    seen.add(artefact_digest(files))
    (tmp_path / "model/extra").write_text("")
    seen.add(artefact_digest(files))
    assert len(seen) == 4


def test_compiled_caches_do_not_count(tmp_path: Path) -> None:
    files = tree(tmp_path)
    before = artefact_digest(files)
    (tmp_path / "model/__pycache__").mkdir()
    (tmp_path / "model/__pycache__/x.pyc").write_text("x")
    assert artefact_digest(files) == before


def test_missing_doubled_or_no_files_are_errors(tmp_path: Path) -> None:
    files = tree(tmp_path)
    with pytest.raises(ArtefactUnreadable, match="absent"):
        artefact_digest([tmp_path / "absent"])
    with pytest.raises(ArtefactUnreadable, match="two files"):
        artefact_digest([*files, files[0]])
    with pytest.raises(ArtefactUnreadable, match="no files"):
        artefact_digest([])
