"""SCS-0118: how large a failure two copies survive together. Pure.

"SCS Taxonomy of Failsafe Levels" (docs.scs.community/standards/scs-0118-v1-taxonomy-of-failsafe-levels) has four levels
by what fails at once: a device or host, a rack, a site for a while, a site for good. The level of a pair of places
follows from the largest part that they do not share; what is not known counts as shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class FailsafeLevel(IntEnum):
    """What is survived: each level includes those below. NONE: the copies fail together."""

    NONE = 0
    DEVICE = 1
    RACK = 2
    SITE = 3
    REGION = 4


@dataclass(frozen=True, slots=True)
class FailureDomain:
    """Where something runs, from large to small; an empty word is unknown."""

    region: str = ""
    availability_zone: str = ""
    rack: str = ""
    host: str = ""

    @property
    def name(self) -> str:
        """The smallest part that the provider's users may know, as a configuration names it, for example "de1-az2"."""
        words = f"{self.region}-{self.availability_zone}".lower()
        return "-".join("".join(char if char.isascii() and char.isalnum() else " " for char in words).split())


def level_between(one: FailureDomain, other: FailureDomain) -> FailsafeLevel:
    """The largest failure that hits at most one of two copies."""
    if _differ(one.region, other.region):
        return FailsafeLevel.REGION
    if _differ(one.availability_zone, other.availability_zone):
        return FailsafeLevel.SITE
    if _differ(one.rack, other.rack):
        return FailsafeLevel.RACK
    return FailsafeLevel.DEVICE if _differ(one.host, other.host) else FailsafeLevel.NONE


def _differ(one: str, other: str) -> bool:
    return bool(one) and bool(other) and one != other
