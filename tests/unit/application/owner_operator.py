"""An operator with one zone, whose agent the test plays by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.control_plane import ControlPlane, Surroundings
from hansa_control.application.ports import HoldRequest, Owner, StoredAdvert
from hansa_control.application.settings import Settings
from hansa_control.domain.model import (
    AcceleratorPool,
    Capacity,
    Evidence,
    EvidenceKind,
    Fact,
    FactKind,
    InstanceState,
    InstanceStatus,
    Inventory,
    Manifest,
    NetworkNode,
    WorkloadSpec,
)
from home_operator import ARTEFACT, CountedIds, HandClock, spec

ME, PARTNER, ZONE = "skargard", "nordavind", "oslo-9"
SETTINGS = Settings(ME, partners=frozenset({PARTNER}))
MANIFEST = Manifest("tenants/harbour/workloads/yard-ocr", b"ca", ("spiffe://harbour/app",))
NODES = (NetworkNode("oslo", "Oslo", "NO", 59.9, 10.7, access_point=True),)


@dataclass
class OwnerSide:
    """A started control plane, its clock and its store."""

    plane: ControlPlane
    clock: HandClock
    store: MemoryStore

    async def hold(self, claim: str, asked: WorkloadSpec | None = None, lease_ms: int = 10_000) -> object:
        return await self.plane.owner.hold(PARTNER, HoldRequest(claim, ZONE, asked or spec(), lease_ms))

    async def report(self, *instances: InstanceStatus, removed: tuple[str, ...] = ()) -> None:
        """The agent tells of instances."""
        adverts = [advert(f"instances/{one.instance}", one, f"{one.state}") for one in instances]
        assert await self.plane.agents.adverts(ZONE, adverts, [f"instances/{name}" for name in removed]) == ()

    def free_cpu_millis(self) -> int:
        return self.plane.world.own_zones()[0].free.cpu_millis


def advert(name: str, body: Inventory | Fact | InstanceStatus, etag: str = "e1") -> StoredAdvert:
    return StoredAdvert(ZONE, name, etag, body)


def inventory(cpu_millis: int = 4_000, **changes: object) -> Inventory:
    capacity = Capacity(cpu_millis, 65_536, (("nvidia/L4", 2),))
    pools = (AcceleratorPool("nvidia", "L4", 24_000, 2),)
    plain = Inventory("oslo", "Oslo", capacity, pools, (ARTEFACT,), "", 100, "file", cordoned=False)
    return replace(plain, **changes)  # type: ignore[arg-type]


def fact(kind: FactKind, value: str, valid_until_ms: int = 4_000_000_000_000) -> Fact:
    return Fact(kind, value, Evidence(EvidenceKind.DECLARATION, "owner", "declaration", 1, valid_until_ms, ""))


def status(claim: str, token: int, state: InstanceState = InstanceState.READY, replica: int = 0) -> InstanceStatus:
    url = f"https://10.0.0.1:{8_000 + replica}" if state is InstanceState.READY else ""
    return InstanceStatus(f"{claim}-{token}-{replica}", claim, state, url, 0, "so it is", token, 0)


async def owner_side(
    store: MemoryStore | None = None, settings: Settings = SETTINGS, partners: dict[str, Owner] | None = None
) -> OwnerSide:
    """An operator whose zone's agent has greeted and told its inventory."""
    clock, store = HandClock(), store or MemoryStore()
    plane = ControlPlane(settings, (NODES, ()), Surroundings(store, clock, CountedIds(), partners or {}))
    await plane.start()
    plane.agents.welcome(ZONE, "boot-1", clock.wall_ms())
    plane.agents.heard(ZONE)
    assert await plane.agents.adverts(ZONE, [advert("inventory", inventory())], []) == ()
    return OwnerSide(plane, clock, store)
