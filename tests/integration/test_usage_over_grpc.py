"""Usage over real sockets: between operators bound to the certificate, to app teams their own, to the operator all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from control_harness import (
    NOWHERE,
    AgentByHand,
    Operator,
    advert,
    authority_of,
    fact,
    inventory,
    refusal_of,
    running,
    spec,
)
from hansa_control.adapters.authority import Role
from hansa_control.adapters.codec_workload import spec_in
from hansa_control.application.ports import HoldRequest, RefusalError
from hansa_control.application.usage_ports import UsageCall
from hansa_control.domain.model import HoldGrant, Manifest, Reason, Workload, WorkloadId, WorkloadState, ZoneId

from hansa.v1 import federation_service_pb2_grpc, usage_pb2, usage_service_pb2, usage_service_pb2_grpc

OCR = WorkloadId("acme", "ocr")
MANIFEST = Manifest(str(OCR), b"-----BEGIN CERTIFICATE-----\nx\n", ("spiffe://x.example/tenant/a",))
SPEC = spec_in(spec(), "spec")


class Pair(NamedTuple):
    """Fjordby is home, nordfjord owns the zone oslo-1; a claim of each kind is confirmed: asked for and made up."""

    home: Operator
    owner: Operator


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    owner = Operator("nordfjord", tmp_path / "owner", authority_of("nordfjord"))
    home = Operator("fjordby", tmp_path / "home", authority_of("fjordby"))
    owner.partners = {"fjordby": (NOWHERE, home.authority.cert_pem)}
    async with running(owner):
        home.partners = {"nordfjord": (owner.address("partners"), owner.authority.cert_pem)}
        async with running(home), AgentByHand(owner, "oslo-1") as agent:
            await agent.greet()
            await agent.advertise(advert("inventory", inventory()), advert("facts/SITE_COUNTRY/0", fact()))
            plane = home.running.application
            async with asyncio.timeout(20):
                while "nordfjord/oslo-1" not in {str(zone.id) for zone in plane.queries.zones("", 9)}:
                    await asyncio.sleep(0.01)
            workload = Workload(OCR, "u", SPEC, 1, 1, WorkloadState.RUNNING, (), (), 1, "client")
            plane.settlement.asked(workload, "asked", ZoneId("nordfjord", "oslo-1"), SPEC)
            for name in ("asked", "made-up"):
                grant = await home.running.links["nordfjord"].hold(HoldRequest(name, "oslo-1", SPEC, 5_000))
                assert isinstance(grant, HoldGrant)
                await home.running.links["nordfjord"].confirm(name, grant.fencing_token, MANIFEST)
            yield Pair(home, owner)


def usage_stub(operator: Operator, role: Role, name: str = "") -> Any:
    channel = operator.channel("api", operator.certificate(role, name))
    return usage_service_pb2_grpc.UsageServiceStub(channel)


async def test_the_operator_settles_and_is_shown_what_it_did_not_ask_for(pair: Pair) -> None:
    stub = usage_stub(pair.home, Role.CONTROL_PLANE)
    assert list((await stub.SettleUsage(usage_service_pb2.SettleUsageRequest())).partners) == ["nordfjord"]
    answer = await stub.SettleUsage(usage_service_pb2.SettleUsageRequest(partner="nordfjord", since_ms=1))
    used, other = answer.settlements
    assert (used.home_operator, used.owner_operator, other.home_operator) == ("fjordby", "nordfjord", "nordfjord")
    assert [total.lines for total in used.home_totals] == [1]
    assert [total.lines for total in used.owner_totals] == [2]
    (found,) = used.differences
    assert found.kind == usage_pb2.USAGE_DIFFERENCE_KIND_HOME_LACKS
    assert (found.owner.claim, found.HasField("home"), used.difference_count) == ("made-up", False, 1)
    assert found.cpu_milli_ms == used.owner_totals[0].cpu_milli_ms - used.home_totals[0].cpu_milli_ms > 0


async def test_settling_is_for_the_operator_itself_and_for_partners_that_there_are(pair: Pair) -> None:
    request = usage_service_pb2.SettleUsageRequest(partner="nordfjord", since_ms=1)
    refusal = await refusal_of(usage_stub(pair.home, Role.TENANT, "acme").SettleUsage(request))
    assert refusal.reason == "PERMISSION_DENIED"
    operator = usage_stub(pair.home, Role.CONTROL_PLANE)
    unknown = await refusal_of(operator.SettleUsage(usage_service_pb2.SettleUsageRequest(partner="nordford")))
    assert (unknown.reason, unknown.field) == ("NOT_FOUND", "partner")
    backwards = usage_service_pb2.SettleUsageRequest(partner="nordfjord", since_ms=5, until_ms=5)
    assert (await refusal_of(operator.SettleUsage(backwards))).field == "until_ms"


async def test_a_partner_that_cannot_be_reached_is_an_error_and_no_zero(pair: Pair) -> None:
    stub = usage_stub(pair.owner, Role.CONTROL_PLANE)
    refusal = await refusal_of(stub.SettleUsage(usage_service_pb2.SettleUsageRequest(partner="fjordby", since_ms=1)))
    assert refusal.reason == "PARTNER_UNREACHABLE"


async def test_an_app_team_is_told_of_its_own_usage_alone(pair: Pair) -> None:
    await pair.home.running.application.settlement.take_over("nordfjord")
    request = usage_service_pb2.GetUsageRequest(since_ms=1)
    own = await usage_stub(pair.home, Role.TENANT, "acme").GetUsage(request)
    assert [(total.tenant, total.owner_operator, total.lines) for total in own.totals] == [("acme", "nordfjord", 1)]
    assert list((await usage_stub(pair.home, Role.TENANT, "other").GetUsage(request)).totals) == []
    everybody = await usage_stub(pair.owner, Role.CONTROL_PLANE).GetUsage(request)
    assert [(total.home_operator, total.tenant, total.lines) for total in everybody.totals] == [("fjordby", "acme", 2)]


async def test_lines_are_told_by_page_and_only_between_the_two_of_the_certificate(pair: Pair) -> None:
    link = pair.home.running.links["nordfjord"]
    first = await link.usage(UsageCall("nordfjord", 0, limit=1))
    rest = await link.usage(UsageCall("nordfjord", first.lines[0].sequence, limit=1))
    assert (first.more, rest.more) == (True, False)
    assert [line.claim for line in (*first.lines, *rest.lines)] == ["asked", "made-up"]
    with pytest.raises(RefusalError) as refused:
        await link.usage(UsageCall("waldnetz", 0))
    assert (refused.value.reason, refused.value.field) == (Reason.IDENTITY_MISMATCH, "owner_operator")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("owner_operator", "No Name"),
        ("after_sequence", -1),
        ("page_size", 501),
        ("kept_sequence", -1),
        ("since_ms", -1),
    ],
)
async def test_a_malformed_question_is_refused_with_its_field(pair: Pair, field: str, value: Any) -> None:
    channel = pair.owner.channel("partners", pair.home.certificate(Role.CONTROL_PLANE))
    request = usage_pb2.ListUsageRequest(**{"owner_operator": "nordfjord", field: value})
    refusal = await refusal_of(federation_service_pb2_grpc.FederationServiceStub(channel).ListUsage(request))
    assert (refusal.reason, refusal.field) == ("INVALID_FIELD", field)
