"""What a site refuses: judged by its operator at every grant, and asked by a home operator only where it matters."""

from __future__ import annotations

from typing import Any

from hansa_control.application.ports import HoldRequest, Refused
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


async def test_a_refusal_for_the_tenant_after_an_offer_is_no_broken_promise() -> None:
    stage = await home_stage()
    await stage.offer(OWNER, "oslo-9", refusals=Refusals(tenants_withheld=True))
    stage.owners[OWNER].refuse("oslo-9", Reason.TENANT_REFUSED, f"{HOME}/harbour")
    await stage.submit()
    await stage.look()
    assert not any(stage.plane.promises.counts().values())
    stage.owners[OWNER].refuse("oslo-9", Reason.OWNER_REFUSED)
    await stage.after(60_000)
    assert any(stage.plane.promises.counts().values()), "what the offer should have shown is one"
