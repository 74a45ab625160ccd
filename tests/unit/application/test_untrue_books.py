"""What a home operator does with an owner that tells untrue prices, or for ever, or more than can be charged for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application import books as books_module
from hansa_control.application.books import ONE_SIDED_MAX, Books
from hansa_control.application.ports import OwnerUnreachable, RefusalError, Table
from hansa_control.application.settings import Settings
from hansa_control.application.settlement import PAGE_LINES, PAGES_MAX, Settlement
from hansa_control.application.state import State
from hansa_control.application.usage_ports import Enter, UsageCall, UsagePage
from hansa_control.application.world import federation_key
from hansa_control.domain.agreement import PriceList, PriceVersion
from hansa_control.domain.charges import amounts
from hansa_control.domain.model import Federation, FederationState
from hansa_control.domain.usage import Period, UsageLine
from home_operator import HOME, OWNER, HandClock

DAY_MS = 86_400_000
EUR = PriceList("EUR", (("L4", 600),))
DEARER = PriceList("EUR", (("L4", 60_000),))
NOTHING = UsagePage((), False, 0)


class Liar:
    """An owner that answers as the test says."""

    def __init__(self) -> None:
        self.answer: Callable[[UsageCall], UsagePage] = lambda call: NOTHING
        self.calls: list[UsageCall] = []

    async def usage(self, call: UsageCall) -> UsagePage:
        self.calls.append(call)
        await asyncio.sleep(0)
        return self.answer(call)

    def prices(self, *versions: PriceVersion) -> None:
        """Tells these from now on, whatever it is asked."""
        self.answer = lambda call: replace(NOTHING, prices=versions)


class Home:
    """nordavind, with a federation with skargard, of which the test plays the book."""

    def __init__(self) -> None:
        self.clock, self.liar = HandClock(), Liar()
        self.store = MemoryStore()
        self.settings = Settings(HOME, partners=frozenset({OWNER}))
        self.objections: list[str] = []

    async def start(self) -> Home:
        self.store = self.store.reopen()
        self.state = State(self.store)
        await self.state.load()
        sources = {OWNER: self.liar}
        self.settlement = Settlement(self.settings, self.state, self.clock, sources)
        self.settlement.on_price_objection = lambda owner, version, why: self.objections.append(
            f"{owner} {version.version}: {why}"
        )
        self.books = Books(self.settings, self.state, self.clock, (self.settlement, sources))
        if not self.state.federations:
            federation = Federation(HOME, OWNER, "ctx", FederationState.ACTIVE, 6_000)
            self.state.put(Table.FEDERATION, federation_key(HOME, OWNER), federation)
            await self.state.commit()
        return self

    @property
    def versions(self) -> list[int]:
        return [one.version for one in self.settlement.prices(OWNER, HOME)]


def version(number: int, since_ms: int, prices: PriceList = EUR) -> PriceVersion:
    return PriceVersion(number, f"sha256:{number:064d}", since_ms, prices)


def line(number: int, sequence: int, *, owner: str = OWNER, home: str = HOME, until_ms: int = 0) -> UsageLine:
    where = ("oslo-1", f"tenants/t{number}/workloads/w", "nvidia/L4", 1, 1_000, 1, 1_000, until_ms, until_ms > 0)
    return UsageLine(owner, home, f"c{number}", 1, 1, *where, sequence)


def told(
    lines: tuple[UsageLine, ...], prices: tuple[PriceVersion, ...], owner: str = HOME
) -> Callable[[UsageCall], UsagePage]:
    """These lines of an owner's book, beyond what is known, and nothing of the other's."""

    def answer(call: UsageCall) -> UsagePage:
        beyond = tuple(one for one in lines if one.sequence > call.after)
        return UsagePage(beyond, False, len(lines), prices) if call.owner == owner else NOTHING

    return answer


# --- prices ---


async def test_a_price_of_the_past_that_is_told_months_later_is_refused_with_a_word_and_after_a_restart_too() -> None:
    home = await Home().start()
    first = version(1, home.clock.wall_ms())
    home.liar.prices(first)
    await home.settlement.take_over(OWNER)
    home.clock.now_ms += 90 * DAY_MS
    await home.settlement.take_over(OWNER)
    await home.start()
    home.liar.prices(version(2, first.since_ms + 1, DEARER))
    for _ in range(3):
        await home.settlement.take_over(OWNER)
    assert home.versions == [1]
    (objection,) = home.objections
    assert objection.startswith(f"{OWNER} 2: it is told after prices until")


async def test_settling_shows_a_price_that_is_not_taken_over_as_another_amount() -> None:
    home = await Home().start()
    first = version(1, home.clock.wall_ms())
    home.liar.prices(first)
    await home.settlement.take_over(OWNER)
    used = replace(line(1, 1, until_ms=first.since_ms + 3_600_000), from_ms=first.since_ms)
    home.state.write(Enter(used))
    home.clock.now_ms += DAY_MS
    await home.settlement.take_over(OWNER)
    for prices, is_alike in (((first,), True), ((first, version(2, first.since_ms + 1, DEARER)), False)):
        home.liar.answer = told((used,), prices, owner=OWNER)
        (settled, _) = await home.books.settle(OWNER, Period(0, 2**60))
        assert (settled.is_alike, settled.differences) == (is_alike, ())
        assert amounts(settled.home_charges) == {"EUR": 600}


async def test_a_price_is_taken_over_that_came_into_force_since_the_owner_was_heard_last() -> None:
    home = await Home().start()
    began_ms = home.clock.wall_ms()
    home.liar.prices(version(1, began_ms))
    await home.settlement.take_over(OWNER)
    home.clock.now_ms += 30 * DAY_MS  # nobody could ask in all that time
    home.liar.prices(version(2, began_ms + DAY_MS, DEARER))
    await home.settlement.take_over(OWNER)
    skewed = home.clock.wall_ms() - home.settings.clock_skew_ms_max
    home.liar.prices(version(3, skewed - 1), version(4, skewed))
    await home.settlement.take_over(OWNER)
    assert (home.versions, len(home.objections)) == ([1, 2, 4], 1)


async def test_an_owner_that_never_ends_a_page_well_has_been_heard_all_the_same() -> None:
    home = await Home().start()
    home.clock.now_ms += 90 * DAY_MS
    home.liar.answer = lambda call: UsagePage((), True, 0, (version(1, home.clock.wall_ms() - 60 * DAY_MS),))
    for _ in range(2):
        with pytest.raises(OwnerUnreachable, match="tells nothing"):
            await home.settlement.take_over(OWNER)
    home.liar.prices(version(2, home.clock.wall_ms() - 30 * DAY_MS, DEARER))
    await home.settlement.take_over(OWNER)
    assert home.versions == [1]


async def test_prices_are_taken_over_again_once_a_clock_that_was_fast_is_right() -> None:
    home = await Home().start()
    home.clock.now_ms += 30 * DAY_MS
    await home.settlement.take_over(OWNER)
    home.clock.now_ms -= 30 * DAY_MS
    home.liar.prices(version(1, home.clock.wall_ms()))
    await home.settlement.take_over(OWNER)
    assert home.versions == [1]


# --- books without end ---


async def test_an_owner_that_says_at_every_question_that_it_was_set_back_is_asked_twice() -> None:
    home = await Home().start()
    home.liar.answer = lambda call: UsagePage((line(call.after + 1, call.after + 1),), False, call.after + 1)
    await home.settlement.take_over(OWNER)
    home.liar.calls.clear()
    numbers = iter((0, 1))

    def set_back(call: UsageCall) -> UsagePage:
        return UsagePage((line(1, 2),), True, next(numbers)) if len(home.liar.calls) < 3 else NOTHING

    home.liar.answer = set_back
    with pytest.raises(OwnerUnreachable, match="set back"):
        await home.settlement.take_over(OWNER)
    assert [call.after for call in home.liar.calls] == [1, 0, 2]


async def test_an_owner_that_tells_for_ever_is_heard_for_so_many_pages_and_then_from_there() -> None:
    home = await Home().start()
    home.liar.answer = lambda call: UsagePage((line(1, call.after + 1),), True, 2**62)
    for times in (1, 2):
        with pytest.raises(OwnerUnreachable, match=f"more than {PAGES_MAX * PAGE_LINES} lines"):
            await home.settlement.take_over(OWNER)
        assert home.state.count(f"usage-known|{OWNER}") == times * PAGES_MAX


@pytest.mark.parametrize("is_one", [False, True])
async def test_settling_with_a_partner_that_tells_open_lines_for_ever_ends_with_an_error(is_one: bool) -> None:
    home = await Home().start()

    def endless(call: UsageCall) -> UsagePage:
        if call.owner == OWNER:
            return NOTHING
        at = range(call.after + 1, call.after + 1 + PAGE_LINES)
        return UsagePage(tuple(line(1 if is_one else n, n, owner=HOME, home=OWNER) for n in at), True, 2**62)

    home.liar.answer = endless
    with pytest.raises(RefusalError, match=f"more than {ONE_SIDED_MAX} lines are in one book only"):
        await home.books.settle(OWNER, Period(0, 2**60))
    assert len(home.liar.calls) * PAGE_LINES < ONE_SIDED_MAX + 5 * PAGE_LINES


# --- bills ---


async def test_a_bill_of_more_lines_than_anybody_reads_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books_module, "CHARGES_MAX", 300)
    home = await Home().start()
    lines = tuple(line(n, n, owner=HOME, home=OWNER) for n in range(1, 100))
    home.liar.answer = told(lines, ())
    (_, owed) = await home.books.settle(OWNER, Period(0, 2**60))
    assert len(owed.home_charges) == 99
    home.liar.answer = told(lines, tuple(version(n, 1_000 + n) for n in range(1, 4)))
    with pytest.raises(RefusalError, match="the bill has more than 300 lines"):
        await home.books.settle(OWNER, Period(0, 2**60))


async def test_others_have_their_turn_while_a_page_is_charged_for() -> None:
    home = await Home().start()
    lines = tuple(line(1, n, owner=HOME, home=OWNER, until_ms=2_000) for n in range(1, 501))
    lines = tuple(replace(one, claim=f"c{one.sequence}") for one in lines)
    home.liar.answer = told(lines, (version(1, 1),))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count())
    await home.books.settle(OWNER, Period(0, 2**60))
    other.cancel()
    assert turns > 3 * len(lines) // books_module.LINES_AT_ONCE
