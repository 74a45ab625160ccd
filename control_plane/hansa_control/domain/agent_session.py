"""What the control plane knows of a zone's agent: is it there, and since when has nobody heard of it.

Times are monotonic milliseconds of the control plane's own clock; what an agent says about time has no say here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from hansa_control.domain.transitions import Table


class SessionState(StrEnum):
    ABSENT = "ABSENT"
    LIVE = "LIVE"
    SILENT = "SILENT"
    LOST = "LOST"


class SessionEvent(StrEnum):
    CONNECTED = "CONNECTED"
    HEARD = "HEARD"
    DISCONNECTED = "DISCONNECTED"
    QUIET = "QUIET"
    TIMED_OUT = "TIMED_OUT"


_S, _E = SessionState, SessionEvent

SESSION_MOVES: Mapping[tuple[SessionState, SessionEvent], SessionState] = MappingProxyType(
    {
        (_S.ABSENT, _E.CONNECTED): _S.LIVE,
        (_S.ABSENT, _E.DISCONNECTED): _S.ABSENT,
        (_S.ABSENT, _E.QUIET): _S.ABSENT,
        (_S.ABSENT, _E.TIMED_OUT): _S.ABSENT,
        (_S.LIVE, _E.CONNECTED): _S.LIVE,
        (_S.LIVE, _E.HEARD): _S.LIVE,
        (_S.LIVE, _E.DISCONNECTED): _S.SILENT,
        (_S.LIVE, _E.QUIET): _S.SILENT,
        (_S.LIVE, _E.TIMED_OUT): _S.LOST,
        (_S.SILENT, _E.CONNECTED): _S.LIVE,
        (_S.SILENT, _E.HEARD): _S.LIVE,
        (_S.SILENT, _E.DISCONNECTED): _S.SILENT,
        (_S.SILENT, _E.QUIET): _S.SILENT,
        (_S.SILENT, _E.TIMED_OUT): _S.LOST,
        (_S.LOST, _E.CONNECTED): _S.LIVE,
        (_S.LOST, _E.HEARD): _S.LIVE,
        (_S.LOST, _E.DISCONNECTED): _S.LOST,
        (_S.LOST, _E.QUIET): _S.LOST,
        (_S.LOST, _E.TIMED_OUT): _S.LOST,
    }
)

SESSION_TABLE = Table("agent session", SessionState.ABSENT, SESSION_MOVES)


@dataclass(frozen=True, slots=True)
class AgentSession:
    """The session of a zone's agent. boot_id names the agent process that connected last; "" is none yet."""

    state: SessionState = SessionState.ABSENT
    boot_id: str = ""
    last_heard_ms: int = 0


def recovered(now_ms: int) -> AgentSession:
    """The session of a known zone after a restart of the control plane: its agent has the whole time to come back."""
    return AgentSession(SessionState.SILENT, "", now_ms)


def connect(session: AgentSession, boot_id: str, now_ms: int) -> AgentSession:
    """An agent process opened a stream; it takes over from whoever had the session."""
    return AgentSession(_after(session, _E.CONNECTED), boot_id, max(session.last_heard_ms, now_ms))


def hear(session: AgentSession, now_ms: int) -> AgentSession:
    """Any message of the connected agent. IllegalTransition if no agent ever connected."""
    return AgentSession(_after(session, _E.HEARD), session.boot_id, max(session.last_heard_ms, now_ms))


def disconnect(session: AgentSession, boot_id: str) -> AgentSession:
    """The stream of this agent process ended; ignored if another process has taken over since."""
    if boot_id != session.boot_id:
        return session
    return replace(session, state=_after(session, _E.DISCONNECTED))


def excuse(session: AgentSession, away_ms: int, now_ms: int) -> AgentSession:
    """The session when the operator goes on after an absence of its own, in which it could hear nobody."""
    return replace(session, last_heard_ms=min(now_ms, session.last_heard_ms + away_ms))


def tick(session: AgentSession, now_ms: int, quiet_after_ms: int, lost_after_ms: int) -> AgentSession:
    """The session as time passes: SILENT, then LOST, once nothing was heard for the given times."""
    silence_ms = now_ms - session.last_heard_ms
    if silence_ms >= lost_after_ms:
        return replace(session, state=_after(session, _E.TIMED_OUT))
    if silence_ms >= quiet_after_ms:
        return replace(session, state=_after(session, _E.QUIET))
    return session


def _after(session: AgentSession, event: SessionEvent) -> SessionState:
    return SESSION_TABLE.after(session.state, event)
