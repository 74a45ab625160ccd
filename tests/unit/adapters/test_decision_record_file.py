"""Records as files: read back as they were written, strictly, and verified by the command."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from decided_sample import sample_record
from hansa_control.adapters import verify_command
from hansa_control.adapters.decision_record import RecordUnreadable, packed, read_record, write_record
from typer.testing import CliRunner

from hansa.cli.main import main
from hansa.decision_record import unpacked
from hansa.errors import HansaError


def test_a_record_is_read_back_as_it_was_written() -> None:
    record = sample_record()
    assert read_record(write_record(record)) == record
    assert unpacked(packed(record)) == write_record(record)


def test_a_file_that_was_laid_out_anew_is_the_same_record() -> None:
    record = sample_record()
    pretty = json.dumps(json.loads(write_record(record)), indent=2).encode()
    assert read_record(pretty) == record


def test_others_can_make_the_canonical_bytes_with_a_json_library() -> None:
    body = write_record(sample_record())
    again = json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert again.encode() == body


def test_the_digest_is_made_as_documented_with_nothing_but_json_and_sha_256() -> None:
    tree = json.loads(write_record(sample_record()))

    def plain(value: Any) -> bytes:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    inputs = tree["inputs"]
    for name in ("zones", "nodes", "links", "probes"):
        members = b"".join(sha256(plain(one)).digest() for one in inputs["snapshot"][name])
        inputs["snapshot"][name] = sha256(members).hexdigest()
    digest = sha256(plain({"format": 2, **inputs})).hexdigest()
    assert tree["digest"] == tree["decision"]["digest"] == f"sha256:{digest}"


def slow_service() -> dict[str, Any]:
    time = {"model": "", "mean_us": 1_000, "p95_us": 2_000, "p99_us": 3_000, "scv_permille": 1_000}
    return {"times": [time], "concurrency": 10**12, "request_bytes": 0, "response_bytes": 0}


def changed(path: str, value: Any) -> bytes:
    tree = json.loads(write_record(sample_record()))
    *way, last = path.split(".")
    at = tree
    for step in way:
        at = at[int(step)] if isinstance(at, list) else at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return json.dumps(tree).encode()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"[1, 2]", "format: None is not known"),
        (b'{"format": 2}', "digest"),
        (changed("format", 1), "format: 1 is not known; this version reads 2"),
        (changed("format", None), "format: None is not known"),
        (changed("more", 1), "more: "),
        (changed("inputs.snapshot.zones.0.more", 1), "inputs.snapshot.zones.0.more"),
        (changed("inputs.request.spec.replicas", "2"), "inputs.request.spec.replicas"),
        (changed("inputs.request.spec.residency.on_change", "NEVER"), "inputs.request.spec.residency.on_change"),
        (changed("inputs.request.spec.zones", None), "inputs.request.spec.zones: is missing"),
        (changed("inputs.snapshot.links.0.encryption", None), "inputs.snapshot.links[0].encryption: is missing"),
        (changed("decision.plan", None), "decision.plan: is missing"),
        (b"[" * 100_000, "not JSON"),
        (b'{"format": 1, "decided_at_ms": ' + b"9" * 400 + b"}", "400 digits"),
        (changed("inputs.request.spec.replicas", 10**9), "spec.replicas: 1000000000 is not from 0 to 1000"),
        (changed("inputs.request.spec.replicas_max", 10**9), "spec.replicas_max: "),
        (changed("inputs.request.spec.zones.maximum", 10**6), "spec.zones.maximum: "),
        (changed("inputs.request.spec.service", slow_service()), "spec.service.concurrency: "),
        (changed("decision.choices.0.score", float("inf")), "Infinity is no number"),
        (changed("decision.choices.0.score", float("nan")), "NaN is no number"),
        (changed("decision.choices.0.score", 1.5).replace(b"1.5", b"1e999"), "1e999 is no number"),
        (changed("inputs.request.spec.residency.applies_to", ["INPUT", "INPUT"]), "applies_to: names something twice"),
    ],
)
def test_what_is_no_record_is_refused_with_its_place(body: bytes, message: str) -> None:
    with pytest.raises(RecordUnreadable) as caught:
        read_record(body)
    assert message in str(caught.value)


def test_what_is_sent_cut_short_or_not_compressed_is_refused() -> None:
    for body in (packed(sample_record())[:-10], b"{}", b"", zlib.compress(b"x")[:-1]):
        with pytest.raises(HansaError, match="INVALID_FIELD"):
            unpacked(body)


# --- the command ---


def run(path: Path, *options: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(verify_command.app, [str(path), *options])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "record.json"
    path.write_bytes(write_record(sample_record()))
    return path


def test_a_sound_record_is_the_same(sound: Path) -> None:
    code, out, _ = run(sound, "--digest", sample_record().digest)
    assert code == 0
    assert out.startswith("SAME: ")
    assert sample_record().digest in out


def test_a_changed_record_is_different_and_the_fields_are_named(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(changed("decision.choices.0.score", 17.5))
    code, out, _ = run(path)
    assert code == 1
    assert out.startswith("DIFFERENT: 1 field of the record does not follow")
    assert "decision.choices[0].score" in out
    assert "17.5" in out


def test_a_changed_fact_shows_in_the_digest_and_in_what_follows(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(changed("inputs.snapshot.zones.0.facts.0.value", "RU"))
    code, out, _ = run(path, "-o", "json")
    data = json.loads(out)
    assert code == 1
    assert data["same"] is False
    fields = [one["field"] for one in data["differences"]]
    assert fields[0] == "digest"
    assert "decision.digest" in fields
    assert any(field.startswith("decision.choices") for field in fields)


def test_a_record_of_somebody_else_is_told_by_its_digest(sound: Path) -> None:
    other = "sha256:" + "0" * 64
    code, out, _ = run(sound, "--digest", other)
    assert code == 1
    assert out.startswith("DIFFERENT: the record is sound, but it is not of the decision that was shown\n")
    assert "not follow" not in out
    assert f"{other} was shown: this is the record of another decision" in out
    code, out, _ = run(sound, "--digest", other, "-o", "json")
    data = json.loads(out)
    assert code == 1
    assert (data["same"], data["sound"], data["differences"]) == (False, True, [])
    assert (data["digest"], data["digest_shown"]) == (sample_record().digest, other)


def test_a_record_of_somebody_else_that_is_unsound_is_told_as_both(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(changed("decision.choices.0.score", 17.5))
    code, out, _ = run(path, "--digest", "sha256:" + "0" * 64)
    assert code == 1
    assert out.startswith("DIFFERENT: 1 field of the record does not follow")
    assert "this is the record of another decision" in out


@pytest.mark.parametrize(
    ("digest", "hint"),
    [
        ("sha256:12", "lower case\n"),
        ("nonsense", "lower case\n"),
        ("sha256:" + "A" * 64, f"did you mean sha256:{'a' * 64}?\n"),
        ("0" * 64, f"did you mean sha256:{'0' * 64}?\n"),
    ],
)
def test_a_digest_that_is_none_is_refused_as_such(sound: Path, digest: str, hint: str) -> None:
    code, out, err = run(sound, "--digest", digest)
    assert (code, out) == (255, "")
    assert err.startswith(f"error: --digest: '{digest}' is not sha256: and 64 hex digits in lower case")
    assert err.endswith(hint)


def test_a_hypothetical_record_says_so(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(write_record(sample_record(hypothetical=True)))
    code, out, _ = run(path)
    assert code == 0
    assert "on a supposed world of generation" in out


def test_what_cannot_be_read_is_an_error_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    for path in (tmp_path / "x.json", tmp_path / "absent.json"):
        code, out, err = run(path)
        assert (code, out) == (255, "")
        assert err.startswith(f"error: {path}: ")
        assert err.count("\n") == 1


def test_many_differences_are_counted_and_all_of_them_are_shown_wide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_command, "SHOWN_MAX", 2)
    record = sample_record()
    choices = tuple(replace(choice, pool="x" * 200, score=9.0, terms=()) for choice in record.decision.choices)
    path = tmp_path / "record.json"
    path.write_bytes(write_record(replace(record, decision=replace(record.decision, choices=choices))))
    short, wide = run(path)[1], run(path, "-o", "wide")[1]
    assert "3 fields of the record do not follow" in short
    assert "and 1 field more (-o wide)" in short
    assert "x" * 200 in wide
    assert "more (-o wide)" not in wide


def test_long_values_are_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(changed("decision.choices.0.pool", "x" * 200))
    assert '"' + "x" * 76 + "..." in run(path)[1]


def test_a_file_that_is_not_there_is_named_once_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    assert run(path) == (255, "", f"error: {path}: No such file or directory\n")


class _Point:
    """The entry point as it is installed."""

    name, value, module = "verify-decision", "hansa_control.adapters.verify_command:app", "hansa_control"

    def load(self) -> object:
        return verify_command.app


def test_the_command_is_found_beside_the_others(
    sound: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hansa.cli.lazy.found", lambda: {"verify-decision": _Point()})
    with pytest.raises(SystemExit) as left:
        main(["verify-decision", str(sound)])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith("SAME")
    sound.write_bytes(changed("decision.margin", 5.0))
    with pytest.raises(SystemExit) as left:
        main(["verify-decision", str(sound)])
    assert left.value.code == 1
