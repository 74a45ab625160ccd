"""A federation under any sequence of events: active only when agreed and heard; once terminated, over."""

from __future__ import annotations

from dataclasses import replace

from hansa_control.domain.federation import FederationEvent, advance, propose
from hansa_control.domain.model import FederationState
from hansa_control.domain.transitions import IllegalTransition
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

FRESH = {FederationEvent.ACCEPT, FederationEvent.HEARD}


class FederationMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.proposed = propose("nordavind", "rheinkraft", "ctx-1", 6000)
        self.federation = self.proposed
        self.history: list[FederationEvent] = []

    @rule(event=st.sampled_from(FederationEvent))
    def happen(self, event: FederationEvent) -> None:
        try:
            self.federation = advance(self.federation, event)
        except IllegalTransition:
            assert FederationEvent.TERMINATE in self.history
            return
        self.history.append(event)

    @invariant()
    def terminated_is_final(self) -> None:
        over = self.federation.state is FederationState.TERMINATED
        assert over is (FederationEvent.TERMINATE in self.history)

    @invariant()
    def active_means_accepted_and_heard_since_it_last_timed_out(self) -> None:
        if self.federation.state is FederationState.TERMINATED:
            return
        accepted = FederationEvent.ACCEPT in self.history
        telling = [event for event in self.history if event in FRESH or event is FederationEvent.TIMED_OUT]
        fresh = bool(telling) and telling[-1] in FRESH
        assert (self.federation.state is FederationState.ACTIVE) is (accepted and fresh)
        assert (self.federation.state is FederationState.PROPOSED) is not accepted

    @invariant()
    def only_the_state_changes(self) -> None:
        assert replace(self.federation, state=self.proposed.state) == self.proposed


FederationMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=20, deadline=None)
TestFederation = FederationMachine.TestCase
