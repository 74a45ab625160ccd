"""The authority on the command line."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from cryptography import x509
from hansa_control.adapters.authority import uris_of
from hansa_control.adapters.ca_commands import app
from typer.testing import CliRunner

runner = CliRunner()


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    result = runner.invoke(app, ["init", "--operator", "nordfjord", "--dir", str(tmp_path / "tls")])
    assert result.exit_code == 0, result.output
    return tmp_path / "tls"


def test_keys_are_readable_by_their_owner_only(authority: Path) -> None:
    runner.invoke(app, ["issue", "--role", "agent", "--name", "oslo-1", "--dir", str(authority)])
    for name in ("ca.key", "ca.pem", "agent-oslo-1.key", "agent-oslo-1.pem"):
        assert stat.S_IMODE((authority / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(authority.stat().st_mode) == 0o700


def test_issuing_says_what_was_issued(authority: Path, tmp_path: Path) -> None:
    command = ["issue", "--role", "control-plane", "--host", "control.example", "--dir", str(authority)]
    result = runner.invoke(app, [*command, "--out", str(tmp_path / "out")])
    told = json.loads(result.stdout)
    assert told["identity"] == "spiffe://nordfjord.hansa.example/control-plane"
    assert uris_of(x509.load_pem_x509_certificate(Path(told["cert"]).read_bytes())) == [told["identity"]]
    assert Path(told["key"]).parent == tmp_path / "out"


def test_an_authority_is_never_overwritten(authority: Path) -> None:
    before = (authority / "ca.key").read_bytes()
    result = runner.invoke(app, ["init", "--operator", "nordfjord", "--dir", str(authority)])
    assert result.exit_code == 2
    assert "nothing is overwritten" in result.stderr
    assert (authority / "ca.key").read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["init", "--operator", "Nord Fjord"],
        ["issue", "--role", "agent"],
        ["issue", "--role", "control-plane", "--name", "x"],
        ["issue", "--role", "king", "--name", "x"],
    ],
)
def test_wrong_usage_exits_with_2_and_a_sentence(authority: Path, arguments: list[str]) -> None:
    result = runner.invoke(app, [*arguments, "--dir", str(authority)])
    assert result.exit_code == 2
    assert result.stderr
    assert "Traceback" not in result.output


def test_without_an_authority_nothing_can_be_issued(tmp_path: Path) -> None:
    result = runner.invoke(app, ["issue", "--role", "agent", "--name", "oslo-1", "--dir", str(tmp_path)])
    assert result.exit_code == 2
    assert "ca.pem" in result.stderr
