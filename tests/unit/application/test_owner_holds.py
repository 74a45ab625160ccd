"""What an owner answers to a hold: every reason against it, and the same hold asked for again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hansa_control.application.ports import RefusalError, Refused, StoreFailed
from hansa_control.domain.model import (
    AcceleratorNeed,
    AccessDemand,
    ArtefactRef,
    ClaimState,
    FactKind,
    HoldGrant,
    LatencyBudget,
    LegalRule,
    Reason,
    ResidencyPolicy,
    SiteRule,
    TransitRule,
    ZoneId,
)
from home_operator import ARTEFACT
from own_zones import (
    GOTEBORG,
    NEEDS_L4,
    OPERATOR,
    OSLO,
    fact,
    granted,
    own_zones,
    partner_zone,
    reasons,
    with_oslo,
)

NO = frozenset({"NO"})
SITE_NO = ResidencyPolicy(site=SiteRule(NO))
LEGAL_NO = ResidencyPolicy(legal=LegalRule(NO))
TRANSIT_NO = ResidencyPolicy(transit=TransitRule(NO))


def from_point(name: str) -> tuple[AccessDemand, ...]:
    return (AccessDemand(name, 1_000),)


# --- reasons against a hold -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "zone", "expected"),
    [
        ({"cpu_millis": 4_001}, {}, [Reason.CPU_EXHAUSTED]),
        ({"cpu_millis": 2_001, "replicas": 2}, {}, [Reason.CPU_EXHAUSTED]),
        ({"memory_mib": 8_193}, {}, [Reason.MEMORY_EXHAUSTED]),
        ({"memory_mib": 4_097, "replicas": 2}, {}, [Reason.MEMORY_EXHAUSTED]),
        ({"artefact": ArtefactRef("another", ARTEFACT.digest)}, {}, [Reason.ARTEFACT_NOT_ALLOWED]),
        ({"artefact": ArtefactRef("ocr-server", "sha256:" + "b" * 64)}, {}, [Reason.ARTEFACT_NOT_ALLOWED]),
        ({}, {"artefacts": ()}, [Reason.ARTEFACT_NOT_ALLOWED]),
        ({}, {"cordoned": True}, [Reason.ZONE_CORDONED]),
        ({"accelerator": AcceleratorNeed(("L4",), 5, 0)}, {}, [Reason.GPU_EXHAUSTED]),
        ({"accelerator": AcceleratorNeed(("L4",), 2, 0), "replicas": 3}, {}, [Reason.GPU_EXHAUSTED]),
        (
            {"accelerator": AcceleratorNeed(("H100",), 1, 0)},
            {},
            [Reason.GPU_MODEL_MISSING, Reason.NOT_EVALUATED, Reason.NOT_EVALUATED],
        ),
        (
            {"accelerator": AcceleratorNeed(("L4",), 1, 23_035)},
            {},
            [Reason.GPU_MEMORY_TOO_SMALL, Reason.NOT_EVALUATED],
        ),
        ({"latency": LatencyBudget(95, 5_000)}, {}, [Reason.LATENCY_EXCEEDED]),
        ({"access": from_point("atlantis")}, {}, [Reason.ACCESS_POINT_UNKNOWN, Reason.NOT_EVALUATED]),
        ({"access": from_point("exchange")}, {}, [Reason.ACCESS_POINT_UNKNOWN, Reason.NOT_EVALUATED]),
        ({"access": from_point("island")}, {}, [Reason.UNREACHABLE, Reason.NOT_EVALUATED]),
    ],
)
async def test_a_zone_refuses_what_it_has_not_with_exactly_these_reasons(
    asked: Mapping[str, Any], zone: Mapping[str, Any], expected: list[Reason]
) -> None:
    operator = await with_oslo(**zone)
    assert reasons(await operator.hold(**asked)) == expected
    assert operator.state_of() is None


@pytest.mark.parametrize(
    ("policy", "facts", "expected"),
    [
        (SITE_NO, [fact(FactKind.SITE_COUNTRY, "SE")], [Reason.SITE_COUNTRY_DENIED, Reason.SITE_COUNTRY_UNKNOWN]),
        (SITE_NO, [], [Reason.SITE_COUNTRY_UNKNOWN]),
        (SITE_NO, [fact(FactKind.SITE_COUNTRY, "NO", until_ms=2)], [Reason.FACT_EXPIRED]),
        (SITE_NO, [fact(FactKind.SITE_COUNTRY, "NO", until_ms=0)], [Reason.SITE_COUNTRY_UNKNOWN]),
        (LEGAL_NO, [], [Reason.LEGAL_CONTROL_UNKNOWN, Reason.LEGAL_CONTROL_UNKNOWN]),
        (
            LEGAL_NO,
            [fact(FactKind.HEADQUARTERS_COUNTRY, "NO"), fact(FactKind.ULTIMATE_PARENT_COUNTRY, "US")],
            [Reason.LEGAL_CONTROL_DENIED],
        ),
    ],
)
async def test_a_zone_refuses_what_the_law_forbids_there(
    policy: ResidencyPolicy, facts: list[Any], expected: list[Reason]
) -> None:
    operator = await own_zones()
    await operator.connect(OSLO, "oslo", *facts)
    assert reasons(await operator.hold(residency=policy)) == expected
    assert isinstance(await operator.hold("c2"), HoldGrant)


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        ("goteborg", [Reason.TRANSIT_DENIED, Reason.NOT_EVALUATED]),
        ("nowhere", [Reason.TRANSIT_UNKNOWN, Reason.NOT_EVALUATED]),
    ],
)
async def test_a_zone_refuses_users_whose_path_the_law_forbids(access: str, expected: list[Reason]) -> None:
    operator = await with_oslo()
    asked = {"access": from_point(access), "latency": LatencyBudget(95, 500_000)}
    assert reasons(await operator.hold(residency=TRANSIT_NO, **asked)) == expected
    assert isinstance(await operator.hold("c2", **asked), HoldGrant)


async def test_every_reason_is_told_at_once_with_what_was_found_and_asked() -> None:
    operator = await with_oslo(cordoned=True, artefacts=())
    refused = await operator.hold(cpu_millis=9_000, memory_mib=9_000, accelerator=NEEDS_L4, residency=SITE_NO)
    assert set(reasons(refused)) == {
        Reason.ZONE_CORDONED,
        Reason.ARTEFACT_NOT_ALLOWED,
        Reason.CPU_EXHAUSTED,
        Reason.MEMORY_EXHAUSTED,
        Reason.SITE_COUNTRY_UNKNOWN,
    }
    assert isinstance(refused, Refused)
    assert {rejection.zone for rejection in refused.rejections} == {ZoneId(OPERATOR, OSLO)}
    assert all(r.result.measured and r.result.bound and r.result.evidence for r in refused.rejections)


async def test_a_silent_zone_still_grants_and_a_lost_one_does_not() -> None:
    operator = await with_oslo()
    operator.pass_ms(operator.plane.settings.quiet_after_ms)
    assert isinstance(await operator.hold("c1"), HoldGrant)
    operator.pass_ms(operator.plane.settings.lost_after_ms)
    assert reasons(await operator.hold("c2")) == [Reason.ZONE_LOST]


async def test_a_zone_that_was_not_heard_since_a_restart_grants_until_it_is_given_up() -> None:
    operator = await (await with_oslo()).crash_and_restart()
    assert isinstance(await operator.hold("c1"), HoldGrant)
    operator.pass_ms(operator.plane.settings.lost_after_ms)
    assert reasons(await operator.hold("c2")) == [Reason.ZONE_LOST]


async def test_a_fact_that_expires_between_two_holds_refuses_the_second() -> None:
    operator = await own_zones()
    until_ms = operator.clock.wall_ms() + 1_000
    await operator.connect(OSLO, "oslo", fact(FactKind.SITE_COUNTRY, "NO", until_ms=until_ms))
    operator.clock.now_ms += 999
    assert isinstance(await operator.hold("c1", residency=SITE_NO), HoldGrant)
    operator.clock.now_ms += 1
    assert reasons(await operator.hold("c2", residency=SITE_NO)) == [Reason.FACT_EXPIRED]


async def test_a_zone_of_a_partner_is_not_granted_by_whoever_has_its_offer() -> None:
    operator = await with_oslo()
    await operator.federate(("zones/malmo-9", partner_zone("malmo-9")))
    with pytest.raises(RefusalError, match="no zone malmo-9 here") as refused:
        await operator.hold(zone="malmo-9")
    assert refused.value.reason is Reason.NOT_FOUND


async def test_a_zone_whose_inventory_was_withdrawn_is_not_found_until_it_is_told_again() -> None:
    operator = await with_oslo()
    await operator.plane.agents.adverts(OSLO, [], ["inventory"])
    with pytest.raises(RefusalError) as refused:
        await operator.hold()
    assert refused.value.reason is Reason.NOT_FOUND
    await operator.connect(OSLO)
    assert isinstance(await operator.hold(), HoldGrant)


async def test_a_hold_is_not_answered_when_it_cannot_be_kept() -> None:
    operator = await with_oslo()
    operator.store.fail("disk full")
    with pytest.raises(StoreFailed, match="disk full"):
        await operator.hold()


# --- the same hold again --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{"cpu_millis": 999}, {"replicas": 2}, {"residency": SITE_NO}, {"access": from_point("goteborg")}],
    ids=lambda changes: next(iter(changes)),
)
async def test_a_claim_that_exists_with_other_requirements_stays_as_it_is(changes: Mapping[str, Any]) -> None:
    operator = await with_oslo()
    await operator.hold()
    before = operator.claim()
    with pytest.raises(RefusalError) as refused:
        await operator.hold(**changes)
    assert (refused.value.reason, refused.value.field) == (Reason.REQUEST_ID_REUSED, "claim")
    assert operator.claim() == before


async def test_a_claim_that_exists_in_another_zone_is_refused_there() -> None:
    operator = await with_oslo()
    await operator.connect(GOTEBORG, "goteborg")
    await operator.hold(zone=OSLO)
    with pytest.raises(RefusalError) as refused:
        await operator.hold(zone=GOTEBORG)
    assert refused.value.reason is Reason.REQUEST_ID_REUSED
    assert operator.free_cpu(GOTEBORG) == 4_000


async def test_asking_again_does_not_lengthen_the_lease() -> None:
    operator = await with_oslo()
    grant = granted(await operator.hold(lease_ms=5_000))
    operator.pass_ms(4_000, heard=[OSLO])
    again = granted(await operator.hold(lease_ms=5_000))
    assert (again.fencing_token, again.lease_ms) == (grant.fencing_token, 1_000)
    operator.pass_ms(1_000, heard=[OSLO])
    assert operator.state_of() is None


async def test_a_repeated_hold_is_answered_even_if_the_zone_would_not_take_it_any_more() -> None:
    operator = await with_oslo()
    grant = granted(await operator.hold(cpu_millis=4_000))
    await operator.connect(OSLO, cordoned=True)
    assert granted(await operator.hold(cpu_millis=4_000)).fencing_token == grant.fencing_token


async def test_a_hold_repeated_after_its_confirmation_is_granted_without_a_lease() -> None:
    operator = await with_oslo()
    grant = await operator.serving()
    operator.pass_ms(60_000, heard=[OSLO])
    again = granted(await operator.hold())
    assert (again.fencing_token, again.lease_ms) == (grant.fencing_token, 0)
    assert operator.state_of() is ClaimState.SERVING


async def test_holding_again_what_has_failed_or_is_lost_is_refused() -> None:
    operator = await with_oslo()
    await operator.serving("c1")
    grant = await operator.allocated("c2")
    operator.plane.owner.on_order_refused(OSLO, f"c2-{grant.fencing_token}-0", "not here")
    assert reasons(await operator.hold("c2")) == [Reason.HOLD_EXPIRED]
    operator.pass_ms(operator.plane.settings.lost_after_ms)
    assert reasons(await operator.hold("c1")) == [Reason.HOLD_EXPIRED]
