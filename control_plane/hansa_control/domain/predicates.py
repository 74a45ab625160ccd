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

import difflib
import re
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, NamedTuple, TypeAlias

from cel_expr_python import cel

from hansa_control.domain import attributes as known
from hansa_control.domain.attributes import ZoneAttributes as ZoneAttributes
from hansa_control.domain.attributes import attributes_of as attributes_of
from hansa_control.domain.attributes import values_of as values_of
from hansa_control.domain.findings import Finding, finding
from hansa_control.domain.model import Fact, Reason
from hansa_control.domain.patterns import weight_of

PREDICATE = "Predicate"

LENGTH_MAX = 1_000
DEPTH_MAX = 12
MACROS_MAX = 4
PATTERN_LENGTH_MAX = 100
PATTERN_WEIGHT_MAX = 100
COMPILED_MAX = 1_024
OUTCOMES_MAX = 65_536

_Plain: TypeAlias = str | float | tuple[str, ...] | None

MACROS = frozenset({"all", "exists", "exists_one", "filter"})
FUNCTIONS = frozenset(
    {"has", "size", "contains", "startsWith", "endsWith", "matches", "int", "double", "string", *MACROS}
)

_KEYWORDS = frozenset({"in", "true", "false", "null"})
_TOKEN = re.compile(
    r"""(?P<space>[ \t\n]+)
    | (?P<string>"(?:[^"\\\r\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    | (?P<number>(?:0x[0-9a-fA-F]+|[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)u?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign>&&|\|\||[<>=!]=|[-+*/%<>!?:,.()\[\]])""",
    re.VERBOSE,
)
_CEL_ERROR = re.compile(r"<input>:(\d+):(\d+): ([^\n]*)")


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


