"""The pictures of the state machines are drawn from the tables that run."""

from __future__ import annotations

import runpy

from hansa_control.domain.ledger import CLAIM_TABLE
from source_tree import ROOT

GENERATOR = runpy.run_path(str(ROOT / "tools/generate_machine_docs.py"))
PAGE = ROOT / "docs/state-machines.md"


def test_documentation_is_what_the_tables_generate() -> None:
    assert PAGE.read_text(encoding="utf-8") == GENERATOR["render_page"](), "run make docs"


def test_every_transition_of_a_claim_is_drawn() -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = [
        (str(source), str(event), str(target))
        for (source, event), target in CLAIM_TABLE.moves.items()
        if not any(line.strip().startswith(f"{source} --> {target}:") and event in line for line in page.splitlines())
    ]
    assert missing == []
