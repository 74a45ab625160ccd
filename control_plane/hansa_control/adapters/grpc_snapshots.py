"""SnapshotService over gRPC: the world of this moment, for the operator itself, by its control plane's certificate."""

from __future__ import annotations

import asyncio
from typing import Any

from hansa.v1 import snapshot_service_pb2, snapshot_service_pb2_grpc
from hansa_control.adapters.authority import Role
from hansa_control.adapters.identity import PeerVerifier
from hansa_control.adapters.world_record import packed_world
from hansa_control.application.control_plane import ControlPlane
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import Reason


class SnapshotServicer(snapshot_service_pb2_grpc.SnapshotServiceServicer):
    """One answer at a time is written, beside the loop, since it is as large as the world."""

    def __init__(self, control_plane: ControlPlane, peers: PeerVerifier) -> None:
        self._taker = control_plane.world_taker
        self._peers = peers
        self._is_busy = False

    async def TakeSnapshot(
        self, request: snapshot_service_pb2.TakeSnapshotRequest, context: Any
    ) -> snapshot_service_pb2.TakeSnapshotResponse:
        self._peers.peer(context, Role.CONTROL_PLANE)
        if self._is_busy:
            raise RefusalError(Reason.UNAVAILABLE, "another snapshot is being written; ask again when it has ended")
        self._is_busy = True
        try:
            body = await asyncio.to_thread(packed_world, self._taker.take())
        finally:
            self._is_busy = False
        return snapshot_service_pb2.TakeSnapshotResponse(world=body)
