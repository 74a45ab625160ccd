"""A change of a partner's network that takes several deltas is seen as a whole or not at all.

The sender and the receiver are those of production, down to the messages; between them is nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hansa_control.adapters.codec_delta import Refusal, is_part_of_map
from hansa_control.adapters.codec_federation import offer_delta_out, offer_out, offers_request_in, owner_heartbeat_out
from hansa_control.adapters.offers_follower import OffersFollower
from hansa_control.adapters.system import SystemClock
from hansa_control.application.ports import OfferBody, StoredOffer
from hansa_control.domain.model import ClaimState, ClaimStatus, NetworkNode, Standing
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.delta import DeltaSender

LIMIT = 2
NODES = [f"nodes/n{n}" for n in range(7)]
CLAIMS = [f"claims/c{n}" for n in range(3)]
STATES = st.dictionaries(st.sampled_from([*NODES, *CLAIMS]), st.integers(0, 3), max_size=10)


def body(name: str, version: int) -> OfferBody:
    rest = name.partition("/")[2]
    if name in CLAIMS:
        return ClaimStatus(rest, ClaimState.SERVING, version, (), "", 1)
    return NetworkNode(rest, f"version {version}", "NO", 60.0, 10.0, access_point=True)


@dataclass
class Partner:
    """What a home operator has taken over, and what it refuses."""

    refuses: frozenset[str] = frozenset()
    held: dict[str, str] = field(default_factory=dict)

    def held_offers(self, owner: str) -> Mapping[str, str]:
        return self.held

    async def vet(self, owner: str, offers: Sequence[StoredOffer]) -> tuple[Refusal, ...]:
        return ()

    async def take_over(
        self, owner: str, updated: Sequence[StoredOffer], removed: Sequence[str]
    ) -> tuple[Refusal, ...]:
        for offer in updated:
            if offer.name not in self.refuses:
                self.held[offer.name] = offer.etag
        for name in removed:
            self.held.pop(name, None)
        return tuple((offer.name, "name", "no") for offer in updated if offer.name in self.refuses)

    async def told(self, owner: str, standing: Standing | None) -> None: ...

    def heard(self, owner: str) -> None: ...

    def parts(self) -> dict[str, str]:
        return {name: etag for name, etag in self.held.items() if is_part_of_map(name)}


def parts(etags: Mapping[str, str], refused: Iterable[str] = ()) -> dict[str, str]:
    return {name: etag for name, etag in etags.items() if is_part_of_map(name) and name not in refused}


class Stream:
    """The owner's end and the home's, with what the owner offers."""

    def __init__(self, partner: Partner) -> None:
        self.partner, self.follower = partner, OffersFollower(partner, SystemClock(), "skargard")
        self.sender = DeltaSender(LIMIT, is_part=is_part_of_map)
        self.sender.start(partner.held)
        self.told = 0
        self.begun: Mapping[str, int] = {}

    async def step(self, state: Mapping[str, int]) -> tuple[bool, bool]:
        """Sends one delta; whether there was any, and whether it was the last of its change."""
        wires = {name: offer_out(name, body(name, version)) for name, version in state.items()}
        current = {name: wire.etag for name, wire in wires.items()}
        if not self.sender.rest:
            self.begun = dict(state)
        for name, etag in self.sender.rest.items():
            if etag is not None:
                wires[name] = offer_out(name, body(name, self.begun[name]))
        delta = self.sender.next_delta(current)
        if delta is None:
            return False, True
        self.told += 1
        (answer,) = await self.follower.receive(offer_delta_out(delta, wires))
        ack = offers_request_in(answer)
        self.sender.on_ack(ack.nonce, [name for name, _, _ in ack.refusals])  # type: ignore[union-attr]
        return True, not delta.more


def etags(state: Mapping[str, int]) -> dict[str, str]:
    return {name: offer_out(name, body(name, version)).etag for name, version in state.items()}


@settings(max_examples=150, deadline=None)
@given(st.lists(STATES, min_size=1, max_size=8), STATES)
def test_the_network_is_always_as_it_was_at_some_moment(states: list[dict[str, int]], last: dict[str, int]) -> None:
    async def run() -> None:
        partner = Partner()
        stream = Stream(partner)
        for state in states:
            before = partner.parts()
            _, is_whole = await stream.step(state)
            assert partner.parts() == (parts(etags(stream.begun)) if is_whole else before)
        for _ in range(20):
            await stream.step(last)
        assert partner.held == etags(last)

    asyncio.run(run())


@settings(max_examples=100, deadline=None)
@given(STATES, STATES, st.frozensets(st.sampled_from(NODES), max_size=3))
def test_what_is_refused_is_refused_with_the_last_delta_and_not_sent_again(
    first: dict[str, int], second: dict[str, int], refuses: frozenset[str]
) -> None:
    async def run() -> None:
        partner = Partner(refuses)
        stream = Stream(partner)
        for state in (first, second):
            while (await stream.step(state))[0]:
                assert stream.told < 40, "it goes on for ever"
        assert parts(partner.held) == parts(etags(second), refuses)

    asyncio.run(run())


@settings(max_examples=60, deadline=None)
@given(STATES, STATES, st.integers(0, 4))
def test_a_stream_that_ends_in_the_middle_leaves_the_network_as_it_was(
    first: dict[str, int], second: dict[str, int], steps: int
) -> None:
    async def run() -> None:
        partner = Partner()
        stream = Stream(partner)
        while (await stream.step(first))[0]:
            pass
        for _ in range(steps):
            await stream.step(second)
        assert partner.parts() in (parts(etags(first)), parts(etags(second)))
        again = Stream(partner)
        while (await again.step(second))[0]:
            pass
        assert partner.held == etags(second)

    asyncio.run(run())


def test_a_sign_of_life_between_two_deltas_takes_nothing_over() -> None:
    async def run() -> None:
        partner = Partner()
        stream = Stream(partner)
        await stream.step(dict.fromkeys(NODES, 1))
        await stream.follower.receive(owner_heartbeat_out(1_000))
        assert partner.held == {}

    asyncio.run(run())


def test_claims_do_not_wait_for_the_rest_of_the_network() -> None:
    async def run() -> None:
        partner = Partner()
        stream = Stream(partner)
        await stream.step(dict.fromkeys(CLAIMS, 1))
        assert len(partner.held) == LIMIT
        await stream.step(dict.fromkeys([*CLAIMS, *NODES], 1))
        assert partner.parts() == {}

    asyncio.run(run())
