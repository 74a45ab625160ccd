"""The way to a partner that does not behave: an owner by hand behind real mutual TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from control_harness import Operator, authority_of, running, spec
from grpc_status import rpc_status
from hansa_control.adapters import partner_link
from hansa_control.adapters.authority import KeyPair, Role
from hansa_control.adapters.codec_workload import spec_in
from hansa_control.adapters.partner_link import PartnerLink
from hansa_control.application.partners import PartnerIngest
from hansa_control.application.ports import HoldRequest, OwnerUnreachable, RefusalError, StoreFailed
from hansa_control.domain.capabilities import OURS
from hansa_control.domain.model import Federation, Manifest, Reason
from structlog.testing import capture_logs

from hansa.errors import HansaError, to_status
from hansa.v1 import federation_service_pb2 as federation_pb2
from hansa.v1 import federation_service_pb2_grpc

PEM = b"-----BEGIN CERTIFICATE-----\nx\n"
HOLD = HoldRequest("c1", "oslo-1", spec_in(spec(), "spec"), 5_000)
Answer = Callable[[Any, Any], Any]


@dataclass
class OwnerByHand(federation_service_pb2_grpc.FederationServiceServicer):
    """Answers as it is told and counts what it is asked."""

    answer: Answer = field(default=lambda request, context: federation_pb2.HoldResponse())
    owner_name: str = "nordfjord"
    proposals: int = 0
    asked: int = 0
    streams: int = 0

    async def Propose(self, request: Any, context: Any) -> federation_pb2.ProposeResponse:
        self.proposals += 1
        return federation_pb2.ProposeResponse(
            context_id="ctx",
            owner_operator=self.owner_name,
            offer_ttl_ms=60_000,
            endpoint_ca_pem=PEM,
            capabilities=OURS,
        )

    async def Offers(self, request_iterator: Any, context: Any) -> None:
        self.streams += 1
        await asyncio.Event().wait()

    async def Hold(self, request: Any, context: Any) -> Any:
        return await self._answered(request, context)

    async def Confirm(self, request: Any, context: Any) -> Any:
        return await self._answered(request, context)

    async def Release(self, request: Any, context: Any) -> Any:
        return await self._answered(request, context)

    async def _answered(self, request: Any, context: Any) -> Any:
        self.asked += 1
        outcome = self.answer(request, context)
        return await outcome if asyncio.iscoroutine(outcome) else outcome


@dataclass
class Meeting:
    owner: OwnerByHand
    home: Operator

    @property
    def link(self) -> PartnerLink:
        return self.home.running.links["nordfjord"]


async def met(meeting: Meeting) -> None:
    async with asyncio.timeout(10):
        while meeting.home.running.application.partners.context("nordfjord") is None:
            await asyncio.sleep(0.01)


class Stage:
    """Brings an owner by hand and a real home operator together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.authority = authority_of("nordfjord")
        self.certified = Operator("nordfjord", folder / "owner", self.authority)

    async def play(self, owner: OwnerByHand, certificate: KeyPair | None = None) -> AsyncIterator[Meeting]:
        certificate = certificate or self.certified.certificate(Role.CONTROL_PLANE)
        home = Operator("fjordby", self._folder / "home", authority_of("fjordby"))
        server = grpc.aio.server()
        federation_service_pb2_grpc.add_FederationServiceServicer_to_server(owner, server)
        pairs = [(certificate.key_pem, certificate.cert_pem)]
        credentials = grpc.ssl_server_credentials(pairs, home.authority.cert_pem, True)
        port = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        home.partners = {"nordfjord": (f"127.0.0.1:{port}", self.authority.cert_pem)}
        async with running(home):
            yield Meeting(owner, home)
        await server.stop(0)


@pytest.fixture
async def meeting(tmp_path: Path) -> AsyncIterator[Meeting]:
    async for one in Stage(tmp_path).play(OwnerByHand()):
        await met(one)
        yield one


def grant(claim: str = "c1") -> federation_pb2.HoldResponse:
    return federation_pb2.HoldResponse(grant=federation_pb2.HoldGrant(claim=claim, fencing_token=7, lease_ms=100))


def refuse(code: grpc.StatusCode) -> Answer:
    async def answer(request: Any, context: Any) -> None:
        await context.abort(code, "no")

    return answer


# --- answers ---


async def test_a_good_answer_is_taken(meeting: Meeting) -> None:
    meeting.owner.answer = lambda request, context: grant()
    granted = await meeting.link.hold(HOLD)
    assert (granted.claim, granted.fencing_token) == ("c1", 7)  # type: ignore[union-attr]


async def test_a_grant_for_another_claim_is_no_grant(meeting: Meeting) -> None:
    meeting.owner.answer = lambda request, context: grant("c2")
    with pytest.raises(OwnerUnreachable, match=r"c1.*c2"):
        await meeting.link.hold(HOLD)


@pytest.mark.parametrize("call", ["confirm", "release"])
async def test_a_status_of_another_claim_is_no_answer(meeting: Meeting, call: str) -> None:
    status = federation_pb2.ClaimStatus(claim="c2", state=federation_pb2.CLAIM_STATE_ALLOCATED)
    answers = {"confirm": federation_pb2.ConfirmResponse, "release": federation_pb2.ReleaseResponse}
    meeting.owner.answer = lambda request, context: answers[call](status=status)
    calls = {
        "confirm": lambda: meeting.link.confirm("c1", 7, Manifest("tenants/a/workloads/b", PEM, ())),
        "release": lambda: meeting.link.release("c1", Reason.NO_FEASIBLE_ZONE),
    }
    with pytest.raises(OwnerUnreachable, match="c2"):
        await calls[call]()


