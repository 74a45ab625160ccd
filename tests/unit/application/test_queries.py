"""Reading: endpoints, explanations, pages, events, counts."""

from __future__ import annotations

import pytest
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import Reason, WorkloadId, WorkloadState, ZoneId
from home_operator import YARD, spec
from owner_operator import ME, ZONE, OwnerSide, owner_side, status

KEY = str(YARD)


async def own_workload(side: OwnerSide) -> str:
    """A workload of this operator in its own zone, running; the name of its claim."""
    await side.plane.workloads.submit("spiffe://harbour/app", "r1", YARD, spec(), "d1")
    await side.plane.reconciler.look(KEY)
    claim = side.plane.queries.workload(YARD).placements[0]
    await side.report(status(claim.claim, claim.fencing_token))
    await side.plane.reconciler.look(KEY)
    return claim.claim


async def test_an_endpoint_names_urls_authority_zone_and_claim() -> None:
    side = await owner_side()
    claim = await own_workload(side)
    endpoint = side.plane.queries.endpoint(YARD)
    assert (endpoint.urls, endpoint.zone, endpoint.claim) == (("https://10.0.0.1:8000",), f"{ME}/{ZONE}", claim)


async def test_an_endpoint_that_does_not_answer_yet_is_unavailable() -> None:
    side = await owner_side()
    await side.plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    with pytest.raises(RefusalError) as refused:
        side.plane.queries.endpoint(YARD)
    assert refused.value.reason is Reason.UNAVAILABLE


async def test_an_endpoint_that_cannot_be_is_no_feasible_zone() -> None:
    side = await owner_side()
    await side.plane.workloads.submit("team", "r1", YARD, spec(9_000), "d1")
    await side.plane.reconciler.look(KEY)
    assert side.plane.queries.workload(YARD).state is WorkloadState.UNPLACEABLE
    with pytest.raises(RefusalError) as refused:
        side.plane.queries.endpoint(YARD)
    assert refused.value.reason is Reason.NO_FEASIBLE_ZONE


async def test_an_unknown_workload_is_not_found() -> None:
    side = await owner_side()
    with pytest.raises(RefusalError) as refused:
        side.plane.queries.endpoint(YARD)
    assert refused.value.reason is Reason.NOT_FOUND


async def test_a_workload_is_explained_by_the_decision_that_placed_it_and_by_one_of_now() -> None:
    side = await owner_side()
    await own_workload(side)
    explained = await side.plane.queries.explain(YARD, None)
    assert explained.current.zone == f"{ME}/{ZONE}"
    assert [str(choice.zone) for choice in explained.decision.choices] == [f"{ME}/{ZONE}"]
    assert [str(choice.zone) for choice in explained.now.choices] == [f"{ME}/{ZONE}"]


async def test_what_a_workload_occupies_counts_as_free_for_itself() -> None:
    side = await owner_side()
    await side.plane.workloads.submit("team", "r1", YARD, spec(4_000), "d1")
    await side.plane.reconciler.look(KEY)
    assert side.free_cpu_millis() == 0
    assert (await side.plane.queries.explain(YARD, None)).now.choices
    decision, current = await side.plane.workloads.plan(YARD, spec(4_000))
    assert decision.choices
    assert current.zone == f"{ME}/{ZONE}"
    other, _ = await side.plane.workloads.plan(WorkloadId("harbour", "other"), spec(4_000))
    assert not other.choices


async def test_before_the_first_decision_there_is_nothing_to_explain() -> None:
    side = await owner_side()
    await side.plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    with pytest.raises(RefusalError) as refused:
        await side.plane.queries.explain(YARD, None)
    assert refused.value.reason is Reason.UNAVAILABLE


async def test_asking_why_not_for_a_zone_that_is_not_seen_is_not_found() -> None:
    side = await owner_side()
    await own_workload(side)
    with pytest.raises(RefusalError) as refused:
        await side.plane.queries.explain(YARD, ZoneId("nobody", "nowhere"))
    assert refused.value.reason is Reason.NOT_FOUND


async def test_workloads_come_in_pages_by_name_and_by_tenant() -> None:
    side = await owner_side()
    for name in ("c", "a", "b"):
        await side.plane.workloads.submit("team", name, WorkloadId("harbour", name), spec(), name)
    await side.plane.workloads.submit("team", "x", WorkloadId("harbour2", "x"), spec(), "x")
    first = side.plane.queries.workloads("harbour", "", 2)
    assert [held.id.workload for held in first] == ["a", "b"]
    rest = side.plane.queries.workloads("harbour", str(first[-1].id), 2)
    assert [held.id.workload for held in rest] == ["c"]


async def test_zones_come_in_pages_by_name() -> None:
    side = await owner_side()
    assert [str(zone.id) for zone in side.plane.queries.zones("", 10)] == [f"{ME}/{ZONE}"]
    assert side.plane.queries.zones(f"{ME}/{ZONE}", 10) == ()


async def test_events_are_told_in_order_and_from_where_one_stopped() -> None:
    side = await owner_side()
    await own_workload(side)
    events = side.plane.queries.events(YARD, 0)
    assert [event.reason for event in events] == ["Submitted", "Placed", "Ready"]
    assert side.plane.queries.events(YARD, events[0].sequence) == events[1:]


async def test_counts_say_what_there_is() -> None:
    side = await owner_side()
    await own_workload(side)
    counts = side.plane.queries.counts()
    assert counts["zones|AVAILABLE"] == counts["workloads|RUNNING"] == counts["claims|SERVING"] == 1
    assert counts["decisions"] >= 1


async def test_a_changed_workload_wakes_whoever_watches_it() -> None:
    side = await owner_side()
    signal = side.plane.queries.workload_signal(YARD)
    seen = signal.version
    await side.plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    assert await signal.wait(seen) > seen
