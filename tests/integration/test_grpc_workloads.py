"""App teams against a real server with real mutual TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from control_harness import AgentByHand, Operator, advert, authority_of, fact, inventory, refusal_of, running, spec
from hansa_control.adapters.authority import Role
from hansa_control.domain.model import WorkloadId

from hansa.v1 import common_pb2, instance_pb2, residency_pb2, workload_pb2, workload_service_pb2_grpc
from hansa.v1 import workload_service_pb2 as service_pb2

NAME = "tenants/acme/workloads/ocr"


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Operator]:
    async with running(Operator("nordfjord", tmp_path, authority_of("nordfjord"))) as started:
        yield started


@pytest.fixture
async def acme(operator: Operator) -> AsyncIterator[Any]:
    channel = operator.channel("api", operator.certificate(Role.TENANT, "acme"))
    yield workload_service_pb2_grpc.WorkloadServiceStub(channel)
    await channel.close()


def submit(request_id: str = "r1", name: str = NAME, **changes: Any) -> service_pb2.SubmitWorkloadRequest:
    return service_pb2.SubmitWorkloadRequest(request_id=request_id, name=name, spec=spec(**changes))


# --- refusals ---


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (submit(request_id=""), "request_id"),
        (submit(request_id="a b"), "request_id"),
        (submit(name="ocr"), "name"),
        (submit(name="tenants/acme/workloads/OCR"), "name"),
        (submit(replicas=0), "spec.replicas"),
        (submit(access=[]), "spec.access"),
        (submit(latency=workload_pb2.LatencyBudget(percentile=90, rtt_us_max=1)), "spec.latency.percentile"),
        (submit(artefact=common_pb2.ArtefactRef(name="ocr", digest="latest")), "spec.artefact.digest"),
        (
            submit(residency=residency_pb2.ResidencyPolicy(site=residency_pb2.SiteRule())),
            "spec.residency.site.countries_allowed",
        ),
    ],
)
async def test_a_malformed_request_is_refused_by_its_field(acme: Any, request_: Any, field: str) -> None:
    refusal = await refusal_of(acme.SubmitWorkload(request_))
    assert (refusal.reason, refusal.field) == ("INVALID_FIELD", field)
    assert refusal.code_seen is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
    assert (await acme.ListWorkloads(service_pb2.ListWorkloadsRequest())).workloads == []


async def test_every_call_refuses_what_is_malformed(acme: Any) -> None:
    bad = "no such name"
    calls = {
        "PlanWorkload": service_pb2.PlanWorkloadRequest(name=bad),
        "GetWorkload": service_pb2.GetWorkloadRequest(name=bad),
        "DeleteWorkload": service_pb2.DeleteWorkloadRequest(name=bad, request_id="r"),
        "ExplainWorkload": service_pb2.ExplainWorkloadRequest(name=bad),
        "FindEndpoint": service_pb2.FindEndpointRequest(name=bad),
    }
    for method, request in calls.items():
        refusal = await refusal_of(getattr(acme, method)(request))
        assert (refusal.reason, refusal.field) == ("INVALID_FIELD", "name"), method
    refusal = await refusal_of(acme.WatchWorkload(service_pb2.WatchWorkloadRequest(name=bad)).read())
    assert refusal.field == "name"
    for method in ("ListWorkloads", "ListZones"):
        request = getattr(service_pb2, f"{method}Request")(page_token="forged")
        assert (await refusal_of(getattr(acme, method)(request))).field == "page_token"


async def test_a_tenant_sees_and_touches_its_own_workloads_only(operator: Operator, acme: Any) -> None:
    await acme.SubmitWorkload(submit())
    channel = operator.channel("api", operator.certificate(Role.TENANT, "rival"))
    rival = workload_service_pb2_grpc.WorkloadServiceStub(channel)
    for method, request in {
        "GetWorkload": service_pb2.GetWorkloadRequest(name=NAME),
        "SubmitWorkload": submit("r9"),
        "DeleteWorkload": service_pb2.DeleteWorkloadRequest(name=NAME, request_id="r9"),
        "FindEndpoint": service_pb2.FindEndpointRequest(name=NAME),
        "ExplainWorkload": service_pb2.ExplainWorkloadRequest(name=NAME),
        "PlanWorkload": service_pb2.PlanWorkloadRequest(name=NAME, spec=spec()),
    }.items():
        assert (await refusal_of(getattr(rival, method)(request))).reason == "PERMISSION_DENIED", method
    watch = rival.WatchWorkload(service_pb2.WatchWorkloadRequest(name=NAME))
    assert (await refusal_of(watch.read())).reason == "PERMISSION_DENIED"
    assert (await rival.ListWorkloads(service_pb2.ListWorkloadsRequest())).workloads == []
    await channel.close()


async def test_an_agents_certificate_is_no_tenants(operator: Operator) -> None:
    channel = operator.channel("api", operator.certificate(Role.AGENT, "oslo-1"))
    stub = workload_service_pb2_grpc.WorkloadServiceStub(channel)
    assert (await refusal_of(stub.ListZones(service_pb2.ListZonesRequest()))).reason == "PERMISSION_DENIED"
    await channel.close()


async def test_a_caller_without_certificate_is_not_served(operator: Operator) -> None:
    credentials = grpc.ssl_channel_credentials(operator.authority.cert_pem)
    async with grpc.aio.secure_channel(operator.address("api"), credentials) as channel:
        stub = workload_service_pb2_grpc.WorkloadServiceStub(channel)
        refusal = await refusal_of(stub.ListZones(service_pb2.ListZonesRequest(), timeout=5))
    assert refusal.code_seen is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]


async def test_a_missing_workload_is_not_found(acme: Any) -> None:
    refusal = await refusal_of(acme.GetWorkload(service_pb2.GetWorkloadRequest(name=NAME)))
    assert refusal.reason == "NOT_FOUND"


async def test_an_oversized_request_is_refused_and_the_server_goes_on(acme: Any) -> None:
    request = submit()
    request.spec.accelerator.any_of.extend(["x" * 1024] * 5 * 1024)
    assert (await refusal_of(acme.SubmitWorkload(request))).reason == "LIMIT_EXCEEDED"
    assert (await acme.SubmitWorkload(submit())).workload.name == NAME


async def test_a_truncated_request_is_refused(operator: Operator) -> None:
    channel = operator.channel("api", operator.certificate(Role.TENANT, "acme"))
    method = channel.unary_unary("/hansa.v1.WorkloadService/SubmitWorkload")
    refusal = await refusal_of(method(submit().SerializeToString()[:-5]))
    assert (refusal.reason, refusal.field) == ("INVALID_FIELD", "message")
    await channel.close()


# --- request ids ---


async def test_the_same_request_again_gives_the_same_answer(acme: Any) -> None:
    first = await acme.SubmitWorkload(submit())
    again = await acme.SubmitWorkload(submit())
    assert first.workload.uid == again.workload.uid
    assert len((await acme.ListWorkloads(service_pb2.ListWorkloadsRequest())).workloads) == 1


async def test_a_request_id_with_another_payload_is_refused(acme: Any) -> None:
    await acme.SubmitWorkload(submit())
    refusal = await refusal_of(acme.SubmitWorkload(submit(replicas=2)))
    assert (refusal.reason, refusal.field) == ("REQUEST_ID_REUSED", "request_id")


async def test_a_request_id_of_a_submission_does_not_serve_a_deletion(acme: Any) -> None:
    await acme.SubmitWorkload(submit("r1"))
    request = service_pb2.DeleteWorkloadRequest(name=NAME, request_id="r1")
    assert (await refusal_of(acme.DeleteWorkload(request))).reason == "REQUEST_ID_REUSED"


async def test_a_stale_etag_does_not_delete(acme: Any) -> None:
    await acme.SubmitWorkload(submit())
    request = service_pb2.DeleteWorkloadRequest(name=NAME, etag="999999", request_id="r2")
    refusal = await refusal_of(acme.DeleteWorkload(request))
    assert (refusal.reason, refusal.field) == ("ETAG_MISMATCH", "etag")


async def test_the_callers_request_id_is_kept_and_a_missing_one_is_made(acme: Any) -> None:
    call = acme.ListZones(service_pb2.ListZonesRequest())
    assert dict(await call.initial_metadata()).get("hansa-request-id")
    named = acme.ListZones(service_pb2.ListZonesRequest(), metadata=(("x-request-id", "mine"),))
    assert "hansa-request-id" not in dict(await named.initial_metadata())
    both = acme.ListZones(
        service_pb2.ListZonesRequest(), metadata=(("hansa-request-id", "not good"), ("x-request-id", "mine"))
    )
    assert "hansa-request-id" not in dict(await both.initial_metadata())


# --- reading ---


async def test_workloads_come_in_pages_ordered_by_name(acme: Any) -> None:
    names = [f"tenants/acme/workloads/w{index}" for index in range(5)]
    for index, name in enumerate(reversed(names)):
        await acme.SubmitWorkload(submit(f"r{index}", name))
    seen: list[list[str]] = []
    token = ""
    while True:
        page = await acme.ListWorkloads(service_pb2.ListWorkloadsRequest(page_size=2, page_token=token))
        seen.append([workload.name for workload in page.workloads])
        token = page.next_page_token
        if not token:
            break
    assert seen == [names[:2], names[2:4], names[4:]]


async def test_a_watch_sends_the_workload_as_it_is_and_then_every_change_until_it_is_gone(acme: Any) -> None:
    await acme.SubmitWorkload(submit())
    watch = acme.WatchWorkload(service_pb2.WatchWorkloadRequest(name=NAME))
    first = await watch.read()
    assert first.workload.name == NAME
    await acme.DeleteWorkload(service_pb2.DeleteWorkloadRequest(name=NAME, request_id="r2"))
    sequences = [event.sequence for event in first.events]
    async with asyncio.timeout(10):
        last = first
        while not last.deleted:
            last = await watch.read()
            sequences += [event.sequence for event in last.events]
    assert sequences == sorted(set(sequences))


async def test_a_watch_does_not_miss_what_goes_while_the_store_is_keeping_it(
    operator: Operator, acme: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await acme.SubmitWorkload(submit())
    queries = operator.running.application.queries
    kept, workloads = queries.kept_story, operator.running.application.state.workloads

    async def slow(workload: WorkloadId, after_sequence: int) -> Any:
        held = await kept(workload, after_sequence)
        if NAME in workloads:
            await acme.DeleteWorkload(service_pb2.DeleteWorkloadRequest(name=NAME, request_id="r2"))
            while NAME in workloads:
                await queries.workload_signal(workload).wait(queries.workload_signal(workload).version)
        return held

    monkeypatch.setattr(queries, "kept_story", slow)
    async with asyncio.timeout(10):
        told = [update.deleted async for update in acme.WatchWorkload(service_pb2.WatchWorkloadRequest(name=NAME))]
    assert told == [False, True]


async def test_a_workload_is_placed_ordered_reported_and_found(operator: Operator, acme: Any) -> None:
    async with AgentByHand(operator, "oslo-1") as agent:
        await agent.greet()
        await agent.advertise(advert("inventory", inventory()), advert("facts/SITE_COUNTRY/0", fact()))
        plan = await acme.PlanWorkload(service_pb2.PlanWorkloadRequest(name=NAME, spec=spec()))
        assert [choice.zone for choice in plan.decision.choices] == ["nordfjord/oslo-1"]
        await acme.SubmitWorkload(submit())
        order = (await agent.read_until("orders")).updated[0]
        await agent.send(order_ack={"nonce": "1"})
        assert order.instance.workload == NAME
        assert list(order.instance.client_ids) == ["spiffe://nordfjord.hansa.example/tenant/acme"]
        status = instance_pb2.InstanceStatus(
            instance=order.instance.instance,
            claim=order.instance.claim,
            state=instance_pb2.INSTANCE_STATE_READY,
            endpoint_url="https://127.0.0.1:8443",
            fencing_token=order.instance.fencing_token,
        )
        await agent.advertise(advert(order.name, status))
        watch = acme.WatchWorkload(service_pb2.WatchWorkloadRequest(name=NAME))
        async with asyncio.timeout(10):
            async for update in watch:
                if update.workload.state == workload_pb2.WORKLOAD_STATE_RUNNING:
                    break
        asked = service_pb2.FindEndpointRequest(name=NAME)
        found = await acme.FindEndpoint(asked)
        assert list(found.endpoint_urls) == ["https://127.0.0.1:8443"]
        assert found.endpoint_ca_pem == operator.authority.cert_pem
        assert await acme.FindEndpoint(asked) == found
        # The answer is kept by now, but not for everybody.
        stranger = operator.channel("api", operator.certificate(Role.TENANT, "umbrella"))
        refusal = await refusal_of(workload_service_pb2_grpc.WorkloadServiceStub(stranger).FindEndpoint(asked))
        assert refusal.reason == "PERMISSION_DENIED"
        why = await acme.ExplainWorkload(service_pb2.ExplainWorkloadRequest(name=NAME))
        assert why.current_zone == "nordfjord/oslo-1"
        (path,) = why.paths
        assert (path.zone, path.access_point) == ("nordfjord/oslo-1", "bergen")
        (segment,) = path.segments
        assert (segment.from_node, segment.to_node, list(segment.countries)) == ("bergen", "oslo", ["NO"])
        assert segment.carrier and not segment.countries_unknown
        # Nor is it kept for longer than the instance answers.
        status.state = instance_pb2.INSTANCE_STATE_FAILED
        await agent.advertise(advert(order.name, status))
        async with asyncio.timeout(10):
            async for update in acme.WatchWorkload(service_pb2.WatchWorkloadRequest(name=NAME)):
                if update.workload.state != workload_pb2.WORKLOAD_STATE_RUNNING:
                    break
        assert (await refusal_of(acme.FindEndpoint(asked))).reason in {"UNAVAILABLE", "NO_FEASIBLE_ZONE"}


async def test_zones_and_network_are_shown(operator: Operator, acme: Any) -> None:
    async with AgentByHand(operator, "oslo-1") as agent:
        await agent.greet()
        await agent.advertise(advert("inventory", inventory()))
        zones = await acme.ListZones(service_pb2.ListZonesRequest())
        assert [zone.name for zone in zones.zones] == ["operators/nordfjord/zones/oslo-1"]
        network = await acme.GetNetwork(service_pb2.GetNetworkRequest())
    assert {node.name for node in network.nodes} >= {"oslo", "bergen"}


async def test_a_deadline_that_has_passed_ends_the_call_and_not_the_work(acme: Any) -> None:
    refusal = await refusal_of(acme.SubmitWorkload(submit(), timeout=0.000_001))
    assert refusal.code_seen is grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]
    assert (await acme.SubmitWorkload(submit())).workload.name == NAME


# --- defects ---


async def test_a_defect_is_told_without_a_word_about_the_inside(
    operator: Operator, acme: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail of the inside")

    monkeypatch.setattr(operator.running.application.queries, "zones", broken)
    refusal = await refusal_of(acme.ListZones(service_pb2.ListZonesRequest(), metadata=(("x-request-id", "mine"),)))
    assert refusal.reason == "INTERNAL"
    assert "secret" not in refusal.message
    assert "mine" in refusal.message
    assert (await acme.ListWorkloads(service_pb2.ListWorkloadsRequest())).workloads == []
