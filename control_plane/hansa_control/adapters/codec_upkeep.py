"""What an operator decides on its zones' taking in workloads, on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hansa.v1 import zone_pb2
from hansa.v1 import zone_service_pb2 as service_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.application.ports import RefusalError
from hansa_control.application.upkeeping import Decided, Occupant
from hansa_control.domain.model import Intake, SiteWish, Upkeep, Window, ZoneId, ZoneSide
from hansa_control.domain.upkeep import LEAD_MS_MAX, NOTE_LENGTH_MAX, WINDOWS_MAX

INTAKES = fields.EnumCodec(Intake, zone_pb2.ZoneIntake, "ZONE_INTAKE")
SIDES = fields.EnumCodec(ZoneSide, zone_pb2.ZoneSide, "ZONE_SIDE")


class Drain(NamedTuple):
    """A request to empty a zone."""

    zone: ZoneId
    note: str
    due_ms: int


def upkeep_in(wire: zone_pb2.ZoneUpkeep, path: str) -> Upkeep:
    """As a partner offers it; whoever says maintenance has to say when."""
    fields.bounded(wire.windows, WINDOWS_MAX, f"{path}.windows")
    windows = tuple(window_in(window, f"{path}.windows[{at}]") for at, window in enumerate(wire.windows))
    intake = INTAKES.read(wire.intake, f"{path}.intake")
    if intake is Intake.MAINTENANCE:
        fields.not_empty(windows, f"{path}.windows")
    named = {SIDES.read(side, f"{path}.sides[{at}]") for at, side in enumerate(wire.sides)}
    sides = tuple(side for side in ZoneSide if side in named)
    return Upkeep(intake, _note_in(wire.note, path), fields.time_ms_in(wire.due_ms, f"{path}.due_ms"), windows, sides)


def wish_in(wire: zone_pb2.SiteWish, path: str) -> SiteWish:
    """What a site asks, as its agent tells it. One that cannot be read closes the zone, with what is wrong with it."""
    try:
        return _wish_in(wire, path)
    except RefusalError as refused:
        note = f"what the site asks cannot be read: {refused.field} {refused.message}"
        return SiteWish(is_cordoned=True, note=note[:NOTE_LENGTH_MAX])


def _wish_in(wire: zone_pb2.SiteWish, path: str) -> SiteWish:
    fields.bounded(wire.windows, WINDOWS_MAX, f"{path}.windows")
    windows = tuple(window_in(window, f"{path}.windows[{at}]") for at, window in enumerate(wire.windows))
    for at, window in enumerate(windows):
        if window.until_ms <= window.from_ms:
            raise fields.refused(f"{path}.windows[{at}].until_ms", "is not after the begin")
    return SiteWish(
        is_cordoned=wire.cordoned,
        is_drained=wire.drained,
        note=_note_in(wire.note, path),
        due_ms=fields.time_ms_in(wire.due_ms, f"{path}.due_ms"),
        windows=windows,
    )


def wish_out(wish: SiteWish) -> zone_pb2.SiteWish:
    return zone_pb2.SiteWish(
        cordoned=wish.is_cordoned,
        drained=wish.is_drained,
        note=wish.note,
        due_ms=wish.due_ms,
        windows=[_window_out(one) for one in wish.windows],
    )


def window_in(wire: zone_pb2.MaintenanceWindow, path: str) -> Window:
    """A window; whether it can be announced is not the codec's question."""
    return Window(
        from_ms=fields.time_ms_in(wire.from_ms, f"{path}.from_ms"),
        until_ms=fields.time_ms_in(wire.until_ms, f"{path}.until_ms"),
        lead_ms=fields.range_in(wire.lead_ms, (0, LEAD_MS_MAX), f"{path}.lead_ms"),
        note=_note_in(wire.note, path),
    )


def _note_in(note: str, path: str) -> str:
    return fields.text_in(note, f"{path}.note" if path else "note", NOTE_LENGTH_MAX)


def upkeep_out(upkeep: Upkeep) -> zone_pb2.ZoneUpkeep:
    return zone_pb2.ZoneUpkeep(
        intake=INTAKES.out(upkeep.intake),
        note=upkeep.note,
        due_ms=upkeep.due_ms,
        windows=[_window_out(one) for one in upkeep.windows],
        sides=[SIDES.out(side) for side in upkeep.sides],
    )


def _window_out(window: Window) -> zone_pb2.MaintenanceWindow:
    return zone_pb2.MaintenanceWindow(
        from_ms=window.from_ms, until_ms=window.until_ms, lead_ms=window.lead_ms, note=window.note
    )


def cordon_in(wire: service_pb2.CordonZoneRequest, own: str) -> tuple[ZoneId, str]:
    return own_zone_in(wire.name, own), _note_in(wire.note, "")


def drain_in(wire: service_pb2.DrainZoneRequest, own: str) -> Drain:
    return Drain(own_zone_in(wire.name, own), _note_in(wire.note, ""), fields.time_ms_in(wire.due_ms, "due_ms"))


def announce_in(wire: service_pb2.AnnounceMaintenanceRequest, own: str) -> tuple[ZoneId, Window]:
    return own_zone_in(wire.name, own), window_in(wire.window, "window")


def withdraw_in(wire: service_pb2.WithdrawMaintenanceRequest, own: str) -> tuple[ZoneId, int]:
    return own_zone_in(wire.name, own), fields.time_ms_in(wire.from_ms, "from_ms")


def seen_out(decided: Decided, occupants: Sequence[Occupant]) -> service_pb2.GetZoneUpkeepResponse:
    """What was decided about a zone, and by whom, and what is in it."""
    return service_pb2.GetZoneUpkeepResponse(
        upkeep=upkeep_out(decided.upkeep),
        operator_upkeep=upkeep_out(decided.operator),
        site_upkeep=upkeep_out(decided.site),
        occupants=[
            service_pb2.ZoneOccupant(
                claim=one.claim,
                home=one.home,
                workload=one.workload,
                state=one.state.value,
                stranded=one.stranded,
                why=one.why,
            )
            for one in occupants
        ],
    )


def own_zone_in(name: str, own: str) -> ZoneId:
    """A zone's resource name, in which "-" stands for the operator that is asked."""
    parts = name.split("/")
    if len(parts) == 4 and parts[1] == "-":
        parts[1] = own
    return zone_name_in("/".join(parts), "name")


def zone_name_in(name: str, path: str) -> ZoneId:
    """A zone's resource name, "operators/OPERATOR/zones/ZONE"."""
    parts = name.split("/")
    if len(parts) != 4 or parts[0] != "operators" or parts[2] != "zones":
        raise fields.refused(path, 'is not a zone name ("operators/OPERATOR/zones/ZONE")')
    return ZoneId(fields.name_in(parts[1], path), fields.name_in(parts[3], path))
