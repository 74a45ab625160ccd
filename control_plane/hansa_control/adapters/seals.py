"""Signatures of grants with the key of a control plane's certificate, and their check against partners' authorities.

A signature is believed only with a certificate of the control plane of the operator that it is to be of, issued by the
authority that this operator trusts that partner by, and valid now. That TLS was content with a peer says nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from hansa_control.adapters.authority import KeyPair, Role
from hansa_control.adapters.identity import UNREADABLE, PeerVerifier
from hansa_control.application.ports import RefusalError, SealBroken
from hansa_control.domain.seals import Signed

CERTIFICATES_KEPT_MAX = 1_000

_CURVES: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "secp256r1": ("ES256", hashes.SHA256()),
    "secp384r1": ("ES384", hashes.SHA384()),
}
_ALGORITHMS = "ES256, ES384 and EdDSA (Ed25519)"


class CertificateSigner:
    """Signs with the key of a certificate. ValueError if the key is of no algorithm that partners can check."""

    def __init__(self, pair: KeyPair) -> None:
        self._certificate_pem = pair.cert_pem
        key = serialization.load_pem_private_key(pair.key_pem, None)
        self._algorithm, self._sign = _signer(key)

    def sign(self, payload: bytes) -> Signed:
        return Signed(self._algorithm, self._sign(payload), self._certificate_pem)


class SealVerifier:
    """Checks signatures of the operators that ``peers`` knows, as of a wall clock."""

    def __init__(self, peers: PeerVerifier) -> None:
        self._peers = peers
        self._known: dict[bytes, x509.Certificate] = {}

    def check(self, operator: str, payload: bytes, signed: Signed, at_ms: int) -> None:
        """SealBroken, with what is wrong, unless the operator's control plane signed these bytes with a certificate
        that is valid at ``at_ms``.
        """
        try:
            certificate = self._certificate_of(operator, signed.certificate_pem)
            begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
            key = certificate.public_key()
        except UNREADABLE as error:
            raise SealBroken("the signing certificate cannot be read") from error
        if not begin <= datetime.fromtimestamp(at_ms / 1000, UTC) <= end:
            raise SealBroken(
                f"the signing certificate is valid from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
            )
        _check_signature(key, payload, signed)

    def _certificate_of(self, operator: str, cert_pem: bytes) -> x509.Certificate:
        try:
            identity = self._peers.identity_of(cert_pem)
        except RefusalError as refusal:
            raise SealBroken(f"the signing certificate is not believed: {refusal.message}") from refusal
        if (identity.operator, identity.role) != (operator, Role.CONTROL_PLANE):
            raise SealBroken(f"{identity.spiffe_id} signed, not the control plane of {operator}")
        known = self._known.get(cert_pem)
        if known is None:
            if len(self._known) >= CERTIFICATES_KEPT_MAX:
                self._known.clear()
            known = self._known[cert_pem] = x509.load_pem_x509_certificate(cert_pem)
        return known


class CertificateSeals:
    """Both sides of one control plane: signs its own grants, checks those of its partners."""

    def __init__(self, pair: KeyPair, peers: PeerVerifier) -> None:
        self._signer = CertificateSigner(pair)
        self._verifier = SealVerifier(peers)

    def sign(self, payload: bytes) -> Signed:
        return self._signer.sign(payload)

    def check(self, operator: str, payload: bytes, signed: Signed, at_ms: int) -> None:
        self._verifier.check(operator, payload, signed, at_ms)


def _signer(key: object) -> tuple[str, Callable[[bytes], bytes]]:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "EdDSA", key.sign
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        name, digest = _CURVES[key.curve.name]
        return name, lambda payload: key.sign(payload, ec.ECDSA(digest))
    raise ValueError(f"the private key cannot sign grants: it must be for one of {_ALGORITHMS}")


def _check_signature(key: object, payload: bytes, signed: Signed) -> None:
    try:
        if isinstance(key, ed25519.Ed25519PublicKey) and signed.algorithm == "EdDSA":
            key.verify(signed.signature, payload)
            return
        if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
            name, digest = _CURVES[key.curve.name]
            if signed.algorithm == name:
                key.verify(signed.signature, payload, ec.ECDSA(digest))
                return
    except (InvalidSignature, *UNREADABLE) as error:
        raise SealBroken("the signature is not that of the certificate's key over these terms") from error
    raise SealBroken(f"the certificate's key is not for {signed.algorithm or 'no algorithm'}; known are {_ALGORITHMS}")
