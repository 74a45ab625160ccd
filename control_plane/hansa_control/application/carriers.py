"""Carriers that a request denies by name: one that is misspelt is refused, for it would silently not be denied."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import NetworkLink, Reason, ResidencyPolicy
from hansa_control.domain.snapshot import Snapshot

ALIKE_MIN = 0.8
"""From 0 to 1: how much alike a slip of the pen and the name that was meant are at least."""


def carriers_of(snapshot: Snapshot, operators: Iterable[str], supposed: Iterable[NetworkLink] = ()) -> frozenset[str]:
    """Everybody who carries, or could carry, traffic as it is seen: of links, own and supposed, and all operators."""
    kept = snapshot.network.routes
    of_links: frozenset[str] | None = kept.get("carriers")
    if of_links is None:
        of_links = frozenset(link.carrier for link in snapshot.links)
        kept.keep("carriers", of_links)
    owners = (zone.id.operator for zone in snapshot.zones)
    return of_links.union(operators, owners, (link.carrier for link in supposed)) - {""}


def check_carriers(policy: ResidencyPolicy | None, known: frozenset[str], field: str) -> None:
    """RefusalError INVALID_FIELD on a denied carrier that is not known and looks like a slip in writing one that is.

    Any other that is not known is taken: it may be of a network that comes to be seen.
    """
    denied = policy.transit.carriers_denied if policy is not None and policy.transit is not None else ()
    for name in sorted(set(denied) - known):
        if meant := _meant(name, known):
            message = f"no carrier {name!r} is seen from here, so that it would not be denied; did you mean {meant!r}?"
            raise RefusalError(Reason.INVALID_FIELD, message, field)


def _meant(name: str, known: frozenset[str]) -> str:
    """The carrier most alike; names that are told apart by their numbers are no slips of one another."""
    alike = sorted(other for other in known if _digits(other) == _digits(name))
    return "".join(get_close_matches(name, alike, n=1, cutoff=ALIKE_MIN))


def _digits(name: str) -> str:
    return re.sub("[^0-9]", "", name)
