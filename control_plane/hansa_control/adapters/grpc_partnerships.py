"""PartnerService over gRPC: how federations stand, for the operator itself, by its control plane's certificate."""

from __future__ import annotations

from typing import Any

from hansa.v1 import federation_service_pb2 as federation_pb2
from hansa.v1 import partner_service_pb2, partner_service_pb2_grpc
from hansa_control.adapters import codec_fields as fields
from hansa_control.adapters.authority import Role
from hansa_control.adapters.codec_agreement import standing_out
from hansa_control.adapters.identity import PeerVerifier
from hansa_control.application.control_plane import ControlPlane
from hansa_control.application.partnerships import Partnership
from hansa_control.domain.model import FederationState

FEDERATION_STATES = fields.EnumCodec(FederationState, federation_pb2.FederationState, "FEDERATION_STATE")


class PartnerServicer(partner_service_pb2_grpc.PartnerServiceServicer):
    """App teams are not told with whom their operator has which contract, so the role is asked for."""

    def __init__(self, control_plane: ControlPlane, peers: PeerVerifier) -> None:
        self._partnerships = control_plane.partnerships
        self._peers = peers

    async def ListPartners(
        self, request: partner_service_pb2.ListPartnersRequest, context: Any
    ) -> partner_service_pb2.ListPartnersResponse:
        self._peers.peer(context, Role.CONTROL_PLANE)
        found = [partnership_out(one) for one in self._partnerships.all()]
        return partner_service_pb2.ListPartnersResponse(partnerships=found)


def partnership_out(one: Partnership) -> partner_service_pb2.Partnership:
    """A federation in one direction, for people."""
    uses_ours, used_by_us = (
        partner_service_pb2.PARTNER_DIRECTION_USES_OURS,
        partner_service_pb2.PARTNER_DIRECTION_USED_BY_US,
    )
    held = one.federation
    return partner_service_pb2.Partnership(
        partner=one.partner,
        direction=uses_ours if one.uses_ours else used_by_us,
        federation=FEDERATION_STATES.out(held.state) if held else federation_pb2.FEDERATION_STATE_UNSPECIFIED,
        standing=standing_out(held.standing) if held and held.standing else None,
        heard_at_ms=one.heard_at_ms,
        claims=one.claims,
        quotas=[
            partner_service_pb2.QuotaUse(what=use.what, where=use.where, used=use.taken, most=use.most)
            for use in one.quotas
        ],
        reference=one.reference,
        capabilities=held.capabilities if held else (),
        capabilities_lacking=one.lacks,
    )
