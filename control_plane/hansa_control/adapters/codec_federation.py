"""Federation on the wire, both sides: proposing, offers as they stream, holding, confirming, releasing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hansa.delta import Delta, etag_of
from hansa.v1 import agent_service_pb2 as agent_pb2
from hansa.v1 import federation_service_pb2 as federation_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.adapters.codec_agreement import StandingTold, standing_in, standing_out
from hansa_control.adapters.codec_decision import REASONS, rejection_out, rejections_in
from hansa_control.adapters.codec_delta import (
    Ack,
    Heartbeat,
    ResourceDelta,
    ack_in,
    ack_out,
    heartbeat_in,
    held_in,
    held_out,
    removed_in,
    updated_in,
)
from hansa_control.adapters.codec_grant import LEASE_MS_MAX, grant_in, grant_out
from hansa_control.adapters.codec_network import link_in, link_out, node_in, node_out
from hansa_control.adapters.codec_origin import chain_in, chain_out, on_behalf_in, on_behalf_out
from hansa_control.adapters.codec_workload import spec_in, spec_out
from hansa_control.adapters.codec_zone import zone_in, zone_out
from hansa_control.application.ports import HoldRequest, OfferBody, RefusalError, Refused, ShownBody, StoredOffer
from hansa_control.domain.capabilities import OURS
from hansa_control.domain.model import (
    ClaimState,
    ClaimStatus,
    Federation,
    FederationState,
    HoldGrant,
    Manifest,
    NetworkLink,
    NetworkNode,
    Reason,
    WorkloadSpec,
    Zone,
)
from hansa_control.domain.origin import Chained

ENDPOINT_COUNT_MAX = 1000
CLIENT_COUNT_MAX = 100
OFFER_TTL_MS_MAX = 86_400_000
CAPABILITIES_MAX = 64

CLAIM_STATES = fields.EnumCodec(ClaimState, federation_pb2.ClaimState, "CLAIM_STATE")


@dataclass(frozen=True, slots=True)
class OffersHello:
    """How a home operator opens its stream of offers."""

    context_id: str
    offer_etags: Mapping[str, str]


# --- offers ---------------------------------------------------------------------------------------------------------


def offers_request_in(wire: federation_pb2.OffersRequest) -> OffersHello | Ack | Heartbeat:
    match wire.WhichOneof("body"):
        case "hello":
            context_id = fields.token_in(wire.hello.context_id, "hello.context_id")
            return OffersHello(context_id, held_in(wire.hello.offer_etags, "hello.offer_etags"))
        case "ack":
            return ack_in(wire.ack, "ack")
        case "heartbeat":
            return heartbeat_in(wire.heartbeat)
    raise fields.refused("body", "is missing; one of hello, ack, heartbeat")


def offers_hello_out(hello: OffersHello) -> federation_pb2.OffersRequest:
    wire = federation_pb2.OffersHello(context_id=hello.context_id, offer_etags=held_out(hello.offer_etags))
    return federation_pb2.OffersRequest(hello=wire)


def offers_ack_out(ack: Ack) -> federation_pb2.OffersRequest:
    return federation_pb2.OffersRequest(ack=ack_out(ack))


def home_heartbeat_out(wall_ms: int) -> federation_pb2.OffersRequest:
    return federation_pb2.OffersRequest(heartbeat=agent_pb2.Heartbeat(wall_clock_ms=wall_ms))


def owner_heartbeat_out(wall_ms: int) -> federation_pb2.OffersResponse:
    return federation_pb2.OffersResponse(heartbeat=agent_pb2.Heartbeat(wall_clock_ms=wall_ms))


def owner_standing_out(told: StandingTold) -> federation_pb2.OffersResponse:
    return federation_pb2.OffersResponse(standing=standing_out(told.standing))


def offers_response_in(
    wire: federation_pb2.OffersResponse, owner: str
) -> ResourceDelta[StoredOffer] | Heartbeat | StandingTold:
    """One message of the partner ``owner``."""
    match wire.WhichOneof("body"):
        case "delta":
            return _offer_delta_in(wire.delta, owner)
        case "heartbeat":
            return heartbeat_in(wire.heartbeat)
        case "standing":
            return StandingTold(standing_in(wire.standing, "standing"))
    raise fields.refused("body", "is missing; one of delta, heartbeat, standing")


def _offer_delta_in(wire: federation_pb2.OfferDelta, owner: str) -> ResourceDelta[StoredOffer]:
    def read(offer: federation_pb2.Offer, path: str) -> StoredOffer:
        chain = chain_in(offer.chain, "chain")
        return StoredOffer(owner, offer.name, fields.token_in(offer.etag, "etag"), _offer_body_in(offer, owner), chain)

    updated, refusals = updated_in(wire.updated, "delta.updated", read, lambda offer: offer.name)
    removed = removed_in(wire.removed_names, "delta.removed_names")
    return ResourceDelta(fields.token_in(wire.nonce, "delta.nonce"), updated, removed, refusals, wire.more)


def _offer_body_in(wire: federation_pb2.Offer, owner: str) -> OfferBody:
    match wire.WhichOneof("body"):
        case "zone":
            return _offered_zone_in(wire, owner)
        case "node":
            return node_in(wire.node, "node")
        case "link":
            return link_in(wire.link, "link")
        case "claim":
            return claim_status_in(wire.claim, "claim")
    raise fields.refused("body", "is missing; one of zone, node, link, claim")


def _offered_zone_in(wire: federation_pb2.Offer, owner: str) -> Zone:
    zone = zone_in(wire.zone, "zone")
    if zone.id.operator != owner:
        raise RefusalError(Reason.IDENTITY_MISMATCH, f"{owner} cannot offer {zone.id}", "zone.name")
    return zone


def offer_out(name: str, body: ShownBody) -> federation_pb2.Offer:
    """An offer with the digest of its content as etag; that of a chain of origin is of it, too."""
    if isinstance(body, Chained):
        offer = offer_out(name, body.body)
        offer.chain.extend(chain_out(body.chain))
        offer.etag = etag_of(offer)
        return offer
    if isinstance(body, Zone):
        zone = zone_out(body)
        return federation_pb2.Offer(name=name, etag=etag_of(zone), zone=zone)
    if isinstance(body, NetworkNode):
        node = node_out(body)
        return federation_pb2.Offer(name=name, etag=etag_of(node), node=node)
    if isinstance(body, NetworkLink):
        link = link_out(body)
        return federation_pb2.Offer(name=name, etag=etag_of(link), link=link)
    claim = claim_status_out(body)
    return federation_pb2.Offer(name=name, etag=etag_of(claim), claim=claim)


def offer_delta_out(delta: Delta, offers: Mapping[str, federation_pb2.Offer]) -> federation_pb2.OffersResponse:
    updated = [offers[name] for name in delta.updated]
    wire = federation_pb2.OfferDelta(updated=updated, removed_names=delta.removed, nonce=delta.nonce, more=delta.more)
    return federation_pb2.OffersResponse(delta=wire)


def claim_status_in(wire: federation_pb2.ClaimStatus, path: str) -> ClaimStatus:
    fields.bounded(wire.endpoint_urls, ENDPOINT_COUNT_MAX, f"{path}.endpoint_urls")
    urls = tuple(fields.url_in(url, f"{path}.endpoint_urls[{i}]") for i, url in enumerate(wire.endpoint_urls))
    return ClaimStatus(
        claim=fields.identity_in(wire.claim, f"{path}.claim"),
        state=CLAIM_STATES.read(wire.state, f"{path}.state"),
        replicas_ready=fields.range_in(wire.replicas_ready, (0, ENDPOINT_COUNT_MAX), f"{path}.replicas_ready"),
        endpoint_urls=urls,
        message=fields.message_in(wire.message, f"{path}.message"),
        fencing_token=fields.range_in(wire.fencing_token, (0, 2**63 - 1), f"{path}.fencing_token"),
    )


def claim_status_out(status: ClaimStatus) -> federation_pb2.ClaimStatus:
    return federation_pb2.ClaimStatus(
        claim=status.claim,
        state=CLAIM_STATES.out(status.state),
        replicas_ready=status.replicas_ready,
        endpoint_urls=status.endpoint_urls,
        message=status.message,
        fencing_token=status.fencing_token,
    )


# --- proposing ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Proposal:
    """A home operator asks for a federation."""

    home: str
    wall_clock_ms: int
    capabilities: tuple[str, ...] = OURS


def propose_request_in(wire: federation_pb2.ProposeRequest) -> Proposal:
    home = fields.name_in(wire.home_operator, "home_operator")
    wall_clock_ms = fields.time_ms_in(wire.wall_clock_ms, "wall_clock_ms")
    return Proposal(home, wall_clock_ms, _capabilities_in(wire.capabilities))


def propose_request_out(proposal: Proposal) -> federation_pb2.ProposeRequest:
    return federation_pb2.ProposeRequest(
        home_operator=proposal.home, wall_clock_ms=proposal.wall_clock_ms, capabilities=proposal.capabilities
    )


def _capabilities_in(said: Sequence[str]) -> tuple[str, ...]:
    """Names of capabilities, known or not: a later release may say more."""
    fields.bounded(said, CAPABILITIES_MAX, "capabilities")
    return tuple(sorted({fields.label_in(one, f"capabilities[{number}]") for number, one in enumerate(said)}))


def propose_response_in(wire: federation_pb2.ProposeResponse, home: str) -> Federation:
    """The owner's answer, as the home operator ``home`` keeps it."""
    return Federation(
        home=home,
        owner=fields.name_in(wire.owner_operator, "owner_operator"),
        context_id=fields.token_in(wire.context_id, "context_id"),
        state=FederationState.ACTIVE,
        offer_ttl_ms=fields.range_in(wire.offer_ttl_ms, (1, OFFER_TTL_MS_MAX), "offer_ttl_ms"),
        endpoint_ca_pem=fields.pem_in(wire.endpoint_ca_pem, "endpoint_ca_pem"),
        standing=standing_in(wire.standing, "standing"),
        capabilities=_capabilities_in(wire.capabilities),
    )


