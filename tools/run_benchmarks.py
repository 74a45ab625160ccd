"""Runs the benchmarks in tools/bench of some names, or all, prints one table and writes build/bench.json.

``make bench`` calls it: python tools/run_benchmarks.py [NAME...]

A benchmark is a module with ``rows()``: a list of objects with name, value, unit, floor, ratio, target and met. The
floor is what a bare counterpart reached in the same run, the ratio is value over floor; None where nothing compares.

The exit status is 1 if a row has a target and misses it, or if a benchmark failed; the others are measured still.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ("name", "value", "unit", "floor", "ratio", "target", "met")
Row = Mapping[str, object]


def main() -> int:
    """Runs the benchmarks one after the other; 1 if a target is missed or a benchmark failed."""
    sys.path.insert(0, str(ROOT))
    measured: list[Row] = []
    failed: list[str] = []
    for module in _modules(sys.argv[1:]):
        try:
            measured += _rows(module)
        except Exception:  # what the others measured is not lost
            traceback.print_exc()
            failed.append(module)
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build/bench.json").write_text(json.dumps(measured, indent=1) + "\n")
    print("\n".join(format_table(measured)))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 0 if not failed and all(row["met"] is not False for row in measured) else 1


def format_table(rows: Sequence[Row]) -> Iterator[str]:
    """The rows as aligned text, headings first."""
    cells = [COLUMNS, *(tuple(_format(row[column]) for column in COLUMNS) for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(COLUMNS))]
    for line in cells:
        yield "  ".join(_aligned(cell, width, at) for at, (cell, width) in enumerate(zip(line, widths, strict=True)))


def _modules(wanted: Sequence[str]) -> Iterable[str]:
    known = sorted(path.stem for path in (ROOT / "tools/bench").glob("*.py") if not path.stem.startswith("_"))
    if unknown := set(wanted) - set(known):
        raise SystemExit(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return [name for name in known if not wanted or name in wanted]


def _rows(module: str) -> list[Row]:
    print(f"measuring: {module}", file=sys.stderr)
    rows: list[Row] = importlib.import_module(f"tools.bench.{module}").rows()
    for row in rows:
        if set(row) != set(COLUMNS):
            raise SystemExit(f"tools/bench/{module}.py: a row has {sorted(row)}, not {sorted(COLUMNS)}")
    return rows


def _format(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return str(value)


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if COLUMNS[column] in ("name", "unit") else cell.rjust(width)


if __name__ == "__main__":
    raise SystemExit(main())
