"""Two control planes over real mutual TLS, one of which does not sign what it should."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from control_harness import NOWHERE, AgentByHand, Operator, advert, authority_of, fact, inventory, running, spec
from hansa_control.adapters.authority import KeyPair, Role
from hansa_control.adapters.codec_workload import spec_in
from hansa_control.adapters.seals import CertificateSigner
from hansa_control.application.control_plane import ControlPlane
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import (
    HoldGrant,
    PlacementState,
    Reason,
    ResidencyPolicy,
    SiteRule,
    Workload,
    WorkloadId,
    WorkloadSpec,
)
from hansa_control.domain.seals import Seal, Signed

TENANT = "spiffe://fjordby.hansa.example/tenant/harbour"
OCR = WorkloadId("harbour", "ocr")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


class Pair:
    """Fjordby is home and has no zone of its own; nordfjord owns oslo-1, with an agent by hand."""

    def __init__(self, home: Operator, owner: Operator) -> None:
        self.home, self.owner = home, owner

    @property
    def plane(self) -> ControlPlane:
        return self.home.running.application

    @property
    def workload(self) -> Workload:
        return self.plane.state.workloads[str(OCR)]

    async def submit(self, name: str = "ocr", asked: WorkloadSpec | None = None) -> None:
        wanted = asked or spec_in(spec(), "spec")
        await self.plane.workloads.submit(TENANT, f"r-{name}", WorkloadId("harbour", name), wanted, f"digest-{name}")

    def warnings(self) -> list[str]:
        return [f"{e.reason}: {e.message}" for e in self.plane.state.events.values() if e.level.value == "WARNING"]

    def claims_of_the_owner(self) -> list[str]:
        return [claim.name for claim in self.owner.running.application.state.claims.values()]


@asynccontextmanager
async def federated(folder: Path, **settings: Any) -> AsyncIterator[Pair]:
    """Both operators, running; settings are of the owner's configuration."""
    owner = Operator("nordfjord", folder / "owner", authority_of("nordfjord"), settings=settings)
    home = Operator("fjordby", folder / "home", authority_of("fjordby"))
    owner.partners = {"fjordby": (NOWHERE, home.authority.cert_pem)}
    async with running(owner), AgentByHand(owner, "oslo-1") as agent:
        await agent.greet()
        await agent.advertise(advert("inventory", inventory()), advert("facts/SITE_COUNTRY/0", fact()))
        home.partners = {"nordfjord": (owner.address("partners"), owner.authority.cert_pem)}
        async with running(home):
            pair = Pair(home, owner)
            await until(lambda: any(zone.id.zone == "oslo-1" for zone in pair.plane.world.partner_zones()))
            yield pair


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with federated(tmp_path) as one:
        yield one


class SignerOf:
    """Signs with another key than the owner's own."""

    def __init__(self, certificate: KeyPair) -> None:
        self._signer = CertificateSigner(certificate)

    def sign(self, payload: bytes) -> Signed:
        return self._signer.sign(payload)

    def check(self, operator: str, payload: bytes, signed: Signed, at_ms: int) -> None:
        raise AssertionError("an owner checks nothing")


def altered(pair: Pair, alter: Callable[[HoldGrant], HoldGrant]) -> None:
    """The owner answers every hold with another grant than it has signed."""
    owner: Any = pair.owner.running.application.owner
    sign = owner.hold

    async def hold(home: str, request: Any) -> Any:
        outcome = await sign(home, request)
        return alter(outcome) if isinstance(outcome, HoldGrant) else outcome

    owner.hold = hold


def with_terms(grant: HoldGrant, **changed: Any) -> HoldGrant:
    assert grant.seal is not None
    return replace(grant, seal=replace(grant.seal, terms=replace(grant.seal.terms, **changed)))


async def refused(pair: Pair) -> str:
    """What the home operator says of the grant, once it has given everything back and kept no proof."""
    await pair.submit()
    await until(lambda: any(line.startswith("HoldFailed") for line in pair.warnings()))
    await until(lambda: not pair.claims_of_the_owner())
    assert not [p for p in pair.workload.placements if p.state in {PlacementState.STARTING, PlacementState.READY}]
    assert not pair.plane.state.grants
    line = next(line for line in pair.warnings() if line.startswith("HoldFailed"))
    assert str(Reason.GRANT_INVALID) in line
    counts = pair.home.running._counts()
    assert counts["broken|nordfjord|GRANT_INVALID"] >= 1
    assert counts["held|nordfjord"] >= 990
    return line


