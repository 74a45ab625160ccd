"""Presets, groups of countries and laws for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from hansa.cli.documents import Document, Line, Styled, Table, heading, line
from hansa.cli.figures import plural
from hansa.law.data_files import Source
from hansa.law.expansion import Expansion
from hansa.law.membership import CountryGroup, Member, ThirdCountryLaw
from hansa.policy_words import policy_words
from hansa.v1 import residency_pb2

_INDENT = "  "


def preset_words(policy: residency_pb2.ResidencyPolicy) -> dict[str, object]:
    """An expanded policy in the words of a workload file, without the mark of where it came from."""
    words = policy_words(policy)
    words.pop("preset", None)
    return words


def preset_table(rows: Sequence[dict[str, Any]]) -> Document:
    """One row a preset."""
    cells = tuple((row["name"], row["version"], row["title"], _spoken(row["restricts"])) for row in rows)
    return [Table(("PRESET", "VERSION", "TITLE", "RESTRICTS"), cells, fixed=frozenset({0, 1}))]


def _spoken(keys: Iterable[str]) -> str:
    return ", ".join(keys).replace("_", " ")


def preset_document(found: Expansion, width_columns: int) -> Document:
    """A preset in full, prose folded at a width in columns (0: not folded)."""
    preset = found.preset
    document: list[Line | Table] = [
        line(Styled(f"{preset.name} as of {found.as_of}", "bold"), f", version {preset.version}"),
        *_prose(preset.title, width_columns, ""),
        line(),
        heading("what it stands for"),
        *_prose(preset.stands_for, width_columns),
        line(),
        heading("what it does not promise"),
    ]
    for sentence in preset.promises_not:
        document += _prose(sentence, width_columns, f"{_INDENT}- ")
    document += [line(), heading("sources")]
    for source in preset.sources:
        document += _source(source, width_columns)
    document += [line(), heading("policy, in the words of a workload file")]
    document += [line(_INDENT + text) for text in _policy_lines(preset_words(found.policy), width_columns)]
    for group in found.groups:
        count = len(group.members(found.as_of))
        text = f"{group.name}: {plural(count, 'member')}, compared with sources up to"
        document.append(line(Styled(f"{_INDENT}# {text} {group.compared_until}", "dim")))
    document += [line(), line(Styled(found.provenance, "dim"))]
    return document


def group_table(groups: Iterable[CountryGroup], as_of: date) -> Document:
    """One row a group: who belongs to it on the day."""
    rows = tuple(_group_row(group, group.members(as_of)) for group in groups)
    headers = ("GROUP", "COUNT", "COUNTRIES", "COMPARED UNTIL")
    return [line(f"as of {as_of}"), Table(headers, rows, right=frozenset({1}), fixed=frozenset({0, 3}), spare=(3,))]


def _group_row(group: CountryGroup, members: Sequence[Member]) -> tuple[str, ...]:
    codes = " ".join(member.country for member in members) or "-"
    return group.name, str(len(members)), codes, group.compared_until.isoformat()


def group_document(group: CountryGroup, as_of: date, width_columns: int) -> Document:
    """A group with every membership, its dates, its source, and notes below."""
    rows = tuple(_member_row(member, as_of) for member in group.memberships)
    sourced = any(member.source for member in group.memberships)
    headers = ("COUNTRY", "FROM", "UNTIL", "ON THE DAY", "SOURCE")
    columns = len(headers) if sourced else len(headers) - 1
    table = Table(headers[:columns], tuple(row[:columns] for row in rows), fixed=frozenset({0, 1, 2, 3}))
    document: list[Line | Table] = [
        line(Styled(f"{group.name} as of {as_of}", "bold"), f": {plural(len(group.members(as_of)), 'member')}"),
        *_prose(group.title, width_columns, ""),
        line(),
        table,
        line(),
        *_prose(group.notes, width_columns, ""),
    ]
    for member in group.memberships:
        if member.note:
            document += _prose(f"{member.country} from {member.since}: {member.note}", width_columns, f"{_INDENT}- ")
    document += [line(), heading("sources")]
    for source in group.sources:
        document += _source(source, width_columns)
    compared = f"compared with sources up to {group.compared_until}, to be looked at again by {group.review_by}"
    return [*document, line(), line(Styled(compared, "dim"))]


def _member_row(member: Member, as_of: date) -> tuple[str, ...]:
    until = member.until.isoformat() if member.until else "-"
    standing = "member" if member.belongs(as_of) else "no" if member.checked else "not checked"
    return member.country, member.since.isoformat(), until, standing, member.source or "-"


def law_table(laws: Iterable[ThirdCountryLaw]) -> Document:
    """One row a law."""
    rows = tuple((law.name, law.title, law.cite, law.reach) for law in laws)
    return [Table(("LAW", "TITLE", "CITE", "REACH"), rows, spare=(2,))]


def source_data(source: Source) -> dict[str, Any]:
    """A source for programs."""
    return {"law": source.law, "article": source.article, "url": source.url, "checked": source.checked}


def groups_data(groups: Iterable[CountryGroup], as_of: date) -> list[dict[str, Any]]:
    """Groups for programs, with their members on a day."""
    return [
        {
            "name": group.name,
            "title": group.title,
            "countries": [member.country for member in group.members(as_of)],
            "known_from": group.known_from.isoformat(),
            "compared_until": group.compared_until.isoformat(),
            "review_by": group.review_by.isoformat(),
            "sha256": group.sha256,
        }
        for group in groups
    ]


def _source(source: Source, width_columns: int) -> list[Line]:
    article = "" if source.article == "-" else f", {source.article}"
    unchecked = "" if source.checked else " (not compared with the text)"
    return [
        *_prose(f"{source.law}{article}{unchecked}", width_columns, f"{_INDENT}- "),
        line(Styled(f"{_INDENT}  {source.url}", "dim")),
    ]


def _prose(text: str, width_columns: int, start: str = _INDENT) -> list[Line]:
    """Text folded between words, later lines under the first letter."""
    if not width_columns:
        return [line(start + text)]
    columns, later = max(width_columns - 1, 20), " " * len(start)
    folded = textwrap.wrap(text, columns, initial_indent=start, subsequent_indent=later, break_on_hyphens=False)
    return [line(part) for part in folded]


def _policy_lines(words: dict[str, object], width_columns: int) -> list[str]:
    """YAML, folded at blanks, where the line end stands for the blank."""
    import yaml

    text = str(yaml.safe_dump(words, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100_000))
    columns = max(width_columns - len(_INDENT) - 1, 20) if width_columns else len(text)
    folder = textwrap.TextWrapper(columns, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    return [folded for part in text.splitlines() for folded in folder.wrap(part)]
