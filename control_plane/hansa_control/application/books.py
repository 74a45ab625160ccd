"""Reading books of usage: what was used in a period, and where this operator's book and a partner's differ.

Books are read by page, side by side in the order in which the owner told its lines, so that what both have alike is
forgotten at once. In memory are totals, lines that are not final, and lines of which only one side is known so far.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hansa_control.application.ports import Clock, OwnerUnreachable, RefusalError
from hansa_control.application.settings import Settings
from hansa_control.application.settlement import PAGE_LINES, Settlement
from hansa_control.application.state import State
from hansa_control.application.usage_ports import LineQuery, UsageCall, UsageSource
from hansa_control.domain.agreement import PriceVersion
from hansa_control.domain.charges import ChargeKey, Charges, Tariff
from hansa_control.domain.model import Reason
from hansa_control.domain.two_books import Difference, differences
from hansa_control.domain.usage import LineKey, Period, Total, TotalKey, UsageLine, add_up

LOOKS_MAX = 3
"""How often two books are read before what differs is told: a line may change while they are being read."""

ONE_SIDED_MAX = 20_000
"""Lines that only one side has; beyond that, books are not compared but exchanged."""

CHARGES_MAX = 50_000
"""Lines of a bill; a bill has one for every tenant, zone, pool and price."""

LINES_AT_ONCE = 10
"""Lines that are charged for without letting anybody else have a turn: each may touch every price that there was."""

Totals = Mapping[TotalKey, Total]
Pages = Callable[[int], Awaitable[tuple[Sequence[UsageLine], bool]]]


@dataclass(frozen=True, slots=True)
class Settled:
    """Both books on what ``home`` used of ``owner`` in a period, and every line of which they differ."""

    owner: str
    home: str
    period: Period
    home_totals: Totals
    owner_totals: Totals
    differences: tuple[Difference, ...]
    line_count: int
    home_charges: Charges
    owner_charges: Charges

    @property
    def is_alike(self) -> bool:
        """Whether both books say the same, of use and of money."""
        return not self.differences and self.home_charges == self.owner_charges


class Books:
    """What this operator's book says, and how it compares."""

    def __init__(
        self,
        settings: Settings,
        state: State,
        clock: Clock,
        partners: tuple[Settlement, Mapping[str, UsageSource]],
    ) -> None:
        self._settings = settings
        self._operator = settings.operator
        self._state = state
        self._clock = clock
        self._settlement, self._sources = partners

    @property
    def partners(self) -> tuple[str, ...]:
        return tuple(sorted(self._sources))

    async def used(self, tenant: str, period: Period) -> Totals:
        """What workloads of a tenant used, here and at partners; with no tenant, everybody, partners' workloads too."""
        totals: dict[TotalKey, Total] = {}
        home = self._operator if tenant else ""
        for owner in (self._operator, *self.partners):
            side = _Side(period, self._clock)
            query = LineQuery(owner, home, limit=PAGE_LINES, period=period, tenant=tenant)
            side.pages = self._own(query)
            while not side.is_read:
                await side.read()
                side.final.clear()
            totals |= side.total()
        return totals

    async def settle(self, partner: str, period: Period) -> tuple[Settled, ...]:
        """Both directions between this operator and a partner, as home and as owner. The period ends now at the latest.

        RefusalError NOT_FOUND if there is no such partner; OwnerUnreachable if it does not answer.
        """
        if partner not in self._sources:
            known = ", ".join(self.partners) or "none"
            raise RefusalError(Reason.NOT_FOUND, f"{partner} is no partner; known are {known}", "partner")
        ended = Period(period.since_ms, min(period.until_ms, self._clock.wall_ms()))
        return (
            await self._settle_until_quiet(partner, (partner, self._operator), ended),
            await self._settle_until_quiet(partner, (self._operator, partner), ended),
        )

    async def _settle_until_quiet(self, partner: str, sides: tuple[str, str], period: Period) -> Settled:
        """What differs may only be on its way: it is told when it is still there after another look."""
        settled = await self._compare(partner, sides, period)
        for _ in range(LOOKS_MAX - 1):
            if settled.is_alike:
                break
            settled = await self._compare(partner, sides, period)
        return settled

    async def _compare(self, partner: str, sides: tuple[str, str], period: Period) -> Settled:
        owner, home = sides
        if owner == partner:
            await self._settlement.take_over(owner)
        ours, theirs = _Side(period, self._clock), _Side(period, self._clock)
        ours.price(self._settlement.prices(owner, home))
        ours.pages = self._own(LineQuery(owner, home, limit=PAGE_LINES, period=period))
        theirs.pages = self._partners(partner, owner, theirs)
        by_home, by_owner = (ours, theirs) if home == self._operator else (theirs, ours)
        while not (ours.is_read and theirs.is_read):
            await _behind(ours, theirs).read()
            _drop_alike(by_home.final, by_owner.final, self._settings.clock_skew_ms_max)
            _check_bounds(ours, theirs)
        found = differences(by_home.known(), by_owner.known(), self._settings.clock_skew_ms_max)
        totals = (by_home.total(), by_owner.total())
        count = sum(total.lines for total in totals[1].values())
        bills = (await by_home.charged(), await by_owner.charged())
        return Settled(owner, home, period, *totals, found, count, *bills)

    def _own(self, query: LineQuery) -> Pages:
        async def read(after: int) -> tuple[Sequence[UsageLine], bool]:
            lines = await self._state.lines(replace(query, after=after))
            return lines, len(lines) == query.limit

        return read

    def _partners(self, partner: str, owner: str, side: _Side) -> Pages:
        async def read(after: int) -> tuple[Sequence[UsageLine], bool]:
            is_first = not after
            call = UsageCall(owner, after, 0, PAGE_LINES, side.period, prices_after_ms=0 if is_first else None)
            page = await self._sources[partner].usage(call)
            if is_first:
                side.price(page.prices)
            home = self._operator if owner == partner else partner
            if any((line.owner, line.home) != (owner, home) or line.sequence <= after for line in page.lines):
                raise OwnerUnreachable(f"{partner} told lines out of order or of others")
            return page.lines, page.more

        return read


