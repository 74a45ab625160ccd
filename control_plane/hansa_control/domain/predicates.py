"""Predicates: where the typed fields end, an expression in CEL that must be true of a zone.

CEL (Common Expression Language, https://cel.dev) knows no loops and no side effects; this module takes a part of it
that costs little whatever it says. An expression comes from strangers and is judged before it is run:

- at most ``LENGTH_MAX`` characters, brackets at most ``DEPTH_MAX`` deep, plain strings, no comments, no maps;
- names: ``zone`` with an attribute of ``attributes``, variables of macros, and the functions in ``FUNCTIONS``;
- ``all``, ``exists``, ``exists_one`` and ``filter`` at most ``MACROS_MAX`` times and never within one another, so that
  the work grows with the length of the expression times that of one list; ``map`` is not taken, as it builds values;
- ``matches`` takes a literal pattern (RE2: time linear in the text). The patterns of an expression, their counts
  written out, have at most ``PATTERN_WEIGHT_MAX`` characters together, as the library reads them anew for every zone;
- types are checked, and the result must be true or false.

The library has bounds of its own beneath these (recursion, iterations). What goes wrong while an expression runs, an
attribute that is absent included, is PREDICATE_FAILED; false is PREDICATE_FALSE; both reject. As CEL has it, ``a || b``
is true if either is, even if the other fails.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from hansa_control.domain import attributes as known
from hansa_control.domain.attributes import ZoneAttributes as ZoneAttributes
from hansa_control.domain.attributes import attributes_of as attributes_of
from hansa_control.domain.attributes import values_of as values_of
from hansa_control.domain.findings import Finding, finding
from hansa_control.domain.model import Fact, Reason
from hansa_control.domain.predicate_grammar import (
    FaultError,
    cel_message,
    check_types,
    environment,
    judge,
    tokens_of,
)

PREDICATE = "Predicate"

_STATUS = re.compile(r"^[A-Z_]+: ")
_ABSENT = re.compile(r'^Key not found in map : "(\w+)"$')

COMPILED_MAX = 1_024
OUTCOMES_MAX = 65_536

_Plain: TypeAlias = str | float | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Predicate:
    """An expression that was judged and compiled; reads names the attributes that it reads, sorted."""

    text: str
    reads: tuple[str, ...]
    program: Any = field(repr=False, compare=False)


class Outcome(NamedTuple):
    """What a predicate says of a zone: reason is None where it is true, measured what it came to."""

    reason: Reason | None
    measured: str


@lru_cache(maxsize=COMPILED_MAX)
def compile_predicate(text: str) -> Predicate | str:
    """The predicate in a text, or a sentence on what is wrong with it and where. It takes milliseconds at most."""
    try:
        tokens = tokens_of(text)
        reads = judge(tokens)
        check_types(text, tokens)
        return Predicate(text, reads, environment().compile(text))
    except FaultError as error:
        return str(error)
    except RuntimeError as error:
        return cel_message(text, error)


def evaluate(text: str, values: known.Values) -> Outcome:
    """What the predicate in ``text`` says of a zone with these values (``attributes.values_of``).

    It is worked out once for each set of values that it reads: whoever filters and whoever explains ask the same.
    """
    predicate = compile_predicate(text)
    if isinstance(predicate, str):
        return Outcome(Reason.PREDICATE_FAILED, f"not a predicate, {predicate}")
    return _outcome(text, tuple(_plain(values.get(name)) for name in predicate.reads))


def _plain(value: known.Value | None) -> _Plain:
    return tuple(value) if isinstance(value, list) else value


@lru_cache(maxsize=OUTCOMES_MAX, typed=True)
def _outcome(text: str, read: tuple[_Plain, ...]) -> Outcome:
    predicate = compile_predicate(text)
    if isinstance(predicate, str):
        raise TypeError(f"no predicate: {text}")
    named = zip(predicate.reads, read, strict=True)
    values = {name: list(v) if isinstance(v, tuple) else v for name, v in named if v is not None}
    try:
        result = predicate.program.eval(data={"zone": values})
        kind, value = result.type().name(), result.plain_value()
    except RuntimeError as error:
        kind, value = "ERROR", str(error)
    if kind != "BOOL":
        words = value if kind == "ERROR" else f"came to {kind.lower()}"
        return Outcome(Reason.PREDICATE_FAILED, f"failed: {_one_line(str(words))}")
    return Outcome(None, "true") if value is True else Outcome(Reason.PREDICATE_FALSE, "false")


def _one_line(words: str) -> str:
    """Words of the library without its status: on one line, and such that a terminal shows them and no more, for they
    may repeat what an expression came to. The one map that there is holds the attributes of a zone.
    """
    told = _ABSENT.sub(r"zone.\1 is not known", _STATUS.sub("", " ".join(words.split())))
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in told)


def check_predicates(
    predicates: tuple[str, ...], attributes: ZoneAttributes, facts: tuple[Fact, ...], now_ms: int
) -> tuple[Finding, ...]:
    """A finding for each predicate, with the values that it read as evidence."""
    reads = {text: _reads(text) for text in predicates}
    values = values_of(attributes, facts, now_ms, sorted({name for names in reads.values() for name in names}))
    found: list[Finding] = []
    for text in predicates:
        outcome = evaluate(text, values)
        evidence = "; ".join(f"zone.{name} {_shown(values.get(name))}" for name in reads[text])
        found.append(finding(outcome.reason, PREDICATE, outcome.measured, text, evidence or "no attribute read"))
    return tuple(found)


def _reads(text: str) -> tuple[str, ...]:
    predicate = compile_predicate(text)
    return predicate.reads if isinstance(predicate, Predicate) else ()


def _shown(value: known.Value | None) -> str:
    if value is None:
        return "unknown"
    return "{" + ",".join(value) + "}" if isinstance(value, list) else str(value)
