"""The kill matrix as people read it: a table of steps and victims, on a terminal and as a page."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from matrix_cells import ALL_STEPS, CELLS, Cell
from promises import SETTLED_WITHIN_S

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "kill-matrix.json"


class Outcome(NamedTuple):
    """What came of a cell: which promise was broken, "" for none, and how long it took."""

    cell: Cell
    wrong: str
    seconds: float
    commit: str = ""


def table(outcomes: Sequence[Outcome]) -> str:
    """Steps downwards, victims across; in each field what was done to the victim and what came of it."""
    victims = list(dict.fromkeys(cell.victim for cell in CELLS if any(o.cell.victim == cell.victim for o in outcomes)))
    victims.sort(key=lambda victim: victim.endswith("-link"))
    steps = list(dict.fromkeys(outcome.cell.step for outcome in outcomes))
    lines = [f"| step | {' | '.join(victim.replace('-', ' ') for victim in victims)} |"]
    lines.append("|---" * (len(victims) + 1) + "|")
    for step in steps:
        fields = [_field([o for o in outcomes if (o.cell.step, o.cell.victim) == (step, victim)]) for victim in victims]
        lines.append(f"| {step} | {' | '.join(fields)} |")
    return "\n".join(lines)


def _field(outcomes: Sequence[Outcome]) -> str:
    broken = [_worded(outcome) for outcome in outcomes if outcome.wrong]
    kept = [_worded(outcome) for outcome in outcomes if not outcome.wrong]
    said = [f"**FAILED: {', '.join(broken)}**"] if broken else []
    return "; ".join([*said, *([f"ok: {', '.join(kept)}"] if kept else [])])


def _worded(outcome: Outcome) -> str:
    return outcome.cell.fault.replace("open-", "open ")


PAGE = """\
# The kill matrix

Two operators with two zones each, as processes, with a fault proxy on every way between them, and app teams at work.
At the step that a row names, what a column names is struck; it is healed, and within {bound_s:g} s everything must be
as it was promised, seen with the client and in the machine's table of processes:

- every acknowledged submit is there, under the uid that was answered; what was deleted is not, and stays away;
- what runs is what is placed, in that zone, once; nothing else runs, at no instant twice, and never more than a zone
  has room for;
- through a planned move an instance lives at every instant;
- after all is deleted, every owner has all of its capacity back.

Written by `make kill-matrix` on {date} at {commits}: {kept} of {count} cells kept every promise. One alone is
played by `make kill-matrix CELL=submit/held/home/kill`. How steps are seen without a hook in
what is tested: [decision 18](adr/0018-killed-by-observation.md).

{table}

| step | meaning |
|---|---|
{steps}
| store/under-load | two control planes on one PostgreSQL, app teams submitting and deleting; "leader" is who writes |

| fault | what is done |
|---|---|
| kill | SIGKILL, and started again; an instance by its agent |
| freeze | SIGSTOP for longer than leases, offers and the silence that is allowed to an agent, then SIGCONT |
| cut | every connection is reset and refused, as long |
| half-open to, from | what is sent one way is lost and nobody is told; "to" is towards whoever was dialled |
| slow | a second each way and 20 kB/s, as long |
"""


def remembered(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """These outcomes and, of cells that were not played now, those of the last time, each with the commit it is of."""
    found: dict[str, list[str]] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    found |= {outcome.cell.name: [outcome.wrong, _commit()] for outcome in outcomes}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return [Outcome(cell, found[cell.name][0], 0.0, found[cell.name][1]) for cell in CELLS if cell.name in found]


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def page(outcomes: Sequence[Outcome]) -> str:
    """The table with what it means, without anything that depends on the machine but the date."""
    return PAGE.format(
        bound_s=SETTLED_WITHIN_S,
        date=datetime.now(UTC).date().isoformat(),
        commits=" and ".join(f"`{commit}`" for commit in sorted({outcome.commit for outcome in outcomes})),
        kept=sum(not outcome.wrong for outcome in outcomes),
        count=len(outcomes),
        table=table(outcomes),
        steps="\n".join(f"| {step.full_name} | {step.meaning} |" for step in ALL_STEPS),
    )
