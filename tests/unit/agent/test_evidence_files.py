"""Facts whose evidence is a file: what it says counts, what differs is an error by its field, and ends are seen."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hansa_agent.config import LoadedConfig
from hansa_agent.config_sections import FactSection
from hansa_agent.config_yaml import ConfigError
from hansa_agent.evidence_file import FILE_BYTES_MAX, Document, EvidenceUnreadable, read_document
from hansa_agent.fact_evidence import DAY_MS, ExpiryWatch, valid_until_ms
from hansa_agent.inventory import facts_of

BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
END_MS = int(END.timestamp() * 1_000)


def certificate(issuer: str = "Eksempel Sertifisering") -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, issuer)] if issuer else []
    name = x509.Name([*attributes, x509.NameAttribute(x509.NameOID.COMMON_NAME, "root 1")])
    built = x509.CertificateBuilder(name, name, key.public_key(), 7, BEGIN, END).sign(key, hashes.SHA256())
    return built.public_bytes(serialization.Encoding.PEM)


def token(**claims: Any) -> bytes:
    def part(content: dict[str, Any]) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=")

    return b".".join((part({"alg": "ES256", "typ": "JWT"}), part(claims), b"c2ln"))


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def loaded(folder: Path, content: bytes, **evidence: Any) -> LoadedConfig:
    (folder / "proof").write_bytes(content)
    fact = {"kind": "CERTIFICATION", "value": "ISO-27001", "version": "2022"}
    fact["evidence"] = {"kind": "CERTIFICATE", "scheme": "ISO-27001", "file": "proof", **evidence}  # type: ignore[assignment]
    config = {
        "zone": "nordfjell/osl-1",
        "operator": {"endpoints": ["localhost:1"], "tls": {"ca": "ca.pem", "cert": "a.pem", "key": "a.key"}},
        "state_dir": "state",
        "inventory": {"node": "oslo", "capacity": {"cpu_millis": 1_000, "memory_mib": 512}},
        "instance": {"port_range": {"first": 20_000, "last": 20_009}},
        "facts": [fact],
    }
    path = folder / "agent.yaml"
    path.write_text(yaml.safe_dump(config))
    return LoadedConfig(path)


def problems(folder: Path, content: bytes, **evidence: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        loaded(folder, content, **evidence)
    return "\n".join(raised.value.problems)


def test_a_certificate_says_its_issuer_and_validity_itself(tmp_path: Path) -> None:
    content = certificate()
    (fact,) = facts_of(loaded(tmp_path, content).facts).values()
    assert fact.evidence.issuer == "Eksempel Sertifisering" and fact.evidence.digest == digest(content)
    assert fact.evidence.valid_from_ms == int(BEGIN.timestamp() * 1_000) and fact.evidence.valid_until_ms == END_MS


def test_what_is_written_down_as_the_certificate_says_it_is_fine(tmp_path: Path) -> None:
    content = certificate()
    loaded(tmp_path, content, issuer="Eksempel Sertifisering", valid_until="2027-01-01T01:00:00+01:00")
    loaded(tmp_path, content, digest=digest(content))


@pytest.mark.parametrize(
    ("evidence", "field"),
    [
        ({"issuer": "Somebody Else"}, "issuer: the file says 'Eksempel Sertifisering', not 'Somebody Else'"),
        ({"valid_from": "2025-01-01T00:00:00Z"}, "valid_from: the file says 2026-01-01T00:00:00Z, not 2025"),
        ({"valid_until": "2031-01-01T00:00:00Z"}, "valid_until: the file says 2027-01-01T00:00:00Z, not 2031"),
        ({"digest": "sha256:" + "0" * 64}, "digest: the file has sha256:"),
    ],
)
def test_what_differs_from_the_certificate_is_an_error_that_names_the_field(
    tmp_path: Path, evidence: dict[str, str], field: str
) -> None:
    assert f"facts.0.evidence.{field}" in problems(tmp_path, certificate(), **evidence)


def test_a_token_says_its_issuer_and_validity_itself(tmp_path: Path) -> None:
    content = token(iss="https://labels.example", nbf=BEGIN.timestamp(), exp=END.timestamp())
    (fact,) = loaded(tmp_path, content).facts
    assert fact.evidence.issuer == "https://labels.example" and valid_until_ms(fact) == END_MS
    assert "valid_until: the file says" in problems(tmp_path, content, valid_until="2030-01-01T00:00:00Z")


def test_a_token_without_an_end_needs_one_written_down(tmp_path: Path) -> None:
    content = token(iss="https://labels.example", iat=int(BEGIN.timestamp()))
    assert problems(tmp_path, content).endswith("valid_until: the file does not say it; write it down")
    assert valid_until_ms(loaded(tmp_path, content, valid_until="2027-01-01T00:00:00Z").facts[0]) == END_MS


def test_any_other_file_gives_its_digest_and_needs_the_rest_written_down(tmp_path: Path) -> None:
    content = b"%PDF-1.7 an audit report"
    said = {"issuer": "Auditor", "valid_from": "2026-01-01T00:00:00Z", "valid_until": "2027-01-01T00:00:00Z"}
    assert loaded(tmp_path, content, **said).facts[0].evidence.digest == digest(content)
    for name in said:
        rest = {key: value for key, value in said.items() if key != name}
        assert f"facts.0.evidence.{name}: the file does not say it" in problems(tmp_path, content, **rest)


def test_without_a_file_everything_must_be_written_down() -> None:
    with pytest.raises(ValueError, match="issuer is missing, and there is no file"):
        FactSection.model_validate({"kind": "SITE_COUNTRY", "value": "NO", "evidence": {"scheme": "x"}})


@pytest.mark.parametrize(
    "content",
    [b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"-----BEGIN CERTIFICATE-----"],
)
def test_a_certificate_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes) -> None:
    assert "facts.0.evidence.file: " in problems(tmp_path, content)


def test_a_missing_or_huge_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EvidenceUnreadable, match="No such file"):
        read_document(tmp_path / "none")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(FILE_BYTES_MAX + 1)
    with pytest.raises(EvidenceUnreadable, match="larger than"):
        read_document(tmp_path / "huge")


@pytest.mark.parametrize("content", [b"a.b.c", b"e30.e30.", b"W10.W10.x", b"....", token(exp="soon"), token(exp=True)])
def test_what_only_looks_like_a_token_says_nothing_of_itself(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert read_document(tmp_path / "file") == Document(digest(content))


def test_an_issuer_without_an_organisation_is_called_by_its_common_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(certificate(issuer=""))
    assert read_document(tmp_path / "file").issuer == "root 1"


# --- ends ---


def fact(value: str = "NO", until: datetime = END) -> FactSection:
    evidence = {"issuer": "a", "scheme": "b", "valid_from": BEGIN.isoformat(), "valid_until": until.isoformat()}
    return FactSection.model_validate({"kind": "SITE_COUNTRY", "value": value, "evidence": evidence})


def test_a_fact_is_warned_of_once_at_30_7_and_1_days_and_when_it_has_ended() -> None:
    watch, one = ExpiryWatch(), fact()
    warned = []
    for hours_left in range(40 * 24, -48, -1):
        now_ms = END_MS - hours_left * DAY_MS // 24
        warned += [(hours_left, days_left) for _, days_left in watch.due([one], now_ms)]
    assert warned == [(30 * 24, 30), (7 * 24, 7), (24, 1), (0, 0)]


def test_an_agent_that_starts_late_warns_once_of_what_is_left() -> None:
    watch = ExpiryWatch()
    assert [days for _, days in watch.due([fact()], END_MS - 5 * DAY_MS)] == [5]
    assert watch.due([fact()], END_MS - 5 * DAY_MS) == []


def test_a_renewed_fact_is_warned_of_anew() -> None:
    watch = ExpiryWatch()
    watch.due([fact()], END_MS)
    renewed = fact(until=END + timedelta(days=1))
    assert [days for _, days in watch.due([renewed], END_MS)] == [1]


def test_an_expired_fact_is_advertised_no_more_and_the_others_keep_their_names() -> None:
    facts = [fact("NO"), fact("SE", END + timedelta(days=9))]
    assert sorted(facts_of(facts, END_MS - 1)) == ["facts/SITE_COUNTRY/0", "facts/SITE_COUNTRY/1"]
    assert sorted(facts_of(facts, END_MS)) == ["facts/SITE_COUNTRY/1"]


def test_the_next_look_is_when_the_next_fact_ends_or_in_a_minute() -> None:
    assert ExpiryWatch.next_ms([fact()], END_MS - 5_000, 60_000) == 5_000
    assert ExpiryWatch.next_ms([fact()], END_MS - DAY_MS, 60_000) == 60_000
    assert ExpiryWatch.next_ms([fact()], END_MS + 1, 60_000) == 60_000
