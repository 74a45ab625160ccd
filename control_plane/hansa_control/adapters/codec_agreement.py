"""How an agreement stands, on the wire. What of it cannot be read is None, which takes nothing: deny by default."""

from __future__ import annotations

from dataclasses import dataclass

from hansa.v1 import federation_service_pb2 as federation_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.application.ports import RefusalError
from hansa_control.domain.agreement import AgreementState
from hansa_control.domain.model import Standing

VERSION_MAX = 2**31 - 1

AGREEMENT_STATES = fields.EnumCodec(AgreementState, federation_pb2.AgreementState, "AGREEMENT_STATE")


@dataclass(frozen=True, slots=True)
class StandingTold:
    """A partner says how its agreement with us stands; None is what we do not understand."""

    standing: Standing | None


def standing_in(wire: federation_pb2.AgreementStanding, path: str) -> Standing | None:
    """How a partner says that its agreement with us stands; None for what is absent, malformed or of a newer hansa.

    It is no refusal: a stream that ended over it would leave the last word that was understood in force.
    """
    try:
        return Standing(
            state=AGREEMENT_STATES.read(wire.state, f"{path}.state"),
            version=fields.range_in(wire.version, (1, VERSION_MAX), f"{path}.version"),
            digest=fields.digest_in(wire.digest, f"{path}.digest"),
            deadline_ms=fields.time_ms_in(wire.drain_deadline_ms, f"{path}.drain_deadline_ms"),
            valid_until_ms=fields.time_ms_in(wire.valid_until_ms, f"{path}.valid_until_ms"),
        )
    except RefusalError:
        return None


def standing_out(standing: Standing | None) -> federation_pb2.AgreementStanding:
    if standing is None:
        return federation_pb2.AgreementStanding()
    return federation_pb2.AgreementStanding(
        state=AGREEMENT_STATES.out(standing.state),
        version=standing.version,
        digest=standing.digest,
        drain_deadline_ms=standing.deadline_ms,
        valid_until_ms=standing.valid_until_ms,
    )
