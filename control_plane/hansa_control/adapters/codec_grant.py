"""Grants on the wire, both ways: what is held, and what its owner signs of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hansa.v1 import federation_service_pb2 as federation_pb2
from hansa.v1 import workload_service_pb2 as service_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.adapters.codec_residency import policy_in, policy_out
from hansa_control.adapters.record_codec import encode
from hansa_control.application.ports import StoredGrant, Table
from hansa_control.domain.model import HoldGrant
from hansa_control.domain.origin import OPERATORS_MAX
from hansa_control.domain.seals import GrantTerms, Seal, Signed

LEASE_MS_MAX = 3_600_000
SIGNATURE_BYTES_MAX = 1_024
ALGORITHM_LENGTH_MAX = 16
FORMAT_MAX = 1_000


def grant_in(wire: federation_pb2.HoldGrant, path: str, depth_left: int = OPERATORS_MAX) -> HoldGrant:
    """A grant of a partner's, with those that it rests on; one without a seal is read, and refused by whoever asks for
    one.
    """
    if not depth_left:
        raise fields.refused(path, f"rests on more grants than a chain has operators, {OPERATORS_MAX}")
    below = grant_in(wire.underlying, f"{path}.underlying", depth_left - 1) if wire.HasField("underlying") else None
    plain = HoldGrant(
        claim=fields.identity_in(wire.claim, f"{path}.claim"),
        fencing_token=fields.range_in(wire.fencing_token, (0, 2**63 - 1), f"{path}.fencing_token"),
        lease_ms=fields.range_in(wire.lease_ms, (0, LEASE_MS_MAX), f"{path}.lease_ms"),
        pool=fields.text_in(wire.pool, f"{path}.pool"),
    )
    seal = _seal_in(wire.seal, plain, f"{path}.seal") if wire.HasField("seal") else None
    return replace(plain, seal=seal, underlying=below)


def _seal_in(wire: federation_pb2.GrantSeal, grant: HoldGrant, path: str) -> Seal:
    """The seal of a grant. The terms are the grant's own fields and the seal's, so that no field is there twice."""
    below = wire.underlying_digest
    terms = GrantTerms(
        owner=fields.name_in(wire.owner_operator, f"{path}.owner_operator"),
        home=fields.name_in(wire.home_operator, f"{path}.home_operator"),
        context_id=fields.token_in(wire.context_id, f"{path}.context_id"),
        claim=grant.claim,
        zone=fields.name_in(wire.zone, f"{path}.zone"),
        pool=grant.pool,
        fencing_token=grant.fencing_token,
        lease_ms=grant.lease_ms,
        spec_digest=fields.digest_in(wire.spec_digest, f"{path}.spec_digest"),
        policy_asked_digest=fields.digest_in(wire.policy_asked_digest, f"{path}.policy_asked_digest"),
        policy_applied_digest=fields.digest_in(wire.policy_applied_digest, f"{path}.policy_applied_digest"),
        granted_at_ms=fields.time_ms_in(wire.granted_at_ms, f"{path}.granted_at_ms"),
        format=fields.range_in(wire.format, (1, FORMAT_MAX), f"{path}.format"),
        underlying_digest=below and fields.digest_in(below, f"{path}.underlying_digest"),
    )
    applied = policy_in(wire.policy_applied, f"{path}.policy_applied") if wire.HasField("policy_applied") else None
    return Seal(terms, _signed_in(wire, path), applied)


def _signed_in(wire: federation_pb2.GrantSeal, path: str) -> Signed:
    fields.bounded(wire.signature, SIGNATURE_BYTES_MAX, f"{path}.signature")
    return Signed(
        algorithm=fields.text_in(wire.algorithm, f"{path}.algorithm", ALGORITHM_LENGTH_MAX),
        signature=wire.signature,
        certificate_pem=fields.pem_in(wire.certificate_pem, f"{path}.certificate_pem"),
    )


def grant_out(grant: HoldGrant) -> federation_pb2.HoldGrant:
    return federation_pb2.HoldGrant(
        claim=grant.claim,
        fencing_token=grant.fencing_token,
        lease_ms=grant.lease_ms,
        pool=grant.pool,
        seal=None if grant.seal is None else _seal_out(grant.seal),
        underlying=None if grant.underlying is None else grant_out(grant.underlying),
    )


def _seal_out(seal: Seal) -> federation_pb2.GrantSeal:
    terms, applied = seal.terms, seal.policy_applied
    return federation_pb2.GrantSeal(
        format=terms.format,
        owner_operator=terms.owner,
        home_operator=terms.home,
        context_id=terms.context_id,
        zone=terms.zone,
        spec_digest=terms.spec_digest,
        policy_asked_digest=terms.policy_asked_digest,
        policy_applied_digest=terms.policy_applied_digest,
        policy_applied=None if applied is None else policy_out(applied),
        granted_at_ms=terms.granted_at_ms,
        algorithm=seal.signed.algorithm,
        signature=seal.signed.signature,
        certificate_pem=seal.signed.certificate_pem,
        underlying_digest=terms.underlying_digest,
    )


def proofs_out(grants: Sequence[StoredGrant]) -> list[service_pb2.GrantProof]:
    """Grants that were kept, for whoever asks for proof."""
    return [_proof_out(grant) for grant in grants]


def _proof_out(grant: StoredGrant) -> service_pb2.GrantProof:
    terms = grant.seal.terms
    return service_pb2.GrantProof(
        claim=terms.claim,
        zone=f"{terms.owner}/{terms.zone}",
        granted_at_ms=terms.granted_at_ms,
        fencing_token=terms.fencing_token,
        policy_applied_digest=terms.policy_applied_digest,
        owner_demands_more=terms.policy_applied_digest != terms.policy_asked_digest,
        document=encode(Table.GRANT, grant),
    )
