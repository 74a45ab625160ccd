"""Signatures of grants: whose key, whose certificate, valid when."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hansa_control.adapters.authority import KeyPair, Role, Subject, Validity, issue, new_authority
from hansa_control.adapters.identity import PeerVerifier, TrustedDomain
from hansa_control.adapters.seals import CertificateSeals, CertificateSigner
from hansa_control.application.ports import RefusalError, SealBroken
from hansa_control.domain.model import Reason

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
PAYLOAD = b'{"claim":"c1"}'

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def authority(operator: str) -> KeyPair:
    return new_authority(operator, f"{operator}.example", Validity.of_days(NOW_MS, 30))


SKARGARD, WALDNETZ = authority("skargard"), authority("waldnetz")
OWN = issue(SKARGARD, Subject(Role.CONTROL_PLANE), Validity.of_days(NOW_MS, 2))
PEERS = PeerVerifier(
    TrustedDomain(name, f"{name}.example", ca.cert_pem) for name, ca in (("skargard", SKARGARD), ("waldnetz", WALDNETZ))
)
SEALS = CertificateSeals(OWN, PEERS)


def with_key(key: PrivateKey) -> KeyPair:
    """A control plane's certificate of skargard for a key of any kind."""
    ca = x509.load_pem_x509_certificate(SKARGARD.cert_pem)
    ca_key = serialization.load_pem_private_key(SKARGARD.key_pem, None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    now = datetime.fromtimestamp(NOW_MS / 1000, UTC)
    uri = x509.UniformResourceIdentifier("spiffe://skargard.example/control-plane")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now.replace(year=now.year + 1))
        .add_extension(x509.SubjectAlternativeName([uri]), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(*form))


def refusal(operator: str, payload: bytes, signer: CertificateSigner, at_ms: int = NOW_MS) -> str:
    with pytest.raises(SealBroken) as broken:
        SEALS.check(operator, payload, signer.sign(PAYLOAD), at_ms)
    return str(broken.value)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
    ],
    ids=["P-256", "P-384", "Ed25519"],
)
def test_what_an_owner_signs_is_verified_and_what_it_did_not_is_not(key: PrivateKey, algorithm: str) -> None:
    signed = CertificateSigner(with_key(key)).sign(PAYLOAD)
    assert signed.algorithm == algorithm
    SEALS.check("skargard", PAYLOAD, signed, NOW_MS)
    with pytest.raises(SealBroken, match="not that of the certificate's key"):
        SEALS.check("skargard", PAYLOAD + b" ", signed, NOW_MS)
    with pytest.raises(SealBroken, match="known are ES256"):
        SEALS.check("skargard", PAYLOAD, replace(signed, algorithm="none"), NOW_MS)


def test_a_signature_that_is_no_signature_is_refused() -> None:
    for nothing in (b"", b"\x00", b"\x30\x06\x02\x01\x00\x02\x01\x00"):
        with pytest.raises(SealBroken):
            SEALS.check("skargard", PAYLOAD, replace(SEALS.sign(PAYLOAD), signature=nothing), NOW_MS)


def odd_certificates() -> dict[str, bytes]:
    """The own certificate, written oddly where its reader raises something else than ValueError each time."""
    good = x509.load_pem_x509_certificate(OWN.cert_pem).public_bytes(serialization.Encoding.DER)
    changes = {
        "version 6": ("a003020102", "a003020105"),
        "an extension twice": ("0603551d23", "0603551d0f"),
        "a general name of no known kind": ("82096c6f63616c686f7374", "a309300780056c6f63616c"),
        "an unknown signature": ("2a8648ce3d040302", "2a8648ce3d040309"),
        "an unknown curve": ("2a8648ce3d030107", "2a8648ce3d030106"),
    }
    ders = {what: good.replace(bytes.fromhex(old), bytes.fromhex(new)) for what, (old, new) in changes.items()}
    return {
        what: b"-----BEGIN CERTIFICATE-----\n" + b64encode(der) + b"\n-----END CERTIFICATE-----\n"
        for what, der in ders.items()
    }


@pytest.mark.parametrize("what", sorted(odd_certificates()))
def test_an_odd_certificate_proves_nothing_and_raises_nothing_else(what: str) -> None:
    odd = odd_certificates()[what]
    assert odd != OWN.cert_pem
    with pytest.raises(SealBroken, match="certificate"):
        SEALS.check("skargard", PAYLOAD, replace(SEALS.sign(PAYLOAD), certificate_pem=odd), NOW_MS)
    with pytest.raises(RefusalError) as refused:
        PEERS.identity_of(odd)
    assert refused.value.reason is Reason.IDENTITY_MISMATCH


def test_a_key_that_partners_cannot_check_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="ES256, ES384 and EdDSA"):
        CertificateSigner(with_key(rsa.generate_private_key(65_537, 2_048)))


def test_a_partner_cannot_sign_for_another() -> None:
    own = issue(WALDNETZ, Subject(Role.CONTROL_PLANE), Validity.of_days(NOW_MS, 2))
    assert "not the control plane of skargard" in refusal("skargard", PAYLOAD, CertificateSigner(own))


def test_an_agent_of_the_owner_cannot_sign_for_its_control_plane() -> None:
    agent = issue(SKARGARD, Subject(Role.AGENT, "sto-1"), Validity.of_days(NOW_MS, 2))
    assert "agent/sto-1 signed" in refusal("skargard", PAYLOAD, CertificateSigner(agent))


def test_a_certificate_of_an_authority_that_is_not_the_partners_is_not_believed() -> None:
    forged = issue(authority("skargard"), Subject(Role.CONTROL_PLANE), Validity.of_days(NOW_MS, 2))
    assert "not believed" in refusal("skargard", PAYLOAD, CertificateSigner(forged))


def test_the_certificate_of_another_key_of_the_owner_does_not_fit() -> None:
    other = issue(SKARGARD, Subject(Role.CONTROL_PLANE), Validity.of_days(NOW_MS, 2))
    signed = replace(SEALS.sign(PAYLOAD), certificate_pem=other.cert_pem)
    with pytest.raises(SealBroken, match="not that of the certificate"):
        SEALS.check("skargard", PAYLOAD, signed, NOW_MS)


@pytest.mark.parametrize("at_ms", [NOW_MS - DAY_MS, NOW_MS + 3 * DAY_MS])
def test_a_certificate_that_is_not_valid_then_proves_nothing(at_ms: int) -> None:
    assert "is valid from" in refusal("skargard", PAYLOAD, CertificateSigner(OWN), at_ms)
