"""Groups of countries by date: who belonged to what on which day, and on which source."""

from __future__ import annotations

import itertools
from datetime import date, timedelta

import pycountry
import pytest

from hansa.countries import COUNTRIES
from hansa.errors import HansaError
from hansa.law.data_files import data_file, parse_day, read_sources
from hansa.law.membership import CountryGroup, GroupsOn, Member, country_group, law_names, load_groups, load_laws
from hansa.yaml_tree import read_yaml

TODAY = date(2026, 11, 22)


def members(group: str, as_of: date = TODAY) -> set[str]:
    return {member.country for member in country_group(group).members(as_of)}


@pytest.mark.parametrize(("group", "count"), [("EU", 27), ("EEA", 30), ("Nordic", 5)])
def test_a_group_has_as_many_members_as_the_treaty_has_today(group: str, count: int) -> None:
    assert len(members(group)) == count


def test_the_eea_is_the_union_and_three_states_of_efta() -> None:
    assert members("EEA") == members("EU") | {"IS", "LI", "NO"}
    assert "CH" not in members("EEA")


@pytest.mark.parametrize(
    ("year", "count"), [(1994, 12), (1996, 15), (2005, 25), (2008, 27), (2014, 28), (2019, 28), (2021, 27)]
)
def test_the_union_has_grown_and_shrunk(year: int, count: int) -> None:
    assert len(members("EU", date(year, 6, 1))) == count


@pytest.mark.parametrize(
    ("group", "country", "first", "last"),
    [
        ("EU", "HR", date(2013, 7, 1), None),
        ("EEA", "HR", date(2014, 4, 12), None),
        ("EEA", "BG", date(2007, 8, 1), None),
        ("EU", "GB", None, date(2020, 1, 31)),
        ("EEA", "GB", None, date(2020, 1, 31)),
        ("adequate", "GB", date(2021, 6, 28), date(2031, 12, 26)),
        ("adequate", "BR", date(2026, 1, 26), None),
        ("adequate", "JP", date(2019, 1, 23), None),
        ("adequate-in-part", "US", date(2023, 7, 10), None),
        ("adequate-in-part", "US", None, date(2020, 7, 15)),
    ],
)
def test_membership_begins_and_ends_on_its_day(group: str, country: str, first: date | None, last: date | None) -> None:
    day = timedelta(days=1)
    if first:
        assert country not in members(group, first - day)
        assert country in members(group, first)
    if last:
        assert country in members(group, last)
        assert country not in members(group, last + day)


def test_the_united_states_are_never_adequate_as_a_whole() -> None:
    assert {member.country for member in country_group("adequate").memberships}.isdisjoint({"US", "CA"})
    assert members("adequate-in-part") == {"CA", "US"}
    assert all(member.note for member in country_group("adequate-in-part").memberships)


def test_between_privacy_shield_and_its_successor_the_united_states_had_no_decision() -> None:
    assert members("adequate-in-part", date(2022, 1, 1)) == {"CA"}


def test_no_adequate_country_is_in_the_eea() -> None:
    for year in range(2019, 2032):
        day = date(year, 6, 1)
        assert not (members("adequate", day) | members("adequate-in-part", day)) & members("EEA", day)


def test_every_group_names_its_sources_and_every_adequacy_its_decision() -> None:
    for group in load_groups().values():
        assert group.sources
        assert all(source.url.startswith(("http://", "https://")) for source in group.sources)
        assert group.known_from < group.compared_until < group.review_by
    for name in ("adequate", "adequate-in-part"):
        assert all(
            "Decision" in member.source and member.url.startswith("http://data.europa.eu/eli/dec")
            for member in country_group(name).memberships
        )


def test_memberships_of_one_country_do_not_overlap() -> None:
    for group in load_groups().values():
        for country in {member.country for member in group.memberships}:
            terms = sorted((m for m in group.memberships if m.country == country), key=lambda m: m.since)
            assert all(a.until and a.until <= b.since for a, b in itertools.pairwise(terms))
            assert all(term.until is None or term.since < term.until for term in terms)


def test_every_member_is_a_country_of_iso_3166() -> None:
    codes = {country.alpha_2 for country in pycountry.countries}
    assert {m.country for group in load_groups().values() for m in group.memberships} <= codes & COUNTRIES


def test_a_group_is_refused_before_its_data_begin() -> None:
    with pytest.raises(HansaError, match="adequate is known from 2018-05-25, not as of 2018-05-24"):
        members("adequate", date(2018, 5, 24))


def group_of(*memberships: Member) -> CountryGroup:
    return CountryGroup("G", "", date(2000, 1, 1), TODAY, TODAY, (), "", memberships, "g.yaml", "00")


def test_a_membership_that_nobody_checked_is_never_expanded() -> None:
    group = group_of(
        Member("NO", date(2001, 1, 1), None, "", "", "", checked=False),
        Member("SE", date(2001, 1, 1), None, "", "", "", checked=True),
    )
    assert [member.country for member in group.members(TODAY)] == ["SE"]


def test_data_that_should_have_been_looked_at_again_are_used_with_a_note() -> None:
    group = country_group("adequate")
    after = group.review_by + timedelta(days=1)
    assert group.overdue_note(group.review_by) == ""
    assert "a newer change in law may be missing" in group.overdue_note(after)
    assert "CH" in members("adequate", after)


def test_an_unknown_group_is_refused_with_the_nearest() -> None:
    with pytest.raises(HansaError, match="did you mean Nordic") as caught:
        country_group("Nordics")
    assert caught.value.reason == "NOT_FOUND"
    assert "EEA" in GroupsOn(TODAY).names()


def test_the_laws_of_third_countries_have_a_country_a_title_and_a_citation() -> None:
    assert {"US-CLOUD-ACT", "US-FISA-702", "CN-NIL-2017"} <= set(law_names())
    assert len(set(law_names())) == len(load_laws())
    assert all(law.name[:2] in COUNTRIES and law.title and law.cite and law.reach for law in load_laws())


@pytest.mark.parametrize(
    ("text", "part"), [("2026-13-01", "is no day"), ("tomorrow", "is no day"), ("20261101", "did you mean 2026-11-01")]
)
def test_a_day_is_read_in_one_form_only(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        parse_day(text, lambda message: ValueError(message))  # type: ignore[arg-type,return-value]


def test_a_file_without_a_source_is_refused() -> None:
    with pytest.raises(HansaError, match="at least one source"):
        read_sources(read_yaml("[]"))


def test_a_data_file_knows_the_digest_of_its_bytes() -> None:
    assert data_file("groups/EU.yaml").sha256 == country_group("EU").sha256
    assert len({group.sha256 for group in load_groups().values()}) == len(load_groups())