def propose_response_out(federation: Federation) -> federation_pb2.ProposeResponse:
    return federation_pb2.ProposeResponse(
        context_id=federation.context_id,
        owner_operator=federation.owner,
        offer_ttl_ms=federation.offer_ttl_ms,
        endpoint_ca_pem=federation.endpoint_ca_pem,
        standing=standing_out(federation.standing),
        capabilities=OURS,
    )


# --- holding, confirming, releasing ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HoldCall:
    """A hold under a federation."""

    context_id: str
    request: HoldRequest


@dataclass(frozen=True, slots=True)
class ConfirmCall:
    """A confirmation under a federation."""

    context_id: str
    claim: str
    fencing_token: int
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class ReleaseCall:
    """A release under a federation."""

    context_id: str
    claim: str
    reason: Reason


def hold_request_in(wire: federation_pb2.HoldRequest) -> HoldCall:
    request = HoldRequest(
        claim=fields.identity_in(wire.claim, "claim"),
        zone=fields.name_in(wire.zone, "zone"),
        spec=_asked_in(wire),
        lease_ms=fields.range_in(wire.lease_ms, (1, LEASE_MS_MAX), "lease_ms"),
        tenant=wire.tenant and fields.name_in(wire.tenant, "tenant"),
    )
    return HoldCall(fields.token_in(wire.context_id, "context_id"), request)


