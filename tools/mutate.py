"""Breaks one module of the domain in one place at a time and sees whether tests notice: python tools/mutate.py NAME...

Each mutant is the module with one change (a comparison turned, a condition negated, "and" for "or", a number off by
one, a result emptied, a statement dropped, another Reason, "min" for "max", "any" for "all"). The oracle's answers on a
corpus of worlds are held against it, and the unit tests of the module are run on it. Those that neither kills are
listed; a * marks those with which a decision in the corpus reads otherwise. See docs/testing.md.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Callable
from typing import NamedTuple

from mutation_trial import DOMAIN, KILLED, LIVED, LIVED_IN_OTHER_WORDS, ROOT, Trial

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
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
}
OPPOSITES = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "minimum": "maximum",
    "maximum": "minimum",
    "logical_and": "logical_or",
    "logical_or": "logical_and",
}
REASONS = ("FACT_EXPIRED", "INTERNAL")


class Mutant(NamedTuple):
    """A changed module in full, and in which line what was changed."""

    line: int
    words: str
    source: str


def mutants_of(source: str) -> list[Mutant]:
    """Every mutant of a module, by line; annotations, decorators, zip's strict and weights of what is kept stay."""
    tree = ast.parse(source)
    left_out = {id(inner) for node in ast.walk(tree) for part in _left_out(node) for inner in ast.walk(part)}
    choices = [(at, n) for at, x in enumerate(ast.walk(tree)) if id(x) not in left_out for n in range(len(_changes(x)))]
    plain, found = ast.unparse(tree), set()
    for at, choice in choices:
        changed = ast.parse(source)
        node = next(x for number, x in enumerate(ast.walk(changed)) if number == at)
        words = _changes(node)[choice]()
        mutant = Mutant(getattr(node, "lineno", 0), words, ast.unparse(ast.fix_missing_locations(changed)))
        if mutant.source != plain:
            found.add(mutant)
    return sorted(found)


def _left_out(node: ast.AST) -> list[ast.AST]:
    """What of a node changes nothing that runs, or nothing but a check on the way."""
    parts = [getattr(node, "annotation", None), getattr(node, "returns", None), *getattr(node, "decorator_list", ())]
    parts += [node] if isinstance(node, ast.keyword) and node.arg in ("strict", "weight") else []
    return [part for part in parts if part is not None]


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
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in OPERATORS:
        return [lambda: _other_operator(node)]
    if isinstance(node, ast.Name | ast.Attribute) and _name(node) in OPPOSITES:
        return [lambda: _opposite(node)]
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


def _other_operator(node: ast.BinOp | ast.AugAssign) -> str:
    node.op = OPERATORS[type(node.op)]()
    return f"operator: {ast.unparse(node)}"


def _name(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def _opposite(node: ast.Name | ast.Attribute) -> str:
    other = OPPOSITES[_name(node)]
    if isinstance(node, ast.Name):
        node.id = other
    else:
        node.attr = other
    return f"opposite: {ast.unparse(node)}"


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


def main() -> int:
    """0 if every mutant was killed, 1 if one survived, 2 if the tests fail on the tree as it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="+", help="modules of the domain: residency, residency:57, residency:57-80")
    parser.add_argument("--limit", type=int, default=1_000_000, help="mutants of each module at most, evenly over it")
    parser.add_argument("--more", action="append", default=[], help="a test file to run, too; may be given again")
    options = parser.parse_args()
    trial, lived = Trial(options.more), 0
    for asked in options.modules:
        name, first, last = _part(asked)
        source = (ROOT / DOMAIN / f"{name}.py").read_text()
        if trial.lives(name, source) != LIVED:
            print(f"{name}: its tests fail without any mutant", file=sys.stderr)
            return 2
        found = [mutant for mutant in mutants_of(source) if first <= mutant.line <= last]
        found = found[:: max(1, -(-len(found) // options.limit))]
        survivors = sum(_survives(trial, name, mutant) for mutant in found)
        print(f"{name}: {len(found)} mutants, {survivors} survived", flush=True)
        lived += survivors
    return 1 if lived else 0


def _part(asked: str) -> tuple[str, int, int]:
    """A module and its first and last line that are asked for."""
    name, _, lines = asked.partition(":")
    first, is_span, last = lines.partition("-")
    return name, int(first or 0), int((last if is_span else first) or 1_000_000)


def _survives(trial: Trial, name: str, mutant: Mutant) -> bool:
    """Tries a mutant, and says so if it lives; with a * if a decision in the corpus reads otherwise."""
    result = trial.lives(name, mutant.source)
    if result != KILLED:
        print(f" {' *'[result == LIVED_IN_OTHER_WORDS]} {name}.py:{mutant.line} {mutant.words}", flush=True)
    return result != KILLED


if __name__ == "__main__":
    sys.exit(main())
