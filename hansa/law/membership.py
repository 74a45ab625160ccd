"""Groups of countries by date, and the laws of third countries that are known by name.

A group is read as of a day. Before the day from which its data are known it is refused. After the day by which somebody
should have compared it with its sources it is still read, with a note: an orchestrator that stops on a day of the
calendar, with no change in law, would do harm and protect nobody, whereas an end that the law itself sets (``until``)
takes effect without anybody doing anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache

from hansa.countries import COUNTRIES, country_hint
from hansa.errors import HansaError, invalid_field
from hansa.law.data_files import DataFile, Source, data_file, data_files, read_day, read_flag, read_sources
from hansa.names import hint
from hansa.policy_file import PolicyReader
from hansa.yaml_tree import YamlValue


@dataclass(frozen=True, slots=True)
class Member:
    """A country in a group from a day, and until the day before ``until`` if there is one.

    One that is not ``checked`` is shown and never expanded.
    """

    country: str
    since: date
    until: date | None
    source: str
    url: str
    note: str
    checked: bool

    def belongs(self, as_of: date) -> bool:
        return self.checked and self.since <= as_of and (self.until is None or as_of < self.until)


@dataclass(frozen=True, slots=True)
class CountryGroup:
    """A group with every membership that is known, past ones too; ``path`` and ``sha256`` are those of its file."""

    name: str
    title: str
    known_from: date
    compared_until: date
    review_by: date
    sources: tuple[Source, ...]
    notes: str
    memberships: tuple[Member, ...]
    path: str
    sha256: str

    def members(self, as_of: date) -> tuple[Member, ...]:
        """Who belongs to it on a day, by country; raises HansaError INVALID_FIELD for a day before known_from."""
        if as_of < self.known_from:
            raise invalid_field("as_of", f"{self.name} is known from {self.known_from}, not as of {as_of}")
        return tuple(member for member in self.memberships if member.belongs(as_of))

    def overdue_note(self, today: date) -> str:
        """What to say if its data should have been compared with their sources by now; else empty."""
        if today <= self.review_by:
            return ""
        return (
            f"{self.name} was last compared with its sources as of {self.compared_until} and was to be looked at again "
            f"by {self.review_by}; a newer change in law may be missing"
        )


@dataclass(frozen=True, slots=True)
class ThirdCountryLaw:
    """A law of a third country that may reach an operator elsewhere; ``checked`` as in ``Source``."""

    name: str
    title: str
    cite: str
    reach: str
    checked: bool


class GroupsOn:
    """The groups of one day, as a reader of policies asks for them."""

    def __init__(self, as_of: date) -> None:
        self._as_of = as_of

    def names(self) -> Iterable[str]:
        return load_groups()

    def members(self, name: str) -> frozenset[str]:
        return frozenset(member.country for member in country_group(name).members(self._as_of))


def policy_reader(as_of: date | None) -> PolicyReader:
    """A reader of policies that knows the laws of third countries and, with a day, the groups of that day."""
    return PolicyReader(GroupsOn(as_of) if as_of else None, law_names())


@cache
def load_groups() -> dict[str, CountryGroup]:
    """Every group, by name. The data are part of the package: an error in them is a defect."""
    groups = [_group(file) for file in data_files("groups")]
    return {group.name: group for group in sorted(groups, key=lambda group: group.name)}


def country_group(name: str) -> CountryGroup:
    """A group; raises HansaError NOT_FOUND with the nearest name."""
    groups = load_groups()
    if name not in groups:
        raise HansaError("NOT_FOUND", f"there is no group of countries {name!r}{hint(name, groups)}", field="group")
    return groups[name]


@cache
def load_laws() -> tuple[ThirdCountryLaw, ...]:
    """The laws of third countries that are known by name, in the order of the file."""
    keys = ("kind", "compared_until", "review_by", "notes", "laws")
    parts = data_file("third_country_laws.yaml").document.mapping(keys)
    return tuple(_law(entry) for entry in parts["laws"].items())


def law_names() -> tuple[str, ...]:
    return tuple(law.name for law in load_laws())


def _law(value: YamlValue) -> ThirdCountryLaw:
    keys = ("name", "title", "cite", "reach")
    parts = value.mapping(keys, ("checked",))
    checked = "checked" not in parts or read_flag(parts["checked"])
    return ThirdCountryLaw(**{key: parts[key].text() for key in keys}, checked=checked)


def _group(file: DataFile) -> CountryGroup:
    keys = ("kind", "name", "title", "known_from", "compared_until", "review_by", "sources", "notes", "members")
    parts = file.document.mapping(keys)
    parts["kind"].one_of(("CountryGroup",))
    return CountryGroup(
        name=parts["name"].text(),
        title=parts["title"].text(),
        known_from=read_day(parts["known_from"]),
        compared_until=read_day(parts["compared_until"]),
        review_by=read_day(parts["review_by"]),
        sources=read_sources(parts["sources"]),
        notes=parts["notes"].text(),
        memberships=tuple(_member(entry) for entry in parts["members"].items()),
        path=file.path,
        sha256=file.sha256,
    )


def _member(value: YamlValue) -> Member:
    parts = value.mapping(("country", "from"), ("until", "source", "url", "note", "checked"))
    country = parts["country"].text()
    if country not in COUNTRIES:
        raise parts["country"].error(f"{country!r} is no country code{country_hint(country)}")
    texts = {key: parts[key].text() if key in parts else "" for key in ("source", "url", "note")}
    return Member(
        country=country,
        since=read_day(parts["from"]),
        until=read_day(parts["until"]) if "until" in parts else None,
        checked="checked" not in parts or read_flag(parts["checked"]),
        **texts,
    )
