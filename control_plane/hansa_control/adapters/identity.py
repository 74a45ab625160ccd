"""Who is calling: the identity in a peer's certificate, believed only from the authority that owns its name.

A listener trusts several authorities, and TLS is content when any of them has signed. That is not enough: a partner's
authority could sign another operator's name. So the leaf must have been issued directly by the authority of the trust
domain that it names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from hansa_control.adapters.authority import Role, uris_of
from hansa_control.adapters.codec_fields import NAME
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import Reason

CACHE_COUNT_MAX = 10_000
# What reading a certificate may raise where it is odd: half of it shares no base class with the other half.
UNREADABLE = (
    ValueError,
    TypeError,
    RuntimeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """A caller: which operator vouches for it, what it is, and its name (a zone, a tenant; empty: control plane)."""

    operator: str
    role: Role
    name: str
    spiffe_id: str


@dataclass(frozen=True, slots=True)
class TrustedDomain:
    """A trust domain, the operator that it belongs to, and the authorities that may issue in it, PEM."""

    operator: str
    trust_domain: str
    ca_pem: bytes


class AuthContext(Protocol):
    """The part of a call's context that tells of its peer."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]: ...


class PeerVerifier:
    """Reads identities from certificates. Verified certificates are remembered, so that a call costs a look-up."""

    def __init__(self, domains: Iterable[TrustedDomain]) -> None:
        self._domains = {domain.trust_domain: domain for domain in domains}
        self._authorities = {
            name: x509.load_pem_x509_certificates(domain.ca_pem) for name, domain in self._domains.items()
        }
        self._known: dict[bytes, PeerIdentity] = {}

    def caller(self, context: AuthContext) -> PeerIdentity:
        """The caller, whatever its role; RefusalError IDENTITY_MISMATCH."""
        pems = list(context.auth_context().get("x509_pem_cert", ()))
        if not pems:
            raise RefusalError(Reason.IDENTITY_MISMATCH, "the caller shows no certificate")
        return self.identity_of(pems[0])

    def peer(self, context: AuthContext, role: Role) -> PeerIdentity:
        """The caller, who must have the role; RefusalError IDENTITY_MISMATCH or PERMISSION_DENIED."""
        identity = self.caller(context)
        if identity.role is not role:
            raise RefusalError(Reason.PERMISSION_DENIED, f"{identity.spiffe_id} is not of the role {role}")
        return identity

    def identity_of(self, cert_pem: bytes) -> PeerIdentity:
        """The identity that a certificate proves; RefusalError IDENTITY_MISMATCH if it proves none."""
        known = self._known.get(cert_pem)
        if known is None:
            known = self._verified(cert_pem)
            if len(self._known) >= CACHE_COUNT_MAX:
                self._known.clear()
            self._known[cert_pem] = known
        return known

    def _verified(self, cert_pem: bytes) -> PeerIdentity:
        try:
            leaf = x509.load_pem_x509_certificate(cert_pem)
            uris = uris_of(leaf)
        except UNREADABLE as error:
            raise RefusalError(Reason.IDENTITY_MISMATCH, "the caller's certificate cannot be read") from error
        if len(uris) != 1:
            raise RefusalError(Reason.IDENTITY_MISMATCH, f"the certificate names {len(uris)} identities, not one")
        trust_domain, role, name = _split(uris[0])
        domain = self._domains.get(trust_domain)
        if domain is None or not self._issued(leaf, trust_domain):
            raise RefusalError(Reason.IDENTITY_MISMATCH, f"{uris[0]} was not issued by the authority of its name")
        return PeerIdentity(domain.operator, role, name, uris[0])

    def _issued(self, leaf: x509.Certificate, trust_domain: str) -> bool:
        return any(_issued_by(leaf, authority) for authority in self._authorities[trust_domain])


def _issued_by(leaf: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def _split(uri: str) -> tuple[str, Role, str]:
    """Trust domain, role and name of ``spiffe://domain/role[/name]``."""
    scheme, _, rest = uri.partition("://")
    trust_domain, _, path = rest.partition("/")
    role, slash, name = path.partition("/")
    well_formed = (
        scheme == "spiffe" and trust_domain and role in set(Role) and (role == Role.CONTROL_PLANE) != bool(slash)
    )
    if not well_formed or (slash and not NAME.fullmatch(name)):
        raise RefusalError(Reason.IDENTITY_MISMATCH, f"{uri[:200]!r} is not an identity of hansa")
    return trust_domain, Role(role), name
