"""The life of an agreement, as the owner of the zones keeps it: a table of transitions, and what is due by now.

``follow`` is level-triggered: it brings the standing to where configuration, clock and claims say that it belongs,
whatever has happened in between. So an edit of the configuration that a stopped process missed is not missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from hansa_control.domain.agreement import AgreementState, Stance, Standing, Wish
from hansa_control.domain.transitions import Table


class AgreementEvent(StrEnum):
    PROPOSE = "PROPOSE"
    ACCEPT = "ACCEPT"
    AMEND = "AMEND"
    SUSPEND = "SUSPEND"
    RESUME = "RESUME"
    RENEW = "RENEW"
    EXPIRE = "EXPIRE"
    TERMINATE = "TERMINATE"
    DRAINED = "DRAINED"
    DEADLINE = "DEADLINE"


_S, _E = AgreementState, AgreementEvent

AGREEMENT_MOVES: Mapping[tuple[AgreementState | None, AgreementEvent], AgreementState] = MappingProxyType(
    {
        (None, _E.PROPOSE): _S.PROPOSED,
        (_S.PROPOSED, _E.ACCEPT): _S.IN_FORCE,
        (_S.PROPOSED, _E.AMEND): _S.PROPOSED,
        (_S.PROPOSED, _E.TERMINATE): _S.TERMINATED,
        (_S.IN_FORCE, _E.AMEND): _S.IN_FORCE,
        (_S.IN_FORCE, _E.RENEW): _S.IN_FORCE,
        (_S.IN_FORCE, _E.SUSPEND): _S.SUSPENDED,
        (_S.IN_FORCE, _E.EXPIRE): _S.EXPIRED,
        (_S.IN_FORCE, _E.TERMINATE): _S.DRAINING,
        (_S.SUSPENDED, _E.AMEND): _S.SUSPENDED,
        (_S.SUSPENDED, _E.RENEW): _S.SUSPENDED,
        (_S.SUSPENDED, _E.RESUME): _S.IN_FORCE,
        (_S.SUSPENDED, _E.EXPIRE): _S.EXPIRED,
        (_S.SUSPENDED, _E.TERMINATE): _S.DRAINING,
        # Late, but within the notice: nothing of what runs has been stopped yet.
        (_S.EXPIRED, _E.RENEW): _S.IN_FORCE,
        (_S.EXPIRED, _E.AMEND): _S.EXPIRED,
        (_S.EXPIRED, _E.TERMINATE): _S.DRAINING,
        (_S.EXPIRED, _E.DEADLINE): _S.TERMINATED,
        # A notice may be taken back until it is carried out.
        (_S.DRAINING, _E.RESUME): _S.IN_FORCE,
        (_S.DRAINING, _E.DRAINED): _S.TERMINATED,
        (_S.DRAINING, _E.DEADLINE): _S.TERMINATED,
        # A new agreement needs a new proposal, which gets a new context.
        (_S.TERMINATED, _E.TERMINATE): _S.TERMINATED,
    }
)

AGREEMENT_TABLE: Table[AgreementState | None, AgreementEvent] = Table("agreement", None, AGREEMENT_MOVES)

STEPS_MAX = 8
"""More steps than any edit of a configuration leads to; a bound, so that a defect cannot turn in circles."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What counts now: what the owner's configuration has (None: no agreement any more), the time, whether the partner
    has any claim.
    """

    stance: Stance | None
    now_ms: int
    is_used: bool


def advance(standing: Standing, event: AgreementEvent, seen: Seen) -> Standing:
    """The standing after an event; IllegalTransition if its state does not accept it."""
    state = AGREEMENT_TABLE.after(standing.state, event)
    if state is None:
        return standing
    after = replace(standing, state=state, deadline_ms=_deadline_ms(standing, event, seen))
    if event in {_E.AMEND, _E.RENEW} and seen.stance is not None:
        agreement = seen.stance.agreement
        first = not standing.digest
        version = standing.version if first else standing.version + 1
        until_ms = agreement.terms.valid_until_ms
        return replace(after, version=version, digest=agreement.digest(), valid_until_ms=until_ms)
    return after


def follow(standing: Standing, seen: Seen) -> tuple[Standing, tuple[AgreementEvent, ...]]:
    """Where the standing belongs by now, and the events that led there, in their order."""
    events: list[AgreementEvent] = []
    while len(events) < STEPS_MAX and (event := due(standing, seen)) is not None:
        standing = advance(standing, event, seen)
        events.append(event)
    return standing, tuple(events)


def due(standing: Standing, seen: Seen) -> AgreementEvent | None:
    """The next event that configuration, time and claims ask for; None if the standing is where it belongs."""
    if standing.state is _S.DRAINING:
        return _while_draining(standing, seen)
    if standing.state is _S.TERMINATED or seen.stance is None:
        return _without_agreement(standing, seen.now_ms)
    wish = _wish(seen.stance, seen.now_ms)
    if changed := _changed(standing, seen.stance, seen.now_ms):
        return changed
    if wish is Wish.TERMINATED:
        return _E.TERMINATE
    is_over = 0 < standing.valid_until_ms <= seen.now_ms
    match standing.state:
        case _S.PROPOSED:
            return _E.ACCEPT if wish is Wish.IN_FORCE and not is_over else None
        case _S.EXPIRED:
            return _E.DEADLINE if seen.now_ms >= standing.deadline_ms else None
        case _S.IN_FORCE if not is_over:
            return _E.SUSPEND if wish is Wish.SUSPENDED else None
        case _S.SUSPENDED if not is_over:
            return _E.RESUME if wish is Wish.IN_FORCE else None
    return _E.EXPIRE


def _while_draining(standing: Standing, seen: Seen) -> AgreementEvent | None:
    if seen.stance is not None and seen.stance.wish is not Wish.TERMINATED:
        return _E.RESUME
    if not seen.is_used:
        return _E.DRAINED
    return _E.DEADLINE if seen.now_ms >= standing.deadline_ms else None


def _without_agreement(standing: Standing, now_ms: int) -> AgreementEvent | None:
    """Nothing new is taken, and what runs is left alone: a line that is lost from a file stops nothing."""
    if standing.state is _S.EXPIRED and now_ms >= standing.deadline_ms:
        return _E.DEADLINE
    return _E.SUSPEND if standing.state is _S.IN_FORCE else None


def _wish(stance: Stance, now_ms: int) -> Wish:
    """What is wanted now; before its time an agreement is as if suspended."""
    is_early = now_ms < stance.agreement.terms.valid_from_ms
    return Wish.SUSPENDED if is_early and stance.wish is Wish.IN_FORCE else stance.wish


def _changed(standing: Standing, stance: Stance, now_ms: int) -> AgreementEvent | None:
    """Whether what is agreed is another; RENEW if that is for longer, or takes it out of its expiry."""
    agreement = stance.agreement
    if agreement.digest() == standing.digest:
        return None
    until_ms = agreement.terms.valid_until_ms
    is_longer = standing.valid_until_ms and (not until_ms or until_ms > standing.valid_until_ms)
    holds = not until_ms or now_ms < until_ms
    return _E.RENEW if is_longer and holds and standing.state is not _S.PROPOSED else _E.AMEND


def _deadline_ms(standing: Standing, event: AgreementEvent, seen: Seen) -> int:
    """Until when what runs may go on. Expiry was known before, so its notice runs from the end that was agreed."""
    notice_ms = seen.stance.agreement.terms.notice_ms if seen.stance else 0
    if event is _E.TERMINATE:
        return min(filter(None, (seen.now_ms + notice_ms, standing.deadline_ms)))
    if event is _E.EXPIRE:
        return standing.valid_until_ms + notice_ms
    return 0 if event in {_E.RESUME, _E.RENEW} else standing.deadline_ms
