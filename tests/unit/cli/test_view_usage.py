"""Usage and settlements as people read them, on a terminal of 80 columns too."""

from __future__ import annotations

import pytest

from hansa.cli.documents import Document, Screen
from hansa.cli.periods import moment_ms, month_began_ms
from hansa.cli.view_usage import settlements_document, usage_document
from hansa.errors import HansaError
from hansa.v1 import usage_pb2, usage_service_pb2

HOUR_MS = 3_600_000
NOVEMBER_MS = 1_793_491_200_000


def total(accelerator_ms: int, pool: str = "nvidia/L40S", tenant: str = "harbour") -> usage_pb2.UsageTotal:
    return usage_pb2.UsageTotal(
        owner_operator="waldnetz",
        home_operator="nordavind",
        tenant=tenant,
        pool=pool,
        lines=2,
        accelerator_ms=accelerator_ms,
        cpu_milli_ms=1_500 * HOUR_MS,
        memory_mib_ms=2_048 * HOUR_MS,
    )


def line(until_ms: int) -> usage_pb2.UsageLine:
    return usage_pb2.UsageLine(
        owner_operator="waldnetz",
        home_operator="nordavind",
        claim="c0123456789abcdef-12",
        fencing_token=7,
        span=1,
        zone="hamburg-1",
        workload="tenants/harbour/workloads/yard-ocr",
        pool="nvidia/L40S",
        accelerators=2,
        from_ms=NOVEMBER_MS,
        until_ms=until_ms,
    )


def settlement(*differences: usage_pb2.UsageDifference) -> usage_pb2.UsageSettlement:
    return usage_pb2.UsageSettlement(
        owner_operator="waldnetz",
        home_operator="nordavind",
        since_ms=NOVEMBER_MS,
        until_ms=NOVEMBER_MS + 24 * HOUR_MS,
        home_totals=[total(7_200_001)],
        owner_totals=[total(7_200_001 + sum(one.accelerator_ms for one in differences))],
        differences=differences,
        difference_count=len(differences),
    )


LATE = usage_pb2.UsageDifference(
    kind=usage_pb2.USAGE_DIFFERENCE_KIND_OTHER_STAMPS,
    home=line(NOVEMBER_MS + 1_000),
    owner=line(NOVEMBER_MS + 1_001),
    accelerator_ms=2,
)


def shown(document: Document, capsys: pytest.CaptureFixture[str], width: int = 80) -> list[str]:
    Screen(width_columns=width).show(document)
    return [row.rstrip() for row in capsys.readouterr().out.splitlines()]


def test_books_that_agree_say_so_below_the_same_total_twice(capsys: pytest.CaptureFixture[str]) -> None:
    rows = shown(settlements_document([settlement()], wide=False), capsys)
    assert rows[0] == "what nordavind used of waldnetz"
    assert rows[1] == "2026-11-01 00:00:00 UTC until 2026-11-02 00:00:00 UTC"
    assert rows[3].split() == ["harbour", "nvidia/L40S", "accelerator-s", "7,200.001", "7,200.001", "0"]
    assert rows[-1] == "no difference"
    assert max(map(len, rows)) <= 80


def test_a_difference_of_a_millisecond_is_seen_in_total_and_by_claim(capsys: pytest.CaptureFixture[str]) -> None:
    rows = shown(settlements_document([settlement(LATE)], wide=False), capsys)
    assert rows[3].split()[-3:] == ["7,200.001", "7,200.003", "0.002"]
    assert "1 difference" in rows
    found = next(row for row in rows if row.startswith("c0123456789abcdef-12"))
    assert "yard-ocr" in found and "other times" in found and "+0.002" in found
    assert max(map(len, rows)) <= 80


def test_wide_shows_what_each_side_says(capsys: pytest.CaptureFixture[str]) -> None:
    lacking = usage_pb2.UsageDifference(
        kind=usage_pb2.USAGE_DIFFERENCE_KIND_HOME_LACKS, owner=line(0), accelerator_ms=HOUR_MS
    )
    rows = shown(settlements_document([settlement(LATE, lacking)], wide=True), capsys, 0)
    late, missing = (row for row in rows if row.startswith("c0123456789abcdef-12"))
    assert late.count("2 x nvidia/L40S") == 2
    assert "not in the home's book" in missing and "- now, 2 x nvidia/L40S" in missing
    assert "+3,600.000" in missing


def test_a_direction_that_nobody_used_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    nothing = usage_pb2.UsageSettlement(owner_operator="nordavind", home_operator="waldnetz", until_ms=1)
    rows = shown(settlements_document([settlement(), nothing], wide=False), capsys)
    assert rows[-1] == "nothing, by both books"
    assert "what waldnetz used of nordavind" in rows


def test_usage_is_in_hours_and_fits_a_narrow_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    used = usage_service_pb2.GetUsageResponse(totals=[total(90 * HOUR_MS), total(0, "")], since_ms=1, until_ms=2)
    rows = shown(usage_document(used, wide=False), capsys)
    assert rows[2].split() == ["harbour", "waldnetz", "nvidia/L40S", "90.00", "1.50"]
    assert rows[3].split() == ["harbour", "waldnetz", "-", "0.00", "1.50"]
    assert max(map(len, rows)) <= 80
    wide = shown(usage_document(used, wide=True), capsys, 0)
    assert wide[2].split()[-3:] == ["2.00", "2", "nordavind"]


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("2026-11", NOVEMBER_MS),
        ("2026-11-02", NOVEMBER_MS + 24 * HOUR_MS),
        ("2026-11-01T01:00", NOVEMBER_MS + HOUR_MS),
        ("2026-11-01T01:00Z", NOVEMBER_MS + HOUR_MS),
        ("2026-11-01T01:00+01:00", NOVEMBER_MS),
    ],
)
def test_a_moment_is_a_month_a_day_or_a_time_in_utc(text: str, expected_ms: int) -> None:
    assert moment_ms(text, "--since") == expected_ms


def test_what_is_no_moment_is_refused_with_what_would_be_one() -> None:
    with pytest.raises(HansaError) as refused:
        moment_ms("yesterday", "--since")
    assert (refused.value.reason, refused.value.field) == ("INVALID_FIELD", "--since")
    assert "2026-11-22" in refused.value.message


def test_the_present_month_begins_on_its_first_day() -> None:
    assert month_began_ms(NOVEMBER_MS + 22 * 24 * HOUR_MS) == NOVEMBER_MS
