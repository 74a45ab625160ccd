"""The stream of offers between two operators, without a wire."""

from __future__ import annotations

from dataclasses import replace

import pytest
from adapter_doubles import ClockByHand, RememberingPartners
from hansa_control.adapters import offers_follower
from hansa_control.adapters.grpc_options import MESSAGE_BYTES_MAX
from hansa_control.adapters.offers_follower import MS_PER_OFFER, OFFER_TTL_MS, OffersFollower
from hansa_control.adapters.offers_link import MESSAGES_BURST, OFFERS_PER_DELTA, OffersLink
from hansa_control.application.ports import OfferBody, RefusalError
from hansa_control.domain.model import ArtefactRef, Capacity, Inventory, NetworkNode, Reason, Zone, ZoneId, ZoneState
from structlog.testing import capture_logs

from hansa.v1 import agent_service_pb2 as agent_pb2
from hansa.v1 import federation_service_pb2 as federation_pb2

INVENTORY = Inventory("stockholm", "", Capacity(), (), (), "", 0, "", False)
ZONE = Zone(ZoneId("fjordby", "sto-1"), INVENTORY, Capacity(8), (), ZoneState.AVAILABLE, 0, 0)


class Federated:
    """Fjordby offers, nordfjord follows."""

    def __init__(self) -> None:
        self.clock = ClockByHand()
        self.owner, self.home = RememberingPartners(), RememberingPartners()
        self.owner.offers_now = {"zones/sto-1": ZONE}
        self.link = OffersLink(self.owner, self.clock, "nordfjord")
        self.follower = OffersFollower(self.home, self.clock, "fjordby")

    async def exchange(self, first: tuple[federation_pb2.OffersResponse, ...]) -> int:
        """Passes messages to and fro until nobody has anything to say; returns how many went down."""
        waiting, count = list(first), 0
        while waiting:
            count += 1
            for answer in await self.follower.receive(waiting.pop(0)):
                waiting += self.link.receive(answer)
        return count

    async def connect(self) -> int:
        return await self.exchange(self.link.receive(self.follower.hello("ctx")))


async def test_what_is_offered_arrives_and_is_acknowledged() -> None:
    both = Federated()
    await both.connect()
    assert both.home.taken["zones/sto-1"].body == ZONE
    assert both.link.next_delta() is None


async def test_a_change_travels_as_a_delta_and_a_withdrawal_too() -> None:
    both = Federated()
    await both.connect()
    both.owner.offers_now = {"nodes/oslo": NetworkNode("oslo", "", "NO", 1.0, 1.0, True)}
    delta = both.link.next_delta()
    assert delta is not None
    assert list(delta.delta.removed_names) == ["zones/sto-1"]
    await both.exchange((delta,))
    assert set(both.home.taken) == {"nodes/oslo"}


async def test_after_a_reconnect_only_a_sign_of_life_is_sent_when_nothing_differs() -> None:
    both = Federated()
    await both.connect()
    again = OffersLink(both.owner, both.clock, "nordfjord").receive(both.follower.hello("ctx"))
    assert [message.WhichOneof("body") for message in again] == ["heartbeat"]


async def test_many_offers_travel_in_several_bounded_messages() -> None:
    both = Federated()
    count = OFFERS_PER_DELTA * 2 + 1
    both.owner.offers_now = {
        f"zones/z{index}": replace(ZONE, id=ZoneId("fjordby", f"z{index}")) for index in range(count)
    }
    assert await both.connect() == 3
    assert len(both.home.taken) == count


async def test_large_offers_travel_in_messages_that_stay_under_the_limit_of_size() -> None:
    both = Federated()
    digest = "sha256:" + "0" * 64
    artefacts = tuple(ArtefactRef(f"{'a' * 50}-{index}", digest) for index in range(1000))
    inventory = replace(INVENTORY, artefacts=artefacts)
    both.owner.offers_now = {
        f"zones/z{index}": replace(ZONE, id=ZoneId("fjordby", f"z{index}"), inventory=inventory) for index in range(40)
    }
    messages = both.link.receive(both.follower.hello("ctx"))
    assert messages[0].ByteSize() < MESSAGE_BYTES_MAX
    assert 1 < await both.exchange(messages) < 40
    assert len(both.home.taken) == 40


