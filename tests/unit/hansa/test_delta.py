from __future__ import annotations

import pytest

from hansa.delta import Delta, DeltaReceiver, DeltaSender, etag_of
from hansa.errors import ProtocolViolation
from hansa.v1 import common_pb2


def started(held: dict[str, str] | None = None, limit: int = 256) -> DeltaSender:
    sender = DeltaSender(limit)
    sender.start(held or {})
    return sender


def test_first_delta_carries_everything_that_the_receiver_lacks() -> None:
    assert started().next_delta({"b": "1", "a": "1"}) == Delta(("a", "b"), (), "1")


def test_a_resumed_stream_carries_differences_only() -> None:
    delta = started({"a": "1", "b": "1", "gone": "1"}).next_delta({"a": "1", "b": "2"})
    assert delta == Delta(("b",), ("gone",), "1")


def test_nothing_is_sent_when_nothing_differs() -> None:
    assert started({"a": "1"}).next_delta({"a": "1"}) is None


def test_a_second_delta_waits_for_the_acknowledgement() -> None:
    sender = started()
    sender.next_delta({"a": "1"})
    assert sender.waits_for_ack
    assert sender.next_delta({"a": "2"}) is None
    sender.on_ack("1")
    assert sender.next_delta({"a": "2"}) == Delta(("a",), (), "2")


def test_a_slow_receiver_is_sent_the_newest_state_and_no_backlog() -> None:
    sender = started()
    sender.next_delta({"a": "1"})
    for etag in ("2", "3", "4"):
        assert sender.next_delta({"a": etag}) is None
    sender.on_ack("1")
    sender.next_delta({"a": "4"})
    sender.on_ack("2")
    assert sender.next_delta({"a": "4"}) is None


def test_refused_content_is_not_sent_again_until_it_changes() -> None:
    sender = started()
    sender.next_delta({"a": "bad", "b": "1"})
    assert sender.on_ack("1", ["a"]) == ("a",)
    assert sender.next_delta({"a": "bad", "b": "1"}) is None
    assert sender.next_delta({"a": "good", "b": "1"}) == Delta(("a",), (), "2")


def test_refused_content_is_offered_once_more_on_a_new_stream() -> None:
    sender = started()
    sender.next_delta({"a": "bad"})
    sender.on_ack("1", ["a"])
    sender.start({})
    assert sender.next_delta({"a": "bad"}) == Delta(("a",), (), "1")


def test_a_delta_is_bounded_and_the_rest_follows() -> None:
    sender = started(limit=2)
    current = dict.fromkeys("abc", "1")
    assert sender.next_delta(current) == Delta(("a", "b"), (), "1")
    sender.on_ack("1")
    assert sender.next_delta(current) == Delta(("c",), (), "2")


@pytest.mark.parametrize("nonce", ["", "2", "none"])
def test_acknowledging_what_is_not_in_flight_breaks_the_protocol(nonce: str) -> None:
    sender = started()
    sender.next_delta({"a": "1"})
    with pytest.raises(ProtocolViolation, match="not in flight"):
        sender.on_ack(nonce)


def test_acknowledging_twice_breaks_the_protocol() -> None:
    sender = started()
    sender.next_delta({"a": "1"})
    sender.on_ack("1")
    with pytest.raises(ProtocolViolation):
        sender.on_ack("1")


def test_refusing_what_was_not_sent_breaks_the_protocol() -> None:
    sender = started()
    sender.next_delta({"a": "1"})
    with pytest.raises(ProtocolViolation, match="was not sent"):
        sender.on_ack("1", ["b"])


def test_receiver_records_what_was_taken_over_and_forgets_what_is_gone() -> None:
    receiver = DeltaReceiver({"a": "1", "b": "1"})
    receiver.on_delta({"a": "2"}, ["b", "never-held"])
    assert receiver.held == {"a": "2"}


def test_etag_depends_on_content_alone() -> None:
    one = common_pb2.ArtefactRef(name="ocr-server", digest="sha256:aa")
    same = common_pb2.ArtefactRef(digest="sha256:aa", name="ocr-server")
    assert etag_of(one) == etag_of(same)
    assert len(etag_of(one)) == 16
    assert etag_of(one) != etag_of(common_pb2.ArtefactRef(name="ocr-server"))


def test_a_delta_stays_under_the_limit_of_size_and_the_rest_follows() -> None:
    sender = DeltaSender(bytes_max=100)
    sender.start({})
    state = {"a": "1", "b": "1", "c": "1"}
    first = sender.next_delta(state, lambda name: 50)
    assert first == Delta(("a", "b"), (), "1")
    sender.on_ack("1")
    assert sender.next_delta(state, lambda name: 50) == Delta(("c",), (), "2")


def test_a_resource_that_is_too_large_by_itself_travels_alone() -> None:
    sender = DeltaSender(bytes_max=100)
    sender.start({})
    assert sender.next_delta({"a": "1", "b": "1"}, lambda name: 500) == Delta(("a",), (), "1")


def test_what_is_in_flight_may_be_held_already() -> None:
    sender = started({"a": "1"})
    assert sender.held_or_in_flight == {"a"}
    sender.next_delta({"b": "1"})
    assert sender.held_or_in_flight == {"a", "b"}
    sender.on_ack("1", refused_names=["b"])
    assert sender.held_or_in_flight == frozenset()


def test_a_change_is_sent_as_it_was_when_it_began_and_what_changes_meanwhile_follows() -> None:
    sender = DeltaSender(1, is_part=lambda name: True)
    sender.start({"a": "1", "b": "1", "c": "1"})
    assert sender.next_delta({"a": "2", "b": "2", "c": "1"}) == Delta(("a",), (), "1", more=True)
    sender.on_ack("1")
    after = {"a": "3", "b": "3"}
    assert sender.rest == {"b": "2"}
    assert sender.next_delta(after) == Delta(("b",), (), "2", more=False)
    sender.on_ack("2")
    assert sender.next_delta(after) == Delta(("a",), ("c",), "3", more=True)


def test_what_changes_faster_than_it_can_be_sent_comes_whole_again_and_again() -> None:
    sender = DeltaSender(2, is_part=lambda name: True)
    sender.start({})
    wholes = 0
    for version in range(30):
        delta = sender.next_delta(dict.fromkeys("abcde", str(version)))
        assert delta is not None
        wholes += not delta.more
        sender.on_ack(delta.nonce)
    assert wholes == 10


def test_what_is_again_as_it_was_after_its_change_began_is_sent_again_after_it() -> None:
    sender = DeltaSender(1, is_part=lambda name: True)
    sender.start({"a": "1", "b": "1"})
    sender.next_delta({"a": "2", "b": "2"})
    sender.on_ack("1")
    assert sender.differing({"a": "2", "b": "1"}, {"a", "b"}) == ["b"]
    sender.next_delta({"a": "2", "b": "1"})
    sender.on_ack("2")
    assert sender.next_delta({"a": "2", "b": "1"}) == Delta(("b",), (), "3")
