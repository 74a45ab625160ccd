"""What a partner signed, as an app team gets it by ``why`` and an auditor checks it without a server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from control_harness import authority_of
from hansa_control.adapters.codec_grant import proofs_out
from hansa_control.adapters.verify_grant_command import app
from test_signed_grants import OCR, Pair, federated, until
from typer.testing import CliRunner

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
async def kept(tmp_path: Path) -> tuple[dict[str, Any], Path]:
    """A grant that was verified and kept, as JSON, and the authority of its owner."""
    async with federated(tmp_path) as pair:
        document = await document_of(pair)
        authority = tmp_path / "nordfjord.pem"
        authority.write_bytes(pair.owner.authority.cert_pem)
    return json.loads(document), authority


async def document_of(pair: Pair) -> bytes:
    await pair.submit()
    await until(lambda: bool(pair.plane.state.grants))
    (proof,) = proofs_out(pair.plane.queries.grants(OCR))
    assert (proof.zone, proof.owner_demands_more) == ("nordfjord/oslo-1", False)
    return proof.document


def verified(folder: Path, grant: dict[str, Any], authority: str) -> tuple[int, str]:
    file = folder / "grants.json"
    file.write_text(json.dumps([grant]))
    result = CliRunner().invoke(app, [str(file), "--authority", authority, "-o", "json"])
    return result.exit_code, result.output


def test_a_kept_grant_verifies_without_a_server(kept: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    code, told = verified(tmp_path, kept[0], f"nordfjord={kept[1]}")
    assert (code, json.loads(told)["verified"]) == (0, True)


def _raise_lease(grant: dict[str, Any]) -> None:
    grant["seal"]["terms"]["lease_ms"] -= 1


def _other_spec(grant: dict[str, Any]) -> None:
    grant["spec"]["memory_mib"] += 1


def _laxer_policy(grant: dict[str, Any]) -> None:
    grant["spec"]["residency"]["site"] = {"countries_allowed": ["NO"], "countries_denied": []}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_raise_lease, "the signature is not that"),
        (_other_spec, "spec_digest is"),
        (_laxer_policy, "policy_asked_digest is"),
    ],
)
def test_whoever_changes_a_kept_grant_or_what_was_asked_is_found_out(
    kept: tuple[dict[str, Any], Path], tmp_path: Path, change: Change, told: str
) -> None:
    change(kept[0])
    code, answer = verified(tmp_path, kept[0], f"nordfjord={kept[1]}")
    assert code == 1
    assert told in " ".join(json.loads(answer)["grants"][0]["wrong"])


def test_another_authority_of_the_same_name_does_not_do(kept: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(authority_of("nordfjord").cert_pem)
    code, answer = verified(tmp_path, kept[0], f"nordfjord={other}")
    assert (code, "not believed" in answer) == (1, True)


def test_an_owner_of_whom_no_authority_is_given_proves_nothing(
    kept: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    code, answer = verified(tmp_path, kept[0], f"fjordby={kept[1]}")
    assert (code, "not believed" in answer) == (1, True)


@pytest.mark.parametrize("body", ["", "{}", "[]", "[1]", '[{"workload": 3}]'])
def test_a_file_that_holds_no_grants_cannot_be_read(
    kept: tuple[dict[str, Any], Path], tmp_path: Path, body: str
) -> None:
    file = tmp_path / "grants.json"
    file.write_text(body)
    result = CliRunner().invoke(app, [str(file), "--authority", f"nordfjord={kept[1]}"])
    assert result.exit_code == 255


def test_a_file_that_cannot_be_used_is_named_with_the_reason(kept: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    missing, empty = tmp_path / "missing.pem", tmp_path / "empty.pem"
    empty.touch()
    assert verified(tmp_path, kept[0], f"nordfjord={missing}") == (
        255,
        f"error: {missing}: No such file or directory\n",
    )
    assert verified(tmp_path, kept[0], f"nordfjord={empty}") == (255, f"error: {empty}: holds no certificate in PEM\n")
    absent = CliRunner().invoke(app, [str(missing), "--authority", f"nordfjord={kept[1]}"])
    assert (absent.exit_code, absent.output) == (255, f"error: {missing}: No such file or directory\n")
