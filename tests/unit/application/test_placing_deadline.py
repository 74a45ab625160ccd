"""One deadline for all owners that are asked for a placement, one after another."""

from __future__ import annotations

import pytest
from hansa_control.application.ports import HoldRequest, OwnerUnreachable, Refused
from hansa_control.domain.model import HoldGrant, Reason
from home_stage import HOME, OTHER, OWNER, OwnerByScript, Stage, home_stage


def slow(stage: Stage, owner: OwnerByScript, takes_ms: int) -> list[int]:
    """Makes an owner take so long for each hold; tells how long it was given."""
    given: list[int] = []
    answer = owner.hold

    async def hold(request: HoldRequest) -> HoldGrant | Refused:
        given.append(request.answer_within_ms)
        stage.clock.now_ms += min(takes_ms, request.answer_within_ms)
        if takes_ms > request.answer_within_ms:
            owner.held.append(request)
            raise OwnerUnreachable("no answer in time")
        return await answer(request)

    owner.hold = hold  # type: ignore[method-assign]
    return given


async def two_partners(**changes: int) -> Stage:
    """Both partners offer a zone; that of OWNER is the better one."""
    stage = await home_stage(**changes)
    first, second = sorted([OWNER, OTHER])
    await stage.offer(first, "zone-a")
    await stage.offer(second, "zone-b")
    return stage


def in_order(stage: Stage) -> tuple[OwnerByScript, OwnerByScript]:
    first, second = sorted(stage.owners)
    return stage.owners[first], stage.owners[second]


async def placed(stage: Stage) -> None:
    await stage.submit()
    await stage.look()


async def test_each_owner_gets_the_time_that_those_before_it_have_left() -> None:
    stage = await two_partners(placing_deadline_ms=5_000)
    first, second = in_order(stage)
    first.refuse("zone-a")
    gave_first, gave_second = slow(stage, first, 1_500), slow(stage, second, 100)
    await placed(stage)
    assert (gave_first, gave_second) == ([5_000], [3_500])
    assert [p.split()[0] for p in stage.placed] == [f"{second.operator}/zone-b"]


async def test_a_silent_owner_leaves_no_time_and_nobody_else_is_asked() -> None:
    stage = await two_partners(placing_deadline_ms=1_000)
    first, second = in_order(stage)
    gave_first, gave_second = slow(stage, first, 60_000), slow(stage, second, 0)
    await placed(stage)
    assert (gave_first, gave_second) == ([1_000], [])


async def test_what_a_silent_owner_may_hold_is_remembered_and_given_back_when_it_answers() -> None:
    stage = await two_partners(placing_deadline_ms=1_000)
    first, _ = in_order(stage)
    first.silent = {"release"}
    slow(stage, first, 60_000)
    await placed(stage)
    claim = first.held[0].claim
    assert stage.placed == [f"{first.operator}/zone-a RELEASING"]
    first.silent = set()
    await stage.look()
    assert (claim, Reason.WORKLOAD_MOVED) in first.released


async def test_an_owner_that_answers_within_the_deadline_is_not_given_up() -> None:
    stage = await two_partners(placing_deadline_ms=1_000)
    first, second = in_order(stage)
    slow(stage, first, 1_000)
    await placed(stage)
    assert [p.split()[0] for p in stage.placed] == [f"{first.operator}/zone-a"]
    assert second.held == []


async def test_a_refusing_owner_is_followed_by_the_next_and_never_by_two_at_once() -> None:
    stage = await two_partners()
    first, second = in_order(stage)
    first.refuse("zone-a")
    await placed(stage)
    assert (len(first.held), len(second.held)) == (1, 1)
    assert first.taken == set()


@pytest.mark.parametrize("most", [1, 2])
async def test_no_more_owners_are_asked_than_configured(most: int) -> None:
    stage = await two_partners(choices_tried_max=most)
    for owner, zone in zip(in_order(stage), ("zone-a", "zone-b"), strict=True):
        owner.refuse(zone)
    await placed(stage)
    assert sum(len(owner.held) for owner in in_order(stage)) == most


async def test_an_own_zone_is_asked_even_when_the_time_is_over() -> None:
    stage = await two_partners(placing_deadline_ms=1_000)
    await stage.own_zone("oslo-1", price_millieur_per_hour=9_000)  # the last choice: it is dear
    for owner in in_order(stage):
        slow(stage, owner, 2_000)
    await placed(stage)
    assert [len(owner.held) for owner in in_order(stage)] == [1, 0]
    assert stage.placed[-1] == f"{HOME}/oslo-1 STARTING"
