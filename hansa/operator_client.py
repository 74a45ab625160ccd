"""The client of an operator's own engineers: what app teams can ask, and decisions on the operator's zones.

    async with OperatorClient(load_profile()) as client:
        await client.drain("oslo-1", note="new switch")

The profile's certificate is the control plane's own; with an app team's these calls are refused (PERMISSION_DENIED).
Each asks for a state, so that repeating one does no harm. A zone is named ``oslo-1`` or ``nordavind/oslo-1``.
"""

from __future__ import annotations

from typing import Any

from hansa.client import Client
from hansa.decision_record import unpacked
from hansa.names import checked_id, parse_zone
from hansa.profile import Profile
from hansa.v1 import snapshot_service_pb2, snapshot_service_pb2_grpc, zone_pb2, zone_service_pb2, zone_service_pb2_grpc

OWN = "-"
"""Stands for the operator that is asked."""


class OperatorClient(Client):
    """Speaks to one operator as that operator."""

    def __init__(self, profile: Profile, **given: Any) -> None:
        super().__init__(profile, **given)
        self._snapshot_stub: Any = snapshot_service_pb2_grpc.SnapshotServiceStub(self._channel)
        self._zone_stub: Any = zone_service_pb2_grpc.ZoneServiceStub(self._channel)

    async def cordon(self, zone: str, *, note: str = "") -> zone_pb2.ZoneUpkeep:
        """The zone takes in nothing new; what runs there stays."""
        request = zone_service_pb2.CordonZoneRequest(name=zone_name(zone), note=note)
        return _upkeep(await self._call(self._zone_stub.CordonZone, request))

    async def uncordon(self, zone: str) -> zone_pb2.ZoneUpkeep:
        """The zone is neither cordoned nor drained; announced maintenance stays announced."""
        request = zone_service_pb2.UncordonZoneRequest(name=zone_name(zone))
        return _upkeep(await self._call(self._zone_stub.UncordonZone, request))

    async def drain(self, zone: str, *, note: str = "", due_ms: int = 0) -> zone_pb2.ZoneUpkeep:
        """What runs in the zone moves away; ``due_ms`` (since the Unix epoch, UTC) is by when it is to be empty."""
        request = zone_service_pb2.DrainZoneRequest(name=zone_name(zone), note=note, due_ms=due_ms)
        return _upkeep(await self._call(self._zone_stub.DrainZone, request))

    async def announce_maintenance(self, zone: str, window: zone_pb2.MaintenanceWindow) -> zone_pb2.ZoneUpkeep:
        """Nothing new is placed that would run into the window, and what runs there moves away before."""
        request = zone_service_pb2.AnnounceMaintenanceRequest(name=zone_name(zone), window=window)
        return _upkeep(await self._call(self._zone_stub.AnnounceMaintenance, request))

    async def withdraw_maintenance(self, zone: str, *, from_ms: int = 0) -> zone_pb2.ZoneUpkeep:
        """Takes back the window of that begin; every window, if it is 0."""
        request = zone_service_pb2.WithdrawMaintenanceRequest(name=zone_name(zone), from_ms=from_ms)
        return _upkeep(await self._call(self._zone_stub.WithdrawMaintenance, request))

    async def zone_upkeep(self, zone: str) -> zone_service_pb2.GetZoneUpkeepResponse:
        """What was decided about a zone, what is in it still, and why."""
        request = zone_service_pb2.GetZoneUpkeepRequest(name=zone_name(zone))
        response: zone_service_pb2.GetZoneUpkeepResponse = await self._call(self._zone_stub.GetZoneUpkeep, request)
        return response

    async def world(self) -> bytes:
        """The world of this moment as the operator sees it, JSON; docs/simulation.md says what is in it."""
        request = snapshot_service_pb2.TakeSnapshotRequest()
        return unpacked((await self._call(self._snapshot_stub.TakeSnapshot, request)).world)


def zone_name(zone: str) -> str:
    """The resource name of a zone; of the operator that is asked, if only the zone is named."""
    return str(parse_zone(zone)) if "/" in zone else f"operators/{OWN}/zones/{checked_id(zone, 'zone')}"


def _upkeep(response: Any) -> zone_pb2.ZoneUpkeep:
    upkeep: zone_pb2.ZoneUpkeep = response.upkeep
    return upkeep
