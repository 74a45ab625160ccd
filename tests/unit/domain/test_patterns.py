"""What patterns cost is counted before they are read."""

from __future__ import annotations

import pytest
from hansa_control.domain.patterns import weight_of


@pytest.mark.parametrize(
    ("pattern", "characters"),
    [
        ("oslo-1", 6),
        ("a{1,200}", 200),
        ("a{200,}", 200),
        ("a{3}b", 4),
        ("(ab){10}", 30),
        ("((ab){3}c){2}", 22),
        (".{10}", 40),
        (r"\w{10}", 40),
        ("[a-z]{10}", 50),
        ("[^a]{10}", 80),
        ("[]a]{10}", 40),
        ("[[:alpha:]]{2}", 22),
        (r"[\]x]{10}", 50),
        (r"\x{41}{10}", 10),
        (r"\{9}", 3),
        ("a{0}", 1),
        ("{9}", 0),
        ("x)y", 2),
    ],
)
def test_a_pattern_weighs_as_much_as_it_stands_for(pattern: str, characters: int) -> None:
    assert weight_of(pattern) == (characters, False)


@pytest.mark.parametrize("pattern", [r"\pL", r"\PN", r"[\pL]", r"\Qa\E", r"\\\pL"])
def test_classes_of_unicode_and_quotes_are_told(pattern: str) -> None:
    assert weight_of(pattern).uses_unrestricted


def test_an_escaped_backslash_before_a_letter_is_no_class() -> None:
    assert not weight_of(r"\\pL").uses_unrestricted
