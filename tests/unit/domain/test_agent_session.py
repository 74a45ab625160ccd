"""When a zone's agent counts as live, silent and lost."""

from __future__ import annotations

import pytest
from hansa_control.domain.agent_session import (
    AgentSession,
    SessionState,
    connect,
    disconnect,
    hear,
    recovered,
    tick,
)
from hansa_control.domain.transitions import IllegalTransition

QUIET_AFTER_MS, LOST_AFTER_MS = 2000, 4000


def after_silence(session: AgentSession, now_ms: int) -> AgentSession:
    return tick(session, now_ms, QUIET_AFTER_MS, LOST_AFTER_MS)


def live(now_ms: int = 1000) -> AgentSession:
    return connect(AgentSession(), "boot-1", now_ms)


def lost() -> AgentSession:
    return after_silence(live(1000), 60_000)


def test_a_zone_without_an_agent_is_absent_however_much_time_passes() -> None:
    assert after_silence(AgentSession(), 10**9).state is SessionState.ABSENT


def test_an_agent_that_connects_is_live() -> None:
    assert live(1000) == AgentSession(SessionState.LIVE, "boot-1", 1000)


@pytest.mark.parametrize(
    ("now_ms", "state"),
    [
        (1000, SessionState.LIVE),
        (2999, SessionState.LIVE),
        (3000, SessionState.SILENT),
        (4999, SessionState.SILENT),
        (5000, SessionState.LOST),
    ],
)
def test_silence_counts_from_the_last_message(now_ms: int, state: SessionState) -> None:
    assert after_silence(live(1000), now_ms).state is state


def test_a_message_restarts_the_silence() -> None:
    assert after_silence(hear(live(1000), 4500), 6000).state is SessionState.LIVE


def test_a_message_wakes_the_silent() -> None:
    silent = after_silence(live(1000), 3500)
    assert hear(silent, 3600) == AgentSession(SessionState.LIVE, "boot-1", 3600)


def test_a_lost_agent_stays_lost_until_it_is_heard() -> None:
    assert after_silence(lost(), 60_001).state is SessionState.LOST
    assert disconnect(lost(), "boot-1").state is SessionState.LOST
    assert hear(lost(), 61_000).state is SessionState.LIVE


def test_a_lost_agent_that_connects_is_live() -> None:
    assert connect(lost(), "boot-2", 61_000) == AgentSession(SessionState.LIVE, "boot-2", 61_000)


def test_an_agent_whose_stream_ends_is_silent_and_then_lost_by_time() -> None:
    gone = disconnect(live(1000), "boot-1")
    assert gone.state is SessionState.SILENT
    assert after_silence(gone, 1500).state is SessionState.SILENT
    assert after_silence(gone, 5000).state is SessionState.LOST


def test_the_end_of_a_stream_that_was_taken_over_is_ignored() -> None:
    taken_over = connect(live(1000), "boot-2", 1500)
    assert disconnect(taken_over, "boot-1") == taken_over


def test_a_late_message_does_not_turn_time_back() -> None:
    assert hear(live(1000), 900).last_heard_ms == 1000


def test_nobody_is_heard_who_never_connected() -> None:
    with pytest.raises(IllegalTransition, match="HEARD is not possible in state ABSENT"):
        hear(AgentSession(), 1000)


def test_a_known_zone_has_the_whole_time_to_come_back_after_a_restart() -> None:
    session = recovered(50_000)
    assert session == AgentSession(SessionState.SILENT, "", 50_000)
    assert after_silence(session, 53_999).state is SessionState.SILENT
    assert after_silence(session, 54_000).state is SessionState.LOST


def test_a_stream_of_before_the_restart_ends_without_effect() -> None:
    assert disconnect(recovered(50_000), "boot-1") == recovered(50_000)
