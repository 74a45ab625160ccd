"""Test modules are imported by their bare names, so two of the same name hide one another."""

from __future__ import annotations

from collections import Counter

from source_tree import ROOT


def test_no_two_modules_under_tests_have_the_same_name() -> None:
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == []
