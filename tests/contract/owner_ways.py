"""One owner of a zone, and every way on which a home operator reaches it: in the process, by gRPC, simulated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from hansa_control.adapters.authority import Role, Subject, Validity, issue, new_authority
from hansa_control.adapters.grpc_calls import CallGuard
from hansa_control.adapters.grpc_listeners import partners_listener
from hansa_control.adapters.grpc_partners import FederationServicer
from hansa_control.adapters.grpc_server import GrpcServer
from hansa_control.adapters.identity import PeerVerifier, TrustedDomain
from hansa_control.adapters.metrics import Metrics
from hansa_control.adapters.partner_link import Home, Partner, PartnerLink
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.adapters.system import SystemClock
from hansa_control.application.control_plane import ControlPlane, Surroundings
from hansa_control.application.local_owner import LocalOwner
from hansa_control.application.ports import Owner, StoredAdvert
from hansa_control.application.settings import Settings
from hansa_control.domain.model import (
    AcceleratorPool,
    ArtefactRef,
    Capacity,
    Claim,
    Evidence,
    EvidenceKind,
    Fact,
    FactKind,
    InstanceState,
    InstanceStatus,
    Inventory,
    NetworkNode,
)
from hansa_sim.kernel import Process, VirtualLoop
from hansa_sim.kernel import run as run_virtually
from hansa_sim.network import Network
from hansa_sim.partners import PartnerWay
from hansa_sim.streams import Stream

OWNER, HOME, ZONE = "nordfjord", "fjordby", "oslo-1"
ARTEFACT = ArtefactRef("ocr-server", "sha256:" + "a" * 64)
NODES = (NetworkNode("oslo", "Oslo", "NO", 59.9, 10.7, access_point=True),)
EPOCH_MS = 1_800_000_000_000
LEASE_MS_MAX = 10_000


class HandClock:
    """Stands still until the test moves it."""

    now_ms = 1_000

    def wall_ms(self) -> int:
        return EPOCH_MS + self.now_ms

    def monotonic_ms(self) -> int:
        return self.now_ms

    def elapsed_us(self) -> int:
        return self.now_ms * 1_000

    async def sleep_ms(self, duration_ms: int) -> None:
        await asyncio.Event().wait()


class CountedIds:
    count = 0

    def new_id(self) -> str:
        self.count += 1
        return f"u{self.count:019d}"

    def fraction(self) -> float:
        return 0.5


@dataclass
class OwnerStage:
    """The port under test, and the owner behind it with its clock and the agent of its zone."""

    owner: Owner
    plane: ControlPlane
    clock: HandClock
    home: str

    def claim(self, name: str) -> Claim | None:
        """The claim as it is in the owner's ledger."""
        return self.plane.world.claim(self.home, name)

    def free_cpu_millis(self) -> int:
        return self.plane.world.own_zones()[0].free.cpu_millis

    async def runs(self, claim: str, token: int) -> None:
        """The agent tells that it holds the order of a claim and that its instance answers."""
        name = f"{claim}-{token}-0"
        status = InstanceStatus(name, claim, InstanceState.READY, "https://10.0.0.1:8443", 0, "", token, 0)
        self.plane.agents.order_acked(ZONE, {f"instances/{name}"})
        assert await self.plane.agents.adverts(ZONE, [StoredAdvert(ZONE, f"instances/{name}", "e", status)], []) == ()

    async def stopped(self, claim: str, token: int) -> None:
        """The agent tells that neither the order nor the instance of a claim is there any more."""
        self.plane.agents.order_acked(ZONE, set())
        assert await self.plane.agents.adverts(ZONE, [], [f"instances/{claim}-{token}-0"]) == ()


Scene = Callable[[OwnerStage], Awaitable[None]]
Way = Callable[[Scene], None]


