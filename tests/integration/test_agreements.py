"""The life of an agreement between two real control planes: real servers, real mutual TLS, a file that is edited."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from federated_pair import YARD, Pair, federated, until
from hansa_control.adapters.authority import Role, control_plane_host
from hansa_control.application.ports import Refused
from hansa_control.domain.agreement import AgreementState
from hansa_control.domain.model import HoldGrant, Reason, WorkloadId, WorkloadState, ZoneState

from hansa.client import Client
from hansa.errors import HansaError
from hansa.profile import Profile
from hansa.v1 import federation_service_pb2 as federation_pb2

OTHER = WorkloadId("harbour", "gate-ocr")


def zone_state(pair: Pair) -> ZoneState:
    return next(zone.state for zone in pair.plane.queries.zones("", 100) if zone.id.operator == "fjordby")


def reasons(pair: Pair, name: WorkloadId) -> list[Reason]:
    stored = pair.plane.state.recent_decisions.get(str(name))
    return [rejection.reason for rejection in stored.decision.rejections] if stored else []


async def test_a_suspended_partner_takes_nothing_new_and_what_runs_goes_on(tmp_path: Path) -> None:
    async with federated(tmp_path) as pair:
        await pair.submit()
        await pair.runs_in("fjordby/sto-1")
        pair.agree(standing="suspended")
        await pair.is_told(AgreementState.SUSPENDED)
        assert zone_state(pair) is ZoneState.AGREEMENT_SUSPENDED
        await pair.submit(OTHER)
        await until(lambda: pair.workload(OTHER).state is WorkloadState.UNPLACEABLE)
        assert reasons(pair, OTHER) == [Reason.AGREEMENT_SUSPENDED]
        assert pair.workload().state is WorkloadState.RUNNING
        pair.agree()
        await pair.is_told(AgreementState.IN_FORCE)
        await pair.runs_in("fjordby/sto-1", OTHER)


async def test_an_owner_refuses_what_a_home_asks_that_has_not_heard_yet(tmp_path: Path) -> None:
    async with federated(tmp_path) as pair:
        pair.agree(standing="suspended")
        await until(lambda: _state_at_owner(pair) is AgreementState.SUSPENDED)
        outcome = await pair.link.hold(pair.request("c1"))
        assert isinstance(outcome, Refused)
        (rejection,) = outcome.rejections
        assert (rejection.reason, rejection.result.measured) == (Reason.AGREEMENT_SUSPENDED, "suspended")


def _state_at_owner(pair: Pair) -> AgreementState | None:
    standing = pair.owner_plane.agreements.standing("nordfjord")
    return standing.state if standing else None


async def test_a_narrower_quota_leaves_what_runs_and_refuses_the_next_hold_by_name(tmp_path: Path) -> None:
    async with federated(tmp_path) as pair:
        assert isinstance(await pair.link.hold(pair.request("c1")), HoldGrant)
        assert isinstance(await pair.link.hold(pair.request("c2")), HoldGrant)
        pair.agree(quotas=[{"claims": 2, "cpu_cores": 2}])
        await pair.is_told(AgreementState.IN_FORCE, version=2)
        outcome = await pair.link.hold(pair.request("c3"))
        assert isinstance(outcome, Refused)
        assert [one.reason for one in outcome.rejections] == [Reason.QUOTA_EXCEEDED] * 2
        cpu, claims = (one.result for one in outcome.rejections)
        assert (cpu.measured, cpu.bound) == ("2000 cpu_millis taken, 1000 asked", "<= 2000 cpu_millis in *")
        assert (claims.measured, claims.bound) == ("2 claims taken, 1 asked", "<= 2 claims in *")
        assert cpu.evidence.startswith("agreement with nordfjord, version 2, sha256:")
        # What was granted before is still there, and what it was granted as.
        assert isinstance(await pair.link.hold(pair.request("c1")), HoldGrant)
        pair.agree(quotas=[{"claims": 3}])
        await pair.is_told(AgreementState.IN_FORCE, version=3)
        assert isinstance(await pair.link.hold(pair.request("c3")), HoldGrant)
        granted = {claim.name: claim.agreement_version for claim in pair.owner_plane.state.claims.values()}
        assert granted == {"c1": 1, "c2": 1, "c3": 3}


async def test_a_zone_that_is_not_offered_is_neither_shown_nor_granted(tmp_path: Path) -> None:
    async with federated(tmp_path) as pair:
        pair.agree(zones=["malmo-*"])
        await until(lambda: pair.plane.queries.zones("", 100) == ())
        for zone in ("sto-1", "never-was"):
            outcome = await pair.link.hold(pair.request("c1", zone))
            assert isinstance(outcome, Refused)
            assert [one.reason for one in outcome.rejections] == [Reason.ZONE_NOT_OFFERED]


async def test_what_a_partner_sees_is_what_was_agreed(tmp_path: Path) -> None:
    coarse = [{"place": "coarse", "room": "bands", "most": {"cpu_cores": 2}}]
    async with federated(tmp_path, disclose=coarse) as pair:
        (zone,) = pair.plane.queries.zones("", 100)
        assert zone.inventory.title == ""
        assert zone.free.cpu_millis == 2_000
        assert [fact.value for fact in zone.facts] == ["SE"]
        node = next(node for node in pair.plane.queries.network().nodes if node.name == "stockholm")
        assert (node.country, node.title, node.latitude_deg, node.coarse) == ("SE", "", 59.5, True)
        await pair.submit()
        await pair.runs_in("fjordby/sto-1")


async def test_a_terminated_agreement_is_left_before_it_ends_without_a_moment_of_silence(tmp_path: Path) -> None:
    async with federated(tmp_path) as pair:
        await pair.submit()
        await pair.runs_in("fjordby/sto-1")
        await pair.add_agent(pair.home, "oslo-1", "oslo", "NO")
        silent: list[str] = []
        watching = asyncio.create_task(pair.watch(silent))
        pair.agree(standing="terminated", terms={"notice": "1h"})
        await pair.runs_in("nordfjord/oslo-1")
        await until(lambda: _state_at_owner(pair) is AgreementState.TERMINATED)
        watching.cancel()
        assert silent == []
        await until(lambda: pair.agents[0].urls == {})
        assert pair.owner_plane.state.claims == {}
        await until(lambda: {zone.id.operator for zone in pair.plane.queries.zones("", 9)} == {"nordfjord"})


def profile(pair: Pair, role: Role, name: str = "") -> Profile:
    """Of the owner's API, with a certificate of a role."""
    folder = pair.owner.folder / f"{role.value}-{name}"
    folder.mkdir()
    certificate = pair.owner.certificate(role, name)
    files = {"ca": pair.owner.authority.cert_pem, "me": certificate.cert_pem, "key": certificate.key_pem}
    for file, pem in files.items():
        (folder / file).write_bytes(pem)
    host = control_plane_host("fjordby.hansa.example")
    return Profile(pair.owner.address("api"), "ops", folder / "ca", folder / "me", folder / "key", host)


