"""Money over random runs, prices and cuts: what is split adds up, and both sides come to the same."""

from __future__ import annotations

from dataclasses import replace

from hansa_control.domain.agreement import PriceList, PriceVersion
from hansa_control.domain.charges import Unit, charge, learnt, noted
from hansa_control.domain.usage import Period, UsageLine
from hypothesis import given
from hypothesis import strategies as st

END = 10_000_000
PERIOD = Period(100, END)
POOLS = ("nvidia/L40S", "nvidia/H100", "")


@st.composite
def usage_lines(draw: st.DrawFn) -> UsageLine:
    pool = draw(st.sampled_from(POOLS))
    from_ms = draw(st.integers(1, END))
    until_ms = draw(st.just(0) | st.integers(from_ms, 2 * END))
    devices = draw(st.integers(1, 4)) if pool else 0
    zone = draw(st.sampled_from(("oslo-1", "oslo-2")))
    workload = draw(st.sampled_from(("tenants/harbour/workloads/w", "tenants/port/workloads/w")))
    cores = draw(st.sampled_from((0, 250, 1_000)))
    return UsageLine("skargard", "nordavind", "c1", 1, 1, zone, workload, pool, devices, cores, 1, from_ms, until_ms)


@st.composite
def price_lists(draw: st.DrawFn) -> PriceList | None:
    if draw(st.booleans()):
        return None
    listed = tuple((model, draw(st.integers(0, 9_999))) for model in ("L40S", "nvidia/H100") if draw(st.booleans()))
    times = sorted(draw(st.sets(st.integers(1, END), min_size=2, max_size=2)))
    since_ms, until_ms = draw(st.sampled_from(((0, 0), (times[0], 0), (0, times[1]), tuple(times))))
    currency = draw(st.sampled_from(("EUR", "SEK")))
    return PriceList(currency, listed, draw(st.sampled_from((0, 33))), since_ms, until_ms)


@st.composite
def histories(draw: st.DrawFn) -> tuple[PriceVersion, ...]:
    times = sorted(draw(st.sets(st.integers(1, END), max_size=4)))
    known: tuple[PriceVersion, ...] = ()
    for at, since_ms in enumerate(times):
        known = noted(known, PriceVersion(at + 1, f"sha256:{at}", since_ms, draw(price_lists())))
    return known


def price_at(versions: tuple[PriceVersion, ...], pool: str, at_ms: int) -> tuple[str, int] | None:
    """By plain reading: the price of an accelerator at a moment."""
    in_force = [one for one in versions if one.since_ms <= at_ms]
    prices = in_force[-1].prices if in_force else None
    if prices is None or at_ms < prices.valid_from_ms or (prices.valid_until_ms and at_ms >= prices.valid_until_ms):
        return None
    listed = dict(prices.accelerator_milli)
    found = listed.get(pool, listed.get(pool.split("/")[-1]))
    return None if found is None else (prices.currency, found)


@given(st.lists(usage_lines(), max_size=5), histories())
def test_no_millisecond_of_use_is_lost_or_counted_twice(
    lines: list[UsageLine], versions: tuple[PriceVersion, ...]
) -> None:
    charges = charge({}, lines, versions, PERIOD)
    counted = sum(used for key, used in charges.items() if key.unit is Unit.ACCELERATOR)
    true = 0
    for line in lines:
        until_ms = min(line.until_ms or END, END)
        true += line.accelerators * max(0, until_ms - max(line.from_ms, PERIOD.since_ms))
    assert counted == true


@given(usage_lines(), histories(), st.integers(1, END), st.integers(1, END))
def test_a_run_cut_in_two_or_a_period_cut_in_two_comes_to_the_same_before_rounding(
    line: UsageLine, versions: tuple[PriceVersion, ...], cut_ms: int, border_ms: int
) -> None:
    whole = charge({}, [line], versions, PERIOD)
    ends_ms = line.until_ms or END
    if line.from_ms < cut_ms < ends_ms:
        parts = [replace(line, until_ms=cut_ms), replace(line, from_ms=cut_ms, span=2)]
        assert charge({}, parts, versions, PERIOD) == whole
    if PERIOD.since_ms < border_ms < END:
        first = charge({}, [line], versions, Period(PERIOD.since_ms, border_ms))
        second = charge({}, [line], versions, Period(border_ms, END))
        assert {key: first.get(key, 0) + second.get(key, 0) for key in {*first, *second}} == whole
        for key, used in whole.items():
            split = sum(key.amount_milli(part.get(key, 0)) for part in (first, second))
            assert abs(split - key.amount_milli(used)) <= 1


@given(usage_lines(), histories(), st.integers(1, END - 1))
def test_every_moment_is_charged_at_the_price_that_held(
    line: UsageLine, versions: tuple[PriceVersion, ...], at_ms: int
) -> None:
    moment = charge({}, [line], versions, Period(at_ms, at_ms + 1))
    prices = [
        (key.currency, key.price_milli_per_hour) if key.is_priced else None
        for key in moment
        if key.unit is Unit.ACCELERATOR
    ]
    runs = line.accelerators and line.from_ms <= at_ms < (line.until_ms or END)
    assert prices == ([price_at(versions, line.pool, at_ms)] if runs else [])


@given(st.lists(usage_lines(), max_size=4), histories(), st.randoms())
def test_both_sides_charge_the_same_however_pages_and_news_came(
    lines: list[UsageLine], versions: tuple[PriceVersion, ...], chance: object
) -> None:
    by_owner = charge({}, lines, versions, PERIOD)
    known: tuple[PriceVersion, ...] = ()
    for upto in range(len(versions) + 1):
        known = learnt(known, versions[:upto]).versions
    shuffled = sorted(lines, key=lambda line: chance.random())  # type: ignore[attr-defined]
    by_home = charge(charge({}, shuffled[:2], known, PERIOD), shuffled[2:], known, PERIOD)
    assert by_home == by_owner
