"""Prices and bills on the wire: as bounded as the owner's own file, and no number that the wire does not have."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.adapters.codec_charges import amounts_out, charges_out, prices_in, prices_out, told
from hansa_control.application.ports import RefusalError
from hansa_control.domain.agreement import PriceList, PriceVersion
from hansa_control.domain.charges import ChargeKey, Unit
from hansa_control.domain.model import Reason

FIRST = PriceVersion(1, "sha256:" + "0" * 64, 1_000, PriceList("EUR", (("nvidia/L40S", 10**9),), 10**9))
KEY = ChargeKey("harbour", "oslo-1", "nvidia/L40S", Unit.ACCELERATOR, 1_000, 1, FIRST.digest, "EUR", 10**9)


def test_the_dearest_prices_of_a_file_come_in_as_they_went_out() -> None:
    assert prices_in(prices_out([FIRST]), "prices") == (FIRST,)


@pytest.mark.parametrize(
    ("prices", "field"),
    [
        (PriceList("EUR", (("L4", 10**9 + 1),)), "accelerators[0].milli_per_hour"),
        (PriceList("EUR", (), 10**9 + 1), "cpu_core_milli_per_hour"),
        (PriceList("EUR", tuple((f"m{number:03d}", 1) for number in range(101))), "accelerators"),
        (PriceList("EUR", (("m" * 128, 1),)), "accelerators[0].model"),
    ],
)
def test_prices_that_no_file_may_have_are_refused_with_their_field(prices: PriceList, field: str) -> None:
    wire = prices_out([replace(FIRST, prices=prices)])
    with pytest.raises(RefusalError) as refused:
        prices_in(wire, "prices")
    assert (refused.value.reason, refused.value.field) == (Reason.INVALID_FIELD, f"prices[0].{field}")


def test_an_amount_that_the_wire_does_not_have_is_refused_with_its_line_of_the_bill() -> None:
    cheap = KEY._replace(zone="bergen-1", price_milli_per_hour=1)
    with pytest.raises(RefusalError, match="harbour, oslo-1, nvidia/L40S by version 1") as refused:
        charges_out({cheap: 3_600_000, KEY: 2**60}, "home_charges")
    assert refused.value.field == "home_charges[1].amount_milli"
    with pytest.raises(RefusalError, match="EUR") as refused:
        amounts_out({KEY: 2**60}, "home_amounts")
    assert refused.value.field == "home_amounts[0].amount_milli"


def test_use_that_the_wire_does_not_have_is_refused_and_the_greatest_that_it_has_is_told() -> None:
    free = KEY._replace(price_milli_per_hour=0)
    with pytest.raises(RefusalError) as refused:
        charges_out({free: 2**63}, "home_charges")
    assert refused.value.field == "home_charges[0].used"
    assert charges_out({free: 2**63 - 1}, "home_charges")[0].used == 2**63 - 1
    assert told(-(2**63) + 1, "differences.cpu_milli_ms", "c1") == -(2**63) + 1
