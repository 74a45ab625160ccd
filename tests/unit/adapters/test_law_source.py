"""Law from files: read at first or refused, read again when it changes, kept as it was when it cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hansa_control.adapters.law_source import LawFiles
from hansa_control.application.lawbook import LawBook, PresetUnknown

from hansa.errors import HansaError

NOW_MS = 1_795_219_200_000  # 2026-11-21
DAY_MS = 86_400_000


def law_file(folder: Path, text: str) -> Path:
    path = folder / "law.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def rewrite(path: Path, text: str) -> None:
    before = path.stat().st_mtime_ns
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(before + 1_000_000_000, before + 1_000_000_000))


def test_without_a_file_there_are_presets_and_no_demands() -> None:
    laws = LawFiles(None, NOW_MS)
    assert laws.book(NOW_MS) == LawBook()
    expanded = laws.expand("gdpr-eea", NOW_MS)
    assert expanded.site is not None and expanded.site.countries.allows("NO")
    assert not expanded.site.countries.allows("US")
    assert expanded.presets[0].startswith("gdpr-eea@2026-11-21 sha256:")


def test_an_unknown_preset_is_told_with_the_nearest() -> None:
    with pytest.raises(PresetUnknown, match="gdpr-eea"):
        LawFiles(None, NOW_MS).expand("gdpr-eae", NOW_MS)


def test_nation_tenant_and_owner_are_read(tmp_path: Path) -> None:
    text = "kind: Law\nnation: {data: {deny: [RU]}}\ntenants: {havneby: {control: [NO]}}\nowner: {transit: [NO]}\n"
    book = LawFiles(law_file(tmp_path, text), NOW_MS).book(NOW_MS)
    assert book.nation is not None and book.nation.site is not None
    assert not book.nation.site.countries.allows("RU")
    assert set(book.tenants) == {"havneby"}
    assert book.owner is not None and book.owner.transit is not None


def test_a_file_that_cannot_be_read_at_first_is_an_error_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(HansaError, match=r"law\.yaml:2"):
        LawFiles(law_file(tmp_path, "kind: Law\nnaton: {data: [NO]}\n"), NOW_MS)


def test_a_change_counts_at_once_and_a_slip_of_the_pen_changes_nothing(tmp_path: Path) -> None:
    path = law_file(tmp_path, "kind: Law\nnation: {data: {deny: [RU]}}\n")
    laws = LawFiles(path, NOW_MS)
    first = laws.version(NOW_MS)
    rewrite(path, "kind: Law\nnation: {data: {deny: [RU, US]}}\n")
    second = laws.version(NOW_MS)
    changed = laws.book(NOW_MS)
    assert second != first
    assert changed.nation is not None and changed.nation.site is not None
    assert not changed.nation.site.countries.allows("US")
    rewrite(path, "kind: Lwa\n")
    assert laws.book(NOW_MS) == changed
    assert laws.version(NOW_MS) == second


def test_another_day_is_another_version(tmp_path: Path) -> None:
    laws = LawFiles(None, NOW_MS)
    assert laws.version(NOW_MS) != laws.version(NOW_MS + DAY_MS)
