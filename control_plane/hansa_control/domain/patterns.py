"""What a pattern of RE2 costs: the library compiles it anew for each zone, in time that grows with what it stands for.

A count such as ``{1,200}`` stands for as many copies of what it follows, and a class of Unicode for hundreds of ranges:
eleven characters, ``\\pL{1,200}``, take a second to compile, for every zone. So the copies are counted before.
"""

from __future__ import annotations

import re
from typing import NamedTuple

ANY_WEIGHT = 4
"""A dot, a negated class, ``\\w`` and their like: about so many times what a character takes."""

_CLASS = re.compile(r"\[\^?\]?(?:\[:\^?[a-z]+:\]|\\.|[^\]\\])*\]", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x\{[0-9A-Fa-f]+\}|x[0-9A-Fa-f]{2}|.)", re.DOTALL)
_COUNT = re.compile(r"\{([0-9]+)(,([0-9]*))?\}")
_ANY = frozenset({"\\d", "\\D", "\\w", "\\W", "\\s", "\\S"})
_UNRESTRICTED = re.compile(r"\\[pPQ]")


class Weight(NamedTuple):
    """What a pattern costs, in characters; uses_unrestricted where that is not known: ``\\p``, ``\\P``, ``\\Q``."""

    characters: int
    uses_unrestricted: bool


def weight_of(pattern: str) -> Weight:
    """The characters of a pattern once its counts are written out. One that is no pattern has some weight, too."""
    open_groups: list[int] = []
    total, last, at = 0, 0, 0
    while at < len(pattern):
        text = _piece(pattern, at)
        at += len(text)
        if text == "(":
            open_groups.append(total)
            last = 1
        elif text == ")":
            last = total - (open_groups.pop() if open_groups else 0)
            continue
        elif (count := _COUNT.fullmatch(text)) is not None:
            copies = max(int(number) for number in (count[1], count[3] or "0", "1"))
            last, total = last * copies, total + last * (copies - 1)
            continue
        else:
            last = _weight(text)
        total += last
    return Weight(total, bool(_UNRESTRICTED.search(pattern.replace("\\\\", ""))))


def _piece(pattern: str, at: int) -> str:
    """The next character, escape, class or count."""
    for form in (_ESCAPE, _CLASS, _COUNT):
        found = form.match(pattern, at)
        if found is not None:
            return found[0]
    return pattern[at]


def _weight(text: str) -> int:
    if text == "." or text in _ANY:
        return ANY_WEIGHT
    return len(text) + ANY_WEIGHT * text.startswith("[^") if text.startswith("[") else 1
