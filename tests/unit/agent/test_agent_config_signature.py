"""Signed configurations: what is refused with a pinned key, and that openssl makes and checks the same signatures."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hansa_agent.config import LoadedConfig
from hansa_agent.config_yaml import ConfigError
from hansa_agent.main import app
from test_agent_config import write
from typer.testing import CliRunner

OPENSSL = shutil.which("openssl") or "openssl"


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, str]:
    """A signed configuration and the public key that is pinned."""
    (tmp_path / "server.py").write_text("print()\n")
    path = write(tmp_path)
    result = CliRunner().invoke(app, ["sign-config", str(path), "--key", str(keyed(tmp_path))])
    assert result.exit_code == 0, result.output
    return path, result.output.strip()


def keyed(folder: Path, name: str = "key") -> Path:
    key = Ed25519PrivateKey.generate()
    path = folder / f"{name}.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / f"{name}.pub").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def refusal(path: Path, key: str) -> str:
    with pytest.raises(ConfigError) as refused:
        LoadedConfig(path, key)
    (problem,) = refused.value.problems
    return problem


def test_a_configuration_that_the_pinned_key_has_signed_is_read(signed: tuple[Path, str]) -> None:
    path, key = signed
    assert LoadedConfig(path, key).config.zone == "nordfjell/osl-1"
    assert (path.stat().st_mode & 0o777) == (path.with_name("agent.yaml.sig").stat().st_mode & 0o777)


def test_one_altered_byte_of_file_or_signature_is_refused(signed: tuple[Path, str]) -> None:
    path, key = signed
    beside, content = path.with_name("agent.yaml.sig"), path.read_bytes()
    path.write_bytes(content.replace(b"oslo", b"osl0"))
    assert "it was altered" in refusal(path, key)
    path.write_bytes(content)
    signature = beside.read_bytes()
    beside.write_bytes(signature[:-1] + bytes([signature[-1] ^ 1]))
    assert "it was altered" in refusal(path, key)
    beside.write_bytes(signature[:-1])
    assert "has 63 bytes" in refusal(path, key)
    beside.unlink()
    assert "it is not signed" in refusal(path, key)


def test_the_signature_counts_before_anything_of_the_file_is_understood(signed: tuple[Path, str]) -> None:
    path, key = signed
    path.write_text("{not: [yaml")
    assert "it was altered" in refusal(path, key)


def test_another_ones_signature_and_a_key_that_is_none_are_refused(signed: tuple[Path, str], tmp_path: Path) -> None:
    path, key = signed
    CliRunner().invoke(app, ["sign-config", str(path), "--key", str(keyed(tmp_path, "other"))])
    assert "not the pinned key's signature" in refusal(path, key)
    assert "not base64" in refusal(path, "???")
    assert "has 3 bytes" in refusal(path, base64.b64encode(b"abc").decode())


@pytest.mark.parametrize(
    "key", [bytes(32), bytes([1]) + bytes(31), bytes(31) + b"\x80", b"\xec" + b"\xff" * 30 + b"\x7f"]
)
def test_a_key_under_which_anybody_could_sign_is_refused(signed: tuple[Path, str], key: bytes) -> None:
    path, _ = signed
    path.with_name("agent.yaml.sig").write_bytes(key + bytes(32))
    assert "anybody could sign" in refusal(path, base64.b64encode(key).decode())


def test_a_pipe_and_a_huge_file_hold_nobody_who_reads_it_again(signed: tuple[Path, str]) -> None:
    path, key = signed
    beside = path.with_name("agent.yaml.sig")
    beside.write_bytes(bytes(1 << 20))
    assert "more than 64 bytes" in refusal(path, key)
    for file in (beside, path):
        file.unlink()
        os.mkfifo(file)
        assert "no plain file" in refusal(path, key)
        file.unlink()
        file.write_text("x: " * (2 << 20))
    assert "more than 4194304 bytes" in refusal(path, key)


@pytest.mark.parametrize("command", ["serve", "check"])
def test_every_command_that_reads_it_refuses_with_78(signed: tuple[Path, str], command: str) -> None:
    path, key = signed
    path.with_name("agent.yaml.sig").unlink()
    for pinned, why in ((key, "it is not signed"), ("", "--config-key is empty")):
        result = CliRunner().invoke(app, [command, "--config", str(path), "--config-key", pinned])
        assert (result.exit_code, why in result.output) == (78, True), result.output


def test_a_key_of_another_kind_signs_nothing(tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("-----BEGIN NONSENSE-----")
    (tmp_path / "a.yaml").write_text("")
    result = CliRunner().invoke(app, ["sign-config", str(tmp_path / "a.yaml"), "--key", str(tmp_path / "none.pem")])
    assert result.exit_code == 78 and "no private key" in result.output


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_checks_what_the_command_signs_and_signs_what_the_agent_takes(
    signed: tuple[Path, str], tmp_path: Path
) -> None:
    path, key = signed
    files = ["-rawin", "-in", str(path), "-sigfile", str(path.with_name("agent.yaml.sig"))]
    check = [OPENSSL, "pkeyutl", "-verify", "-pubin", "-inkey", str(tmp_path / "key.pub"), *files]
    assert subprocess.run(check, check=False, capture_output=True).returncode == 0
    path.write_bytes(path.read_bytes() + b"\n")
    assert subprocess.run(check, check=False, capture_output=True).returncode != 0
    out = ["-rawin", "-in", str(path), "-out", str(path.with_name("agent.yaml.sig"))]
    subprocess.run([OPENSSL, "pkeyutl", "-sign", "-inkey", str(tmp_path / "key.pem"), *out], check=True)
    assert LoadedConfig(path, key).config.zone == "nordfjell/osl-1"
