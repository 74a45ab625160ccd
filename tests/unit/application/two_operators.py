"""A home operator and an owner whose calls pass from hand to hand, for tests that decide what gets lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.books import Books
from hansa_control.application.metering import Meter
from hansa_control.application.ports import OwnerUnreachable
from hansa_control.application.settings import Settings
from hansa_control.application.settlement import Settlement
from hansa_control.application.state import State
from hansa_control.application.usage_ports import UsageCall, UsagePage
from hansa_control.domain.model import (
    ArtefactRef,
    Capacity,
    Claim,
    ClaimState,
    LatencyBudget,
    Manifest,
    Placement,
    PlacementState,
    ResidencyPolicy,
    Workload,
    WorkloadId,
    WorkloadSpec,
    WorkloadState,
    ZoneId,
)
from home_operator import HandClock

HOME, OWNER = "nordavind", "skargard"
YARD = WorkloadId("harbour", "yard-ocr")
SPEC = WorkloadSpec(ArtefactRef("a", "sha256:0"), None, 1_000, 512, 2, (), LatencyBudget(95, 1), ResidencyPolicy())
ZONE = ZoneId(OWNER, "oslo-9")


class HandedUsage:
    """The way from one operator to the other's book; cut while ``is_cut``."""

    def __init__(self, caller: str) -> None:
        self.caller = caller
        self.side: Side | None = None
        self.is_cut = False
        self.call_count = 0

    async def usage(self, call: UsageCall) -> UsagePage:
        self.call_count += 1
        if self.is_cut or self.side is None:
            raise OwnerUnreachable("cut")
        return await self.side.settlement.tell(self.caller, call)


@dataclass
class Side:
    """One operator's books, without the rest of a control plane. ``start`` begins anew on what the store kept."""

    operator: str
    partner: str
    clock: HandClock = field(default_factory=HandClock)
    store: MemoryStore = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        self.way = HandedUsage(self.operator)
        self.settings = Settings(self.operator, partners=frozenset({self.partner}))

    async def start(self) -> None:
        self.store = self.store.reopen()
        self.state = State(self.store)
        sources = {self.partner: self.way}
        self.meter = Meter(self.operator, self.state, self.clock)
        self.settlement = Settlement(self.settings, self.state, self.clock, sources)
        self.books = Books(self.settings, self.state, self.clock, (self.settlement, sources))
        await self.state.load()
        await self.meter.recover()
        self.settlement.recover()


async def two_sides() -> tuple[Side, Side]:
    """The home operator and the owner, started and joined."""
    home, owner = Side(HOME, OWNER), Side(OWNER, HOME)
    home.way.side, owner.way.side = owner, home
    await home.start()
    await owner.start()
    return home, owner


def claim(name: str, state: ClaimState, token: int = 7) -> Claim:
    """A claim of nordavind at skargard, of two replicas."""
    manifest = Manifest(str(YARD), b"", ())
    return Claim(name, HOME, ZONE.zone, SPEC, Capacity(2_000, 1_024), "", state, token, 0, manifest)


def workload(*claims: str) -> Workload:
    """The workload with placements that name these claims."""
    placements = tuple(Placement(name, ZONE, 2, PlacementState.READY, ()) for name in claims)
    return Workload(YARD, "u1", SPEC, 1, 1, WorkloadState.RUNNING, placements, (), 1, "client")


def books_of(home: Side, owner: Side) -> tuple[Mapping[object, object], Mapping[object, object]]:
    """What is on both disks of what nordavind used: stamps by claim and run."""
    return _stamps(home), _stamps(owner)


def _stamps(side: Side) -> Mapping[object, object]:
    lines = (line for line in side.store.book.values() if (line.owner, line.home) == (OWNER, HOME))
    return {(line.claim, line.fencing_token, line.span): (line.from_ms, line.until_ms) for line in lines}
