"""ZoneService over gRPC: the operator's own engineers decide on its zones, by the control plane's own certificate."""

from __future__ import annotations

from typing import Any

import structlog

from hansa.v1 import zone_service_pb2 as service_pb2
from hansa.v1 import zone_service_pb2_grpc
from hansa_control.adapters import codec_upkeep as codec
from hansa_control.adapters.authority import Role
from hansa_control.adapters.identity import PeerVerifier
from hansa_control.adapters.task_scope import to_the_end
from hansa_control.application.control_plane import ControlPlane
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import Reason, Upkeep, ZoneId

log = structlog.get_logger(__name__)


class ZoneServicer(zone_service_pb2_grpc.ZoneServiceServicer):
    """Nobody but the operator itself has a say in its zones."""

    def __init__(self, control_plane: ControlPlane, peers: PeerVerifier) -> None:
        self._desk = control_plane.upkeep
        self._operator = control_plane.settings.operator
        self._peers = peers

    async def CordonZone(self, request: service_pb2.CordonZoneRequest, context: Any) -> service_pb2.CordonZoneResponse:
        self._authorise(context)
        zone, note = codec.cordon_in(request, self._operator)
        upkeep = await to_the_end(self._desk.cordon(zone, note))
        return service_pb2.CordonZoneResponse(upkeep=self._told(zone, upkeep))

    async def UncordonZone(
        self, request: service_pb2.UncordonZoneRequest, context: Any
    ) -> service_pb2.UncordonZoneResponse:
        self._authorise(context)
        zone = codec.own_zone_in(request.name, self._operator)
        upkeep = await to_the_end(self._desk.uncordon(zone))
        return service_pb2.UncordonZoneResponse(upkeep=self._told(zone, upkeep))

    async def DrainZone(self, request: service_pb2.DrainZoneRequest, context: Any) -> service_pb2.DrainZoneResponse:
        self._authorise(context)
        asked = codec.drain_in(request, self._operator)
        upkeep = await to_the_end(self._desk.drain(*asked))
        return service_pb2.DrainZoneResponse(upkeep=self._told(asked.zone, upkeep))

    async def AnnounceMaintenance(
        self, request: service_pb2.AnnounceMaintenanceRequest, context: Any
    ) -> service_pb2.AnnounceMaintenanceResponse:
        self._authorise(context)
        zone, window = codec.announce_in(request, self._operator)
        upkeep = await to_the_end(self._desk.announce(zone, window))
        return service_pb2.AnnounceMaintenanceResponse(upkeep=self._told(zone, upkeep))

    async def WithdrawMaintenance(
        self, request: service_pb2.WithdrawMaintenanceRequest, context: Any
    ) -> service_pb2.WithdrawMaintenanceResponse:
        self._authorise(context)
        zone, from_ms = codec.withdraw_in(request, self._operator)
        upkeep = await to_the_end(self._desk.withdraw(zone, from_ms))
        return service_pb2.WithdrawMaintenanceResponse(upkeep=self._told(zone, upkeep))

    async def GetZoneUpkeep(
        self, request: service_pb2.GetZoneUpkeepRequest, context: Any
    ) -> service_pb2.GetZoneUpkeepResponse:
        self._authorise(context)
        zone = codec.own_zone_in(request.name, self._operator)
        return codec.seen_out(self._desk.decided(zone), self._desk.occupants(zone))

    def _authorise(self, context: Any) -> None:
        peer = self._peers.peer(context, Role.CONTROL_PLANE)
        if peer.operator != self._operator:
            raise RefusalError(Reason.PERMISSION_DENIED, f"{peer.spiffe_id} is not {self._operator}'s")

    def _told(self, zone: ZoneId, upkeep: Upkeep) -> Any:
        log.info("zone_upkeep", zone=str(zone), intake=upkeep.intake.value, note=upkeep.note, due_ms=upkeep.due_ms)
        return codec.upkeep_out(upkeep)
