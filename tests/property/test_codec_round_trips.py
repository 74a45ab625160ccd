"""Whatever the domain can say crosses the wire and comes back the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import wire_values as values
from google.protobuf.message import DecodeError, Message
from hansa_control.adapters import codec_agent, codec_delta, codec_federation, codec_network, codec_workload, codec_zone
from hansa_control.application.ports import Refused, StoredAdvert, StoredOffer
from hansa_control.domain import model as m
from hansa_control.domain.capabilities import OURS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hansa.delta import Delta, etag_of
from hansa.v1 import agent_service_pb2 as agent_pb2

few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def over_the_wire(message: Message) -> Any:
    """The message as the other side reads it."""
    copy = type(message)()
    copy.ParseFromString(message.SerializeToString())
    return copy


PAIRS = {
    "fact": (values.facts, codec_zone.fact_out, codec_zone.fact_in),
    "inventory": (values.inventories(), codec_zone.inventory_out, codec_zone.inventory_in),
    "zone": (values.zones(), codec_zone.zone_out, codec_zone.zone_in),
    "instance": (values.instances, codec_zone.instance_out, codec_zone.instance_in),
    "round trip": (values.round_trips, codec_network.round_trip_out, codec_network.round_trip_in),
    "node": (values.nodes, codec_network.node_out, codec_network.node_in),
    "link": (values.links, codec_network.link_out, codec_network.link_in),
    "node probe": (values.node_probes, codec_network.probe_out, codec_network.probe_in),
    "probe": (values.probes, codec_network.probe_out, codec_network.probe_in),
    "policy": (values.policies, codec_workload.policy_out, codec_workload.policy_in),
    "spec": (values.specs(), codec_workload.spec_out, codec_workload.spec_in),
    "claim": (values.claims, codec_federation.claim_status_out, codec_federation.claim_status_in),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_a_value_comes_back_as_it_went(kind: str) -> None:
    strategy, out, read = PAIRS[kind]

    @few
    @given(strategy)
    def check(value: Any) -> None:
        assert read(over_the_wire(out(value)), "here") == value

    check()


def test_parts_that_are_as_by_default_are_left_out_so_that_what_is_kept_equals_what_was_sent() -> None:
    spec = m.WorkloadSpec(
        m.ArtefactRef("ocr", "sha256:" + "0" * 64),
        None,
        1,
        1,
        1,
        (m.AccessDemand("oslo", 1),),
        m.LatencyBudget(95, 1),
        m.ResidencyPolicy(),
    )
    sent = codec_workload.spec_out(spec)
    assert not {"zones", "service", "preferences", "objective"} & {field.name for field, _ in sent.ListFields()}
    assert codec_workload.spec_out(codec_workload.spec_in(sent, "spec")) == sent


@few
@given(values.names, values.holds)
def test_a_hold_comes_back_as_it_went(context_id: str, request: Any) -> None:
    call = codec_federation.HoldCall(context_id, request)
    assert codec_federation.hold_request_in(over_the_wire(codec_federation.hold_request_out(call))) == call


@few
@given(values.grants | st.lists(values.rejections, min_size=1, max_size=4).map(tuple).map(Refused))
def test_the_answer_to_a_hold_comes_back_as_it_went(outcome: Any) -> None:
    assert codec_federation.hold_response_in(over_the_wire(codec_federation.hold_response_out(outcome))) == outcome


@few
@given(values.names, values.names, values.tokens, values.manifests)
def test_a_confirmation_comes_back_as_it_went(context_id: str, claim: str, token: int, manifest: Any) -> None:
    call = codec_federation.ConfirmCall(context_id, claim, token, manifest)
    assert codec_federation.confirm_request_in(over_the_wire(codec_federation.confirm_request_out(call))) == call


@few
@given(values.names, values.names, st.sampled_from(codec_federation.Reason))
def test_a_release_comes_back_as_it_went(context_id: str, claim: str, reason: Any) -> None:
    call = codec_federation.ReleaseCall(context_id, claim, reason)
    assert codec_federation.release_request_in(over_the_wire(codec_federation.release_request_out(call))) == call


@few
@given(values.federations)
def test_a_federation_comes_back_as_it_went(federation: Any) -> None:
    wire = over_the_wire(codec_federation.propose_response_out(federation))
    assert codec_federation.propose_response_in(wire, federation.home) == replace(federation, capabilities=OURS)


@few
@given(st.lists(values.zones(), max_size=3, unique_by=lambda zone: zone.id.zone), values.names)
def test_offers_come_back_with_the_etags_that_were_sent(zones: Any, nonce: str) -> None:
    owned = {f"zones/{zone.id.zone}": zone for zone in zones}
    wires = {name: codec_federation.offer_out(name, zone) for name, zone in owned.items()}
    message = codec_federation.offer_delta_out(Delta(tuple(wires), ("links/a--b",), nonce), wires)
    for owner in {zone.id.operator for zone in zones}:
        delta = codec_federation.offers_response_in(over_the_wire(message), owner)
        assert isinstance(delta, codec_delta.ResourceDelta)
        expected = [
            StoredOffer(owner, name, wires[name].etag, zone)
            for name, zone in owned.items()
            if zone.id.operator == owner
        ]
        assert list(delta.updated) == expected
        assert {name for name, _, _ in delta.refusals} == set(owned) - {one.name for one in expected}
        assert delta.removed == ("links/a--b",)


@few
@given(values.inventories(), values.names)
def test_adverts_come_back_with_the_etags_that_were_sent(inventory: Any, zone: str) -> None:
    body = codec_zone.inventory_out(inventory)
    advert = agent_pb2.Advert(name="inventory", etag=etag_of(body), inventory=body)
    message = agent_pb2.SessionRequest(adverts=agent_pb2.AdvertDelta(updated=[advert], nonce="1"))
    delta = codec_agent.session_request_in(over_the_wire(message), zone)
    assert delta == codec_delta.ResourceDelta("1", (StoredAdvert(zone, "inventory", etag_of(body), inventory),), (), ())


@few
@given(st.binary(max_size=200))
def test_bytes_of_a_stranger_are_taken_or_refused_and_nothing_else(content: bytes) -> None:
    message = agent_pb2.SessionRequest()
    try:
        message.ParseFromString(content)
    except DecodeError:
        return
    try:
        codec_agent.session_request_in(message, "oslo-1")
    except codec_federation.RefusalError as refusal:
        assert refusal.reason == codec_federation.Reason.INVALID_FIELD
        assert refusal.field
