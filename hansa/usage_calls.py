"""What the client asks about usage: its own, and, by the operator's certificate, how two books compare."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from hansa.v1 import usage_service_pb2

_SETTLING_MS = 120_000


class UsageCalls(ABC):
    """Part of ``hansa.client.Client``."""

    _usage_stub: Any

    @abstractmethod
    async def _call(self, method: Any, request: Any, request_id: str = "", *, more_ms: int = 0) -> Any:
        """Calls, and calls again while the answer is UNAVAILABLE; see ``Client``."""

    async def usage(self, since_ms: int, until_ms: int = 0) -> usage_service_pb2.GetUsageResponse:
        """What the tenant's workloads used in a period (Unix milliseconds; until 0 is now), by operator and pool.

        With the certificate of the operator's control plane, what everybody used.
        """
        request = usage_service_pb2.GetUsageRequest(since_ms=since_ms, until_ms=until_ms)
        response: usage_service_pb2.GetUsageResponse = await self._call(
            self._usage_stub.GetUsage, request, more_ms=_SETTLING_MS
        )
        return response

    async def settle(self, partner: str, since_ms: int, until_ms: int = 0) -> usage_service_pb2.SettleUsageResponse:
        """The operator's book of usage beside a partner's, both ways; for the operator alone (PERMISSION_DENIED).

        Without a partner the answer names those that there are. HansaError PARTNER_UNREACHABLE.
        """
        request = usage_service_pb2.SettleUsageRequest(partner=partner, since_ms=since_ms, until_ms=until_ms)
        response: usage_service_pb2.SettleUsageResponse = await self._call(
            self._usage_stub.SettleUsage, request, more_ms=_SETTLING_MS
        )
        return response
