"""Paths for an abstract network are searched by a worker: nothing is told meanwhile, and nothing is told wrongly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from hansa_control.adapters.offers_link import OffersLink
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.control_plane import ControlPlane, Surroundings
from hansa_control.application.settings import Settings
from hansa_control.domain.agreement import Agreement, NetworkShown, Stance
from hansa_control.domain.model import LatencyBasis, LinkKind, NetworkLink, NetworkNode, RoundTrip
from home_operator import HOME, OWNER, CountedIds, HandClock

from hansa.v1.federation_service_pb2 import OffersRequest, OffersResponse

T = TypeVar("T")
RTT = RoundTrip(1_000, 1_500, 2_000, LatencyBasis.MODELLED)
ABSTRACT = Agreement(network=NetworkShown.ABSTRACT, gateways=("oslo", "tromso"))
WIDER = Agreement(network=NetworkShown.ABSTRACT, gateways=("oslo", "tromso", "hamar"))


def link(node_a: str, node_b: str) -> NetworkLink:
    return NetworkLink(f"{node_a}--{node_b}", node_a, node_b, 1_000, RTT, (), OWNER, LinkKind.TERRESTRIAL)


NODES = tuple(NetworkNode(name, "", "NO", 60.0, 10.0, access_point=True) for name in ("hamar", "oslo", "tromso"))
LINKS = (link("oslo", "hamar"), link("hamar", "tromso"))


@dataclass
class HandWorker:
    """Does a job when it is told to, after failing as often as it is told to."""

    failures: int = 0
    jobs: asyncio.Queue[asyncio.Event] = field(default_factory=asyncio.Queue)

    async def run(self, job: Callable[[], T]) -> T:
        go_on = asyncio.Event()
        self.jobs.put_nowait(go_on)
        await go_on.wait()
        if self.failures:
            self.failures -= 1
            raise ZeroDivisionError("by a defect")
        return job()

    async def do(self) -> None:
        (await self.jobs.get()).set()


@dataclass
class Owner:
    """An operator whose network a partner is shown as the test says."""

    agreement: Agreement
    worker: HandWorker = field(default_factory=HandWorker)

    def stances(self, now_ms: int) -> Mapping[str, Stance]:
        return {HOME: Stance(self.agreement)}

    async def start(self) -> Owner:
        settings, clock = Settings(OWNER, endpoint_ca_pem=b"ca", partners=frozenset({HOME})), HandClock()
        around = Surroundings(MemoryStore(), clock, CountedIds(), {}, worker=self.worker, agreements=self)
        self.plane = ControlPlane(settings, (NODES, LINKS), around)
        await self.plane.start()
        held = await self.plane.partners.propose(HOME, clock.wall_ms())
        self.link, self.answers = OffersLink(self.plane.partners, clock, HOME), list[OffersResponse]()
        self.hello = OffersRequest()
        self.hello.hello.context_id = held.context_id
        return self

    def names(self) -> set[str] | None:
        offers = self.plane.partners.offers(HOME)
        return None if offers is None else {name for name in offers if name.startswith("nodes")}

    async def shown(self) -> set[str]:
        """What is shown after the search that is under way."""
        seen = self.plane.partners.offers_signal.version
        await self.worker.do()
        await self.plane.partners.offers_signal.wait(seen)
        names = self.names()
        assert names is not None
        return names


async def run(owner: Owner, test: Callable[[], object]) -> None:
    """Runs a test beside the searches of an operator."""
    task = asyncio.create_task(owner.plane.agreements.run())
    try:
        async with asyncio.timeout(10):
            await test()  # type: ignore[misc]
        assert not task.done()
    finally:
        task.cancel()


def kinds(answers: tuple[OffersResponse, ...]) -> list[str | None]:
    return [answer.WhichOneof("body") for answer in answers]


async def test_a_partner_that_connects_during_the_search_hears_a_sign_of_life_and_the_offers_after_it() -> None:
    owner = await Owner(ABSTRACT).start()

    async def test() -> None:
        first = owner.link.receive(owner.hello)
        assert "delta" not in kinds(first)
        assert owner.link.next_delta() is None
        assert owner.link.heartbeat().WhichOneof("body") == "heartbeat"
        assert await owner.shown() == {"nodes/oslo", "nodes/tromso"}
        delta = owner.link.next_delta()
        assert delta is not None
        names = sorted(one.name.split("/")[-1] for one in delta.delta.updated)
        assert [name[:12] for name in names] == ["oslo", "oslo--tromso", "tromso"]

    await run(owner, test)


async def test_who_was_shown_the_whole_network_is_not_told_of_it_again_once_an_abstract_one_is_agreed() -> None:
    owner = await Owner(Agreement()).start()
    assert owner.names() == {"nodes/oslo", "nodes/hamar", "nodes/tromso"}
    owner.agreement = ABSTRACT

    async def test() -> None:
        assert owner.names() is None
        assert "delta" not in kinds(owner.link.receive(owner.hello))
        assert await owner.shown() == {"nodes/oslo", "nodes/tromso"}

    await run(owner, test)


async def test_more_nodes_to_show_wait_for_their_search_and_less_that_was_searched_does_not() -> None:
    owner = await Owner(ABSTRACT).start()

    async def test() -> None:
        assert owner.names() is None
        assert await owner.shown() == {"nodes/oslo", "nodes/tromso"}
        owner.agreement = WIDER
        assert owner.names() is None
        assert await owner.shown() == {"nodes/oslo", "nodes/hamar", "nodes/tromso"}
        owner.agreement = ABSTRACT
        assert owner.names() == {"nodes/oslo", "nodes/tromso"}

    await run(owner, test)


async def test_a_search_that_meets_a_defect_is_told_and_tried_again_when_offers_are_asked_for() -> None:
    owner = await Owner(ABSTRACT, HandWorker(failures=1)).start()
    told: list[Exception] = []
    is_told = asyncio.Event()
    owner.plane.agreements.on_defect = lambda defect: (told.append(defect), is_told.set())[0]

    async def test() -> None:
        assert owner.names() is None
        await owner.worker.do()
        await is_told.wait()
        assert [type(defect) for defect in told] == [ZeroDivisionError]
        assert owner.names() is None
        assert await owner.shown() == {"nodes/oslo", "nodes/tromso"}

    await run(owner, test)
