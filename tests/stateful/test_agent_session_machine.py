"""An agent's session against the whole history of what was heard: state is what the history says it is."""

from __future__ import annotations

from hansa_control.domain.agent_session import AgentSession, SessionState, connect, disconnect, hear, recovered, tick
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

QUIET_AFTER_MS, LOST_AFTER_MS = 2000, 4000
BOOT_IDS = st.sampled_from(["boot-1", "boot-2", "boot-3"])


class AgentSessionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 0
        self.session = AgentSession()
        self.heard_at_ms: int | None = None
        self.lost_since_heard = False
        self.connected = ""

    @initialize(known=st.booleans(), now_ms=st.integers(0, 10**6))
    def begin(self, known: bool, now_ms: int) -> None:
        self.now_ms = now_ms
        if known:
            self.session = recovered(now_ms)
            self.heard_at_ms = now_ms

    @rule(boot_id=BOOT_IDS)
    def connect_agent(self, boot_id: str) -> None:
        self.session = connect(self.session, boot_id, self.now_ms)
        self.connected = boot_id
        self._heard(self.now_ms)

    @precondition(lambda self: self.session.state is not SessionState.ABSENT)
    @rule(late_by_ms=st.integers(0, 3000))
    def hear_agent(self, late_by_ms: int) -> None:
        self.session = hear(self.session, self.now_ms - late_by_ms)
        self._heard(self.now_ms - late_by_ms)

    @rule(boot_id=BOOT_IDS)
    def disconnect_agent(self, boot_id: str) -> None:
        before = self.session
        self.session = disconnect(self.session, boot_id)
        if boot_id != self.connected:
            assert self.session == before
        assert self.session.state is not SessionState.LIVE or boot_id != self.connected

    @rule(passed_ms=st.integers(0, 6000))
    def let_time_pass(self, passed_ms: int) -> None:
        self.now_ms += passed_ms
        self.session = tick(self.session, self.now_ms, QUIET_AFTER_MS, LOST_AFTER_MS)
        if self.heard_at_ms is None:
            assert self.session.state is SessionState.ABSENT
            return
        silence_ms = self.now_ms - self.heard_at_ms
        self.lost_since_heard |= silence_ms >= LOST_AFTER_MS
        assert (self.session.state is SessionState.LOST) is self.lost_since_heard
        assert self.session.state is not SessionState.LIVE or silence_ms < QUIET_AFTER_MS

    def _heard(self, at_ms: int) -> None:
        self.heard_at_ms = max(at_ms, self.heard_at_ms or 0)
        self.lost_since_heard = False
        assert self.session.state is SessionState.LIVE

    @invariant()
    def a_lost_zone_is_lost_until_it_is_heard(self) -> None:
        assert not self.lost_since_heard or self.session.state is SessionState.LOST

    @invariant()
    def the_last_message_is_remembered(self) -> None:
        assert self.session.last_heard_ms == (self.heard_at_ms or 0)


AgentSessionMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestAgentSession = AgentSessionMachine.TestCase