async def test_a_signed_grant_places_the_workload_and_is_kept(pair: Pair) -> None:
    await pair.submit()
    await until(lambda: bool(pair.plane.state.grants))
    await until(lambda: pair.workload.placements[0].state is PlacementState.STARTING)
    (placement,) = pair.workload.placements
    kept = pair.plane.state.grants[placement.claim]
    assert (kept.workload, kept.spec) == (str(OCR), pair.workload.spec)
    terms = kept.seal.terms
    assert (terms.owner, terms.home, terms.zone) == ("nordfjord", "fjordby", "oslo-1")
    assert terms.fencing_token == placement.fencing_token
    assert terms.policy_applied_digest == terms.policy_asked_digest


async def test_a_grant_without_a_signature_is_refused(pair: Pair) -> None:
    altered(pair, lambda grant: replace(grant, seal=None))
    assert "not signed" in await refused(pair)


async def test_a_partner_with_another_key_is_refused(pair: Pair) -> None:
    # The certificate of its TLS listener is good; that of its signature is of an authority that nobody trusts.
    pair.owner.running.application.owner.seals = SignerOf(
        Operator("nordfjord", Path(), authority_of("nordfjord")).certificate(Role.CONTROL_PLANE)
    )
    assert "was not issued by the authority of its name" in await refused(pair)


async def test_a_grant_signed_by_an_agent_of_the_partner_is_refused(pair: Pair) -> None:
    pair.owner.running.application.owner.seals = SignerOf(pair.owner.certificate(Role.AGENT, "oslo-1"))
    assert "agent/oslo-1 signed" in await refused(pair)


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (lambda grant: replace(grant, fencing_token=grant.fencing_token + 1), "signature"),
        (lambda grant: replace(grant, lease_ms=grant.lease_ms - 1), "signature"),
        (lambda grant: with_terms(grant, granted_at_ms=grant.seal.terms.granted_at_ms + 1), "signature"),
        (lambda grant: with_terms(grant, context_id="another"), "context_id is another"),
        (lambda grant: with_terms(grant, zone="oslo-2"), "zone is oslo-2"),
    ],
    ids=["fencing token", "lease", "time", "context", "zone"],
)
async def test_a_grant_that_was_tampered_with_is_refused(
    pair: Pair, tamper: Callable[[HoldGrant], HoldGrant], told: str
) -> None:
    altered(pair, tamper)
    assert told in await refused(pair)


async def test_the_grant_of_another_claim_is_refused_as_if_it_were_replayed(pair: Pair) -> None:
    await pair.submit("first")
    await until(lambda: bool(pair.plane.state.grants))
    (first,) = pair.plane.state.grants.values()

    def replayed(grant: HoldGrant) -> HoldGrant:
        seal: Seal = first.seal
        return HoldGrant(grant.claim, seal.terms.fencing_token, seal.terms.lease_ms, seal.terms.pool, seal)

    altered(pair, replayed)
    await pair.submit()
    await until(lambda: any("GRANT_INVALID" in line for line in pair.warnings()))
    await until(lambda: pair.claims_of_the_owner() == [first.seal.terms.claim])
    assert list(pair.plane.state.grants) == [first.seal.terms.claim]


async def test_an_owner_with_a_law_of_its_own_shows_the_policy_that_it_applied(tmp_path: Path) -> None:
    law = tmp_path / "law.yaml"
    law.write_text("kind: Law\nowner: {data: [NO]}\n")
    async with federated(tmp_path, law=str(law)) as pair:
        await pair.submit()
        await until(lambda: bool(pair.plane.state.grants))
        (kept,) = pair.plane.state.grants.values()
        applied = kept.seal.policy_applied
        assert applied is not None and applied.site is not None
        assert applied.site.countries_allowed == frozenset({"NO"})
        assert kept.seal.terms.policy_applied_digest != kept.seal.terms.policy_asked_digest


async def test_a_laxer_policy_is_refused_though_the_owner_has_signed_it(pair: Pair) -> None:
    owner = pair.owner.running.application.owner
    asked = spec_in(spec(), "spec")
    strict = replace(asked, residency=ResidencyPolicy(site=SiteRule(frozenset({"NO"}))))
    owner._laws.owned = lambda judged: replace(judged, residency=ResidencyPolicy())  # type: ignore[method-assign]
    await pair.submit("ocr", strict)
    await until(lambda: any("policy_applied is laxer" in line for line in pair.warnings()))
    await until(lambda: not pair.claims_of_the_owner())


async def test_a_partner_that_calls_too_often_is_told_so_and_counted(tmp_path: Path) -> None:
    async with federated(tmp_path, limits={"partner_calls_per_s": 1, "partner_calls_burst": 3}) as pair:
        link = pair.home.running.links["nordfjord"]
        refused = 0
        for _ in range(4):
            try:
                await link.release("c1", Reason.WORKLOAD_MOVED)
            except RefusalError as refusal:
                assert refusal.reason is Reason.LIMIT_EXCEEDED
                refused += 1
        assert refused >= 2
        assert pair.owner.running._counts()["limited|fjordby"] == refused