def _asked_in(wire: federation_pb2.HoldRequest) -> WorkloadSpec:
    """What is asked for, and for whom; what nobody else is behind stays the same object."""
    spec, behalf = spec_in(wire.requirements, "requirements"), on_behalf_in(wire, "on_behalf")
    return spec if behalf is None else replace(spec, on_behalf=behalf)


def hold_request_out(call: HoldCall) -> federation_pb2.HoldRequest:
    return federation_pb2.HoldRequest(
        context_id=call.context_id,
        claim=call.request.claim,
        zone=call.request.zone,
        requirements=spec_out(call.request.spec),
        lease_ms=call.request.lease_ms,
        on_behalf=on_behalf_out(call.request.spec.on_behalf),
        tenant=call.request.tenant,
    )


def hold_response_in(wire: federation_pb2.HoldResponse) -> HoldGrant | Refused:
    match wire.WhichOneof("outcome"):
        case "grant":
            return grant_in(wire.grant, "grant")
        case "refusal":
            return Refused(rejections_in(wire.refusal.rejections, "refusal.rejections"))
    raise fields.refused("outcome", "is missing; one of grant, refusal")


def hold_response_out(outcome: HoldGrant | Refused) -> federation_pb2.HoldResponse:
    if isinstance(outcome, Refused):
        refusal = federation_pb2.HoldRefusal(rejections=[rejection_out(one) for one in outcome.rejections])
        return federation_pb2.HoldResponse(refusal=refusal)
    return federation_pb2.HoldResponse(grant=grant_out(outcome))


