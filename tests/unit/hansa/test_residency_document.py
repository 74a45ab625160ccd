"""docs/residency.md names what there is, and everything that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hansa.errors import reason_names
from hansa.law.expansion import load_presets
from hansa.law.law_file import parse_law_text
from hansa.law.membership import load_groups
from hansa.policy_file import DATA_CLASSES, ON_CHANGE, UNKNOWN_PATHS
from hansa.system import utc_date
from hansa.v1 import common_pb2

PAGE = (Path(__file__).parents[3] / "docs" / "residency.md").read_text(encoding="utf-8")
WORDS = set(re.findall(r"`([^`\n]+)`", PAGE))
LAW_REASONS = (
    *("SITE_COUNTRY", "LEGAL_CONTROL", "TRANSIT", "PERSONNEL", "ENERGY"),
    *("ATTESTATION_", "CERTIFICATION_", "PREDICATE_", "LOCATION_", "FACT_EXPIRED"),
)


def test_every_reason_of_the_law_is_explained() -> None:
    reasons = {reason for reason in reason_names() if reason.startswith(LAW_REASONS)}
    assert len(reasons) == 16
    assert reasons <= WORDS


def test_no_reason_is_named_that_there_is_not() -> None:
    kinds = {name.removeprefix("FACT_KIND_") for name in common_pb2.FactKind.keys()}  # noqa: SIM118 - no mapping
    evidence = {name.removeprefix("EVIDENCE_KIND_") for name in common_pb2.EvidenceKind.keys()}  # noqa: SIM118
    named = {word for word in WORDS if re.fullmatch(r"[A-Z]+(_[A-Z0-9]+)+", word)}
    assert named <= kinds | evidence | set(reason_names())


def test_every_kind_of_fact_is_explained() -> None:
    kinds = {name.removeprefix("FACT_KIND_") for name in common_pb2.FactKind.keys()}  # noqa: SIM118 - no mapping
    assert kinds - {"UNSPECIFIED"} <= WORDS


@pytest.mark.parametrize(
    "words", [load_presets(), load_groups(), DATA_CLASSES, ON_CHANGE, set(UNKNOWN_PATHS) - {"reject"}]
)
def test_every_word_of_a_file_is_explained(words: dict[str, object]) -> None:
    assert set(words) <= WORDS


def test_the_example_of_an_operators_law_is_one() -> None:
    example = re.search(r"```yaml\n(kind: Law\n.*?)```", PAGE, re.DOTALL)
    assert example
    law = parse_law_text(example[1], utc_date(1_795_348_800_000))
    assert law.nation and law.owner and list(law.tenants) == ["havneby"]
