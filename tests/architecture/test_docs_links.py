"""What the documents point to is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from source_tree import ROOT, documents

LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
PATH_IN_CODE = re.compile(r"`([\w./-]+(?:/[\w.-]*|\.(?:py|proto|toml|yaml|yml|md|sh)))`")


@pytest.mark.parametrize("page", documents(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert list(dead_links(page)) == []


def test_every_path_in_the_code_map_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    code_map = re.search(r"^## [^\n]*code map[^\n]*\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL | re.IGNORECASE)
    assert code_map, "ARCHITECTURE.md has no section whose heading has the words: code map"
    named = PATH_IN_CODE.findall(code_map[1])
    assert named, "the code map names no file"
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_dead_link_and_dead_anchor_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One two\n[a](none.md) [b](#one-two) [c](#three) `[d](x.md)` [e](https://example.org/)\n")
    assert list(dead_links(page)) == ["none.md", "#three"]


def dead_links(page: Path) -> Iterator[str]:
    """The relative links of a page whose file, or whose heading in a Markdown file, is not there."""
    for link in LINK.findall(CODE.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page if not path else page.parent / path
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in _anchors(target)):
            yield link


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ +(.+?) *#*$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-") for heading in headings}
