"""The stream of offers between two operators, without a wire."""

from __future__ import annotations

from dataclasses import replace

import pytest
from adapter_doubles import ClockByHand, RememberingPartners
from hansa_control.adapters.grpc_options import MESSAGE_BYTES_MAX
from hansa_control.adapters.offers_follower import OffersFollower
from hansa_control.adapters.offers_link import MESSAGES_BURST, OFFERS_PER_DELTA, OffersLink
from hansa_control.application.ports import RefusalError
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
