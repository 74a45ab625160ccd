"""What a site refuses, on the wire."""

from __future__ import annotations

import pytest
from hansa_control.adapters.codec_refusals import refusals_in, refusals_out
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import Refusals

from hansa.v1.zone_pb2 import SiteRefusals, WeeklySpan


def test_every_field_of_refusals_goes_there_and_back() -> None:
    refusals = Refusals(("*", "a/*", "a/b"), ("c/d",), ("BACKUP", "LOGS"), ((0, 1), (5, 10_080)), tenants_withheld=True)
    assert refusals_in(refusals_out(refusals), "refusals") == refusals


@pytest.mark.parametrize(
    ("wire", "field"),
    [
        (SiteRefusals(tenants_allowed=["a"]), "r.tenants_allowed[0]"),
        (SiteRefusals(tenants_denied=["a/b", "*/b"]), "r.tenants_denied[1]"),
        (SiteRefusals(tenants_denied=["*"] * 1_001), "r.tenants_denied"),
        (SiteRefusals(data_denied=[0]), "r.data_denied[0]"),
        (SiteRefusals(data_denied=[99]), "r.data_denied[0]"),
        (SiteRefusals(times=[WeeklySpan(from_minute=-1, until_minute=5)]), "r.times[0].from_minute"),
        (SiteRefusals(times=[WeeklySpan(from_minute=5, until_minute=5)]), "r.times[0].until_minute"),
        (SiteRefusals(times=[WeeklySpan(from_minute=5, until_minute=10_081)]), "r.times[0].until_minute"),
    ],
)
def test_what_cannot_be_read_of_them_is_refused_with_its_field(wire: SiteRefusals, field: str) -> None:
    with pytest.raises(RefusalError) as refused:
        refusals_in(wire, "r")
    assert refused.value.field == field
