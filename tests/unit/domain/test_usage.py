"""When a meter runs, what it counts, what a home operator takes over, and how two books differ."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hansa_control.domain.model import (
    ArtefactRef,
    Capacity,
    Claim,
    ClaimState,
    LatencyBudget,
    Manifest,
    ResidencyPolicy,
    WorkloadSpec,
)
from hansa_control.domain.two_books import Asked, DifferenceKind, differences, objection, taken_over
from hansa_control.domain.usage import Period, Total, TotalKey, UsageLine, add_up, counted_ms, metered

OWNER, HOME = "skargard", "nordavind"
WORKLOAD = "tenants/harbour/workloads/yard-ocr"
SPEC = WorkloadSpec(ArtefactRef("a", "sha256:0"), None, 1_000, 512, 2, (), LatencyBudget(95, 1), ResidencyPolicy())
SKEW_MS = 1_000


def claim(state: ClaimState) -> Claim:
    amount = Capacity(2_000, 1_024, (("nvidia/L4", 4),))
    return Claim("c1", HOME, "oslo-1", SPEC, amount, "nvidia/L4", state, 7, 0, Manifest(WORKLOAD, b"", ()))


def told(*states: tuple[ClaimState, int]) -> list[UsageLine]:
    """Every line that the owner tells while a claim goes through states at moments of its clock, in order."""
    lines: list[UsageLine] = []
    last: UsageLine | None = None
    for state, now_ms in states:
        for line in metered(last, claim(state), OWNER, now_ms):
            lines.append(replace(line, sequence=len(lines) + 1))
            last = line if not line.is_final or (last and last.span == line.span) else last
            last = None if line.is_final and last is line else last
    return lines


def book(lines: list[UsageLine]) -> dict[int, tuple[int, int, bool]]:
    """The last word on each run: from, until, final."""
    return {line.span: (line.from_ms, line.until_ms, line.is_final) for line in lines}


S = ClaimState


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([(S.HELD, 10), (S.RELEASED, 20)], {}),
        ([(S.HELD, 10), (S.ALLOCATED, 20), (S.SERVING, 30)], {1: (20, 0, False)}),
        ([(S.ALLOCATED, 20), (S.SERVING, 30), (S.ALLOCATED, 40), (S.RELEASING, 50)], {1: (20, 50, True)}),
        ([(S.ALLOCATED, 20), (S.RELEASING, 50), (S.RELEASED, 90)], {1: (20, 50, True)}),
        ([(S.SERVING, 20), (S.LOST, 50)], {1: (20, 50, False)}),
        ([(S.SERVING, 20), (S.LOST, 50), (S.RELEASING, 90)], {1: (20, 50, True)}),
        ([(S.SERVING, 20), (S.LOST, 50), (S.ALLOCATED, 70)], {1: (20, 50, True), 2: (70, 0, False)}),
        ([(S.SERVING, 20), (S.FAILED, 50), (S.LOST, 60), (S.RELEASING, 70)], {1: (20, 50, True)}),
    ],
)
def test_a_meter_runs_while_a_claim_is_allocated_and_stands_while_it_is_lost_or_failed(
    states: list[tuple[ClaimState, int]], expected: dict[int, tuple[int, int, bool]]
) -> None:
    assert book(told(*states)) == expected


def test_a_clock_that_goes_back_counts_nothing_twice() -> None:
    lines = told((S.SERVING, 1_000), (S.LOST, 400), (S.SERVING, 300), (S.RELEASING, 900))
    assert book(lines) == {1: (1_000, 1_000, True), 2: (1_000, 1_000, True)}


def test_a_new_run_is_told_before_the_end_of_the_one_before() -> None:
    spans = [(line.span, line.is_final) for line in told((S.SERVING, 20), (S.LOST, 50), (S.SERVING, 70))]
    assert spans == [(1, False), (1, False), (2, False), (1, True)]


def test_a_line_names_what_it_counts() -> None:
    (line,) = told((S.ALLOCATED, 20))
    assert (line.owner, line.home, line.claim, line.fencing_token, line.zone) == (OWNER, HOME, "c1", 7, "oslo-1")
    assert (line.pool, line.accelerators, line.cpu_millis, line.memory_mib) == ("nvidia/L4", 4, 2_000, 1_024)
    assert (line.workload, line.tenant) == (WORKLOAD, "harbour")


# --- counting -------------------------------------------------------------------------------------------------------

LINE = replace(told((S.ALLOCATED, 1_000))[0], until_ms=5_000, is_final=True)


@pytest.mark.parametrize(
    ("line", "period", "expected"),
    [
        (LINE, Period(0, 10_000), 4_000),
        (LINE, Period(2_000, 3_000), 1_000),
        (LINE, Period(5_000, 10_000), 0),
        (LINE, Period(0, 1_000), 0),
        (replace(LINE, until_ms=0), Period(2_000, 9_000), 7_000),
        (replace(LINE, until_ms=1_000), Period(0, 9_000), 0),
    ],
)
def test_a_line_counts_its_part_of_a_period(line: UsageLine, period: Period, expected: int) -> None:
    assert counted_ms(line, period) == expected


def test_periods_that_follow_one_another_add_up_to_the_whole() -> None:
    cuts = (0, 1_500, 1_501, 4_999, 10_000)
    parts = [counted_ms(LINE, Period(since, until)) for since, until in pairwise(cuts)]
    assert sum(parts) == counted_ms(LINE, Period(0, 10_000))


def test_totals_are_by_operator_tenant_and_pool() -> None:
    other = replace(LINE, workload="tenants/mine/workloads/x", pool="", accelerators=0)
    totals = add_up({}, [LINE, LINE, other, replace(LINE, from_ms=20_000, until_ms=0)], Period(0, 10_000))
    assert totals == {
        TotalKey(OWNER, HOME, "harbour", "nvidia/L4"): Total(2, 2 * 4 * 4_000, 2 * 2_000 * 4_000, 2 * 1_024 * 4_000),
        TotalKey(OWNER, HOME, "mine", ""): Total(1, 0, 2_000 * 4_000, 1_024 * 4_000),
    }


# --- taking over ----------------------------------------------------------------------------------------------------

ASKED = Asked(OWNER, "c1", "oslo-1", WORKLOAD, 4, 2_000, 1_024, 900)


def test_all_that_an_owner_tells_of_what_was_asked_for_is_taken_over() -> None:
    asked = ASKED
    for line in told((S.SERVING, 20), (S.LOST, 50), (S.SERVING, 70), (S.LOST, 80), (S.RELEASING, 90)):
        assert objection(asked, line) == ""
        asked = taken_over(asked, line)
    assert book(list(asked.lines)) == {1: (20, 50, True), 2: (70, 80, True)}
    assert not asked.is_settled
    assert replace(asked, given_back_at_ms=90).is_settled


def test_a_claim_is_not_settled_while_a_run_may_go_on() -> None:
    asked = replace(ASKED, given_back_at_ms=90)
    assert not asked.is_settled
    assert not taken_over(asked, told((S.SERVING, 20), (S.LOST, 50))[-1]).is_settled


@pytest.mark.parametrize(
    ("before", "line", "why"),
    [
        ((), replace(LINE, accelerators=5), "not what was asked for"),
        ((), replace(LINE, cpu_millis=2_001), "not what was asked for"),
        ((), replace(LINE, zone="oslo-2"), "not what was asked for"),
        ((), replace(LINE, workload="tenants/harbour/workloads/other"), "not what was asked for"),
        ((LINE,), replace(LINE, until_ms=5_001), "ended otherwise"),
        ((LINE,), replace(LINE, from_ms=999), "began otherwise"),
        ((LINE,), replace(LINE, is_final=False), "was final"),
        ((LINE,), replace(LINE, fencing_token=8), "has token 7"),
        ((LINE,), replace(LINE, span=2, from_ms=4_999, until_ms=6_000), "another line of the claim counts"),
        ((replace(LINE, span=2, from_ms=3_000),), replace(LINE, until_ms=3_001), "another line of the claim counts"),
    ],
)
def test_what_an_owner_makes_up_or_takes_back_is_not_taken_over(
    before: tuple[UsageLine, ...], line: UsageLine, why: str
) -> None:
    assert why in objection(replace(ASKED, lines=before), line)


def test_a_claim_that_nobody_asked_for_is_not_taken_over() -> None:
    assert "nothing was asked" in objection(None, LINE)


# --- comparing ------------------------------------------------------------------------------------------------------


def kinds(home: UsageLine | None, owner: UsageLine | None) -> list[DifferenceKind]:
    books = [{line.key: line} if line else {} for line in (home, owner)]
    return [found.kind for found in differences(books[0], books[1], SKEW_MS)]


def test_books_that_say_the_same_do_not_differ_whoever_was_told_when() -> None:
    assert kinds(LINE, LINE) == []
    assert kinds(replace(LINE, asked_at_ms=1_000, given_back_at_ms=5_000, sequence=3), LINE) == []


@pytest.mark.parametrize(
    ("home", "owner", "kind"),
    [
        (None, LINE, DifferenceKind.HOME_LACKS),
        (LINE, None, DifferenceKind.OWNER_LACKS),
        (LINE, replace(LINE, until_ms=5_001), DifferenceKind.OTHER_STAMPS),
        (replace(LINE, until_ms=0, is_final=False), LINE, DifferenceKind.OTHER_STAMPS),
        (LINE, replace(LINE, memory_mib=1_025), DifferenceKind.OTHER_AMOUNT),
        (LINE, replace(LINE, pool="nvidia/L40S"), DifferenceKind.OTHER_AMOUNT),
        (replace(LINE, asked_at_ms=2_001), LINE, DifferenceKind.BEYOND_CLOCKS),
        (replace(LINE, given_back_at_ms=3_999), LINE, DifferenceKind.BEYOND_CLOCKS),
    ],
)
def test_every_way_to_differ_has_a_name(home: UsageLine | None, owner: UsageLine | None, kind: DifferenceKind) -> None:
    assert kinds(home, owner) == [kind]


def test_clocks_that_are_as_far_apart_as_they_may_be_are_no_difference() -> None:
    assert kinds(replace(LINE, asked_at_ms=2_000, given_back_at_ms=4_000), LINE) == []