def confirm_request_in(wire: federation_pb2.ConfirmRequest) -> ConfirmCall:
    fields.bounded(wire.client_ids, CLIENT_COUNT_MAX, "client_ids")
    client_ids = tuple(fields.spiffe_id_in(name, f"client_ids[{i}]") for i, name in enumerate(wire.client_ids))
    return ConfirmCall(
        context_id=fields.token_in(wire.context_id, "context_id"),
        claim=fields.identity_in(wire.claim, "claim"),
        fencing_token=fields.range_in(wire.fencing_token, (0, 2**63 - 1), "fencing_token"),
        manifest=Manifest(
            workload=str(fields.workload_id_in(wire.workload, "workload")),
            client_ca_pem=fields.pem_in(wire.client_ca_pem, "client_ca_pem"),
            client_ids=client_ids,
        ),
    )


def confirm_request_out(call: ConfirmCall) -> federation_pb2.ConfirmRequest:
    return federation_pb2.ConfirmRequest(
        context_id=call.context_id,
        claim=call.claim,
        fencing_token=call.fencing_token,
        workload=call.manifest.workload,
        client_ca_pem=call.manifest.client_ca_pem,
        client_ids=call.manifest.client_ids,
    )


def confirm_response_in(wire: federation_pb2.ConfirmResponse) -> ClaimStatus:
    return claim_status_in(wire.status, "status")


def confirm_response_out(status: ClaimStatus) -> federation_pb2.ConfirmResponse:
    return federation_pb2.ConfirmResponse(status=claim_status_out(status))


def release_request_in(wire: federation_pb2.ReleaseRequest) -> ReleaseCall:
    return ReleaseCall(
        context_id=fields.token_in(wire.context_id, "context_id"),
        claim=fields.identity_in(wire.claim, "claim"),
        reason=REASONS.read(wire.reason, "reason"),
    )


def release_request_out(call: ReleaseCall) -> federation_pb2.ReleaseRequest:
    return federation_pb2.ReleaseRequest(context_id=call.context_id, claim=call.claim, reason=REASONS.out(call.reason))


def release_response_in(wire: federation_pb2.ReleaseResponse) -> ClaimStatus:
    return claim_status_in(wire.status, "status")


def release_response_out(status: ClaimStatus) -> federation_pb2.ReleaseResponse:
    return federation_pb2.ReleaseResponse(status=claim_status_out(status))
