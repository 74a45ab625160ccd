"""A home operator whose only zone belongs to a partner that the test plays by hand."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.control_plane import ControlPlane, Surroundings
from hansa_control.application.ports import HoldRequest, Refused, StoredOffer
from hansa_control.application.settings import Settings
from hansa_control.domain.agreement import AgreementState
from hansa_control.domain.capabilities import OURS
from hansa_control.domain.model import (
    AccessDemand,
    ArtefactRef,
    Capacity,
    ClaimState,
    ClaimStatus,
    Federation,
    FederationState,
    HoldGrant,
    Inventory,
    LatencyBudget,
    Manifest,
    NetworkNode,
    Reason,
    ResidencyPolicy,
    Standing,
    WorkloadId,
    WorkloadSpec,
    Zone,
    ZoneId,
    ZoneState,
)

HOME, OWNER = "nordavind", "skargard"
ARTEFACT = ArtefactRef("ocr-server", "sha256:" + "a" * 64)
YARD = WorkloadId("harbour", "yard-ocr")
IN_FORCE = Standing(AgreementState.IN_FORCE, 1, "sha256:" + "b" * 64)


class HandClock:
    """Stands still until the test moves it."""

    def __init__(self) -> None:
        self.now_ms = 1_000

    def wall_ms(self) -> int:
        return 1_800_000_000_000 + self.now_ms

    def monotonic_ms(self) -> int:
        return self.now_ms

    def elapsed_us(self) -> int:
        return self.now_ms * 1_000

    async def sleep_ms(self, duration_ms: int) -> None:
        if duration_ms:
            await asyncio.Event().wait()
        await asyncio.sleep(0)


class CountedIds:
    def __init__(self) -> None:
        self._count = 0

    def new_id(self) -> str:
        self._count += 1
        return f"u{self._count:019d}"

    def fraction(self) -> float:
        return 0.5


@dataclass
class HandOwner:
    """Grants every hold; the test may stop it in the middle of one."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    held: list[HoldRequest] = field(default_factory=list)
    released: list[tuple[str, Reason]] = field(default_factory=list)

    async def hold(self, request: HoldRequest) -> HoldGrant | Refused:
        self.held.append(request)
        self.asked.set()
        await self.go_on.wait()
        return HoldGrant(request.claim, len(self.held), request.lease_ms, "")

    async def confirm(self, claim: str, fencing_token: int, manifest: Manifest) -> ClaimStatus:
        return ClaimStatus(claim, ClaimState.ALLOCATED, 0, (), "", fencing_token)

    async def release(self, claim: str, reason: Reason) -> ClaimStatus:
        self.released.append((claim, reason))
        return ClaimStatus(claim, ClaimState.RELEASED, 0, (), "", 0)


def spec(cpu_millis: int = 1_000) -> WorkloadSpec:
    budget = LatencyBudget(95, 50_000)
    return WorkloadSpec(ARTEFACT, None, cpu_millis, 512, 1, (AccessDemand("oslo", 1_000),), budget, ResidencyPolicy())


def offered_zone() -> Zone:
    capacity = Capacity(16_000, 65_536)
    inventory = Inventory("oslo", "Oslo", capacity, (), (ARTEFACT,), "", 100, "file", cordoned=False)
    return Zone(ZoneId(OWNER, "oslo-9"), inventory, capacity, (), ZoneState.AVAILABLE, 1, 0)


async def home_operator(owner: HandOwner, store: MemoryStore | None = None) -> ControlPlane:
    """A started control plane that sees one zone, of the partner."""
    nodes = (NetworkNode("oslo", "Oslo", "NO", 59.9, 10.7, access_point=True),)
    surroundings = Surroundings(store or MemoryStore(), HandClock(), CountedIds(), {OWNER: owner})
    plane = ControlPlane(Settings(HOME, partners=frozenset({OWNER})), (nodes, ()), surroundings)
    await plane.start()
    federation = Federation(
        HOME, OWNER, "context-1", FederationState.ACTIVE, 6_000, standing=IN_FORCE, capabilities=OURS
    )
    await plane.partners.federated(federation)
    await plane.partners.offered(OWNER, [StoredOffer(OWNER, "zones/oslo-9", "e1", offered_zone())], [])
    return plane
