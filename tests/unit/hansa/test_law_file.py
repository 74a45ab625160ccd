"""An operator's law file: nation, tenants, owner."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from hansa.errors import HansaError
from hansa.law.law_file import load_law_file, parse_law_text
from hansa.v1 import residency_pb2

TODAY = date(2026, 11, 22)
TEXT = """\
kind: Law
nation: {preset: gdpr-eea}
tenants:
  havneby: {data: [Nordic], control: [NO], on_change: terminate}
  sjoby: none
owner: {control: {deny: [RU]}}
"""


def test_each_part_is_read_as_a_policy(tmp_path: Path) -> None:
    path = tmp_path / "law.yaml"
    path.write_text(TEXT)
    law = load_law_file(path, TODAY)
    assert law.nation
    assert list(law.nation.presets) == ["gdpr-eea"]
    assert list(law.tenants) == ["havneby", "sjoby"]
    assert list(law.tenants["havneby"].site.countries_allowed) == ["DK", "FI", "IS", "NO", "SE"]
    assert law.tenants["havneby"].on_change == residency_pb2.ON_CHANGE_TERMINATE
    assert law.owner
    assert list(law.owner.legal.countries_denied) == ["RU"]


def test_tenants_are_a_mapping() -> None:
    with pytest.raises(HansaError, match="expected a mapping"):
        parse_law_text("kind: Law\ntenants: [havneby]", TODAY)


def test_what_is_left_out_demands_nothing() -> None:
    law = parse_law_text("kind: Law", TODAY)
    assert (law.nation, law.owner, dict(law.tenants)) == (None, None, {})


@pytest.mark.parametrize(
    ("old", "new", "field", "part"),
    [
        ("kind: Law", "kind: Workload", "kind", "not one of Law"),
        ("nation:", "nations:", "nations", "did you mean nation?"),
        ("gdpr-eea", "gdpr-eeu", "nation", "did you mean gdpr-eea?"),
        ("gdpr-eea", "gdpr-eea@2027-01-01", "nation", "lies after 2026-11-22"),
        ("havneby", "Havneby", "tenants.Havneby", "nearest valid: havneby"),
        ("sjoby", "havneby", "tenants.havneby", "stands twice"),
        ("[RU]", "[Russia]", "owner.control.deny[0]", "did you mean RU?"),
        ("sjoby: none", "sjoby: {}", "tenants.sjoby", "restricts nothing"),
        ("{preset: gdpr-eea}", "gdpr-eea", "nation", "is no policy; expected rules"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(old: str, new: str, field: str, part: str) -> None:
    with pytest.raises(HansaError) as caught:
        parse_law_text(TEXT.replace(old, new, 1), TODAY, source="law.yaml")
    assert caught.value.field == field
    assert part in caught.value.message
    assert caught.value.message.startswith("law.yaml:")
