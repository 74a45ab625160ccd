"""What a file that proves a fact says of itself: its digest, and where it is a certificate or a token its issuer and
from when until when it holds.

Nobody's signature is checked here: that is done by whoever relies on the fact, with the digest to find the document by.
What is read here serves that a fact never says anything else than its own document.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

FILE_BYTES_MAX = 16 << 20
ISSUER_LENGTH_MAX = 200
_PEM = b"-----BEGIN CERTIFICATE-----"
_TOKEN = re.compile(rb"\s*([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)\s*")
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)


class EvidenceUnreadable(Exception):
    """The file cannot be read as what it is; the text says why."""


@dataclass(frozen=True, slots=True)
class Document:
    """``issuer`` and the two times are what the document itself says; empty or None where it says nothing."""

    digest: str
    issuer: str = ""
    valid_from: datetime | None = None
    valid_until: datetime | None = None


def read_document(path: Path) -> Document:
    """Reads a certificate (X.509, PEM), a token (JWT, RFC 7519) or any other file; raises ``EvidenceUnreadable``."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise EvidenceUnreadable(f"{path}: larger than {FILE_BYTES_MAX} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise EvidenceUnreadable(f"{path}: {error.strerror}") from error
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if _PEM in content:
        return _certificate(path, content, digest)
    token = _TOKEN.fullmatch(content)
    return Document(digest) if token is None else _token(token[1], token[2], digest)


def _certificate(path: Path, content: bytes, digest: str) -> Document:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        leaf = x509.load_pem_x509_certificates(content)[0]
        names = [
            str(name.value)
            for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
            for name in leaf.issuer.get_attributes_for_oid(oid)
        ]
    except ValueError as error:
        raise EvidenceUnreadable(f"{path}: not a certificate that can be read") from error
    issuer = (names or [leaf.issuer.rfc4514_string()])[0][:ISSUER_LENGTH_MAX]
    return Document(digest, issuer, leaf.not_valid_before_utc, leaf.not_valid_after_utc)


def _token(head: bytes, body: bytes, digest: str) -> Document:
    """A JWT if both parts are JSON objects and the first names an algorithm; otherwise a file like any other."""
    header, claims = _json_in(head), _json_in(body)
    if header is None or claims is None or "alg" not in header:
        return Document(digest)
    begin = claims.get("nbf", claims.get("iat"))
    return Document(digest, str(claims.get("iss", ""))[:ISSUER_LENGTH_MAX], _moment(begin), _moment(claims.get("exp")))


def _json_in(part: bytes) -> dict[str, object] | None:
    try:
        found = json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
    except (binascii.Error, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _moment(seconds: object) -> datetime | None:
    """A NumericDate of RFC 7519, section 2."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    return datetime.fromtimestamp(int(seconds), UTC) if 0 <= seconds < _LATEST.timestamp() else None
