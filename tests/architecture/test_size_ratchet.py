"""Functions and files stay small: hard limits for each, and a ratchet on the typical size that may only fall."""

from __future__ import annotations

import ast
import math
import statistics
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from source_tree import Source, sources_of_product, sources_of_tests, sources_of_tools

RATCHET = Path(__file__).with_name("ratchet.toml")
SLACK_PERCENT = 25
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600
PARAMETERS_MAX = 5
TYPER_DECORATORS = frozenset({"command", "callback"})

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Sized:
    """A function with its place, as a reader looks for it."""

    place: str
    node: Function

    @property
    def lines(self) -> int:
        """From its ``def`` to its last line, as an editor shows it."""
        return (self.node.end_lineno or self.node.lineno) - self.node.lineno + 1


def test_no_function_is_longer_than_a_screen() -> None:
    long = [f"{one.place}: {one.lines} lines" for one in _functions(_everything()) if one.lines > FUNCTION_LINES_MAX]
    assert long == []


def test_no_file_is_longer_than_can_be_kept_in_mind() -> None:
    long = [f"{one.path}: {one.line_count} lines" for one in _everything() if one.line_count > FILE_LINES_MAX]
    assert long == []


def test_no_function_takes_more_parameters_than_can_be_kept_apart() -> None:
    many = [
        f"{one.place}: {count_parameters(one.node)}"
        for one in _functions(sources_of_product())
        if _takes_too_many(one.node)
    ]
    assert many == []


@pytest.mark.parametrize("measure", sorted(tomllib.loads(RATCHET.read_text())))
def test_typical_size_never_grows_and_the_ratchet_follows_it_down(measure: str) -> None:
    bound = tomllib.loads(RATCHET.read_text())[measure]
    measured = measured_sizes()[measure]
    assert measured <= bound, f"{measure} has grown from {bound} to {measured}; make the new code smaller"
    lowest = math.floor(bound * (100 - SLACK_PERCENT) / 100)
    assert measured >= lowest, f"{measure} has fallen to {measured}; write that into {RATCHET.name} instead of {bound}"


def test_every_size_that_is_measured_has_a_ratchet() -> None:
    assert set(tomllib.loads(RATCHET.read_text())) == set(measured_sizes())


def test_long_function_and_wide_signature_are_noticed() -> None:
    body = "\n".join(["    pass"] * FUNCTION_LINES_MAX)
    long = Source("x.py", "", ast.parse(f"def long() -> None:\n{body}\n"))
    assert next(_functions([long])).lines == FUNCTION_LINES_MAX + 1
    wide = ast.parse("class A:\n    def wide(self, a, b, c, d, *, e, f): ...\n")
    command = ast.parse("@app.command('x')\ndef wide(a, b, c, d, *, e, f): ...\n")
    assert [_takes_too_many(one.node) for one in _functions([Source("x.py", "", wide)])] == [True]
    assert [_takes_too_many(one.node) for one in _functions([Source("x.py", "", command)])] == [False]


def measured_sizes() -> dict[str, int]:
    """Median and 95th percentile of the lines of the product's functions and files."""
    functions = [one.lines for one in _functions(sources_of_product())]
    files = [one.line_count for one in sources_of_product() if one.line_count]
    return {
        "function_lines_median": _percentile(functions, 50),
        "function_lines_p95": _percentile(functions, 95),
        "file_lines_median": _percentile(files, 50),
        "file_lines_p95": _percentile(files, 95),
    }


def count_parameters(function: Function) -> int:
    """What a caller may pass, self and cls left out."""
    named = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return sum(argument.arg not in ("self", "cls") for argument in named)


def _takes_too_many(function: Function) -> bool:
    return count_parameters(function) > PARAMETERS_MAX and not _is_typer_command(function)


def _is_typer_command(function: Function) -> bool:
    calls = [one.func for one in function.decorator_list if isinstance(one, ast.Call)]
    return any(isinstance(call, ast.Attribute) and call.attr in TYPER_DECORATORS for call in calls)


def _everything() -> Sequence[Source]:
    return [*sources_of_product(), *sources_of_tools(), *sources_of_tests()]


def _functions(sources: Sequence[Source]) -> Iterator[Sized]:
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, Function):
                yield Sized(f"{source.path}:{node.lineno} {node.name}", node)


def _percentile(values: Sequence[int], percent: int) -> int:
    return math.ceil(statistics.quantiles(values, n=100, method="inclusive")[percent - 1])


if __name__ == "__main__":
    print("\n".join(f"{measure} = {size}" for measure, size in measured_sizes().items()))
