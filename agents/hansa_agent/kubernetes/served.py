"""In which version a cluster serves a kind that is not its own, found out when it is needed.

A path names the version of such a kind ``*``: ``/apis/gateway.networking.k8s.io/*/namespaces/hansa/tlsroutes``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from hansa_agent.kubernetes.refusal import ApiRefused, NotServed

ANY_VERSION = "*"
_NOT_FOUND = 404
Get = Callable[[str], Awaitable[Mapping[str, Any]]]


class Served:
    """Versions by group and plural; what is not there is asked for again each time."""

    def __init__(self, get: Get) -> None:
        self._get = get
        self._known: dict[tuple[str, str], str] = {}

    async def path(self, path: str) -> str:
        """``path`` with the version that the cluster serves; raises ``NotServed`` where it serves none."""
        parts = path.split("/")
        if len(parts) < 5 or parts[3] != ANY_VERSION:
            return path
        plural = parts[6] if parts[4] == "namespaces" and len(parts) > 6 else parts[4]
        return "/".join([*parts[:3], await self.version(parts[2], plural), *parts[4:]])

    async def version(self, group: str, plural: str) -> str:
        """The version that the cluster prefers of those that have ``plural``; raises ``NotServed``."""
        if (group, plural) not in self._known:
            self._known[group, plural] = await self._found(group, plural)
        return self._known[group, plural]

    def forget(self, path: str) -> None:
        """What was found for ``path`` is gone: another version may be served by now."""
        group = path.split("/")[2]
        self._known = {key: version for key, version in self._known.items() if key[0] != group}

    async def _found(self, group: str, plural: str) -> str:
        try:
            told = await self._get(f"/apis/{group}")
            preferred = str((told.get("preferredVersion") or {}).get("version", ""))
            versions = [str(each["version"]) for each in told.get("versions") or []]
            for version in sorted(versions, key=lambda each: each != preferred):
                resources = (await self._get(f"/apis/{group}/{version}")).get("resources") or []
                if any(each.get("name") == plural for each in resources):
                    return version
        except ApiRefused as refused:
            if refused.status != _NOT_FOUND:
                raise
        raise NotServed(group, plural)