async def owning_plane(home: str, clock: HandClock) -> ControlPlane:
    """The owner: one zone in Norway with room for 4 cores and 2 accelerators."""
    settings = Settings(OWNER, partners=frozenset({home} - {OWNER}), hold_lease_ms=LEASE_MS_MAX)
    plane = ControlPlane(settings, (NODES, ()), Surroundings(MemoryStore(), clock, CountedIds(), {}))
    await plane.start()
    plane.agents.welcome(ZONE, "boot-1", clock.wall_ms())
    plane.agents.heard(ZONE)
    capacity = Capacity(4_000, 65_536, (("nvidia/L4", 2),))
    pools = (AcceleratorPool("nvidia", "L4", 24_000, 2),)
    inventory = Inventory("oslo", "Oslo", capacity, pools, (ARTEFACT,), "", 100, "file", cordoned=False)
    evidence = Evidence(EvidenceKind.DECLARATION, OWNER, "declaration", 1, 2 * EPOCH_MS, "")
    fact = Fact(FactKind.SITE_COUNTRY, "NO", evidence)
    adverts = [
        StoredAdvert(ZONE, "inventory", "e1", inventory),
        StoredAdvert(ZONE, f"facts/{FactKind.SITE_COUNTRY}/0", "e1", fact),
    ]
    assert await plane.agents.adverts(ZONE, adverts, []) == ()
    return plane


async def federated_home(owner: ControlPlane, clock: HandClock) -> ControlPlane:
    """The home operator, under a context that the owner minted for it."""
    settings = Settings(HOME, partners=frozenset({OWNER}))
    plane = ControlPlane(settings, (NODES, ()), Surroundings(MemoryStore(), clock, CountedIds(), {}))
    await plane.start()
    await plane.partners.federated(await owner.partners.propose(HOME, clock.wall_ms()))
    return plane


# --- within the process ---


def locally(scene: Scene) -> None:
    """The operator as owner of its own zones."""

    async def play() -> None:
        clock = HandClock()
        plane = await owning_plane(OWNER, clock)
        await scene(OwnerStage(LocalOwner(plane.owner, OWNER), plane, clock, OWNER))

    asyncio.run(play())


# --- over the wire ---


def over_the_wire(scene: Scene) -> None:
    """A partner over gRPC with mutual TLS on loopback."""

    async def play() -> None:
        clock = HandClock()
        plane = await owning_plane(HOME, clock)
        async with _linked(plane, clock) as link:
            link.bind((await federated_home(plane, clock)).partners)
            await scene(OwnerStage(link, plane, clock, HOME))

    asyncio.run(play())


@asynccontextmanager
async def _linked(plane: ControlPlane, clock: HandClock) -> AsyncIterator[PartnerLink]:
    validity = Validity.of_days(SystemClock().wall_ms(), 1)
    authorities = {name: new_authority(name, f"{name}.hansa.example", validity) for name in (OWNER, HOME)}
    certificates = {name: issue(own, Subject(Role.CONTROL_PLANE), validity) for name, own in authorities.items()}
    home_ca_pem = authorities[HOME].cert_pem
    peers = PeerVerifier([TrustedDomain(HOME, f"{HOME}.hansa.example", home_ca_pem)])
    listener = partners_listener("127.0.0.1:0", home_ca_pem, FederationServicer(plane, peers, clock))
    server = GrpcServer(listener, certificates[OWNER], CallGuard(Metrics(), clock, CountedIds()), 100)
    await server.start()
    partner = Partner(OWNER, f"{OWNER}.hansa.example", f"127.0.0.1:{server.port}", authorities[OWNER].cert_pem)
    link = PartnerLink(partner, Home(HOME, certificates[HOME]), clock, CountedIds())
    try:
        yield link
    finally:
        await link.close()
        await server.stop(0)


# --- simulated ---


def simulated(scene: Scene) -> None:
    """A partner on the simulated network, in virtual time."""

    async def play(loop: VirtualLoop) -> None:
        clock = HandClock()
        network = Network(loop, Stream(1, "network"))
        process = Process(loop, OWNER)
        plane = await process.spawn(owning_plane(HOME, clock))
        network.offer(OWNER, process, plane)
        way = PartnerWay(network, (HOME, OWNER), clock, Stream(1, "dial"))
        way.bind(await federated_home(plane, clock))
        await scene(OwnerStage(way, plane, clock, HOME))

    run_virtually(play)


WAYS: dict[str, Way] = {"local": locally, "grpc": over_the_wire, "simulated": simulated}
