"""How many decisions break the law: random ones on large changing worlds, judged by the tests' oracle.

The oracle (tests/oracle) shares no code with deciding. Every zone that is chosen, planned or a fallback is judged, and
every path there and back, link by link. ``python tests/oracle/law_breaches.py`` is the same with options.
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path

DECISIONS = 2_000
SEED = 11


def rows(decisions: int = DECISIONS) -> list[dict[str, object]]:
    """Rows of the table: breaches, of which there may be none, and how many decisions are checked in a second."""
    folder = str(Path(__file__).parents[2] / "tests" / "oracle")
    sys.path.insert(0, folder)
    try:
        checker = importlib.import_module("law_breaches")
    finally:
        sys.path.remove(folder)
    began = time.perf_counter()
    count = checker.count_breaches(decisions, SEED)
    rate = count.decisions / (time.perf_counter() - began)
    breaches = len(count.breaches)
    return [
        _row(f"law.breaches_in_{count.decisions}_decisions", breaches, "breaches", (0.0, breaches == 0)),
        _row("law.paths_checked", count.paths, "paths", (None, None)),
        _row("law.decided_and_checked", rate, "decisions/s", (None, None)),
    ]


def _row(name: str, value: float, unit: str, goal: tuple[float | None, bool | None]) -> dict[str, object]:
    return {
        "name": name,
        "value": float(value),
        "unit": unit,
        "floor": None,
        "ratio": None,
        "target": goal[0],
        "met": goal[1],
    }


if __name__ == "__main__":
    for line in rows():
        print(line)
