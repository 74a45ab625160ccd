"""How findings are told, and what they mean for an exit status."""

from __future__ import annotations

import json

import pytest
from hansa_agent.check import Finding, as_json, as_lines, exit_status, ok, problem, unknown, warning


@pytest.mark.parametrize(
    ("findings", "lenient", "strict"),
    [
        ([], 0, 0),
        ([ok("a", "b"), unknown("a", "b")], 0, 0),
        ([ok("a", "b"), warning("a", "b")], 0, 1),
        ([warning("a", "b"), problem("a", "b")], 78, 78),
    ],
)
def test_exit_status_is_that_of_the_worst_finding(findings: list[Finding], lenient: int, strict: int) -> None:
    assert exit_status(findings, strict=False) == lenient
    assert exit_status(findings, strict=True) == strict


def test_table_has_a_remedy_beneath_what_it_mends() -> None:
    lines = list(as_lines([ok("ports", "free"), problem("certificate", "expired", "renew it")]))
    assert lines == [
        "OK        ports        free",
        "PROBLEM   certificate  expired",
        "                       -> renew it",
    ]


def test_json_has_every_field() -> None:
    assert json.loads(as_json([warning("clock", "off", "chrony")])) == [
        {"level": "warning", "subject": "clock", "message": "off", "remedy": "chrony"}
    ]
