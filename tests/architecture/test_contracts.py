"""The layers hold, and each contract is shown to notice the import that it is there to forbid."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from source_tree import PACKAGES, ROOT

BREACHES = [
    ("control_plane/hansa_control/application/ports.py", "import hansa_control.adapters.store_memory", "layers"),
    ("control_plane/hansa_control/domain/model.py", "import hansa_control.domain.snapshot", "domain's layers"),
    ("control_plane/hansa_control/domain/routing.py", "import hansa_control.domain.scoring", "domain's layers"),
    ("control_plane/hansa_control/domain/units.py", "import time", "knows no clock"),
    ("control_plane/hansa_control/domain/residency.py", "from google.protobuf import any_pb2", "knows no clock"),
    ("control_plane/hansa_control/application/state.py", "import grpc", "awaits ports"),
    ("control_plane/hansa_control/application/world.py", "import hansa.errors", "awaits ports"),
    ("simulations/hansa_sim/topology.py", "import hansa.v1.zone_pb2", "generated stubs"),
    ("simulations/hansa_sim/latency/views.py", "import hansa_sim.latency.run", "What users feel"),
    ("simulations/hansa_sim/engines/model.py", "import time", "engines compute on arrays"),
    ("control_plane/hansa_control/adapters/store_memory.py", "import hansa.v1.zone_pb2", "Stores keep"),
    ("agents/hansa_agent/session.py", "import hansa_control.domain.transitions", "strangers"),
    ("hansa/names.py", "import hansa_agent", "knows no other"),
    ("control_plane/hansa_control/adapters/identity.py", "import hansa_demo", "leans on the demo"),
    ("hansa/errors.py", "import hansa.client", "No import cycles"),
]


def test_every_contract_is_kept() -> None:
    status, report = _lint(ROOT)
    assert status == 0, report
    assert " 0 broken" in report


@pytest.mark.parametrize(("file", "import_line", "contract"), BREACHES, ids=[line for _, line, _ in BREACHES])
def test_forbidden_import_breaks_its_contract(tmp_path: Path, file: str, import_line: str, contract: str) -> None:
    copy = _copied_tree(tmp_path)
    with (copy / file).open("a", encoding="utf-8") as module:
        module.write(f"\n{import_line}\n")
    status, report = _lint(copy)
    broken = report.partition("Broken contracts")[2]
    assert status == 1, report
    assert contract in broken, report


def _copied_tree(folder: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "data"))
    shutil.copy(ROOT / ".importlinter", folder)
    return folder


def _lint(root: Path) -> tuple[int, str]:
    roots = [str((root / package).parent) for package in PACKAGES]
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(roots), "COLUMNS": "300"},  # noqa: TID251 - for a child
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr
