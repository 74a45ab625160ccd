"""Chance by name, for arrays: each name has a generator of its own, so that using one never shifts another.

Policies are compared on common random numbers because a request's arrival and demand come from streams that know
nothing of policies. Philox is counter-based (J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
2011): its numbers are the same on every machine, and any key gives a sequence of its own.
"""

from __future__ import annotations

import hashlib

from numpy.random import Generator, Philox


def generator(seed: int, name: str) -> Generator:
    """The stream of that name; the same seed and name give the same numbers, everywhere and always."""
    digest = hashlib.sha256(f"{seed}|{name}".encode()).digest()
    return Generator(Philox(key=int.from_bytes(digest[:16], "big")))
