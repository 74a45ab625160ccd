"""Looks at certificates: who they say that they are, how long they are good, and whether the key is theirs."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from hansa_agent.check import Finding, ok, problem, warning

_SHORT = timedelta(days=30)


def check_pair(subject: str, cert: Path, key: Path, now_ms: int) -> tuple[list[Finding], x509.Certificate | None]:
    """A certificate and its key; the certificate, if it could be read."""
    try:
        certificate = x509.load_pem_x509_certificates(cert.read_bytes())[0]
    except OSError as error:
        return [problem(subject, f"{cert}: {error.strerror}", "name a file that the agent may read")], None
    except ValueError:
        return [problem(subject, f"{cert} is no PEM certificate")], None
    return [*_validity(subject, certificate, now_ms), *_key(subject, certificate, key)], certificate


def check_authority(subject: str, path: Path, now_ms: int) -> tuple[list[Finding], list[x509.Certificate]]:
    """A file of authorities."""
    try:
        authorities = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        return [problem(subject, f"{path}: {error.strerror}", "name a file that the agent may read")], []
    except ValueError:
        return [problem(subject, f"{path} has no PEM certificate")], []
    found = [finding for each in authorities for finding in _validity(subject, each, now_ms)]
    return found, authorities


def uris_of(certificate: x509.Certificate) -> list[str]:
    """The URIs among a certificate's alternative names."""
    return _names(certificate).get_values_for_type(x509.UniformResourceIdentifier)


def hosts_of(certificate: x509.Certificate) -> list[str]:
    """Names and addresses of hosts among a certificate's alternative names."""
    names = _names(certificate)
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def _names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return x509.SubjectAlternativeName([])


def _validity(subject: str, certificate: x509.Certificate, now_ms: int) -> Iterator[Finding]:
    now = datetime.fromtimestamp(now_ms / 1_000, UTC)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        yield problem(subject, f"valid from {begin:%Y-%m-%d %H:%M} UTC only", "compare the machine's clock")
    elif now >= end:
        yield problem(subject, f"expired at {end:%Y-%m-%d %H:%M} UTC", "renew it; the agent reads it at every dial")
    elif end - now < min(_SHORT, (end - begin) / 3):
        yield warning(subject, f"expires at {end:%Y-%m-%d %H:%M} UTC", "renew it; the agent reads it at every dial")
    else:
        yield ok(subject, f"valid until {end:%Y-%m-%d %H:%M} UTC")


def _key(subject: str, certificate: x509.Certificate, path: Path) -> Iterator[Finding]:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        mode = path.stat().st_mode
    except OSError as error:
        yield problem(subject, f"{path}: {error.strerror}", "let the agent's user read its key")
        return
    except (ValueError, TypeError):
        yield problem(subject, f"{path} is no PEM key without a passphrase")
        return
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        yield problem(subject, f"{path} is the key of another certificate")
    elif mode & (stat.S_IRGRP | stat.S_IROTH):
        yield warning(subject, f"others may read {path}", f"chmod 600 {path}")
    else:
        yield ok(subject, "the key belongs to the certificate")
