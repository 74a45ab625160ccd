"""Signatures of a world in one process: a digest in an operator's name. They show damage and mix-ups, not forgery."""

from __future__ import annotations

from hashlib import sha256

from hansa_control.application.ports import SealBroken
from hansa_control.domain.seals import Signed

ALGORITHM = "digest"


class DigestSeals:
    """Signs as one operator, and checks what the others signed in the same way; no key, no chance, no time."""

    def __init__(self, operator: str) -> None:
        self._operator = operator

    def sign(self, payload: bytes) -> Signed:
        return Signed(ALGORITHM, _digest(self._operator, payload), _certificate(self._operator))

    def check(self, operator: str, payload: bytes, signed: Signed, at_ms: int) -> None:
        if signed != Signed(ALGORITHM, _digest(operator, payload), _certificate(operator)):
            raise SealBroken(f"it is not what {operator} signs")


def _digest(operator: str, payload: bytes) -> bytes:
    return sha256(operator.encode() + b"\0" + payload).digest()


def _certificate(operator: str) -> bytes:
    return f"-----BEGIN CERTIFICATE-----\n{operator}\n-----END CERTIFICATE-----\n".encode()
