"""UsageService over gRPC: app teams ask for their own usage, the operator by its own certificate for everybody's."""

from __future__ import annotations

from typing import Any

import structlog

from hansa.v1 import usage_service_pb2 as service_pb2
from hansa.v1 import usage_service_pb2_grpc
from hansa_control.adapters import codec_usage as codec
from hansa_control.adapters.authority import Role
from hansa_control.adapters.identity import PeerVerifier
from hansa_control.adapters.task_scope import to_the_end
from hansa_control.application.control_plane import ControlPlane
from hansa_control.application.ports import Clock, OwnerUnreachable, RefusalError
from hansa_control.domain.agreement import PriceVersion
from hansa_control.domain.model import Reason
from hansa_control.domain.usage import Period, UsageLine

log = structlog.get_logger(__name__)


def tell_objection(line: UsageLine, why: str) -> None:
    """A partner told a line that is not taken over: ``hansa settle`` will show it."""
    log.warning("usage_not_taken_over", owner=line.owner, claim=line.claim, span=line.span, reason=why)


def tell_price_objection(owner: str, version: PriceVersion, why: str) -> None:
    """A partner told prices that are not taken over: by ``hansa settle`` both books' amounts differ."""
    log.warning(
        "prices_not_taken_over",
        owner=owner,
        agreement_version=version.version,
        agreement_digest=version.digest,
        in_force_since_ms=version.since_ms,
        reason=why,
    )


class UsageServicer(usage_service_pb2_grpc.UsageServiceServicer):
    """What was used, and how it compares with what partners have."""

    def __init__(self, control_plane: ControlPlane, peers: PeerVerifier, clock: Clock) -> None:
        self._books = control_plane.books
        self._operator = control_plane.settings.operator
        self._peers = peers
        self._clock = clock

    async def GetUsage(self, request: service_pb2.GetUsageRequest, context: Any) -> service_pb2.GetUsageResponse:
        tenant = "" if self._is_operator(context) else self._peers.peer(context, Role.TENANT).name
        asked = codec.used_request_in(request)
        period = Period(asked.since_ms, max(min(asked.until_ms, self._clock.wall_ms()), asked.since_ms))
        return codec.used_out(await to_the_end(self._books.used(tenant, period)), period)

    async def SettleUsage(
        self, request: service_pb2.SettleUsageRequest, context: Any
    ) -> service_pb2.SettleUsageResponse:
        if not self._is_operator(context):
            message = f"settling is for {self._operator} itself: use its control plane's certificate"
            raise RefusalError(Reason.PERMISSION_DENIED, message)
        partner, period = codec.settle_request_in(request)
        if not partner:
            return codec.settled_out((), self._books.partners)
        try:
            settled = await to_the_end(self._books.settle(partner, period))
        except OwnerUnreachable as error:
            raise RefusalError(Reason.PARTNER_UNREACHABLE, str(error), "partner") from error
        count = sum(len(one.differences) for one in settled)
        log.info("usage_settled", partner=partner, differences=count)
        return codec.settled_out(settled, self._books.partners)

    def _is_operator(self, context: Any) -> bool:
        peer = self._peers.caller(context)
        return peer.role is Role.CONTROL_PLANE and peer.operator == self._operator