class _Side:
    """One book as it is read. ``pages`` answers the lines beyond a sequence and whether there may be more; where it is
    to be charged for, prices are known when the first page is.
    """

    def __init__(self, period: Period, clock: Clock) -> None:
        self._clock = clock
        self.pages: Pages
        self.final: dict[LineKey, UsageLine] = {}
        self.is_read = False
        self.at = 0
        self.period = period
        self.line_count = 0
        self._open: dict[LineKey, UsageLine] = {}
        self._totals: dict[TotalKey, Total] = {}
        self._tariff: Tariff | None = None
        self._charges: dict[ChargeKey, int] = {}

    def price(self, versions: Sequence[PriceVersion]) -> None:
        """What is read from now on is charged for at these prices."""
        self._tariff = Tariff(versions, self.period)

    async def read(self) -> None:
        """Reads the next page. A line that changes while the book is read comes again, later; the later one counts."""
        lines, more = await self.pages(self.at)
        self.line_count += len(lines)
        for line in lines:
            self.at = max(self.at, line.sequence)
            self._open.pop(line.key, None)
            if line.is_final:
                self.final[line.key] = line
            else:
                self._open[line.key] = line
        final = [line for line in lines if line.is_final]
        self._totals = add_up(self._totals, final, self.period)
        await self._charge(self._charges, final)
        self.is_read = not more or not lines

    def known(self) -> dict[LineKey, UsageLine]:
        return {**self.final, **self._open}

    def total(self) -> dict[TotalKey, Total]:
        return add_up(self._totals, self._open.values(), self.period)

    async def charged(self) -> dict[ChargeKey, int]:
        charges = dict(self._charges)
        await self._charge(charges, self._open.values())
        return charges

    async def _charge(self, charges: dict[ChargeKey, int], lines: Iterable[UsageLine]) -> None:
        """Adds what lines cost; nothing where nobody asked for prices. Others have their turn in between."""
        if self._tariff is None:
            return
        for at, line in enumerate(lines, start=1):
            self._tariff.add(charges, line)
            if at % LINES_AT_ONCE == 0:
                await self._clock.sleep_ms(0)
            if len(charges) > CHARGES_MAX:
                message = f"the bill has more than {CHARGES_MAX} lines; take a shorter period"
                raise RefusalError(Reason.UNAVAILABLE, message)


def _check_bounds(one: _Side, other: _Side) -> None:
    """Refuses books that are not alike by far: a partner may tell lines, of meters that run too, for ever.

    As both are read in step, one that is so many lines ahead has lines that the other lacks, or repeats itself.
    """
    ahead = abs(one.line_count - other.line_count) - PAGE_LINES
    if max(len(one.final), len(other.final), ahead) > ONE_SIDED_MAX:
        message = f"more than {ONE_SIDED_MAX} lines are in one book only; take a shorter period"
        raise RefusalError(Reason.UNAVAILABLE, message)


def _behind(one: _Side, other: _Side) -> _Side:
    """Which side to read next: the one that is less far."""
    if one.is_read or other.is_read:
        return other if one.is_read else one
    return one if one.at <= other.at else other


def _drop_alike(home: dict[LineKey, UsageLine], owner: dict[LineKey, UsageLine], skew_ms_max: int) -> None:
    """Forgets the final lines of which there is nothing to be said."""
    for key in [key for key in min(home, owner, key=len) if key in home and key in owner]:
        if not differences({key: home[key]}, {key: owner[key]}, skew_ms_max):
            del home[key], owner[key]
