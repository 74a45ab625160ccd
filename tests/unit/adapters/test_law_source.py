"""Law from files: read at first or refused, read again when it changes, kept as it was when it cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hansa_control.adapters import law_source
from hansa_control.adapters.law_source import LawFiles
from hansa_control.application.lawbook import LawBook, PresetUnknown
from structlog.testing import capture_logs

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


def test_an_edit_that_keeps_length_and_date_counts(tmp_path: Path) -> None:
    path = law_file(tmp_path, "kind: Law\nnation: {data: {deny: [RU]}}\n")
    laws, before = LawFiles(path, NOW_MS), path.stat()
    path.write_text("kind: Law\nnation: {data: {deny: [US]}}\n", encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    nation = laws.book(NOW_MS).nation
    assert nation is not None and nation.site is not None
    assert not nation.site.countries.allows("US")


def test_a_file_of_the_same_length_and_date_in_its_place_counts(tmp_path: Path) -> None:
    path = law_file(tmp_path, "kind: Law\nnation: {data: {deny: [RU]}}\n")
    laws, before = LawFiles(path, NOW_MS), path.stat()
    other = tmp_path / "other.yaml"
    other.write_text("kind: Law\nnation: {data: {deny: [US]}}\n", encoding="utf-8")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)
    nation = laws.book(NOW_MS).nation
    assert nation is not None and nation.site is not None
    assert not nation.site.countries.allows("US")


def test_a_file_that_is_gone_is_told_once_and_read_when_it_is_back(tmp_path: Path) -> None:
    path = law_file(tmp_path, "kind: Law\nnation: {data: {deny: [RU]}}\n")
    laws = LawFiles(path, NOW_MS)
    kept = laws.book(NOW_MS)
    path.rename(tmp_path / "away.yaml")
    with capture_logs() as told:
        for later_ms in range(0, 60_000, 1_000):
            assert laws.book(NOW_MS + later_ms) == kept
        law_file(tmp_path, "kind: Law\n")
        assert laws.book(NOW_MS + 60_000) == LawBook()
    assert [entry["event"] for entry in told] == ["law_not_read", "law_read"]


def test_a_file_that_could_not_be_read_is_tried_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = law_file(tmp_path, "kind: Law\n")
    laws = LawFiles(path, NOW_MS)
    rewrite(path, "kind: Law\nnation: {data: {deny: [RU]}}\n")
    with monkeypatch.context() as patched:
        patched.setattr(law_source, "load_law_file", out_of_files)
        assert laws.book(NOW_MS) == LawBook()
    assert laws.book(NOW_MS + 4_999) == LawBook()
    assert laws.book(NOW_MS + 5_000).nation is not None


def out_of_files(path: Path, as_of: object) -> None:
    raise OSError(24, "Too many open files")


def test_another_day_is_another_version(tmp_path: Path) -> None:
    laws = LawFiles(None, NOW_MS)
    assert laws.version(NOW_MS) != laws.version(NOW_MS + DAY_MS)
