"""What the commands on an operator's own zones do once they are connected."""

from __future__ import annotations

from dataclasses import dataclass

from hansa.cli import exits
from hansa.cli.session import Session, note
from hansa.cli.times import duration_ms, moment_ms
from hansa.cli.view_upkeep import left_text, upkeep_document, upkeep_line
from hansa.v1 import zone_pb2, zone_service_pb2

REFRESH_MS = 500


@dataclass(frozen=True, slots=True)
class Drain:
    """How a zone is to be emptied; deadline is a duration as typed."""

    deadline: str
    note: str
    is_awaited: bool


async def cordon(session: Session, zone: str, why: str) -> int:
    """Nothing new in the zone."""
    return _told(session, zone, await session.client.cordon(zone, note=why))


async def uncordon(session: Session, zone: str) -> int:
    """The zone is open again."""
    return _told(session, zone, await session.client.uncordon(zone))


async def announce(session: Session, zone: str, times: tuple[str, str], lead: str, why: str) -> int:
    """Maintenance at a time."""
    window = zone_pb2.MaintenanceWindow(
        from_ms=moment_ms(times[0], "--from"),
        until_ms=moment_ms(times[1], "--until"),
        lead_ms=duration_ms(lead, "--lead"),
        note=why,
    )
    return _told(session, zone, await session.client.announce_maintenance(zone, window))


async def withdraw(session: Session, zone: str, begin: str) -> int:
    """No maintenance at that time."""
    from_ms = moment_ms(begin, "--from") if begin else 0
    return _told(session, zone, await session.client.withdraw_maintenance(zone, from_ms=from_ms))


async def show(session: Session, zone: str) -> int:
    """What was decided, and what is in the zone."""
    seen = await session.client.zone_upkeep(zone)
    session.emit(seen, upkeep_document(zone, seen))
    return exits.OK


async def drain(session: Session, zone: str, asked: Drain) -> int:
    """Asks for an empty zone and, if asked, waits until it is one or the deadline has come."""
    due_ms = session.now_ms + duration_ms(asked.deadline, "--deadline")
    upkeep = await session.client.drain(zone, note=asked.note, due_ms=due_ms)
    if not asked.is_awaited:
        return _told(session, zone, upkeep)
    seen = await _emptied(session, zone, due_ms)
    session.emit(seen, upkeep_document(zone, seen))
    if not seen.occupants:
        note(f"{zone} is empty and stays cordoned; open it with: hansa uncordon {zone}")
        return exits.OK
    note(f"{zone} is not empty at its deadline; what is left keeps running, and goes as soon as it can")
    return exits.INFEASIBLE


async def _emptied(session: Session, zone: str, due_ms: int) -> zone_service_pb2.GetZoneUpkeepResponse:
    """The zone once nothing is in it, or at the deadline; what changes meanwhile is told."""
    before = ""
    while True:
        seen = await session.client.zone_upkeep(zone)
        text = left_text(seen.occupants)
        if text != before:
            note(text)
        before = text
        if not seen.occupants or session.now_ms >= due_ms or _is_opened(seen):
            return seen
        await session.clock.sleep(REFRESH_MS)


def _is_opened(seen: zone_service_pb2.GetZoneUpkeepResponse) -> bool:
    """Somebody has opened the zone meanwhile."""
    return seen.upkeep.intake != zone_pb2.ZONE_INTAKE_DRAINING


def _told(session: Session, zone: str, upkeep: zone_pb2.ZoneUpkeep) -> int:
    session.emit(upkeep, [upkeep_line(zone, upkeep)])
    return exits.OK
