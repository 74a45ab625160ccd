"""Breaks one module of the domain in one place at a time and sees whether tests notice: python tools/mutate.py NAME...

Each mutant is the module with one change (a comparison turned, a condition negated, "and" for "or", a number off by
one, a result emptied, a statement dropped, another Reason), written into a copy of the tree, on which commands run, the
quickest first, until one fails. Those that no command kills are listed. See docs/testing.md.
"""

from __future__ import annotations

import argparse
import ast
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
DOMAIN = Path("control_plane/hansa_control/domain")
HOMES = (".", "control_plane", "agents", "simulations", "demo")
QUICK = ("python tests/oracle/long_run.py --worlds 250 --seconds 60 --terse",)
"""On worlds as on a decision: 250 of the oracle's find most of what is wrong, in seconds."""
SECONDS_MAX = 120
TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
REASONS = ("FACT_EXPIRED", "INTERNAL")


class Mutant(NamedTuple):
    """A changed module in full, and in which line what was changed."""

    line: int
    words: str
    source: str


def mutants_of(source: str) -> list[Mutant]:
    """Every mutant of a module, by line. Annotations and docstrings stay as they are."""
    count = sum(1 for _ in ast.walk(ast.parse(source)))
    found = []
    for at in range(count):
        for choice in range(2):
            tree = ast.parse(source)
            node = _node_at(tree, at)
            change = _changes(node)[choice : choice + 1]
            if change:
                words = change[0]()
                found.append(Mutant(getattr(node, "lineno", 0), words, ast.unparse(ast.fix_missing_locations(tree))))
    plain = ast.unparse(ast.parse(source))
    return sorted({mutant for mutant in found if mutant.source != plain})


def _node_at(tree: ast.Module, at: int) -> ast.AST:
    for number, node in enumerate(ast.walk(tree)):
        if number == at:
            return node
    raise IndexError(at)


def _changes(node: ast.AST) -> list[Callable[[], str]]:
    """What can be done to a node; each does it and says what."""
    if isinstance(node, ast.Compare):
        return [lambda: _turn(node)]
    if isinstance(node, ast.BoolOp):
        return [lambda: _swap(node)]
    if isinstance(node, ast.IfExp | ast.If):
        return [lambda: _negate(node)]
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return [lambda: _count_on(node)]
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        return [lambda: _flip(node)]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert):
        return [lambda: _drop_sign(node)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr | ast.Add | ast.Sub):
        return [] if ast.unparse(node.right) == "None" else [lambda: _other_operator(node)]
    if isinstance(node, ast.Return) and node.value is not None:
        return [lambda: _empty(node)]
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Reason":
        return [lambda: _other_reason(node)]
    if isinstance(node, ast.FunctionDef):
        return [lambda: _drop_statement(node, 0), lambda: _drop_statement(node, -1)]
    return []


def _turn(node: ast.Compare) -> str:
    node.ops[0] = TURNED[type(node.ops[0])]()
    return f"compares: {ast.unparse(node)}"


def _swap(node: ast.BoolOp) -> str:
    node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    return f"and/or: {ast.unparse(node)}"


def _negate(node: ast.IfExp | ast.If) -> str:
    node.test = ast.UnaryOp(ast.Not(), node.test)
    return f"negated: {ast.unparse(node.test)}"


def _count_on(node: ast.Constant) -> str:
    node.value = int(str(node.value)) + 1
    return f"one more: {node.value}"


def _flip(node: ast.Constant) -> str:
    node.value = not node.value
    return f"flipped: {node.value}"


def _drop_sign(node: ast.UnaryOp) -> str:
    node.op = ast.UAdd() if isinstance(node.op, ast.Invert) else ast.Not()
    node.operand = ast.UnaryOp(ast.Not(), node.operand) if isinstance(node.op, ast.Not) else node.operand
    return f"not dropped: {ast.unparse(node.operand)}"


def _other_operator(node: ast.BinOp) -> str:
    others: dict[type[ast.operator], type[ast.operator]] = {
        ast.BitAnd: ast.BitOr,
        ast.BitOr: ast.BitAnd,
        ast.Add: ast.Sub,
        ast.Sub: ast.Add,
    }
    node.op = others[type(node.op)]()
    return f"operator: {ast.unparse(node)}"


def _empty(node: ast.Return) -> str:
    was = ast.unparse(node)
    if isinstance(node.value, ast.Tuple | ast.List):
        node.value.elts = []
    else:
        node.value = ast.Constant(None)
    return f"emptied: {was}"


def _other_reason(node: ast.Attribute) -> str:
    node.attr = next(name for name in REASONS if name != node.attr)
    return f"reason: {node.attr}"


def _drop_statement(node: ast.FunctionDef, at: int) -> str:
    begin = 1 if ast.get_docstring(node) is not None else 0
    body = node.body[begin:]
    if not body or (at < 0 and len(body) == 1):
        return "nothing"
    was = ast.unparse(body[at]).splitlines()[0]
    body[at] = ast.Pass()
    node.body = node.body[:begin] + body
    return f"dropped: {was}"


def survivors(module: Path, commands: Sequence[str], limit: int, tree: Path) -> Iterator[tuple[Mutant, bool]]:
    """The mutants of a module, evenly over it and no more than the limit, each with whether it survived."""
    source = (ROOT / module).read_text()
    found = mutants_of(source)
    step = max(1, -(-len(found) // limit))
    try:
        for mutant in found[::step]:
            (tree / module).write_text(mutant.source)
            yield mutant, all(_passes(command, tree) for command in commands)
    finally:
        (tree / module).write_text(source)


def _passes(command: str, tree: Path) -> bool:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(tree / home) for home in HOMES)}  # noqa: TID251
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    try:
        done = subprocess.run(
            shlex.split(command), cwd=tree, env=environment, capture_output=True, timeout=SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def main() -> int:
    """0 if every mutant was killed, 1 if one survived, 2 if the commands fail on the tree as it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="+", help="names of modules of the domain, such as residency")
    parser.add_argument("--limit", type=int, default=1_000_000, help="mutants of each module at most")
    parser.add_argument("--command", action="append", help="what must fail; several are tried in order")
    options = parser.parse_args()
    commands, lived = options.command or QUICK, 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        left_out = shutil.ignore_patterns(".git", "*_cache", "__pycache__", ".venv", "build", "dist", ".hypothesis")
        shutil.copytree(ROOT, tree, ignore=left_out)
        if not all(_passes(command, tree) for command in commands):
            print("the commands fail without any mutant", file=sys.stderr)
            return 2
        for name in options.modules:
            results = []
            for mutant, survived in survivors(DOMAIN / f"{name}.py", commands, options.limit, tree):
                results.append(survived)
                if survived:
                    print(f"  {name}.py:{mutant.line} {mutant.words}", flush=True)
            lived += sum(results)
            print(f"{name}: {len(results)} mutants, {sum(results)} survived", flush=True)
    return 1 if lived else 0


if __name__ == "__main__":
    sys.exit(main())
