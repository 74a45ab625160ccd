"""The nearest of the names that are known, for words about one that is not.

Near are names that one slip makes of each other: a letter that is missing, too many or another, or two that are turned
around. Names that one slip parts are the same in their first or in their last half, so that two sorted lists find them;
names come from strangers, and a request may have many that are not known.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

COMPARED_MAX = 1_000
"""Of the names that begin, and of those that end, like the one that is sought, the first by name: of thousands that are
told apart by their numbers alone, the nearest may be missed."""

_FOLDED = str.maketrans("oil", "011")


class NearNames:
    """Names to find the nearest among. Case does not count, nor letters that look like digits."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {_fold(name): name for name in sorted(names, reverse=True)}
        self._onward = sorted(self._names)
        self._backward = sorted(name[::-1] for name in self._names)

    def __len__(self) -> int:
        return len(self._names)

    def hint(self, name: str) -> str:
        """``; nearest known: oslo``, to be put after words about a name; empty where none is near."""
        sought = _fold(name)
        if sought in self._names:
            return f"; nearest known: {self._names[sought]}"
        half = (len(sought) - 1) // 2
        alike = {*_beginning(self._onward, sought[:half])}
        alike |= {other[::-1] for other in _beginning(self._backward, sought[::-1][:half])}
        near = min((self._names[other] for other in alike if _is_slip(sought, other)), default="")
        return f"; nearest known: {near}" if near else ""


def _fold(name: str) -> str:
    return name.casefold().translate(_FOLDED)


def _beginning(names: Sequence[str], start: str) -> Iterator[str]:
    """Sorted names that begin so, the first of them."""
    after = bisect_left(names, f"{start}\U0010ffff")
    return islice(names, bisect_left(names, start), min(after, bisect_left(names, start) + COMPARED_MAX))


def _is_slip(one: str, other: str) -> bool:
    """Whether one slip makes one of the other."""
    at = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    changed, dropped, added = one[at + 1 :] == other[at + 1 :], one[at + 1 :] == other[at:], one[at:] == other[at + 1 :]
    turned = one[at : at + 2] == other[at : at + 2][::-1] and one[at + 2 :] == other[at + 2 :]
    return changed or dropped or added or turned
