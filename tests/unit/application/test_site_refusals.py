"""What a site refuses: judged by its operator at every grant, and asked by a home operator only where it matters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hansa_control.application.ports import HoldRequest, RefusalError, Refused
from hansa_control.domain.model import DataClass, DesiredInstance, HoldGrant, Reason, Refusals
from home_operator import HOME, OWNER
from home_stage import Stage, home_stage
from own_zones import MANIFEST, OSLO, PARTNER, OwnZones, granted, inventory, need, reasons, with_oslo

HARBOUR_ONLY = Refusals((f"{PARTNER}/harbour",))


async def asked(operator: OwnZones, tenant: str, claim: str = "c1", home: str = PARTNER) -> HoldGrant | Refused:
    return await operator.plane.owner.hold(home, HoldRequest(claim, OSLO, need(), 5_000, tenant=tenant))


async def test_a_hold_for_a_tenant_that_the_site_refuses_or_is_not_told_of_is_refused() -> None:
    operator = await with_oslo(refusals=HARBOUR_ONLY)
    assert reasons(await asked(operator, "mill")) == [Reason.TENANT_REFUSED]
    assert reasons(await asked(operator, "")) == [Reason.TENANT_UNKNOWN]
    assert reasons(await asked(operator, "harbour", home="skargard-2")) != []
    granted(await asked(operator, "harbour"))


async def test_a_site_that_refuses_nothing_is_not_told_whose_workload_it_is() -> None:
    operator = await with_oslo()
    await operator.confirm(granted(await asked(operator, "harbour")))
    assert order_of(operator).asker == "" and order_of(operator).data == ()


async def test_an_order_says_whose_it_is_and_what_it_brings_once_the_site_refuses_anything() -> None:
    operator = await with_oslo()
    await operator.confirm(granted(await asked(operator, "harbour")))
    await operator.say(OSLO, "inventory", inventory(refusals=HARBOUR_ONLY))
    order = order_of(operator)
    assert MANIFEST.workload.startswith("tenants/harbour/")
    assert order.asker == f"{PARTNER}/harbour"
    assert order.data == (DataClass.ARTEFACT, DataClass.INPUT, DataClass.OUTPUT)


def order_of(operator: OwnZones) -> DesiredInstance:
    (order,) = operator.plane.owner.desired_instances(OSLO)
    return order


async def offering(refusals: Refusals | None, **more: Any) -> Stage:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9", refusals=refusals, **more)
    await stage.submit()
    await stage.look()
    return stage


async def test_a_home_operator_names_the_tenant_where_the_owner_judges_tenants_and_nowhere_else() -> None:
    some = ((None, ""), (Refusals(data_denied=("LOGS",)), ""), (Refusals(tenants_withheld=True), "harbour"))
    for refusals, told in some:
        stage = await offering(refusals)
        (request,) = stage.owners[OWNER].held
        assert (request.tenant, request.spec.asker) == (told, "")


async def test_an_own_zone_that_refuses_the_tenant_is_no_candidate_and_the_next_one_is() -> None:
    stage = await home_stage()
    await stage.own_zone("oslo-1", refusals=Refusals(tenants_denied=(f"{HOME}/harbour",)))
    await stage.offer(OWNER, "oslo-9")
    await stage.submit()
    await stage.look()
    assert [one.zone.operator for one in stage.workload.placements] == [OWNER]
    assert [one.reason for one in stage.decision.rejections] == [Reason.TENANT_REFUSED]


async def test_an_own_zone_that_takes_the_tenant_is_asked_for_by_its_name() -> None:
    stage = await home_stage()
    await stage.own_zone("oslo-1", refusals=Refusals(tenants_allowed=(f"{HOME}/harbour",)))
    await stage.submit()
    await stage.look()
    assert [one.zone.zone for one in stage.workload.placements] == ["oslo-1"]


@pytest.mark.parametrize(
    ("shown", "reason", "is_broken"),
    [
        (Refusals(tenants_withheld=True), Reason.TENANT_REFUSED, False),
        (Refusals(tenants_withheld=True), Reason.TIME_REFUSED, True),
        (Refusals(spans=((0, 1),)), Reason.TIME_REFUSED, False),
        (Refusals(spans=((0, 1),)), Reason.TENANT_UNKNOWN, True),
        (None, Reason.TENANT_REFUSED, True),
        (None, Reason.QUOTA_EXCEEDED, False),
        (Refusals(tenants_withheld=True), Reason.OWNER_REFUSED, True),
    ],
)
async def test_a_refusal_is_a_broken_promise_where_the_offer_did_not_say_that_it_judges_this(
    shown: Refusals | None, reason: Reason, is_broken: bool
) -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9", refusals=shown)
    stage.owners[OWNER].refuse("oslo-9", reason, f"{HOME}/harbour")
    await stage.submit()
    await stage.look()
    assert stage.owners[OWNER].held
    assert any(stage.plane.promises.counts().values()) is is_broken


@pytest.mark.parametrize(
    ("workload", "reason"),
    [("tenants/mill/workloads/saw", Reason.TENANT_REFUSED), ("saw", Reason.TENANT_UNKNOWN)],
)
async def test_what_was_held_for_one_tenant_is_not_confirmed_for_another(workload: str, reason: Reason) -> None:
    operator = await with_oslo(refusals=HARBOUR_ONLY)
    grant = granted(await asked(operator, "harbour"))
    with pytest.raises(RefusalError) as refusal:
        await operator.confirm(grant, manifest=replace(MANIFEST, workload=workload))
    assert refusal.value.reason is reason
    assert operator.plane.owner.desired_instances(OSLO) == ()
    await operator.confirm(grant)
    assert order_of(operator).workload == MANIFEST.workload
