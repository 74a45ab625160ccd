"""The bill as people read it: prices, amounts and what differs, on a terminal of 80 columns too."""

from __future__ import annotations

import pytest

from hansa.cli.documents import Document, Screen
from hansa.cli.view_charges import money
from hansa.cli.view_usage import settlements_document
from hansa.v1 import usage_pb2

HOUR_MS = 3_600_000
NOVEMBER_MS = 1_793_491_200_000
DIGEST = "sha256:" + "3f" * 32
ACCELERATOR, CORE = usage_pb2.USAGE_UNIT_ACCELERATOR, usage_pb2.USAGE_UNIT_CORE


def charge(used: int, amount_milli: int | None, version: int = 1, unit: int = ACCELERATOR) -> usage_pb2.UsageCharge:
    made = usage_pb2.UsageCharge(
        tenant="harbour",
        zone="hamburg-1",
        pool="nvidia/L40S",
        unit=unit,  # type: ignore[arg-type]
        used=used,
        agreement_version=version,
        agreement_digest=DIGEST,
        in_force_since_ms=NOVEMBER_MS + version * HOUR_MS,
        unpriced=amount_milli is None,
    )
    if amount_milli is not None:
        made.amount_milli, made.currency, made.price_milli_per_hour = amount_milli, "EUR", 1_200 * version
    return made


def settlement(home: list[usage_pb2.UsageCharge], owner: list[usage_pb2.UsageCharge]) -> usage_pb2.UsageSettlement:
    made = usage_pb2.UsageSettlement(
        owner_operator="waldnetz",
        home_operator="nordavind",
        since_ms=NOVEMBER_MS,
        until_ms=NOVEMBER_MS + 24 * HOUR_MS,
        owner_totals=[usage_pb2.UsageTotal(tenant="harbour", pool="nvidia/L40S", accelerator_ms=1)],
        home_totals=[usage_pb2.UsageTotal(tenant="harbour", pool="nvidia/L40S", accelerator_ms=1)],
        home_charges=home,
        owner_charges=owner,
    )
    for charges, amounts in ((home, made.home_amounts), (owner, made.owner_amounts)):
        priced = [one.amount_milli for one in charges if not one.unpriced]
        if priced:
            amounts.add(currency="EUR", amount_milli=sum(priced))
    return made


def shown(made: usage_pb2.UsageSettlement, capsys: pytest.CaptureFixture[str], width: int, *, wide: bool) -> list[str]:
    document: Document = settlements_document([made], wide=wide)
    Screen(width_columns=width).show(document)
    return [row.rstrip() for row in capsys.readouterr().out.splitlines()]


BILL = [
    charge(12_801_338, 4_267),
    charge(6_400_669_000, 48, unit=CORE),
    charge(1_200_000, 800, version=2),
    charge(77_000, None, version=3),
]


@pytest.mark.parametrize(("width", "wide"), [(80, False), (120, True)])
def test_a_bill_fits_the_terminal_and_says_price_amount_and_agreement(
    width: int, wide: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = shown(settlement(BILL, BILL), capsys, width, wide=wide)
    assert max(map(len, rows)) <= width
    text = "\n".join(rows)
    for words in ("1.200 EUR", "2.400 EUR", "12,801.338", "4.267", "unpriced", "v2", "hamburg-1", "nvidia/L40S cores"):
        assert words in text, words
    assert "total EUR: nordavind 5.115, waldnetz 5.115, difference 0" in rows
    assert "unpriced: 77.000 accelerator-s by waldnetz's book" in rows
    assert "v2: in force from 2026-11-01 02:00:00 UTC, sha256:3f3f3f3f3f3f" in rows
    assert rows[-1] == "no difference"
    if wide:
        assert any("nordavind" in row and "waldnetz" in row and "PRICE/H" in row for row in rows)


def test_a_difference_is_told_in_seconds_and_in_money(capsys: pytest.CaptureFixture[str]) -> None:
    longer = [charge(12_801_338 + 3_600_000, 5_467), *BILL[1:]]
    rows = shown(settlement(BILL, longer), capsys, 80, wide=False)
    assert "More by waldnetz's book" in rows
    (row,) = (row for row in rows if row.startswith("harbour") and "+1.200" in row)
    assert "+3,600.000" in row
    assert max(map(len, rows)) <= 80
    assert "total EUR: nordavind 5.115, waldnetz 6.315, difference +1.200" in rows
    assert rows[-1] == "the amounts differ"


def test_a_line_that_one_side_does_not_charge_for_is_seen(capsys: pytest.CaptureFixture[str]) -> None:
    rows = shown(settlement(BILL[:1], BILL[:2]), capsys, 120, wide=True)
    charged, differing = (row for row in rows if "cores" in row)
    assert "none" in charged and "+0.048" in differing
    assert rows[-1] == "the amounts differ"


def test_an_older_control_plane_that_tells_of_no_charges_has_none_to_differ_in(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = shown(settlement([], []), capsys, 80, wide=False)
    assert rows[-1] == "no difference"
    assert "Amounts" not in rows


def test_money_is_in_thousandths() -> None:
    assert [money(n) for n in (0, 1, 1_204_500, -7)] == ["0.000", "0.001", "1,204.500", "-0.007"]
    assert [money(n, signed=True) for n in (0, 5, -5)] == ["0", "+0.005", "-0.005"]
