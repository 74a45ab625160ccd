"""Half of a change of a partner's network is never judged: it may allow what neither whole allows."""

from __future__ import annotations

from collections.abc import Mapping

from hansa_control.adapters.offers_follower import OffersFollower
from hansa_control.adapters.offers_link import OFFERS_PER_DELTA, OffersLink
from hansa_control.application.ports import OfferBody
from hansa_control.domain.model import (
    LatencyBasis,
    LinkKind,
    NetworkLink,
    NetworkNode,
    RoundTrip,
    Standing,
    TransitRule,
)
from hansa_control.domain.routing import RouteKey, find_route
from home_operator import OWNER, HandClock
from home_stage import Stage, home_stage

from hansa.v1.federation_service_pb2 import OffersRequest

NORWAY = TransitRule(frozenset({"NO"}))
RTT = RoundTrip(1_000, 1_100, 1_200, LatencyBasis.MODELLED)


def network(*, crossed: tuple[str, ...], inner: str, extra: int) -> dict[str, OfferBody]:
    """A way from oslo over zz to far: what the link to zz crosses, where zz is, and as many nodes beside it."""
    nodes = [
        NetworkNode("zz", "", inner, 60.0, 10.0, access_point=False),
        NetworkNode("far", "", "NO", 60.0, 10.0, access_point=True),
        *(NetworkNode(f"n{at:04}", f"of {extra}", "NO", 60.0, 10.0, access_point=False) for at in range(extra)),
    ]
    links = [
        NetworkLink("a-m", "oslo", "zz", 0, RTT, crossed, OWNER, LinkKind.TERRESTRIAL),
        NetworkLink("m-z", "zz", "far", 0, RTT, (), OWNER, LinkKind.TERRESTRIAL),
    ]
    return {f"nodes/{one.name}": one for one in nodes} | {f"links/{one.name}": one for one in links}


class Offering:
    """An owner that shows what the test says."""

    def __init__(self) -> None:
        self.now: dict[str, OfferBody] = {}

    def check_context(self, home: str, context_id: str) -> None: ...

    def offers(self, home: str) -> Mapping[str, OfferBody]:
        return self.now

    def offers_changed(self, home: str, version: int) -> tuple[int, list[str] | None]:
        return 1, None

    def standing(self, home: str) -> Standing | None:
        return None


def way(stage: Stage) -> bool:
    """Whether there is a lawful path from oslo to the far end."""
    key = RouteKey(NORWAY, 95, "oslo")
    return find_route(stage.plane.world.snapshot().network, key, "far") is not None


async def test_a_change_that_spans_deltas_allows_no_path_that_neither_side_of_it_allows() -> None:
    stage, owner = await home_stage(), Offering()
    follower, link = (
        OffersFollower(stage.plane.partners, stage.clock, OWNER),
        OffersLink(owner, HandClock(), "nordavind"),
    )
    hello = OffersRequest()
    hello.hello.context_id = "c1"
    # The link crosses Russia, then no longer; but then its end stands in Russia.
    count = OFFERS_PER_DELTA + 40
    owner.now = network(crossed=("RU",), inner="NO", extra=count)
    seen = await deltas(stage, link, follower, [*link.receive(hello)])
    assert len(seen) > 1
    owner.now = network(crossed=(), inner="RU", extra=count + 1)
    seen += await deltas(stage, link, follower, [])
    assert len(seen) > 3
    assert not any(seen)
    owner.now = network(crossed=(), inner="NO", extra=0)
    assert (await deltas(stage, link, follower, []))[-1], "or this test could not fail"


async def deltas(stage: Stage, link: OffersLink, follower: OffersFollower, first: list[object]) -> list[bool]:
    """Whether there is a lawful path after each delta, until nothing more differs."""
    seen, waiting = list[bool](), list(first)
    while waiting or (delta := link.next_delta()) is not None:
        message = waiting.pop(0) if waiting else delta
        (answer,) = await follower.receive(message)  # type: ignore[arg-type]
        if message.WhichOneof("body") == "delta":  # type: ignore[attr-defined]
            seen.append(way(stage))
            waiting += link.receive(answer)
    return seen
