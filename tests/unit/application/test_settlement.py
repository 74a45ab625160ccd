"""What a home operator writes down, takes over and refuses, and what both sides say of it, whatever gets lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.application.ports import OwnerUnreachable, RefusalError, Table
from hansa_control.application.usage_ports import LineQuery, UsageCall
from hansa_control.domain.model import ClaimState, Reason
from hansa_control.domain.two_books import DifferenceKind
from hansa_control.domain.usage import Period
from two_operators import HOME, OWNER, SPEC, YARD, ZONE, Side, books_of, claim, two_sides, workload

EVER = Period(0, 10**15)
T0 = 1_800_000_000_000


async def asked(home: Side, *claims: str) -> None:
    for name in claims:
        home.settlement.asked(workload(), name, ZONE, SPEC)
    home.state.put(Table.WORKLOAD, str(YARD), workload(*claims))
    await home.state.commit()


async def recorded(owner: Side, at_ms: int, *states: ClaimState, name: str = "c1") -> None:
    owner.clock.now_ms = at_ms
    for state in states:
        owner.meter.observe(claim(name, state))
    await owner.state.commit()


async def kinds(side: Side, partner: str) -> list[DifferenceKind]:
    side.clock.now_ms = max(side.clock.now_ms, 100_000)
    return [found.kind for one in await side.books.settle(partner, EVER) for found in one.differences]


async def test_both_books_say_the_same_of_a_claim_that_came_and_went() -> None:
    home, owner = await two_sides()
    await asked(home, "c1")
    await recorded(owner, 2_000, ClaimState.ALLOCATED)
    await home.settlement.take_over(OWNER)
    await recorded(owner, 9_500, ClaimState.RELEASING)
    home.state.put(Table.WORKLOAD, str(YARD), workload())
    home.clock.now_ms = 10_000
    await home.settlement.take_over(OWNER)
    assert books_of(home, owner) == ({("c1", 7, 1): (T0 + 2_000, T0 + 9_500)},) * 2
    assert home.state.asked == {}
    (used, other) = await home.books.settle(OWNER, EVER)
    assert used.home_totals == used.owner_totals
    assert [total.cpu_milli_ms for total in used.home_totals.values()] == [2_000 * 7_500]
    assert (used.differences, other.differences, other.home_totals) == ((), (), {})
    assert await kinds(owner, HOME) == []


async def test_a_meter_goes_on_where_it_was_after_its_owner_died() -> None:
    home, owner = await two_sides()
    await asked(home, "c1")
    await recorded(owner, 2_000, ClaimState.ALLOCATED)
    await owner.start()
    assert owner.meter.line_count == 1
    await recorded(owner, 5_000, ClaimState.SERVING, ClaimState.RELEASING)
    assert owner.meter.line_count == 0
    await home.settlement.take_over(OWNER)
    assert books_of(home, owner) == ({("c1", 7, 1): (T0 + 2_000, T0 + 5_000)},) * 2


async def test_a_stamp_that_was_not_durable_was_never_told() -> None:
    home, owner = await two_sides()
    await asked(home, "c1")
    owner.clock.now_ms = 2_000
    owner.meter.observe(claim("c1", ClaimState.ALLOCATED))
    await home.settlement.take_over(OWNER)
    assert books_of(home, owner) == ({}, {})
    await owner.start()
    await recorded(owner, 3_000, ClaimState.ALLOCATED)
    await home.settlement.take_over(OWNER)
    assert books_of(home, owner) == ({("c1", 7, 1): (T0 + 3_000, 0)},) * 2


async def test_what_was_taken_over_and_not_kept_is_told_again() -> None:
    home, owner = await two_sides()
    await asked(home, "c1", "c2")
    for name in ("c1", "c2"):
        await recorded(owner, 2_000, ClaimState.ALLOCATED, name=name)
    page = await home.way.usage(UsageCall(OWNER, 0))
    home.settlement._take_page(OWNER, 0, page)
    await home.start()
    assert books_of(home, owner)[0] == {}
    await home.settlement.take_over(OWNER)
    seen, known = books_of(home, owner)
    assert seen == known and len(seen) == 2


async def test_a_claim_that_was_asked_for_and_never_confirmed_is_forgotten_once_the_owner_has_answered() -> None:
    home, _ = await two_sides()
    await asked(home, "c1")
    await home.settlement.take_over(OWNER)
    assert len(home.state.asked) == 1, "the owner may still be confirming it"
    home.state.put(Table.WORKLOAD, str(YARD), workload())
    home.way.is_cut = True
    with pytest.raises(OwnerUnreachable):
        await home.settlement.take_over(OWNER)
    assert len(home.state.asked) == 1
    home.way.is_cut = False
    await home.settlement.take_over(OWNER)
    assert home.state.asked == {}


async def test_what_was_never_asked_for_is_not_in_the_homes_book_and_settling_says_so() -> None:
    home, owner = await two_sides()
    objections: list[str] = []
    home.settlement.on_objection = lambda line, why: objections.append(f"{line.claim}: {why}")
    await recorded(owner, 2_000, ClaimState.ALLOCATED, name="made-up")
    await home.settlement.take_over(OWNER)
    assert objections == ["made-up: nothing was asked under this name, or it is settled"]
    assert books_of(home, owner)[0] == {}
    assert await kinds(home, OWNER) == await kinds(owner, HOME) == [DifferenceKind.HOME_LACKS]


async def test_a_final_line_that_the_owner_changes_afterwards_is_a_difference() -> None:
    home, owner = await two_sides()
    await asked(home, "c1")
    await recorded(owner, 2_000, ClaimState.ALLOCATED, ClaimState.RELEASING)
    await home.settlement.take_over(OWNER)
    (key, line), *_ = owner.store.book.items()
    owner.store.book[key] = replace(line, until_ms=line.until_ms + 3_600_000, sequence=99)
    assert await kinds(home, OWNER) == [DifferenceKind.OTHER_STAMPS]


async def test_time_beyond_what_the_homes_clock_has_seen_is_told_though_both_books_agree() -> None:
    home, owner = await two_sides()
    home.clock.now_ms = 1_000_000
    await asked(home, "c1")
    await recorded(owner, 1_000, ClaimState.ALLOCATED, ClaimState.RELEASING)
    home.state.put(Table.WORKLOAD, str(YARD), workload())
    await home.settlement.take_over(OWNER)
    assert books_of(home, owner)[0] == books_of(home, owner)[1]
    assert await kinds(home, OWNER) == [DifferenceKind.BEYOND_CLOCKS]


async def test_an_owner_that_was_set_back_is_heard_from_the_beginning() -> None:
    home, owner = await two_sides()
    await asked(home, "c1", "c2")
    await recorded(owner, 2_000, ClaimState.ALLOCATED, ClaimState.SERVING, ClaimState.RELEASING)
    await home.settlement.take_over(OWNER)
    owner.store.book.clear()
    await owner.store.commit([])
    owner.state._tables[Table.COUNTER].clear()
    await recorded(owner, 4_000, ClaimState.ALLOCATED, name="c2")
    await home.settlement.take_over(OWNER)
    assert ("c2", 7, 1) in books_of(home, owner)[0]
    assert await kinds(home, OWNER) == [DifferenceKind.OWNER_LACKS]


async def test_nobody_is_told_of_what_others_use() -> None:
    _, owner = await two_sides()
    await recorded(owner, 2_000, ClaimState.ALLOCATED)
    assert (await owner.settlement.tell("waldnetz", UsageCall(OWNER, 0))).lines == ()
    with pytest.raises(RefusalError) as refused:
        await owner.settlement.tell("waldnetz", UsageCall(HOME, 0))
    assert refused.value.reason is Reason.IDENTITY_MISMATCH


async def test_settled_lines_are_struck_out_after_their_time_and_only_if_the_home_has_them() -> None:
    home, owner = await two_sides()
    await asked(home, "c1", "c2")
    await recorded(owner, 2_000, ClaimState.ALLOCATED, ClaimState.RELEASING)
    await home.settlement.take_over(OWNER)
    await recorded(owner, 3_000, ClaimState.ALLOCATED, ClaimState.RELEASING, name="c2")
    for side in (home, owner):
        side.clock.now_ms += side.settings.usage_kept_ms + 10_000
        side.settlement.tick()
        await side.state.commit()
    assert set(books_of(home, owner)[1]) == {("c1", 7, 1), ("c2", 7, 1)}, "the owner was not told that any is kept"
    assert books_of(home, owner)[0] == {}
    await home.settlement.take_over(OWNER)
    for _ in range(2):
        owner.clock.now_ms += owner.settings.usage_strike_interval_ms
        owner.settlement.tick()
        await owner.state.commit()
    assert set(books_of(home, owner)[1]) == {("c2", 7, 1)}


async def test_books_of_more_than_a_page_are_compared_and_one_line_is_found() -> None:
    home, owner = await two_sides()
    names = [f"c{number}" for number in range(1_203)]
    await asked(home, *names)
    for name in names:
        owner.meter.observe(claim(name, ClaimState.ALLOCATED))
        owner.clock.now_ms += 1
        owner.meter.observe(claim(name, ClaimState.RELEASING))
    await owner.state.commit()
    assert await kinds(home, OWNER) == []
    lost = next(key for key in home.store.book if key.claim == "c777")
    del home.store.book[lost]
    found = [difference for one in await home.books.settle(OWNER, EVER) for difference in one.differences]
    assert [(one.kind, one.key.claim) for one in found] == [(DifferenceKind.HOME_LACKS, "c777")]


async def test_only_the_lines_of_claims_that_live_are_in_memory() -> None:
    _, owner = await two_sides()
    for number in range(500):
        owner.meter.observe(claim(f"c{number}", ClaimState.ALLOCATED))
        if number >= 5:
            owner.meter.observe(claim(f"c{number}", ClaimState.RELEASING))
    await owner.state.commit()
    assert (owner.meter.line_count, len(await owner.state.lines(LineQuery(OWNER, limit=1_000)))) == (5, 500)