class _FaultError(ValueError):
    """What is wrong with an expression, and where (characters from its start, from 0)."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(f"at character {at + 1}: {message}")


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
        tokens = _tokens(text)
        reads = _judge(tokens)
        _check_types(text, tokens)
        return Predicate(text, reads, _environment().compile(text))
    except _FaultError as error:
        return str(error)
    except RuntimeError as error:
        return _cel_message(text, error)


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
        return Outcome(Reason.PREDICATE_FAILED, f"failed: {' '.join(str(words).split())}")
    return Outcome(None, "true") if value is True else Outcome(Reason.PREDICATE_FALSE, "false")


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


# --- judging --------------------------------------------------------------------------------------------------------


def _tokens(text: str) -> list[_Token]:
    if not text.strip():
        raise _FaultError(0, "the expression is empty")
    if len(text) > LENGTH_MAX:
        raise _FaultError(LENGTH_MAX, f"the expression has {len(text)} characters; at most {LENGTH_MAX} are taken")
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or text.startswith("//", at):
            raise _FaultError(at, f"{text[at]!r} is not taken here")
        kind = str(found.lastgroup)
        touches = bool(tokens) and tokens[-1].at + len(tokens[-1].text) == at
        if kind in ("string", "name") and touches and tokens[-1].kind in ("string", "name", "number"):
            raise _FaultError(at, "strings are plain, without prefix or triple quotes, and words stand apart")
        if kind != "space":
            tokens.append(_Token(kind, found[0], at))
        at = found.end()
    return tokens


def _judge(tokens: list[_Token]) -> tuple[str, ...]:
    """Refuses what could cost much or reads what is not documented; the attributes that are read."""
    depth, macros, macro_depth, pattern_weight = 0, 0, 0, 0
    reads: set[str] = set()
    for index, token in enumerate(tokens):
        if token.text in ("(", "["):
            depth += 1
            if depth > DEPTH_MAX:
                raise _FaultError(token.at, f"brackets are more than {DEPTH_MAX} deep")
        elif token.text in (")", "]"):
            depth -= 1
            macro_depth = 0 if depth < macro_depth else macro_depth
        elif token.kind == "name" and token.text == "zone":
            reads.add(_attribute(tokens, index))
        elif token.kind == "name" and _text(tokens, index + 1) == "(" and token.text not in _KEYWORDS:
            pattern_weight = _judge_call(tokens, index, pattern_weight)
            if token.text in MACROS:
                macros += 1
                if macro_depth or macros > MACROS_MAX:
                    raise _FaultError(token.at, f"at most {MACROS_MAX} of {', '.join(sorted(MACROS))}, none in another")
                macro_depth = depth + 1
    return tuple(sorted(reads))


def _text(tokens: list[_Token], index: int) -> str:
    return tokens[index].text if 0 <= index < len(tokens) else ""


def _attribute(tokens: list[_Token], index: int) -> str:
    name = _text(tokens, index + 2)
    if _text(tokens, index - 1) == "." or _text(tokens, index + 1) != ".":
        raise _FaultError(tokens[index].at, "zone stands for nothing by itself; name an attribute, as in zone.country")
    if name not in known.TYPES:
        raise _FaultError(tokens[index].at, f"zone.{name} is not an attribute{_nearest(name)}")
    return name


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, sorted(known.TYPES), n=1)
    return f"; did you mean zone.{near[0]}?" if near else f"; attributes are {', '.join(sorted(known.TYPES))}"


def _judge_call(tokens: list[_Token], index: int, pattern_weight: int) -> int:
    """Refuses a call that is not taken; what all patterns weigh so far."""
    token = tokens[index]
    if token.text not in FUNCTIONS:
        raise _FaultError(token.at, f"{token.text}() is not taken; functions are {', '.join(sorted(FUNCTIONS))}")
    inside = [one.text for one in tokens[index + 2 : index + 6]]
    if token.text == "has" and not (inside[:2] == ["zone", "."] and inside[3:] == [")"]):
        raise _FaultError(token.at, "has() takes one attribute, for example has(zone.country)")
    if token.text != "matches":
        return pattern_weight
    pattern = tokens[index + 2] if index + 2 < len(tokens) else token
    if pattern.kind != "string" or inside[1:2] != [")"]:
        raise _FaultError(token.at, "matches() takes a literal pattern")
    return pattern_weight + _judge_pattern(pattern, PATTERN_WEIGHT_MAX - pattern_weight)


def _judge_pattern(pattern: _Token, weight_left: int) -> int:
    """Refuses what is no pattern or would cost more than is left; what it weighs."""
    if len(pattern.text) - 2 > PATTERN_LENGTH_MAX:
        raise _FaultError(pattern.at, f"a pattern has at most {PATTERN_LENGTH_MAX} characters")
    weight = weight_of(str(_environment().compile(pattern.text).eval(data={"zone": {}}).plain_value()))
    if weight.uses_unrestricted:
        raise _FaultError(pattern.at, "\\p, \\P and \\Q are not taken in a pattern; list the characters instead")
    if weight.characters > weight_left:
        most = f"the patterns of an expression may have {PATTERN_WEIGHT_MAX} together"
        raise _FaultError(pattern.at, f"with its counts written out it has {weight.characters} characters; {most}")
    # The library reads patterns when an expression runs; an empty text makes it read this one now.
    result = _environment().compile(f'"".matches({pattern.text})').eval(data={"zone": {}})
    if result.type().name() != "BOOL":
        raise _FaultError(pattern.at, " ".join(str(result.plain_value()).split()))
    return weight.characters


def _check_types(text: str, tokens: list[_Token]) -> None:
    """The library's own checker, told the type of each attribute. It knows a dotted name as a name of its own, which
    ``has`` cannot ask for, so that each ``has(...)`` stands as ``true`` here, in the same place.
    """
    plain = text
    for index, token in enumerate(tokens):
        if token.kind == "name" and token.text == "has" and _text(tokens, index + 1) == "(":
            end = tokens[index + 5].at + 1
            plain = plain[: token.at] + "true".ljust(end - token.at) + plain[end:]
    kind = _typed_environment().compile(plain).return_type().name()
    if kind != "BOOL":
        raise _FaultError(0, f"the expression comes to {kind.lower()}, not to true or false")


@cache
def _environment() -> Any:
    """Compiles what runs: zone is a map, so that ``has`` works and what is absent fails."""
    return cel.NewEnv(variables={"zone": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)})


@cache
def _typed_environment() -> Any:
    """Compiles what is checked. Numbers are DYN: the checker else refuses ``price < 2`` for want of a decimal point."""
    types = {
        known.STRING: cel.Type.STRING,
        known.INT: cel.Type.INT,
        known.NUMBER: cel.Type.DYN,
        known.STRINGS: cel.Type.List(cel.Type.STRING),
    }
    return cel.NewEnv(variables={f"zone.{name}": types[kind] for name, kind in known.TYPES.items()})


def _cel_message(text: str, error: RuntimeError) -> str:
    found = _CEL_ERROR.search(str(error))
    if found is None or int(found[1]) < 1:
        return " ".join(str(error).split())
    before = text.split("\n")[: int(found[1]) - 1]
    at = sum(len(line) + 1 for line in before) + int(found[2]) - 1
    return str(_FaultError(at, found[3]))
