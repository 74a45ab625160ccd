"""How a network came from an earlier one: what changed, so that what was searched can be mended."""

from __future__ import annotations

from itertools import chain
from typing import NamedTuple

CHANGES_KEPT_MAX = 64
"""How many changes a search may lie behind and still be mended; one that is older is done afresh."""


class Touched(NamedTuple):
    """Indexes of links and nodes that one change gave other attributes; links at changed nodes are among them."""

    links: tuple[int, ...]
    nodes: tuple[int, ...]


class Lineage(NamedTuple):
    """How a network came from an earlier one with the same names: how many changes ago, and the last of them."""

    epoch: int = 0
    changes: tuple[Touched, ...] = ()

    def after(self, touched: Touched) -> Lineage:
        return Lineage(self.epoch + 1, (*self.changes, touched)[-CHANGES_KEPT_MAX:])

    def since(self, epoch: int) -> Touched | None:
        """All that has changed since an earlier epoch; None if that is too long ago."""
        behind = self.epoch - epoch
        if behind > len(self.changes):
            return None
        recent = self.changes[len(self.changes) - behind :]
        links = set(chain.from_iterable(touched.links for touched in recent))
        return Touched(tuple(sorted(links)), tuple(sorted({at for touched in recent for at in touched.nodes})))
