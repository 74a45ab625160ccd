"""The life of a federation, as each of its two sides keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from types import MappingProxyType

from hansa_control.domain.model import Federation, FederationState
from hansa_control.domain.transitions import Table


class FederationEvent(StrEnum):
    PROPOSE = "PROPOSE"
    ACCEPT = "ACCEPT"
    HEARD = "HEARD"
    TIMED_OUT = "TIMED_OUT"
    TERMINATE = "TERMINATE"


_S, _E = FederationState, FederationEvent

FEDERATION_MOVES: Mapping[tuple[FederationState | None, FederationEvent], FederationState] = MappingProxyType(
    {
        (None, _E.PROPOSE): _S.PROPOSED,
        (_S.PROPOSED, _E.ACCEPT): _S.ACTIVE,
        (_S.PROPOSED, _E.TERMINATE): _S.TERMINATED,
        # Offers that come before the answer to a proposal do not stand for the answer.
        (_S.PROPOSED, _E.PROPOSE): _S.PROPOSED,
        (_S.PROPOSED, _E.HEARD): _S.PROPOSED,
        (_S.PROPOSED, _E.TIMED_OUT): _S.PROPOSED,
        (_S.ACTIVE, _E.TIMED_OUT): _S.STALE,
        (_S.ACTIVE, _E.TERMINATE): _S.TERMINATED,
        (_S.ACTIVE, _E.PROPOSE): _S.ACTIVE,
        (_S.ACTIVE, _E.ACCEPT): _S.ACTIVE,
        (_S.ACTIVE, _E.HEARD): _S.ACTIVE,
        (_S.STALE, _E.HEARD): _S.ACTIVE,
        (_S.STALE, _E.ACCEPT): _S.ACTIVE,
        (_S.STALE, _E.TERMINATE): _S.TERMINATED,
        (_S.STALE, _E.PROPOSE): _S.STALE,
        (_S.STALE, _E.TIMED_OUT): _S.STALE,
        # Late news changes nothing; a new proposal needs a new context.
        (_S.TERMINATED, _E.TERMINATE): _S.TERMINATED,
        (_S.TERMINATED, _E.HEARD): _S.TERMINATED,
        (_S.TERMINATED, _E.TIMED_OUT): _S.TERMINATED,
    }
)

FEDERATION_TABLE: Table[FederationState | None, FederationEvent] = Table("federation", None, FEDERATION_MOVES)


def propose(home: str, owner: str, context_id: str, offer_ttl_ms: int) -> Federation:
    """A federation that home proposes to owner, under the context that owner minted ("" until it has)."""
    return Federation(home, owner, context_id, FederationState.PROPOSED, offer_ttl_ms)


def advance(federation: Federation, event: FederationEvent) -> Federation:
    """The federation after an event; IllegalTransition if its state does not accept it."""
    state = FEDERATION_TABLE.after(federation.state, event)
    if state is None or state is federation.state:
        return federation
    return replace(federation, state=state)
