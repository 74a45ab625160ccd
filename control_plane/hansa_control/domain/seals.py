"""What an owner signs of a grant, and its signature, as values."""

from __future__ import annotations

from dataclasses import dataclass, field

from hansa_control.domain.canonical import LATER
from hansa_control.domain.policy import ResidencyPolicy

GRANT_FORMAT = 1
"""Of what is signed; grows whenever a field is added or means something else."""


@dataclass(frozen=True, slots=True)
class GrantTerms:
    """All that an owner promises, to whom, for what, and under which policy it judged its zone. Its canonical bytes are
    what is signed.

    lease_ms runs from granted_at_ms, the owner's wall clock. The digests are of what was asked for (spec_digest, and
    policy_asked_digest of its policy alone) and of the policy that the owner's filters ran on; see ``domain.grants``.
    underlying_digest is of the terms of the grant that this one rests on; empty where the owner promises its own zone.
    """

    owner: str
    home: str
    context_id: str
    claim: str
    zone: str
    pool: str
    fencing_token: int
    lease_ms: int
    spec_digest: str
    policy_asked_digest: str
    policy_applied_digest: str
    granted_at_ms: int
    format: int = GRANT_FORMAT
    underlying_digest: str = field(default="", metadata=LATER)


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature over bytes, with the certificate of the key that made it, PEM.

    algorithm is named as in JSON Web Algorithms (RFC 7518, RFC 8037): "ES256", "ES384" or "EdDSA".
    """

    algorithm: str
    signature: bytes
    certificate_pem: bytes


@dataclass(frozen=True, slots=True)
class Seal:
    """A grant's terms as its owner signed them.

    policy_applied is the policy that the owner's filters ran on, None where that is the policy that was asked for.
    """

    terms: GrantTerms
    signed: Signed
    policy_applied: ResidencyPolicy | None = None
