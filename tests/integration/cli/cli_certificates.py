"""A certificate authority for tests, a server on loopback and a client of a tenant."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certificates:
    """PEM of everything that the two sides need."""

    ca: bytes
    server_certificate: bytes
    server_key: bytes
    client_certificate: bytes
    client_key: bytes

    def write_profile(self, folder: Path, port: int, *, tenant: str = "havneby") -> Path:
        """Writes the client's files and a profile that names them; returns the profile."""
        (folder / "ca.pem").write_bytes(self.ca)
        (folder / "client.pem").write_bytes(self.client_certificate)
        (folder / "client-key.pem").write_bytes(self.client_key)
        profile = folder / "profile.yaml"
        profile.write_text(
            f"endpoint: 127.0.0.1:{port}\ntenant: {tenant}\nca: ca.pem\ncertificate: client.pem\nkey: client-key.pem\n"
        )
        return profile


def make_certificates() -> Certificates:
    """A fresh authority with one server and one client."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("nordavind test authority")
    ca = _builder(ca_name, ca_name, ca_key.public_key()).add_extension(x509.BasicConstraints(True, 0), critical=True)
    ca_certificate = ca.sign(ca_key, hashes.SHA256())
    server_names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    client_names = [x509.UniformResourceIdentifier("spiffe://nordavind/tenant/havneby")]
    server = _leaf(ca_name, ca_key, "server", server_names)
    client = _leaf(ca_name, ca_key, "client", client_names)
    return Certificates(ca_certificate.public_bytes(serialization.Encoding.PEM), *server, *client)


def _leaf(
    issuer: x509.Name, issuer_key: ec.EllipticCurvePrivateKey, title: str, names: list[x509.GeneralName]
) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name(title), issuer, key.public_key())
    certificate = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(
        issuer_key, hashes.SHA256()
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key_pem


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
    )


def _name(title: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
