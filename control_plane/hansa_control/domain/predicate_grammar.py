"""What a predicate may be written of: its words are judged before any of it runs (``predicates`` has the rules)."""

from __future__ import annotations

import difflib
import re
from functools import cache
from typing import Any, NamedTuple

from cel_expr_python import cel

from hansa_control.domain import attributes as known
from hansa_control.domain.patterns import weight_of

LENGTH_MAX = 1_000
DEPTH_MAX = 12
MACROS_MAX = 4
PATTERN_LENGTH_MAX = 100
PATTERN_WEIGHT_MAX = 100
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


class Token(NamedTuple):
    """A word of an expression: "string", "number", "name" or "sign", and where it begins (characters, from 0)."""

    kind: str
    text: str
    at: int


class FaultError(ValueError):
    """What is wrong with an expression, and where (characters from its start, from 0)."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(f"at character {at + 1}: {message}")


def tokens_of(text: str) -> list[Token]:
    """The words of an expression, spaces left out; FaultError on what is not taken."""
    if not text.strip():
        raise FaultError(0, "the expression is empty")
    if len(text) > LENGTH_MAX:
        raise FaultError(LENGTH_MAX, f"the expression has {len(text)} characters; at most {LENGTH_MAX} are taken")
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or text.startswith("//", at):
            raise FaultError(at, f"{text[at]!r} is not taken here")
        kind = str(found.lastgroup)
        if kind == "string":
            _require_printable(found[0], at)
        touches = bool(tokens) and tokens[-1].at + len(tokens[-1].text) == at
        if kind in ("string", "name") and touches and tokens[-1].kind in ("string", "name", "number"):
            raise FaultError(at, "strings are plain, without prefix or triple quotes, and words stand apart")
        if kind != "space":
            tokens.append(Token(kind, found[0], at))
        at = found.end()
    return tokens


def _require_printable(string: str, at: int) -> None:
    """A predicate is shown to people wherever it refuses a zone, so that none may hold what a terminal obeys."""
    for offset, char in enumerate(string):
        if not char.isprintable():
            raise FaultError(at + offset, f"U+{ord(char):04X} cannot be printed; write {ascii(char)[1:-1]}")


def judge(tokens: list[Token]) -> tuple[str, ...]:
    """Refuses with FaultError what could cost much or reads what is not documented; the attributes that are read."""
    depth, macros, macro_depth, pattern_weight = 0, 0, 0, 0
    reads: set[str] = set()
    for index, token in enumerate(tokens):
        if token.text in ("(", "["):
            depth += 1
            if depth > DEPTH_MAX:
                raise FaultError(token.at, f"brackets are more than {DEPTH_MAX} deep")
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
                    raise FaultError(token.at, f"at most {MACROS_MAX} of {', '.join(sorted(MACROS))}, none in another")
                macro_depth = depth + 1
    return tuple(sorted(reads))


def _text(tokens: list[Token], index: int) -> str:
    return tokens[index].text if 0 <= index < len(tokens) else ""


def _attribute(tokens: list[Token], index: int) -> str:
    name = _text(tokens, index + 2)
    if _text(tokens, index - 1) == "." or _text(tokens, index + 1) != ".":
        raise FaultError(tokens[index].at, "zone stands for nothing by itself; name an attribute, as in zone.country")
    if name not in known.TYPES:
        raise FaultError(tokens[index].at, f"zone.{name} is not an attribute{_nearest(name)}")
    return name


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, sorted(known.TYPES), n=1)
    return f"; did you mean zone.{near[0]}?" if near else f"; attributes are {', '.join(sorted(known.TYPES))}"


def _judge_call(tokens: list[Token], index: int, pattern_weight: int) -> int:
    """Refuses a call that is not taken; what all patterns weigh so far."""
    token = tokens[index]
    if token.text not in FUNCTIONS:
        raise FaultError(token.at, f"{token.text}() is not taken; functions are {', '.join(sorted(FUNCTIONS))}")
    inside = [one.text for one in tokens[index + 2 : index + 6]]
    if token.text == "has" and not (inside[:2] == ["zone", "."] and inside[3:] == [")"]):
        raise FaultError(token.at, "has() takes one attribute, for example has(zone.country)")
    if token.text != "matches":
        return pattern_weight
    pattern = tokens[index + 2] if index + 2 < len(tokens) else token
    if pattern.kind != "string" or inside[1:2] != [")"]:
        raise FaultError(token.at, "matches() takes a literal pattern")
    return pattern_weight + _judge_pattern(pattern, PATTERN_WEIGHT_MAX - pattern_weight)


def _judge_pattern(pattern: Token, weight_left: int) -> int:
    """Refuses what is no pattern or would cost more than is left; what it weighs."""
    if len(pattern.text) - 2 > PATTERN_LENGTH_MAX:
        raise FaultError(pattern.at, f"a pattern has at most {PATTERN_LENGTH_MAX} characters")
    weight = weight_of(str(environment().compile(pattern.text).eval(data={"zone": {}}).plain_value()))
    if weight.uses_unrestricted:
        raise FaultError(pattern.at, "\\p, \\P and \\Q are not taken in a pattern; list the characters instead")
    if weight.characters > weight_left:
        most = f"the patterns of an expression may have {PATTERN_WEIGHT_MAX} together"
        raise FaultError(pattern.at, f"with its counts written out it has {weight.characters} characters; {most}")
    # The library reads patterns when an expression runs; an empty text makes it read this one now.
    result = environment().compile(f'"".matches({pattern.text})').eval(data={"zone": {}})
    if result.type().name() != "BOOL":
        raise FaultError(pattern.at, " ".join(str(result.plain_value()).split()))
    return weight.characters


def check_types(text: str, tokens: list[Token]) -> None:
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
        raise FaultError(0, f"the expression comes to {kind.lower()}, not to true or false")


@cache
def environment() -> Any:
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


def cel_message(text: str, error: RuntimeError) -> str:
    """What the library finds wrong with an expression, with the place counted as here."""
    found = _CEL_ERROR.search(str(error))
    if found is None or int(found[1]) < 1:
        return " ".join(str(error).split())
    before = text.split("\n")[: int(found[1]) - 1]
    at = sum(len(line) + 1 for line in before) + int(found[2]) - 1
    return str(FaultError(at, found[3]))