async def test_a_zone_of_somebody_else_is_refused_and_the_rest_is_taken() -> None:
    both = Federated()
    both.owner.offers_now["zones/oslo-1"] = replace(ZONE, id=ZoneId("nordfjord", "oslo-1"))
    await both.connect()
    assert set(both.home.taken) == {"zones/sto-1"}
    assert both.link.next_delta() is None


async def test_a_refused_offer_is_named_with_field_and_reason_logged_and_counted_on_both_sides() -> None:
    both = Federated()
    counted: list[tuple[str, int]] = []
    both.follower.on_refused = lambda count: counted.append(("home", count))
    both.link.on_refused = lambda count: counted.append(("owner", count))
    both.owner.offers_now["zones/oslo-1"] = replace(ZONE, id=ZoneId("nordfjord", "oslo-1"))
    with capture_logs() as lines:
        await both.connect()
    assert counted == [("home", 1), ("owner", 1)]
    (told,) = [line for line in lines if line["event"] == "offers_refused_by_partner"]
    assert (told["name"], told["field"]) == ("zones/oslo-1", "zone.name")
    assert "fjordby cannot offer nordfjord/oslo-1" in told["reason"]


async def test_what_the_home_operator_refuses_is_not_offered_again_until_it_changes() -> None:
    both = Federated()
    both.home.refuse = {"zones/sto-1"}
    await both.connect()
    assert both.link.next_delta() is None
    both.owner.offers_now = {"zones/sto-1": replace(ZONE, free=Capacity(4))}
    assert both.link.next_delta() is not None


async def test_a_wrong_context_is_refused_at_the_greeting() -> None:
    both = Federated()
    with pytest.raises(RefusalError) as refusal:
        both.link.receive(both.follower.hello("another"))
    assert refusal.value.reason is Reason.FEDERATION_INACTIVE
    assert not both.link.is_open


async def test_a_federation_that_ended_ends_the_stream() -> None:
    both = Federated()
    await both.connect()
    both.owner.active = False
    for say in (both.link.heartbeat, both.link.next_delta):
        with pytest.raises(RefusalError):
            say()


async def test_a_stream_without_greeting_breaks_the_protocol() -> None:
    both = Federated()
    message = federation_pb2.OffersRequest(heartbeat=agent_pb2.Heartbeat())
    with pytest.raises(RefusalError) as refusal:
        both.link.receive(message)
    assert refusal.value.reason is Reason.PROTOCOL_VIOLATION


async def test_a_second_greeting_breaks_the_protocol() -> None:
    both = Federated()
    await both.connect()
    with pytest.raises(RefusalError, match="one hello"):
        both.link.receive(both.follower.hello("ctx"))


async def test_a_flood_ends_the_stream() -> None:
    both = Federated()
    await both.connect()
    message = federation_pb2.OffersRequest(heartbeat=agent_pb2.Heartbeat())
    with pytest.raises(RefusalError) as refusal:
        for _ in range(MESSAGES_BURST + 1):
            both.link.receive(message)
    assert refusal.value.reason is Reason.LIMIT_EXCEEDED


async def test_every_message_shows_that_the_partner_is_there() -> None:
    both = Federated()
    await both.connect()
    before = both.home.heard_count
    await both.exchange((both.link.heartbeat(),))
    assert both.home.heard_count == before + 1


async def test_a_message_that_cannot_be_read_ends_the_stream() -> None:
    both = Federated()
    with pytest.raises(RefusalError) as refusal:
        await both.follower.receive(federation_pb2.OffersResponse())
    assert refusal.value.field == "body"


# --- changes that take several deltas ---


def nodes(count: int, title: str = "") -> dict[str, OfferBody]:
    names = [f"n{at:05}" for at in range(count)]
    return {f"nodes/{name}": NetworkNode(name, title, "NO", 60.0, 10.0, access_point=False) for name in names}


def titles(both: Federated) -> set[str]:
    """Of the nodes that the home operator has taken over."""
    return {offer.body.title for offer in both.home.taken.values() if isinstance(offer.body, NetworkNode)}


async def half_told(both: Federated) -> federation_pb2.OffersResponse:
    """The owner has told the first delta of a change that takes two; the second one."""
    both.owner.offers_now = nodes(OFFERS_PER_DELTA + 1)
    (first,) = both.link.receive(both.follower.hello("ctx"))
    (ack,) = await both.follower.receive(first)
    (second,) = both.link.receive(ack)
    assert (first.delta.more, second.delta.more) == (True, False)
    return second


