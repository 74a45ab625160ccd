"""What has changed since somebody last looked, by name, so that looking again costs what changed and not what is."""

from __future__ import annotations

from collections import OrderedDict

NAMES_MAX = 65_536


class Changes:
    """Names in the order of their last change. Whoever follows keeps the version at which it last asked."""

    def __init__(self, names_max: int = NAMES_MAX) -> None:
        """Of more than names_max names, those that changed longest ago are forgotten."""
        self.version = 0
        self._forgotten_until = 0
        self._names_max = names_max
        self._version_of: OrderedDict[str, int] = OrderedDict()

    def note(self, name: str) -> None:
        """The name has changed, come or gone."""
        self.version += 1
        self._version_of[name] = self.version
        self._version_of.move_to_end(name)
        if len(self._version_of) > self._names_max:
            _, self._forgotten_until = self._version_of.popitem(last=False)

    def since(self, version: int) -> list[str] | None:
        """Names that changed after a version, last change first; None if that is not known any more."""
        if version < self._forgotten_until:
            return None
        found = []
        for name in reversed(self._version_of):
            if self._version_of[name] <= version:
                break
            found.append(name)
        return found
