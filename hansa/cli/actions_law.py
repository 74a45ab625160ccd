"""What ``law`` does; nothing of it needs a server."""

from __future__ import annotations

from datetime import date
from typing import Any

from hansa.cli import exits
from hansa.cli.documents import Document, terminal_width
from hansa.cli.options import OutputFormat
from hansa.cli.output import formatted
from hansa.cli.session import new_screen, note
from hansa.cli.view_law import (
    group_document,
    group_table,
    groups_data,
    law_table,
    preset_document,
    preset_table,
    preset_words,
    source_data,
)
from hansa.errors import invalid_field
from hansa.law.data_files import parse_day
from hansa.law.expansion import expansion, load_presets
from hansa.law.membership import CountryGroup, country_group, load_groups, load_laws
from hansa.system import SystemClock, utc_date


def list_presets(output: OutputFormat) -> int:
    """The newest version of every preset."""
    newest = [versions[-1] for versions in load_presets().values()]
    rows = [
        {"name": preset.name, "version": preset.version.isoformat(), "title": preset.title, "restricts": list(words)}
        for preset in newest
        if (words := preset_words(expansion(preset.name, max(_today(), preset.version)).policy))
    ]
    return _emit({"presets": rows}, preset_table(rows), output)


def show_preset(name: str, output: OutputFormat) -> int:
    """One preset, expanded as of today or of the day after its name; what should be looked at is a note."""
    found = expansion(name, _today())
    preset, notes = found.preset, found.notes(_today())
    data = {
        "name": preset.name,
        "version": preset.version.isoformat(),
        "as_of": found.as_of.isoformat(),
        "provenance": found.provenance,
        "title": preset.title,
        "stands_for": preset.stands_for,
        "promises_not": list(preset.promises_not),
        "sources": [source_data(source) for source in preset.sources],
        "groups": groups_data(found.groups, found.as_of),
        "policy": preset_words(found.policy),
    }
    _notes(notes)
    width_columns = 0 if output is OutputFormat.WIDE else terminal_width()
    return _emit(data, preset_document(found, width_columns), output)


def list_groups(as_of: str, output: OutputFormat) -> int:
    """Every group that is known as of a day, with its members."""
    day = _day(as_of)
    known = [group for group in load_groups().values() if group.known_from <= day]
    unknown = [group for group in load_groups().values() if group not in known]
    _notes([f"{group.name} is known from {group.known_from}" for group in unknown])
    _notes(_overdue(known))
    return _emit({"as_of": day.isoformat(), "groups": groups_data(known, day)}, group_table(known, day), output)


def show_group(name: str, as_of: str, output: OutputFormat) -> int:
    """One group with every membership, past ones too."""
    day, group = _day(as_of), country_group(name)
    data = {"as_of": day.isoformat(), **groups_data([group], day)[0], **_group_data(group)}
    _notes(_overdue([group]))
    width_columns = 0 if output is OutputFormat.WIDE else terminal_width()
    return _emit(data, group_document(group, day, width_columns), output)


def list_laws(output: OutputFormat) -> int:
    """The laws of third countries that are known by name."""
    laws = load_laws()
    rows = [
        {"name": law.name, "title": law.title, "cite": law.cite, "reach": law.reach, "checked": law.checked}
        for law in laws
    ]
    _notes([f"the citation of {law.name} was not compared with its text" for law in laws if not law.checked])
    return _emit({"laws": rows}, law_table(laws), output)


def _group_data(group: CountryGroup) -> dict[str, Any]:
    return {
        "notes": group.notes,
        "sources": [source_data(source) for source in group.sources],
        "memberships": [
            {
                "country": member.country,
                "from": member.since.isoformat(),
                "until": member.until.isoformat() if member.until else None,
                "source": member.source,
                "url": member.url,
                "note": member.note,
                "checked": member.checked,
            }
            for member in group.memberships
        ],
    }


def _overdue(groups: list[CountryGroup]) -> list[str]:
    return [text for group in groups if (text := group.overdue_note(_today()))]


def _notes(texts: list[str] | tuple[str, ...]) -> None:
    for text in texts:
        note(f"note: {text}")


def _emit(data: dict[str, Any], document: Document, output: OutputFormat) -> int:
    if output.for_programs:
        print(formatted(data, output))
    else:
        new_screen(output).show(document)
    return exits.OK


def _day(text: str) -> date:
    return parse_day(text, lambda message: invalid_field("as-of", message)) if text else _today()


def _today() -> date:
    return utc_date(SystemClock().now_ms())
