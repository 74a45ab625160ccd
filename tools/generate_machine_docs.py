"""Writes docs/state-machines.md from the transition tables, which are data. ``make docs`` calls it.

tests/architecture/test_machines_docs.py compares the page with what this would write.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

from hansa_agent.session import TRANSITIONS, State
from hansa_control.domain.agent_session import SESSION_TABLE
from hansa_control.domain.federation import FEDERATION_TABLE
from hansa_control.domain.ledger import CLAIM_TABLE
from hansa_control.domain.lifecycle import WORKLOAD_TABLE
from hansa_control.domain.transitions import StateT, Table, to_mermaid

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/state-machines.md"
HEAD = """\
# State machines

<!-- Written by tools/generate_machine_docs.py (`make docs`) from the transition tables. Do not edit. -->

Everything that lives long is a machine whose transitions are a table in the code; these pictures are drawn from the
tables. An event that a state does not list breaks the protocol: it is refused and changes nothing.
"""
AGENT_TABLE = Table("session", State.DISCONNECTED, {(row.state, row.event): row.target for row in TRANSITIONS})


def render_page() -> str:
    """The whole page."""
    return "\n".join(
        [
            HEAD,
            _section("Claim", "control_plane/hansa_control/domain/ledger.py", "capacity in the owner's ledger")
            + _diagram(CLAIM_TABLE),
            _section("Workload", "control_plane/hansa_control/domain/lifecycle.py", "a workload at its home operator")
            + _diagram(WORKLOAD_TABLE),
            _section("Federation", "control_plane/hansa_control/domain/federation.py", "home and owner, one direction")
            + _diagram(FEDERATION_TABLE),
            _section("Agent, as its operator sees it", "control_plane/hansa_control/domain/agent_session.py", "heard?")
            + _diagram(SESSION_TABLE),
            _section("Session, as the agent sees it", "agents/hansa_agent/session.py", "one zone, over many streams")
            + _diagram(AGENT_TABLE)
            + _actions(),
        ]
    )


def _section(title: str, file: str, what: str) -> str:
    return f"## {title}\n\n[{file}](../{file}): {what}.\n\n"


def _diagram(table: Table[StateT, Hashable]) -> str:
    return f"```mermaid\n{to_mermaid(table)}```\n"


def _actions() -> str:
    rows = [f"| {row.state} | {row.event} | {row.target} | {row.action} |" for row in TRANSITIONS]
    return "\n".join(["", "| in | upon | go to | and |", "|---|---|---|---|", *rows]) + "\n"


def main() -> None:
    """Writes the page."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
