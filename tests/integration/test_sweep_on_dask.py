"""A sweep on a real Dask scheduler with two workers, over mutual TLS, says what this machine says, to the last byte."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Security
from hansa_sim.latency.command import app
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "simulations" / "scenarios" / "industrial-site.yaml"
SMALL = ("--set", "run.requests=2000", "--set", "run.replications=2", "--set", "policies=[nearest,hansa]")
GRID = ("--set", "users.0.requests_per_s=10,-1,20", "--set", "run.seed=1..2")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate that is its own authority, its key, and a file that names them for the client."""
    folder = tmp_path_factory.mktemp("keys")
    made = Security.temporary()
    (folder / "cert.pem").write_text(made.tls_client_cert, encoding="utf-8")
    (folder / "key.pem").write_text(made.tls_client_key, encoding="utf-8")
    tls = "tls_ca_file: cert.pem\ntls_client_cert: cert.pem\ntls_client_key: key.pem\n"
    (folder / "tls.yaml").write_text(tls, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def scheduler(keys: Path) -> Iterator[str]:
    """The address of a scheduler with two workers in processes of their own."""
    given = ["--tls-ca-file", str(keys / "cert.pem"), "--tls-cert", str(keys / "cert.pem")]
    given += ["--tls-key", str(keys / "key.pem"), "--no-dashboard", "--host"]
    processes = [_started("dask_scheduler", *given, "tls://127.0.0.1", "--port", "0")]
    try:
        address = _address(processes[0])
        processes.append(_started("dask_worker", address, "--nworkers", "2", "--nthreads", "1", *given, "127.0.0.1"))
        yield address
    finally:
        for process in reversed(processes):
            process.terminate()
            process.communicate()


def _started(module: str, *given: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "5"}  # noqa: TID251
    command = [sys.executable, "-m", f"distributed.cli.{module}", *given]
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)


def _address(scheduler: subprocess.Popen[str]) -> str:
    assert scheduler.stderr is not None
    for line in scheduler.stderr:
        if found := re.search(r"Scheduler at:\s+(tls://\S+)", line):
            return found[1]
    raise AssertionError("the scheduler ended without an address")


def _sweep(out: Path, *more: str) -> tuple[int, str]:
    ran = CliRunner().invoke(app, ["sweep", str(SITE), *SMALL, *GRID, "--out", str(out), *more])
    return ran.exit_code, ran.output


def test_a_cluster_says_what_this_machine_says_to_the_last_byte(tmp_path: Path, scheduler: str, keys: Path) -> None:
    alone, far = tmp_path / "alone", tmp_path / "far"
    assert _sweep(alone, "--jobs", "1")[0] == 0
    cluster = ("--engine", "dask", "--scheduler", scheduler, "--tls", str(keys / "tls.yaml"))
    code, said = _sweep(far, *cluster)
    assert code == 0, said
    assert "2 of 6 points refused" in said
    for name in ("rows.jsonl", "rows.parquet", "sweep.html"):
        assert (far / name).read_bytes() == (alone / name).read_bytes(), name
    assert "6 points were there before" in _sweep(far, "--jobs", "1")[1]


def test_a_cluster_is_not_reached_without_its_keys_and_that_is_said(tmp_path: Path, scheduler: str) -> None:
    code, said = _sweep(tmp_path / "out", "--engine", "dask", "--scheduler", scheduler)
    assert code == 2
    assert f"--scheduler {scheduler}" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tls_ca_file: a\ntls_client_crt: b\n", "tls_client_crt: unknown key; did you mean tls_client_cert?"),
        ("tls_ca_file: a\ntls_client_cert: b\n", "tls_client_key is missing"),
        ("- a\n", "a mapping of tls_ca_file, tls_client_cert, tls_client_key to files"),
        (None, "No such file"),
    ],
)
def test_keys_that_cannot_be_used_are_refused(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "tls.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    code, output = _sweep(tmp_path / "out", "--engine", "dask", "--scheduler", "tls://127.0.0.1:1", "--tls", str(path))
    assert code == 2
    assert said in output


def test_dask_settings_are_refused_without_dask(tmp_path: Path) -> None:
    assert _sweep(tmp_path / "out", "--scheduler", "tcp://127.0.0.1:1")[0] == 2
