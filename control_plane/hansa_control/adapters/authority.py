"""An operator's own certificate authority: made once, kept offline, issuing short-lived leaf certificates.

Identities are SPIFFE URIs in the subject alternative names: ``spiffe://<trust domain>/control-plane``,
``/agent/<zone>``, ``/tenant/<tenant>`` and ``/instance/<zone>``. The authority is constrained to URIs of its own trust
domain (RFC 5280, section 4.2.1.10), so that it cannot vouch for another operator even where only TLS looks.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hansa_control.adapters.codec_fields import NAME

COMMON_NAME_LENGTH_MAX = 64
CLOCK_LEEWAY = timedelta(minutes=5)


class Role(StrEnum):
    """What a certificate's holder is to its operator; the first part of the SPIFFE path."""

    CONTROL_PLANE = "control-plane"
    AGENT = "agent"
    TENANT = "tenant"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    cert_pem: bytes
    key_pem: bytes


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when a certificate is valid."""

    not_before: datetime
    not_after: datetime

    @classmethod
    def of_days(cls, now_ms: int, days: int) -> Validity:
        """From a little before ``now_ms`` (since the Unix epoch, UTC), for clocks that are late, for so many days."""
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        return cls(now - CLOCK_LEEWAY, now + timedelta(days=days))


@dataclass(frozen=True, slots=True)
class Subject:
    """For whom a certificate is. ``name`` is empty for a control plane; ``hosts`` are DNS names or IP addresses."""

    role: Role
    name: str = ""
    hosts: tuple[str, ...] = ()


def spiffe_id(trust_domain: str, role: Role, name: str = "") -> str:
    """The identity in a trust domain; ValueError when the role wants a name and has none, or the reverse."""
    if (role is Role.CONTROL_PLANE) == bool(name):
        raise ValueError(f"{role} takes {'no' if name else 'a'} name")
    if name and not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name (1 to 63 lower-case letters, digits and inner hyphens)")
    return f"spiffe://{trust_domain}/{role}" + (f"/{name}" if name else "")


def control_plane_host(trust_domain: str) -> str:
    """The DNS name that only the control plane's certificate carries: what those who dial it must expect."""
    return f"control-plane.{trust_domain}"


def new_authority(operator: str, trust_domain: str, valid: Validity) -> KeyPair:
    """A self-signed authority for one trust domain; ECDSA P-256."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, operator),
            x509.NameAttribute(NameOID.COMMON_NAME, f"hansa authority of {operator}"),
        ]
    )
    builder = (
        _base(name, name, key.public_key(), valid)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(_uris(f"spiffe://{trust_domain}"), critical=False)
        .add_extension(_only_uris_of(trust_domain), critical=True)
    )
    return _signed(builder, key, key)


def issue(authority: KeyPair, subject: Subject, valid: Validity) -> KeyPair:
    """A leaf certificate for server and client use; a tenant's is for client use only.

    Raises ValueError if the authority or the subject is malformed.
    """
    ca = x509.load_pem_x509_certificate(authority.cert_pem)
    ca_key = serialization.load_pem_private_key(authority.key_pem, None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise ValueError("the authority's key is not an elliptic-curve key")
    trust_domain = trust_domain_of(ca)
    identity = spiffe_id(trust_domain, subject.role, subject.name)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _common_name(subject))])
    builder = (
        _base(name, ca.subject, key.public_key(), valid)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_purposes(subject.role)), critical=False)
        .add_extension(_leaf_names(identity, trust_domain, subject), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    return _signed(builder, key, ca_key)


def trust_domain_of(ca: x509.Certificate) -> str:
    """The trust domain that an authority was made for; ValueError if it names none."""
    for uri in uris_of(ca):
        if uri.startswith("spiffe://"):
            return uri.removeprefix("spiffe://").partition("/")[0]
    raise ValueError("the authority's certificate names no trust domain (a spiffe:// URI)")


def check_authority(ca_pem: bytes, trust_domain: str, where: str) -> None:
    """ValueError unless the file ``where`` holds an authority of the trust domain."""
    found = {trust_domain_of(ca) for ca in x509.load_pem_x509_certificates(ca_pem)}
    if trust_domain not in found:
        raise ValueError(f"{where}: is the authority of {', '.join(sorted(found))}, not of {trust_domain}")


def check_pair(pair: KeyPair, now_ms: int, where: str) -> None:
    """ValueError unless the certificate of the file ``where`` is valid at ``now_ms`` and the key is its own."""
    certificate = x509.load_pem_x509_certificate(pair.cert_pem)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin <= datetime.fromtimestamp(now_ms / 1000, UTC) <= end:
        raise ValueError(f"{where}: is valid from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC, not now")
    try:
        key = serialization.load_pem_private_key(pair.key_pem, password=None)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: the file that is named as its key holds no private key that can be read") from error
    if key.public_key() != certificate.public_key():
        raise ValueError(f"{where}: the private key is that of another certificate")


def uris_of(certificate: x509.Certificate) -> list[str]:
    """The URIs among a certificate's subject alternative names."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return names.value.get_values_for_type(x509.UniformResourceIdentifier)


def write_private(path: Path, content: bytes) -> None:
    """Writes a file that only its owner may read; FileExistsError rather than overwriting."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


# --- parts ----------------------------------------------------------------------------------------------------------


def _base(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, valid: Validity
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid.not_before)
        .not_valid_after(valid.not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _signed(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey
) -> KeyPair:
    certificate = builder.sign(signer, hashes.SHA256())
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), key_pem)


def _key_usage(*, signs_certificates: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _uris(*uris: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])


def _only_uris_of(trust_domain: str) -> x509.NameConstraints:
    return x509.NameConstraints([x509.UniformResourceIdentifier(trust_domain)], None)


def _purposes(role: Role) -> list[x509.ObjectIdentifier]:
    if role is Role.TENANT:
        return [ExtendedKeyUsageOID.CLIENT_AUTH]
    return [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]


def _common_name(subject: Subject) -> str:
    """At most 64 characters (RFC 5280, ub-common-name), and another one for every subject: brokers go by it."""
    name = f"{subject.role} {subject.name}".strip()
    if len(name) <= COMMON_NAME_LENGTH_MAX:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{name[: COMMON_NAME_LENGTH_MAX - len(mark) - 1]}-{mark}"


def _leaf_names(identity: str, trust_domain: str, subject: Subject) -> x509.SubjectAlternativeName:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity)]
    hosts: Sequence[str] = () if subject.role is Role.TENANT else ("localhost", "127.0.0.1", "::1", *subject.hosts)
    if subject.role is Role.CONTROL_PLANE:
        hosts = (control_plane_host(trust_domain), *hosts)
    names += [_host_name(host) for host in dict.fromkeys(hosts)]
    return x509.SubjectAlternativeName(names)


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
