"""This operator's own zones, asked for as a partner's are."""

from __future__ import annotations

from hansa_control.application.owner import OwnerService
from hansa_control.application.ports import HoldRequest, Refused
from hansa_control.domain.model import ClaimStatus, HoldGrant, Manifest, Reason


class LocalOwner:
    """This operator as owner of its own zones: the same service that partners call, without a wire between."""

    def __init__(self, service: OwnerService, operator: str) -> None:
        self._service = service
        self._operator = operator

    async def hold(self, request: HoldRequest) -> HoldGrant | Refused:
        return self._service.hold_in_memory(self._operator, request)

    async def confirm(self, claim: str, fencing_token: int, manifest: Manifest) -> ClaimStatus:
        return await self._service.confirm(self._operator, claim, fencing_token, manifest)

    async def release(self, claim: str, reason: Reason) -> ClaimStatus:
        return await self._service.release(self._operator, claim, reason)
