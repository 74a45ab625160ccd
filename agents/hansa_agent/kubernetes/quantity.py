"""Amounts as Kubernetes writes them, for example "500m", "16Gi" or "1e3". Pure.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from fractions import Fraction

_QUANTITY = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:([eE][+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def rounded_down(quantity: object, per_unit: int = 1) -> int:
    """The whole units in a quantity, ``per_unit`` of them in one; 0 for what is no quantity or negative."""
    return max(0, _exact(quantity) * per_unit // 1)


def rounded_up(quantity: object, per_unit: int = 1) -> int:
    """The whole units that hold a quantity, ``per_unit`` of them in one; 0 for what is no quantity or negative."""
    return max(0, -(-_exact(quantity) * per_unit // 1))


def _exact(quantity: object) -> Fraction:
    match = _QUANTITY.fullmatch(str(quantity).strip())
    if match is None:
        return Fraction(0)
    number, exponent, suffix = Fraction(match[1]), match[2], match[3] or ""
    if exponent:
        return number * Fraction(10) ** int(exponent[1:])
    if suffix in _BINARY:
        return number * (1 << _BINARY[suffix])
    return number * Fraction(10) ** _DECIMAL[suffix]
