"""Any sequence of changes, deliveries, refusals, drops and reconnects ends with both sides holding the same."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.delta import Delta, DeltaReceiver, DeltaSender

NAMES = st.sampled_from(["inventory", "facts/site/1", "probes/a/b", "instances/i-1", "instances/i-2"])
ETAGS = st.sampled_from(["e1", "e2", "e3"])
REFUSED = st.sets(st.tuples(NAMES, ETAGS), max_size=4)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), NAMES, ETAGS),
        st.tuples(st.just("remove"), NAMES),
        st.tuples(st.just("send")),
        st.tuples(st.just("deliver")),
        st.tuples(st.just("acknowledge")),
        st.tuples(st.just("reconnect")),
    ),
    max_size=60,
)


@dataclass
class Wire:
    """A sender, a receiver that refuses certain contents, and what is between them."""

    limit: int
    refuses: set[tuple[str, str]]
    current: dict[str, str] = field(default_factory=dict)
    receiver: DeltaReceiver = field(default_factory=DeltaReceiver)
    delta: tuple[Delta, dict[str, str]] | None = None
    ack: tuple[str, tuple[str, ...]] | None = None
    refused_on_stream: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sender = DeltaSender(self.limit)
        self.sender.start({})

    def change(self, name: str, etag: str) -> None:
        self.current[name] = etag

    def remove(self, name: str) -> None:
        self.current.pop(name, None)

    def send(self) -> None:
        under_way = self.delta is not None or self.ack is not None
        delta = self.sender.next_delta(self.current)
        if delta is None:
            return
        assert not under_way, "two deltas in flight"
        assert len(delta.updated) <= self.limit
        for name in delta.updated:
            assert self.refused_on_stream.get(name) != self.current[name], "refused content was sent again"
        self.delta = (delta, {name: self.current[name] for name in delta.updated})

    def deliver(self) -> None:
        if self.delta is None:
            return
        delta, contents = self.delta
        refused = tuple(name for name in contents if (name, contents[name]) in self.refuses)
        accepted = {name: etag for name, etag in contents.items() if name not in refused}
        self.receiver.on_delta(accepted, delta.removed)
        self.refused_on_stream.update({name: contents[name] for name in refused})
        for name in (*accepted, *delta.removed):
            self.refused_on_stream.pop(name, None)
        self.delta, self.ack = None, (delta.nonce, refused)

    def acknowledge(self) -> None:
        if self.ack is not None:
            nonce, refused = self.ack
            self.ack = None
            assert self.sender.on_ack(nonce, refused) == tuple(sorted(refused))

    def reconnect(self) -> None:
        """Loses whatever is under way, a delta before it is read or its acknowledgement after."""
        self.delta = self.ack = None
        self.refused_on_stream.clear()
        self.sender.start(self.receiver.held)


@settings(max_examples=300, deadline=None)
@given(steps=STEPS, refuses=REFUSED, limit=st.integers(1, 3))
def test_any_sequence_of_changes_drops_and_reconnects_converges(
    steps: list[tuple[str, ...]], refuses: set[tuple[str, str]], limit: int
) -> None:
    wire = Wire(limit, refuses)
    for action, *arguments in steps:
        getattr(wire, action)(*arguments)
    settle(wire)
    assert set(wire.receiver.held) <= set(wire.current)
    for name, etag in wire.current.items():
        assert (wire.receiver.held.get(name) == etag) is ((name, etag) not in refuses)


@settings(max_examples=100, deadline=None)
@given(steps=STEPS)
def test_a_settled_pair_sends_nothing_after_a_reconnect(steps: list[tuple[str, ...]]) -> None:
    wire = Wire(3, set())
    for action, *arguments in steps:
        getattr(wire, action)(*arguments)
    settle(wire)
    wire.reconnect()
    assert wire.sender.next_delta(wire.current) is None


def settle(wire: Wire) -> None:
    """Lets everything arrive that is under way or still differs."""
    for _ in range(50):
        wire.deliver()
        wire.acknowledge()
        wire.send()
        if wire.delta is None:
            return
    raise AssertionError("does not settle")
