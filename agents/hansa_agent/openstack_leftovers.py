"""Deletes what this zone has in the cloud and nobody wants: servers without a record, second servers, empty groups.

Never anything else: a server must bear the zone's tag and its marks, a group its prefix. What has no record is given a
grace first, because the record of a server that is being made may be on its way.
"""

from __future__ import annotations

import structlog

from hansa_agent.instance_store import InstanceStore
from hansa_agent.inventory_openstack import Outside
from hansa_agent.openstack_api import CloudRefused
from hansa_agent.openstack_create import group_name, group_prefix
from hansa_agent.openstack_servers import Server
from hansa_agent.openstack_view import ServersView, delete_server
from hansa_agent.ports import PlatformSilent
from hansa_agent.strays import Strays, capacity_of

_log = structlog.get_logger(__name__)
GRACE_MS = 60_000
GROUPS_EVERY_MS = 300_000


class Leftovers:
    """What was seen without an owner, and since when. ``strays`` is told what it holds at each look at the servers."""

    def __init__(self, zone: str, store: InstanceStore, outside: Outside, view: ServersView) -> None:
        self._zone = zone
        self._store = store
        self._outside = outside
        self._view = view
        self._since_ms: dict[str, int] = {}
        self._groups_due_ms = 0
        self.strays = Strays()
        view.on_look = self._tell

    async def clear(self) -> None:
        """Deletes what has been without an owner for the grace; what the cloud does not do now is done later."""
        now_ms = self._outside.clock.now().monotonic_ms
        unwanted = self._unwanted()
        self._since_ms = {one.uuid: self._since_ms.get(one.uuid, now_ms) for one in unwanted}
        for one in unwanted:
            if now_ms - self._since_ms[one.uuid] >= GRACE_MS:
                await self._delete(one)
        if now_ms >= self._groups_due_ms:
            self._groups_due_ms = now_ms + GROUPS_EVERY_MS
            await self._clear_groups()

    async def clear_instance(self, instance: str) -> None:
        """Deletes all servers of an instance that is not wanted any more, as far as they were seen."""
        for one in [one for one in self._view.servers.values() if one.marks.instance == instance]:
            await self._delete(one)

    def _tell(self) -> None:
        """Of several that may be the one of an instance, one is it."""
        held, counted = [], set[str]()
        for one in self._view.servers.values():
            if one.marks.instance in counted or not self._is_wanted(one):
                held.append(one.marks.ordered)
            else:
                counted.add(one.marks.instance)
        self.strays.tell(capacity_of(one.cpu_millis, one.memory_mib, one.accelerators) for one in held)

    def _unwanted(self) -> list[Server]:
        return [one for one in self._view.servers.values() if not self._is_wanted(one)]

    def _is_wanted(self, server: Server) -> bool:
        """A record without a handle is of a server that is being made, or found again: any of them may be it."""
        record = self._store.records.get(server.marks.instance)
        return record is not None and record.handle in ("", server.uuid)

    async def _delete(self, server: Server) -> None:
        _log.warning("server that nobody wants deleted", server=server.uuid, instance=server.marks.instance)
        try:
            await delete_server(self._outside.api, server.uuid)
        except PlatformSilent as silent:
            _log.warning("platform silent", server=server.uuid, message=str(silent))

    async def _clear_groups(self) -> None:
        prefix = group_prefix(self._zone)
        orders = [record.parsed_order().instance for record in self._store.records.values()]
        wanted = {group_name(self._zone, order.claim) for order in orders}
        try:
            groups = (await self._outside.api.get("compute", "/os-server-groups")).get("server_groups", [])
            for one in groups:
                name = str(one["name"])
                if name.startswith(prefix) and name not in wanted and not one["members"]:
                    await self._outside.api.call("DELETE", "compute", f"/os-server-groups/{one['id']}")
        except (PlatformSilent, CloudRefused) as error:
            _log.info("server groups not cleared", message=str(error))
