"""Writes docs/state-machines.md from the transition tables, which are data. ``make docs`` calls it.

tests/architecture/test_machines_docs.py compares the page with what this would write.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hansa_agent import instance_life
from hansa_agent.instance_life import Happening, Phase
from hansa_agent.session import TRANSITIONS, State
from hansa_control.domain.agent_session import SESSION_TABLE
from hansa_control.domain.agreement_life import AGREEMENT_TABLE
from hansa_control.domain.federation import FEDERATION_TABLE
from hansa_control.domain.ledger import CLAIM_TABLE
from hansa_control.domain.lifecycle import WORKLOAD_TABLE
from hansa_control.domain.transitions import EventT, StateT, Table, to_mermaid

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/state-machines.md"
HEAD = """\
# State machines

<!-- Written by tools/generate_machine_docs.py (`make docs`) from the transition tables. Do not edit. -->

Everything that lives long is a machine whose transitions are a table in the code; these pictures are drawn from the
tables. An event that a state does not list breaks the protocol: it is refused and changes nothing.
"""
AGENT_TABLE = Table("session", State.DISCONNECTED, {(row.state, row.event): row.target for row in TRANSITIONS})
INSTANCE_TABLE: Table[Phase, Happening] = Table(
    "instance", Phase.PENDING, {(row.phase, row.happening): row.target for row in instance_life.TRANSITIONS}
)

DOMAIN = "control_plane/hansa_control/domain"


def render_page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_sections()])


def _sections() -> Iterator[str]:
    yield _section("Claim", f"{DOMAIN}/ledger.py", "Capacity in the owner's ledger.", CLAIM_TABLE)
    yield _section("Workload", f"{DOMAIN}/lifecycle.py", "A workload at its home operator.", WORKLOAD_TABLE)
    yield _section("Federation", f"{DOMAIN}/federation.py", "Home and owner, in one direction.", FEDERATION_TABLE)
    yield _section(
        "Agreement",
        f"{DOMAIN}/agreement_life.py",
        "What the owner of zones has agreed with a partner.",
        AGREEMENT_TABLE,
    )
    yield _section("Agent, as its operator sees it", f"{DOMAIN}/agent_session.py", "Is it there?", SESSION_TABLE)
    yield _section(
        "Session, as the agent sees it",
        "agents/hansa_agent/session.py",
        "One zone's session over any number of streams. What each step does stands in the table below.",
        AGENT_TABLE,
    )
    yield _actions()
    yield _section(
        "Instance, at its agent",
        "agents/hansa_agent/instance_life.py",
        "One instance, whatever it runs on. Where two targets are possible, the table below says when.",
        INSTANCE_TABLE,
    )
    yield _instance_acts()


def _section(title: str, file: str, what: str, table: Table[StateT, EventT]) -> str:
    return f"## {title}\n\n{what} [{file}](../{file})\n\n```mermaid\n{to_mermaid(table)}```\n"


def _actions() -> str:
    rows = [f"| {row.state} | {row.event} | {row.target} | {row.action} |" for row in TRANSITIONS]
    return "\n".join(["| in | upon | go to | and |", "|---|---|---|---|", *rows]) + "\n"


def _instance_acts() -> str:
    rows = [
        f"| {row.phase} | {row.happening} | {row.target}{f' or {row.otherwise}' if row.otherwise else ''} "
        f"| {row.act or '-'} | {row.meaning} |"
        for row in instance_life.TRANSITIONS
    ]
    return "\n".join(["| in | upon | go to | do | because |", "|---|---|---|---|---|", *rows]) + "\n"


def main() -> None:
    """Writes the page."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
