"""What ``zones`` and ``network`` do."""

from __future__ import annotations

from typing import Any

from hansa.cli import exits
from hansa.cli.output import message_data
from hansa.cli.session import Session
from hansa.cli.view_zone import network_document, zone_table
from hansa.v1 import zone_pb2

REFRESH_MS = 1_000


async def zones(session: Session, *, watched: bool) -> int:
    """The zones that the operator sees; shown again at every change if watched."""
    seen = await _zones(session)
    if not watched:
        session.emit(_data(seen), zone_table(seen, session.now_ms, wide=session.wide))
        return exits.OK
    before = None
    while True:
        if _essence(seen) != before:
            if session.screen.is_terminal:
                session.screen.clear()
            session.emit_next(_data(seen), zone_table(seen, session.now_ms, wide=session.wide))
        before = _essence(seen)
        await session.clock.sleep(REFRESH_MS)
        seen = await _zones(session)


async def _zones(session: Session) -> list[zone_pb2.Zone]:
    return [zone async for zone in session.client.zones()]


def _data(zones: list[zone_pb2.Zone]) -> dict[str, Any]:
    return {"zones": [message_data(zone) for zone in zones]}


def _essence(zones: list[zone_pb2.Zone]) -> list[zone_pb2.Zone]:
    """The zones without what changes at every sign of life."""
    copies = []
    for zone in zones:
        copy = zone_pb2.Zone()
        copy.CopyFrom(zone)
        copy.heard_at_ms = 0
        copies.append(copy)
    return copies


async def network(session: Session, *, probes: bool) -> int:
    """The network: links, or what was probed beside what is modelled."""
    seen = await session.client.network()
    session.emit(seen, network_document(seen, session.now_ms, probes=probes, wide=session.wide))
    return exits.OK
