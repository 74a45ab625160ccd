"""Countries: the table against a library, and the code that was meant."""

from __future__ import annotations

import pycountry
import pytest

from hansa.countries import ALPHA_3, COUNTRIES, NAMES, country_hint, nearest_country


def test_the_codes_are_those_of_iso_3166() -> None:
    assert {country.alpha_2 for country in pycountry.countries} == COUNTRIES
    assert {country.alpha_3: country.alpha_2 for country in pycountry.countries} == ALPHA_3


def test_a_name_that_the_library_knows_has_the_librarys_code() -> None:
    known = 0
    for code, names in NAMES.items():
        for name in names:
            try:
                found = pycountry.countries.lookup(name)
            except LookupError:
                continue
            assert found.alpha_2 == code, name
            known += 1
    assert known >= 230


def test_no_name_stands_for_two_countries() -> None:
    names = [name.upper() for names in NAMES.values() for name in names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Norway", "NO"),
        ("norge", "NO"),
        ("UK", "GB"),
        ("Deutschland", "DE"),
        ("Germny", "DE"),
        ("NOR", "NO"),
        ("usa", "US"),
        ("Czech Republic", "CZ"),
        ("Turkey", "TR"),
        (" se ", "SE"),
        ("XX", ""),
        ("", ""),
        ("Atlantis", ""),
        ("x" * 10_000, ""),
    ],
)
def test_the_country_that_was_meant_is_named(text: str, code: str) -> None:
    assert nearest_country(text) == code
    assert country_hint(text) == (f"; did you mean {code}?" if code else "")
