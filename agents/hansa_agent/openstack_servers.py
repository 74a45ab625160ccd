"""The servers of this zone, as Nova lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hansa_agent.openstack_api import OpenStackApi, printable
from hansa_agent.openstack_marks import Marks, marks_of, zone_tag

PAGE_SIZE = 200
PAGES_MAX = 100


@dataclass(frozen=True, slots=True)
class Server:
    """One server of the zone. ``power_state`` is Nova's number: 1 runs, 0 is not known, 4 is shut down."""

    uuid: str
    name: str
    status: str
    marks: Marks
    power_state: int = 0
    task: str = ""
    created: str = ""
    fault: str = ""
    addresses: tuple[str, ...] = ()
    cpus: int = 0
    memory_mib: int = 0


async def servers_of(api: OpenStackApi, zone: str) -> tuple[Server, ...]:
    """All that bear the zone's tag and its marks, oldest first; raises what ``OpenStackApi.get`` raises."""
    found: list[Server] = []
    marker = ""
    for _ in range(PAGES_MAX):
        after = f"&marker={marker}" if marker else ""
        path = f"/servers/detail?tags={quote(zone_tag(zone))}&limit={PAGE_SIZE}{after}"
        page = (await api.get("compute", path)).get("servers", [])
        found += [server for one in page if (server := server_in(one, zone)) is not None]
        if len(page) < PAGE_SIZE:
            break
        marker = str(page[-1]["id"])
    return tuple(sorted(found, key=lambda server: (server.created, server.uuid)))


def server_in(one: Mapping[str, Any], zone: str) -> Server | None:
    """A server of this zone in an answer of Nova, or None."""
    marks = marks_of(one.get("metadata", {}))
    if marks is None or marks.zone != zone:
        return None
    flavor = one.get("flavor", {})
    return Server(
        uuid=str(one["id"]),
        name=str(one.get("name", "")),
        status=str(one.get("status", "")),
        marks=marks,
        power_state=int(one.get("OS-EXT-STS:power_state") or 0),
        task=str(one.get("OS-EXT-STS:task_state") or ""),
        created=str(one.get("created", "")),
        fault=printable(str(one.get("fault", {}).get("message", ""))),
        addresses=_addresses(one),
        cpus=int(flavor.get("vcpus", 0)),
        memory_mib=int(flavor.get("ram", 0)),
    )


def _addresses(one: Mapping[str, Any]) -> tuple[str, ...]:
    """Floating ones first, because those are meant for others; then by network."""
    every = [address for _, entries in sorted(one.get("addresses", {}).items()) for address in entries]
    ranked = sorted(every, key=lambda entry: entry.get("OS-EXT-IPS:type") != "floating")
    return tuple(str(entry["addr"]) for entry in ranked)
