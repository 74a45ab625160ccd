"""What usage costs: the price at the time of use, one rounding a line of the bill, and nothing made up for no price."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.domain import charges
from hansa_control.domain.agreement import PRICE_VERSIONS_MAX, PRICES_MAX, PriceList, PriceVersion
from hansa_control.domain.charges import ChargeKey, Learnt, Unit, amounts, charge, half_even, learnt, noted
from hansa_control.domain.usage import Period, UsageLine, counted_ms

HOUR_MS = 3_600_000
T0 = 1_000 * HOUR_MS
EVER = Period(0, T0 + 100 * HOUR_MS)
EUR = PriceList("EUR", (("L40S", 1_200), ("nvidia/H100", 3_000)), 30)
DEARER = replace(EUR, accelerator_milli=(("L40S", 1_500),))
FIRST = PriceVersion(1, "sha256:1", T0, EUR)
SECOND = PriceVersion(2, "sha256:2", T0 + 2 * HOUR_MS, DEARER)
LINE = UsageLine(
    "waldnetz", "nordavind", "c1", 7, 1, "hamburg-1", "tenants/harbour/workloads/w", "nvidia/L40S", 2, 500, 512, T0
)


def line(hours: float, after: float = 0, **changes: object) -> UsageLine:
    from_ms = T0 + int(after * HOUR_MS)
    made = replace(LINE, from_ms=from_ms, until_ms=from_ms + int(hours * HOUR_MS), is_final=True)
    return replace(made, **changes)  # type: ignore[arg-type]


def bill(*lines: UsageLine, versions: tuple[PriceVersion, ...] = (FIRST, SECOND), period: Period = EVER) -> list[str]:
    charged = charge({}, lines, versions, period)
    return [_told(key, used) for key, used in sorted(charged.items())]


def _told(key: ChargeKey, used: int) -> str:
    amount = f"{key.amount_milli(used)} {key.currency}" if key.is_priced else "unpriced"
    return f"{key.unit.value.lower()} v{key.version} {used}: {amount}"


def test_an_hour_of_two_accelerators_and_half_a_core_costs_what_was_agreed() -> None:
    assert bill(line(1)) == [f"accelerator v1 {2 * HOUR_MS}: 2400 EUR", f"core v1 {500 * HOUR_MS}: 15 EUR"]


def test_a_run_that_spans_an_amendment_is_charged_by_both_versions() -> None:
    assert bill(line(3))[:2] == [f"accelerator v1 {4 * HOUR_MS}: 4800 EUR", f"accelerator v2 {2 * HOUR_MS}: 3000 EUR"]


def test_a_meter_that_still_runs_is_counted_to_the_end_of_the_period_and_split_as_well() -> None:
    period = Period(T0 + HOUR_MS, T0 + 3 * HOUR_MS)
    running = replace(line(1), until_ms=0, is_final=False, cpu_millis=0)
    assert bill(running, period=period) == [
        f"accelerator v1 {2 * HOUR_MS}: 2400 EUR",
        f"accelerator v2 {2 * HOUR_MS}: 3000 EUR",
    ]


def test_use_before_anything_was_agreed_is_unpriced_and_has_no_amount() -> None:
    early = line(2, after=-1, cpu_millis=0)
    assert bill(early) == [f"accelerator v0 {2 * HOUR_MS}: unpriced", f"accelerator v1 {2 * HOUR_MS}: 2400 EUR"]
    assert amounts(charge({}, [early], [FIRST], EVER)) == {"EUR": 2_400}
    assert amounts(charge({}, [early], [], EVER)) == {}


def test_use_outside_the_validity_of_the_prices_is_unpriced() -> None:
    bounded = replace(FIRST, prices=replace(EUR, valid_from_ms=T0 + HOUR_MS, valid_until_ms=T0 + 2 * HOUR_MS))
    found = bill(line(4, cpu_millis=0), versions=(bounded,))
    assert found == [f"accelerator v1 {6 * HOUR_MS}: unpriced", f"accelerator v1 {2 * HOUR_MS}: 2400 EUR"]


@pytest.mark.parametrize(
    ("pool", "amount"), [("nvidia/L40S", "1200 EUR"), ("nvidia/H100", "3000 EUR"), ("amd/H100", "unpriced")]
)
def test_a_price_is_that_of_the_pool_or_of_its_model_and_of_nothing_else(pool: str, amount: str) -> None:
    assert bill(line(1, pool=pool, accelerators=1, cpu_millis=0)) == [f"accelerator v1 {HOUR_MS}: {amount}"]


def test_cores_without_a_price_come_with_accelerators_and_are_unpriced_without() -> None:
    versions = (replace(FIRST, prices=replace(EUR, cpu_core_milli=0)),)
    assert bill(line(1), versions=versions) == [f"accelerator v1 {2 * HOUR_MS}: 2400 EUR"]
    alone = line(1, pool="", accelerators=0)
    assert bill(alone, versions=versions) == [f"core v1 {500 * HOUR_MS}: unpriced"]


def test_a_version_without_prices_is_named_and_unpriced() -> None:
    assert bill(line(1, cpu_millis=0), versions=(replace(FIRST, prices=None),)) == [
        f"accelerator v1 {2 * HOUR_MS}: unpriced"
    ]


def test_a_line_of_the_bill_is_rounded_once_and_not_each_run() -> None:
    runs = [line(0.5, after=at, accelerators=1, cpu_millis=0) for at in (0, 1)]
    odd = (replace(FIRST, prices=replace(EUR, accelerator_milli=(("L40S", 1),))),)
    assert bill(*runs, versions=odd) == [f"accelerator v1 {HOUR_MS}: 1 EUR"]
    assert bill(runs[0], versions=odd) == [f"accelerator v1 {HOUR_MS // 2}: 0 EUR"], "half to even"


def test_halves_go_to_the_even_neighbour() -> None:
    assert [half_even(n, 2) for n in range(8)] == [0, 0, 1, 2, 2, 2, 3, 4]
    assert [half_even(n, 3) for n in range(6)] == [0, 0, 1, 1, 1, 2]


def test_totals_are_by_currency() -> None:
    other = replace(SECOND, prices=replace(DEARER, currency="SEK"))
    charged = charge({}, [line(3, cpu_millis=0)], (FIRST, other), EVER)
    assert amounts(charged) == {"EUR": 4_800, "SEK": 3_000}


def test_charges_are_by_tenant_and_zone() -> None:
    lines = [line(1), line(1, zone="berlin-1"), line(1, workload="tenants/port/workloads/w")]
    keys = {(key.tenant, key.zone) for key in charge({}, lines, [FIRST], EVER) if key.unit is Unit.ACCELERATOR}
    assert keys == {("harbour", "hamburg-1"), ("harbour", "berlin-1"), ("port", "hamburg-1")}


def test_an_owner_notes_a_version_once_and_its_time_does_not_go_back() -> None:
    known = noted((), FIRST)
    assert noted(known, replace(FIRST, since_ms=T0 + 9)) is known
    back = noted(known, replace(SECOND, since_ms=T0 - 5))
    assert [one.since_ms for one in back] == [T0, T0 + 1]
    many = known
    for version in range(2, PRICE_VERSIONS_MAX + 9):
        many = noted(many, PriceVersion(version, "sha256:x", T0 + version))
    assert (many[0], many[-1].version) == (FIRST, PRICE_VERSIONS_MAX), "all of them may be in use"


def test_a_home_operator_keeps_what_it_was_told_first() -> None:
    known = learnt((), [SECOND, FIRST])
    assert known == Learnt((FIRST, SECOND))
    changed = replace(SECOND, prices=EUR)
    late = replace(SECOND, version=3, since_ms=SECOND.since_ms - 1)
    again = learnt(known.versions, [changed, late, SECOND])
    assert again.versions == known.versions
    assert [version for version, _ in again.refused] == [late, changed]


def test_a_price_that_came_into_force_before_prices_were_told_last_is_refused_with_why() -> None:
    found = learnt((FIRST,), [SECOND], least_ms=SECOND.since_ms + 1)
    assert found.versions == (FIRST,)
    ((version, why),) = found.refused
    assert version == SECOND and "use that is over" in why
    assert learnt((FIRST,), [SECOND], least_ms=SECOND.since_ms).versions == (FIRST, SECOND)
    assert learnt((), [FIRST], least_ms=FIRST.since_ms + 1).versions == (), "no price for use that had none"


def flood(count: int, prices: PriceList) -> list[PriceVersion]:
    return [PriceVersion(number, f"sha256:{number}", T0 + number, prices) for number in range(2, 2 + count)]


def test_no_flood_of_versions_pushes_out_one_under_which_use_is_kept() -> None:
    found = learnt((FIRST,), flood(PRICE_VERSIONS_MAX, EUR), kept_since_ms=T0)
    assert (found.versions[0], len(found.versions), len(found.refused)) == (FIRST, PRICE_VERSIONS_MAX, 1)
    later = learnt((FIRST,), flood(PRICE_VERSIONS_MAX, EUR), kept_since_ms=T0 + 2)
    assert (later.versions[0].version, len(later.versions), later.refused) == (2, PRICE_VERSIONS_MAX, ())


def test_all_versions_together_have_a_bounded_number_of_prices() -> None:
    long = replace(EUR, accelerator_milli=tuple((f"m{number:03d}", 1) for number in range(100)))
    found = learnt((FIRST,), flood(PRICE_VERSIONS_MAX - 1, long))
    listed = [len(one.prices.accelerator_milli) for one in found.versions if one.prices is not None]
    assert sum(listed) <= PRICES_MAX < sum(listed) + 100
    assert found.versions[0] == FIRST and found.refused


def test_what_a_line_costs_is_looked_up_only_in_the_times_that_it_touches(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Period] = []

    def counted(one: UsageLine, period: Period) -> int:
        asked.append(period)
        return counted_ms(one, period)

    monkeypatch.setattr(charges, "counted_ms", counted)
    versions = [PriceVersion(at, "sha256:1", T0 + at * HOUR_MS, EUR) for at in range(1, 90)]
    charged = charge({}, [line(1, after=3.5, cpu_millis=0)], versions, EVER)
    assert sorted(key.version for key in charged) == [3, 4] and len(asked) == 2