async def test_the_operator_sees_how_its_agreements_stand_and_an_app_team_does_not(tmp_path: Path) -> None:
    async with federated(tmp_path, quotas=[{"claims": 3}], reference="contract 7") as pair:
        assert isinstance(await pair.link.hold(pair.request("c1")), HoldGrant)
        async with Client(profile(pair, Role.CONTROL_PLANE)) as client:
            ours, theirs = (await client.partners()).partnerships
        assert (ours.partner, ours.reference, ours.claims) == ("nordfjord", "contract 7", 1)
        assert ours.standing.state == federation_pb2.AGREEMENT_STATE_IN_FORCE
        assert [(use.what, use.used, use.most) for use in ours.quotas] == [("claims", 1, 3)]
        assert pair.told is not None
        assert (ours.standing.version, ours.standing.digest) == (pair.told.version, pair.told.digest)
        assert not theirs.HasField("standing")
        async with Client(profile(pair, Role.TENANT, "harbour")) as client:
            with pytest.raises(HansaError, match="PERMISSION_DENIED"):
                await client.partners()


async def test_with_nowhere_to_go_a_workload_stays_until_the_deadline_and_then_is_stopped(tmp_path: Path) -> None:
    async with federated(tmp_path) as pair:
        await pair.submit()
        await pair.runs_in("fjordby/sto-1")
        pair.agree(standing="terminated", terms={"notice": "2s"})
        await pair.is_told(AgreementState.DRAINING, version=2)
        await until(lambda: any(one.type == "Stranded" for one in pair.workload().conditions))
        assert pair.workload().state is WorkloadState.RUNNING
        assert reasons(pair, YARD) == []
        await until(lambda: pair.workload().state is WorkloadState.UNPLACEABLE)
        await until(lambda: pair.agents[0].urls == {})
        await until(lambda: pair.owner_plane.state.claims == {})


async def test_an_owner_that_restarts_in_the_middle_of_draining_keeps_the_deadline(tmp_path: Path) -> None:
    async with federated(tmp_path) as pair:
        await pair.submit()
        await pair.runs_in("fjordby/sto-1")
        pair.agree(standing="terminated", terms={"notice": "1h"})
        await pair.is_told(AgreementState.DRAINING, version=2)
        before, context = pair.told, pair.link._context_id()
        assert before is not None
        pair.agree(standing="terminated", terms={"notice": "2h"})
        silent: list[str] = []
        watching = asyncio.create_task(pair.watch(silent))
        await pair.restart_owner()
        assert pair.owner_plane.agreements.standing("nordfjord") == before
        await pair.connect(pair.agents[0])
        assert pair.zones_of() == ["fjordby/sto-1"]
        await pair.add_agent(pair.home, "oslo-1", "oslo", "NO")
        await pair.runs_in("nordfjord/oslo-1")
        await until(lambda: _state_at_owner(pair) is AgreementState.TERMINATED)
        watching.cancel()
        assert silent == []
        pair.agree()
        await pair.is_told(AgreementState.IN_FORCE)
        assert pair.link._context_id() != context
