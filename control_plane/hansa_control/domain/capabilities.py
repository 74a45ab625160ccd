"""What each side of a federation says that it can do, and what the other must not do without.

Two operators upgrade when each of them likes. Whoever does not know a part of the contract ignores it, which is right
for what only adds and wrong for what changes a meaning: such parts have a name here. Names that are not known mean
nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum


class Capability(StrEnum):
    """SIGNED_GRANTS: the owner signs what it grants. VIRTUAL_LINKS: the home operator judges a link that stands for a
    path by every country, carrier and stretch of that path, not by its two ends. CHAINS_OF_ORIGIN: it judges a zone
    that is offered on by whose it is and through whose hands it goes.
    """

    CHAINS_OF_ORIGIN = "chains-of-origin"
    SIGNED_GRANTS = "signed-grants"
    VIRTUAL_LINKS = "virtual-links"


OURS: tuple[str, ...] = tuple(sorted(Capability))
"""What this release says to every partner."""

NEEDED_OF_OWNERS = frozenset({Capability.SIGNED_GRANTS})
"""Without these nothing of an owner may be used."""


def lacking(said: Collection[str], needed: Collection[Capability]) -> tuple[str, ...]:
    """What is needed and was not said, by name."""
    return tuple(sorted(one.value for one in needed if one.value not in said))