async def test_a_network_that_changes_faster_than_it_is_sent_arrives_as_it_was_at_one_moment() -> None:
    both = Federated()
    both.owner.offers_now = nodes(OFFERS_PER_DELTA + 1, "0")
    waiting = both.link.receive(both.follower.hello("ctx"))
    arrived = []
    for moment in range(1, 9):
        both.owner.offers_now = nodes(OFFERS_PER_DELTA + 1, str(moment))
        (ack,) = await both.follower.receive(waiting[0])
        arrived.append(titles(both))
        waiting = both.link.receive(ack)
    assert arrived == [set(), {"0"}, {"0"}, {"2"}, {"2"}, {"4"}, {"4"}, {"6"}]


async def test_what_has_gone_since_a_change_began_goes_with_the_next() -> None:
    both = Federated()
    both.owner.offers_now = nodes(OFFERS_PER_DELTA + 2)
    (first,) = both.link.receive(both.follower.hello("ctx"))
    both.owner.offers_now = nodes(OFFERS_PER_DELTA)
    (ack,) = await both.follower.receive(first)
    (second,) = both.link.receive(ack)
    assert [offer.name for offer in second.delta.updated] == [f"nodes/n{OFFERS_PER_DELTA + at:05}" for at in (0, 1)]
    await both.exchange((second,))
    assert len(both.home.taken) == OFFERS_PER_DELTA


async def test_offers_are_vetted_when_they_come_not_when_their_change_is_whole() -> None:
    both = Federated()
    both.home.disbelieve = {"nodes/n00001"}
    both.owner.offers_now = nodes(OFFERS_PER_DELTA + 1)
    (first,) = both.link.receive(both.follower.hello("ctx"))
    (ack,) = await both.follower.receive(first)
    assert [refusal.name for refusal in ack.ack.refusals] == ["nodes/n00001"]
    assert len(both.home.vetted) == OFFERS_PER_DELTA
    await both.exchange(both.link.receive(ack))
    assert both.home.vetted == sorted(both.owner.offers_now)
    assert len(both.home.taken) == OFFERS_PER_DELTA
    assert both.link.next_delta() is None


async def test_a_change_of_too_many_bytes_is_refused_and_what_is_held_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    both = Federated()
    await both.connect()
    both.owner.offers_now |= nodes(OFFERS_PER_DELTA * 2)
    delta = both.link.next_delta()
    assert delta is not None
    monkeypatch.setattr(offers_follower, "ASIDE_BYTES_MAX", delta.ByteSize() + 100)
    (ack,) = await both.follower.receive(delta)
    (second,) = both.link.receive(ack)
    with pytest.raises(RefusalError, match="bytes") as refusal:
        await both.follower.receive(second)
    assert (refusal.value.reason, refusal.value.field) == (Reason.LIMIT_EXCEEDED, "delta.more")
    assert set(both.home.taken) == {"zones/sto-1"}


async def test_changes_that_are_whole_take_nothing_of_the_limit_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    both = Federated()
    await both.connect()
    for country in ("NO", "SE", "FI", "DK"):
        both.owner.offers_now |= nodes(OFFERS_PER_DELTA // 2, country)
        delta = both.link.next_delta()
        assert delta is not None
        monkeypatch.setattr(offers_follower, "ASIDE_BYTES_MAX", delta.ByteSize())
        await both.exchange((delta,))


async def test_a_change_that_does_not_come_to_its_end_is_refused() -> None:
    both = Federated()
    second = await half_told(both)
    both.clock.now_ms += OFFER_TTL_MS + MS_PER_OFFER * OFFERS_PER_DELTA
    await both.follower.receive(both.link.heartbeat())
    both.clock.now_ms += 1
    with pytest.raises(RefusalError, match="512 offers") as refusal:
        await both.follower.receive(second)
    assert (refusal.value.reason, refusal.value.field) == (Reason.LIMIT_EXCEEDED, "delta.more")
    assert both.home.taken == {}


async def test_after_a_change_is_whole_the_next_has_its_own_time() -> None:
    both = Federated()
    await both.exchange((await half_told(both),))
    both.clock.now_ms += 1_000_000
    both.owner.offers_now = nodes(OFFERS_PER_DELTA + 1, "SE")
    delta = both.link.next_delta()
    assert delta is not None
    await both.exchange((delta,))
    assert titles(both) == {"SE"}