async def test_an_answer_that_makes_no_sense_leaves_open_whether_the_owner_acted(meeting: Meeting) -> None:
    meeting.owner.answer = lambda request, context: federation_pb2.HoldResponse()
    with pytest.raises(OwnerUnreachable, match="nonsense: outcome"):
        await meeting.link.hold(HOLD)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN])
async def test_a_failure_of_the_owner_leaves_open_whether_it_acted(meeting: Meeting, code: grpc.StatusCode) -> None:
    meeting.owner.answer = refuse(code)
    with pytest.raises(OwnerUnreachable, match=code.name):
        await meeting.link.hold(HOLD)


async def test_an_owner_that_does_not_answer_in_time_is_unreachable(
    meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partner_link, "CALL_TIMEOUT_S", 0.05)
    meeting.owner.answer = lambda request, context: asyncio.Event().wait()
    with pytest.raises(OwnerUnreachable, match="DEADLINE_EXCEEDED"):
        await meeting.link.hold(HOLD)


async def test_what_the_owner_refuses_keeps_its_reason_and_field(meeting: Meeting) -> None:
    async def answer(request: Any, context: Any) -> None:
        refusal = HansaError("FENCED", "a newer holder", field="fencing_token")
        await context.abort_with_status(rpc_status.to_status(to_status(refusal)))

    meeting.owner.answer = answer
    with pytest.raises(RefusalError) as refusal:
        await meeting.link.release("c1", Reason.NO_FEASIBLE_ZONE)
    assert (refusal.value.reason, refusal.value.field) == (Reason.FENCED, "fencing_token")
    assert "nordfjord" in refusal.value.message


async def test_after_failures_in_a_row_the_owner_is_not_asked_for_a_while(meeting: Meeting) -> None:
    meeting.owner.answer = refuse(grpc.StatusCode.UNAVAILABLE)
    for _ in range(5):
        with pytest.raises(OwnerUnreachable):
            await meeting.link.hold(HOLD)
    assert meeting.owner.asked == 3


async def test_refusals_do_not_open_the_circuit(meeting: Meeting) -> None:
    meeting.owner.answer = refuse(grpc.StatusCode.NOT_FOUND)
    for _ in range(5):
        with pytest.raises(RefusalError):
            await meeting.link.hold(HOLD)
    assert meeting.owner.asked == 5


# --- who answers ---


async def lost_for_a_reason(stage: AsyncIterator[Meeting]) -> tuple[str, Meeting]:
    """The first reason that the home operator logs for not following its partner."""
    with capture_logs() as lines:
        async for meeting in stage:
            async with asyncio.timeout(10):
                while not (reasons := [line["reason"] for line in lines if line["event"] == "partner_lost"]):
                    await asyncio.sleep(0.01)
            found = (str(reasons[0]), meeting)
            assert meeting.home.running.application.partners.context("nordfjord") is None
    return found


async def test_an_agent_of_the_partner_cannot_stand_in_for_its_control_plane(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    reason, meeting = await lost_for_a_reason(
        stage.play(OwnerByHand(), stage.certified.certificate(Role.AGENT, "oslo-1"))
    )
    assert "UNAVAILABLE" in reason
    assert meeting.owner.proposals == 0


async def test_an_owner_that_answers_in_another_name_is_not_followed(tmp_path: Path) -> None:
    reason, meeting = await lost_for_a_reason(Stage(tmp_path).play(OwnerByHand(owner_name="havnby")))
    assert "answered by havnby" in reason
    assert meeting.owner.streams == 0


async def test_a_partner_that_is_lost_is_logged_once_and_tried_again(tmp_path: Path) -> None:
    with capture_logs() as lines:
        async for meeting in Stage(tmp_path).play(OwnerByHand(owner_name="havnby")):
            async with asyncio.timeout(10):
                while meeting.owner.proposals < 3:
                    await asyncio.sleep(0.01)
    assert len([line for line in lines if line["event"] == "partner_lost"]) == 1


# --- defects ---


async def test_a_defect_that_a_partner_meets_is_told_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PartnerIngest, "federated", raising(ZeroDivisionError("by a defect")))
    with capture_logs() as lines:
        async for meeting in Stage(tmp_path).play(OwnerByHand()):
            async with asyncio.timeout(10):
                while meeting.owner.proposals < 3:
                    await asyncio.sleep(0.01)
    defects = [line for line in lines if line["event"] == "defect"]
    assert len(defects) >= 2
    assert {(line["duty"], line["owner"]) for line in defects} == {("offers", "nordfjord")}


async def test_a_store_that_fails_while_a_partner_is_followed_is_no_matter_of_the_partner(
    meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PartnerIngest, "federated", raising(StoreFailed("disk full")))
    with pytest.raises(StoreFailed, match="disk full"):
        async with asyncio.timeout(10):
            await meeting.link.run()


def raising(error: Exception) -> Any:
    async def federated(self: PartnerIngest, federation: Federation) -> None:
        raise error

    return federated
