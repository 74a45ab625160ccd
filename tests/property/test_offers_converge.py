"""Whatever changes while deltas are under way, the partner ends with what is offered and hears nothing needlessly."""

from __future__ import annotations

from dataclasses import dataclass, field

from hansa_control.application.changes import Changes
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hansa.delta import Delta, DeltaSender

NAMES = st.sampled_from([f"claims/c{n}" for n in range(6)])
ETAGS = st.sampled_from(["1", "2", "3"])


@dataclass
class Receiver:
    held: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class Offers(RuleBasedStateMachine):
    """An owner that looks only at what changed, and a partner that refuses some and reconnects at will."""

    def __init__(self) -> None:
        super().__init__()
        self.current: dict[str, str] = {}
        self.changes = Changes(names_max=4)
        self.partner = Receiver()
        self._connect()

    def _connect(self) -> None:
        self.sender, self.version = DeltaSender(limit=2), -1
        self.sender.start(self.partner.held)
        self.partner.refused.clear()
        self.unsettled = {*self.partner.held}
        self.in_flight: tuple[Delta, dict[str, str]] | None = None

    @rule(name=NAMES, etag=st.none() | ETAGS)
    def change(self, name: str, etag: str | None) -> None:
        if self.current.get(name) != etag:
            self.changes.note(name)
        if etag is None:
            self.current.pop(name, None)
        else:
            self.current[name] = etag

    @rule()
    def send(self) -> None:
        names, self.version = self.changes.since(self.version), self.changes.version
        self.unsettled |= {*self.current, *self.partner.held} if names is None else set(names)
        self.unsettled = set(self.sender.differing(self.current, self.unsettled))
        delta = self.sender.next_delta(self.current, among=self.unsettled)
        if delta is not None:
            told = {name: self.current[name] for name in delta.updated}
            assert all(self.partner.held.get(name) != etag for name, etag in told.items()), "told what is held"
            assert all(self.partner.refused.get(name) != etag for name, etag in told.items()), "told what was refused"
            self.in_flight = (delta, told)

    @rule(refused=st.sets(NAMES, max_size=2))
    def acknowledge(self, refused: set[str]) -> None:
        if self.in_flight is None:
            return
        delta, told = self.in_flight
        self.in_flight = None
        for name, etag in told.items():
            if name in refused:
                self.partner.refused[name] = etag
            else:
                self.partner.held[name] = etag
        for name in delta.removed:
            self.partner.held.pop(name, None)
        self.sender.on_ack(delta.nonce, refused & told.keys())

    @rule()
    def reconnect(self) -> None:
        self._connect()

    @rule()
    def drain(self) -> None:
        for _ in range(12):
            self.acknowledge(set())
            self.send()
        assert self.in_flight is None
        for name in {*self.current, *self.partner.held}:
            if self.partner.refused.get(name) != self.current.get(name) or name not in self.current:
                assert self.partner.held.get(name) == self.current.get(name)

    @invariant()
    def one_delta_at_a_time(self) -> None:
        assert self.sender.waits_for_ack == (self.in_flight is not None)


TestOffers = Offers.TestCase
TestOffers.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
