"""What every listener has: health, reflection, limits, an orderly end; and the whole as a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from control_harness import AgentByHand, Operator, authority_of, refusal_of, running, spec
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from hansa_control.adapters.authority import Role
from hansa_control.application.ports import StoreFailed

from hansa.v1 import workload_service_pb2 as service_pb2
from hansa.v1 import workload_service_pb2_grpc

SERVICES = {
    "api": (
        "hansa.v1.WorkloadService",
        "hansa.v1.PartnerService",
        "hansa.v1.SnapshotService",
        "hansa.v1.UsageService",
        "hansa.v1.ZoneService",
    ),
    "agents": ("hansa.v1.AgentService",),
    "partners": ("hansa.v1.FederationService",),
}
NAME = "tenants/acme/workloads/ocr"
PROCESS_TIMEOUT_S = 60


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Operator]:
    async with running(Operator("nordfjord", tmp_path, authority_of("nordfjord"))) as started:
        yield started


@pytest.mark.parametrize("listener", SERVICES)
async def test_every_listener_tells_of_its_health(operator: Operator, listener: str) -> None:
    async with operator.channel(listener, operator.certificate(Role.CONTROL_PLANE)) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", *SERVICES[listener]):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        listed = await stub.List(health_pb2.HealthListRequest())
        assert {name: told.status for name, told in listed.statuses.items()} == dict.fromkeys(
            ("", *SERVICES[listener]), health_pb2.HealthCheckResponse.SERVING
        )
        unknown = await refusal_of(stub.Check(health_pb2.HealthCheckRequest(service="nobody")))
        assert unknown.code_seen is grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]


@pytest.mark.parametrize("listener", SERVICES)
async def test_every_listener_tells_of_its_services_and_of_no_other(operator: Operator, listener: str) -> None:
    async with operator.channel(listener, operator.certificate(Role.CONTROL_PLANE)) as channel:
        call: Any = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        answer = await call.read()
        names = {service.name for service in answer.list_services_response.service}
        call.cancel()
    assert {name for name in names if name.startswith("hansa.")} == {*SERVICES[listener]}


async def test_a_service_of_another_listener_is_not_served(operator: Operator) -> None:
    async with operator.channel("agents", operator.certificate(Role.TENANT, "acme")) as channel:
        stub = workload_service_pb2_grpc.WorkloadServiceStub(channel)
        refusal = await refusal_of(stub.ListZones(service_pb2.ListZonesRequest()))
    assert refusal.code_seen is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]


async def test_more_calls_at_once_than_allowed_are_refused(tmp_path: Path) -> None:
    settings = {"limits": {"concurrent_calls_max": 1}}
    async with (
        running(Operator("nordfjord", tmp_path, authority_of("nordfjord"), settings=settings)) as operator,
        AgentByHand(operator, "oslo-1") as first,
    ):
        await first.greet()
        async with AgentByHand(operator, "bergen-1") as second:
            assert (await refusal_of(second.greet())).reason == "LIMIT_EXCEEDED"


async def test_one_connection_does_not_fill_a_listener_with_calls_that_ask_nothing(tmp_path: Path) -> None:
    settings = {"limits": {"concurrent_calls_max": 16}}
    request = service_pb2.GetWorkloadRequest(name=NAME)
    async with (
        running(Operator("nordfjord", tmp_path, authority_of("nordfjord"), settings=settings)) as operator,
        operator.channel("api", operator.certificate(Role.TENANT, "umbrella")) as greedy,
        operator.channel("api", operator.certificate(Role.TENANT, "acme")) as modest,
    ):
        begin = greedy.stream_stream("/hansa.v1.WorkloadService/GetWorkload")
        begun = [begin() for _ in range(40)]
        stub: Any = workload_service_pb2_grpc.WorkloadServiceStub(greedy)
        waits = await refusal_of(stub.GetWorkload(request, timeout=0.5))
        assert waits.code_seen is grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]
        stub = workload_service_pb2_grpc.WorkloadServiceStub(modest)
        assert (await refusal_of(stub.GetWorkload(request))).reason == "NOT_FOUND"
        for call in begun:
            call.cancel()


async def test_a_store_that_fails_is_told_as_unavailable_and_ends_the_process(tmp_path: Path) -> None:
    operator = Operator("nordfjord", tmp_path, authority_of("nordfjord"))
    request = service_pb2.SubmitWorkloadRequest(request_id="r1", name=NAME, spec=spec())
    with pytest.raises(StoreFailed, match="disk full"):
        async with (
            running(operator),
            operator.channel("api", operator.certificate(Role.TENANT, "acme")) as channel,
        ):
            operator.store.fail("disk full")
            stub = workload_service_pb2_grpc.WorkloadServiceStub(channel)
            assert (await refusal_of(stub.SubmitWorkload(request))).reason == "UNAVAILABLE"


async def test_while_the_store_waits_nothing_new_is_promised_what_is_known_is_answered_and_health_says_so(
    operator: Operator,
) -> None:
    submit = service_pb2.SubmitWorkloadRequest(request_id="r1", name=NAME, spec=spec())
    delete = service_pb2.DeleteWorkloadRequest(request_id="r2", name=NAME)
    async with operator.channel("api", operator.certificate(Role.TENANT, "acme")) as channel:
        stub: Any = workload_service_pb2_grpc.WorkloadServiceStub(channel)
        health = health_pb2_grpc.HealthStub(channel)
        await stub.SubmitWorkload(submit)
        operator.store.trouble = "state.db: database or disk is full"
        for asked in (stub.SubmitWorkload(submit), stub.DeleteWorkload(delete)):
            refusal = await refusal_of(asked)
            assert (refusal.reason, "database or disk is full" in refusal.message) == ("UNAVAILABLE", True)
            assert refusal.retry_after_ms > 0
        assert (await stub.GetWorkload(service_pb2.GetWorkloadRequest(name=NAME))).workload.name == NAME
        for service in ("", *SERVICES["api"]):
            await becomes(health, service, health_pb2.HealthCheckResponse.NOT_SERVING)
        operator.store.trouble = ""
        for service in ("", *SERVICES["api"]):
            await becomes(health, service, health_pb2.HealthCheckResponse.SERVING)
        await stub.DeleteWorkload(delete)


async def becomes(health: Any, service: str, status: int) -> None:
    """Returns once the health of a service is told so; "" is the listener as a whole."""
    async with asyncio.timeout(PROCESS_TIMEOUT_S):
        async for told in health.Watch(health_pb2.HealthCheckRequest(service=service)):
            if told.status == status:
                return


# --- as a process ---


@asynccontextmanager
async def process(config: Path, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [
        sys.executable,
        "-c",
        "from hansa_control.bootstrap import main; main()",
        "serve",
        "--config",
        str(config),
    ]
    started = await asyncio.create_subprocess_exec(
        *command,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},  # noqa: TID251 - a process inherits it
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
            await started.wait()


async def line_of(started: asyncio.subprocess.Process, event: str) -> dict[str, Any]:
    assert started.stderr is not None
    seen: list[bytes] = []
    async with asyncio.timeout(PROCESS_TIMEOUT_S):
        async for line in started.stderr:
            seen.append(line)
            if line.startswith(b"{") and json.loads(line)["event"] == event:
                found: dict[str, Any] = json.loads(line)
                return found
    raise AssertionError(f"ended without {event}: {seen}")


async def test_a_process_says_when_it_is_ready_and_ends_with_0_when_asked(tmp_path: Path) -> None:
    operator = Operator("nordfjord", tmp_path, authority_of("nordfjord"))
    async with process(operator.write_config()) as started:
        ready = await line_of(started, "ready")
        assert ready["operator"] == "nordfjord"
        assert set(ready["ports"]) == {"api", "agents", "partners", "metrics"}
        _, writer = await asyncio.open_connection("127.0.0.1", ready["ports"]["api"])
        writer.close()
        started.send_signal(signal.SIGTERM)
        await line_of(started, "stopped")
        assert await started.wait() == 0


async def test_what_was_accepted_survives_kill_9(tmp_path: Path) -> None:
    operator = Operator("nordfjord", tmp_path, authority_of("nordfjord"))
    config = operator.write_config()
    tenant = operator.certificate(Role.TENANT, "acme")

    @asynccontextmanager
    async def api(port: int) -> AsyncIterator[Any]:
        credentials = grpc.ssl_channel_credentials(operator.authority.cert_pem, tenant.key_pem, tenant.cert_pem)
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
            yield workload_service_pb2_grpc.WorkloadServiceStub(channel)

    async with process(config) as first:
        ready = await line_of(first, "ready")
        async with api(ready["ports"]["api"]) as stub:
            request = service_pb2.SubmitWorkloadRequest(request_id="r1", name=NAME, spec=spec())
            accepted = await stub.SubmitWorkload(request)
        first.kill()
        await first.wait()
    async with process(config) as second:
        ready = await line_of(second, "ready")
        async with api(ready["ports"]["api"]) as stub:
            again = await stub.SubmitWorkload(request)
    assert again.workload.uid == accepted.workload.uid


async def test_a_wrong_configuration_ends_with_2_and_one_line(tmp_path: Path) -> None:
    config = Operator("nordfjord", tmp_path, authority_of("nordfjord"), settings={"listne": {}}).write_config()
    async with process(config) as started:
        assert started.stderr is not None
        output = (await started.stderr.read()).decode()
        assert await started.wait() == 2
    assert "listne: unknown key; did you mean listen?" in output
    assert "Traceback" not in output


async def test_a_certificate_of_another_operator_ends_with_2(tmp_path: Path) -> None:
    config = Operator("nordfjord", tmp_path, authority_of("fjordby")).write_config()
    async with process(config) as started:
        assert started.stderr is not None
        output = (await started.stderr.read()).decode()
        assert await started.wait() == 2
    assert "was not issued by the authority of its name" in output


async def test_an_address_that_is_taken_ends_with_4(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = Operator("nordfjord", tmp_path, authority_of("nordfjord")).write_config()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with process(config, HANSA_LISTEN__AGENTS=address) as started:
            assert await asyncio.wait_for(started.wait(), PROCESS_TIMEOUT_S) == 4


async def test_a_store_that_is_not_sound_ends_with_3(tmp_path: Path) -> None:
    config = Operator("nordfjord", tmp_path, authority_of("nordfjord")).write_config()
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.db").write_bytes(b"no database" * 1000)
    async with process(config) as started:
        assert await asyncio.wait_for(started.wait(), PROCESS_TIMEOUT_S) == 3
