"""Lines of usage on the wire: what goes out comes in, and what no owner may say is refused with its field."""

from __future__ import annotations

from typing import Any

import pytest
from hansa_control.adapters import codec_usage as codec
from hansa_control.application.ports import RefusalError
from hansa_control.application.usage_ports import UsageCall, UsagePage
from hansa_control.domain.model import Reason
from hansa_control.domain.usage import Period, UsageLine

LINE = UsageLine(
    "waldnetz", "nordavind", "c1", 7, 1, "hamburg-1", "tenants/t/workloads/w", "nvidia/L4", 2, 1000, 512, 5, 9, True, 3
)


def test_lines_and_questions_come_in_as_they_went_out() -> None:
    page = UsagePage((LINE,), True, 8)
    assert codec.usage_response_in(codec.usage_response_out(page)) == page
    for call in (UsageCall("waldnetz", 4, 3, 100), UsageCall("waldnetz", 0, 0, 500, Period(3, 9))):
        assert codec.usage_request_in(codec.usage_request_out(call)) == call


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("owner_operator", "Wald"),
        ("home_operator", ""),
        ("claim", "C 1"),
        ("span", 0),
        ("zone", ""),
        ("workload", "w"),
        ("accelerators", -1),
        ("cpu_millis", 2**40),
        ("memory_mib", -1),
        ("from_ms", 0),
        ("until_ms", 4),
        ("sequence", 0),
    ],
)
def test_a_line_that_cannot_be_is_refused_with_its_field(field: str, value: Any) -> None:
    wire = codec.line_out(LINE)
    setattr(wire, field, value)
    with pytest.raises(RefusalError) as refused:
        codec.line_in(wire, "lines[0]")
    assert (refused.value.reason, refused.value.field) == (Reason.INVALID_FIELD, f"lines[0].{field}")


def test_a_final_line_has_an_end() -> None:
    wire = codec.line_out(LINE)
    wire.until_ms = 0
    with pytest.raises(RefusalError, match="final"):
        codec.line_in(wire, "lines[0]")


def test_a_page_is_bounded() -> None:
    wire = codec.usage_response_out(UsagePage((LINE,) * 501, False, 8))
    with pytest.raises(RefusalError) as refused:
        codec.usage_response_in(wire)
    assert refused.value.field == "lines"
