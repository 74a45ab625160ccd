"""The life of a federation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.domain.federation import FEDERATION_MOVES, FEDERATION_TABLE, FederationEvent, advance, propose
from hansa_control.domain.model import Federation, FederationState
from hansa_control.domain.transitions import IllegalTransition


def federation(state: FederationState) -> Federation:
    return replace(propose("nordavind", "rheinkraft", "ctx-1", 6000), state=state)


LIFE = [
    ("PROPOSED", "ACCEPT", "ACTIVE"),
    ("PROPOSED", "TERMINATE", "TERMINATED"),
    ("ACTIVE", "TIMED_OUT", "STALE"),
    ("ACTIVE", "TERMINATE", "TERMINATED"),
    ("STALE", "HEARD", "ACTIVE"),
    ("STALE", "ACCEPT", "ACTIVE"),
    ("STALE", "TERMINATE", "TERMINATED"),
]


def test_a_federation_begins_as_a_proposal() -> None:
    assert FEDERATION_TABLE.after(None, FederationEvent.PROPOSE) is FederationState.PROPOSED
    assert propose("nordavind", "rheinkraft", "ctx-1", 6000).state is FederationState.PROPOSED


@pytest.mark.parametrize("event", sorted(set(FederationEvent) - {FederationEvent.PROPOSE}))
def test_nothing_but_a_proposal_begins_a_federation(event: FederationEvent) -> None:
    with pytest.raises(IllegalTransition):
        FEDERATION_TABLE.after(None, event)


@pytest.mark.parametrize(("before", "event", "after"), LIFE)
def test_a_federation_lives_as_drawn(before: str, event: str, after: str) -> None:
    then = advance(federation(FederationState(before)), FederationEvent(event))
    assert then == federation(FederationState(after))


def test_no_other_event_changes_a_state() -> None:
    drawn = {(before, event) for before, event, _ in LIFE}
    others = {at: after for at, after in FEDERATION_MOVES.items() if at[0] is not None and at not in drawn}
    assert all(before is after for (before, _), after in others.items())


def test_offers_before_the_answer_do_not_activate() -> None:
    assert advance(federation(FederationState.PROPOSED), FederationEvent.HEARD).state is FederationState.PROPOSED


def test_a_repeated_proposal_leaves_an_active_federation_as_it_is() -> None:
    active = federation(FederationState.ACTIVE)
    assert advance(active, FederationEvent.PROPOSE) is active


@pytest.mark.parametrize("event", [FederationEvent.HEARD, FederationEvent.TIMED_OUT, FederationEvent.TERMINATE])
def test_late_news_of_a_terminated_federation_changes_nothing(event: FederationEvent) -> None:
    over = federation(FederationState.TERMINATED)
    assert advance(over, event) is over


@pytest.mark.parametrize("event", [FederationEvent.PROPOSE, FederationEvent.ACCEPT])
def test_a_terminated_federation_is_not_taken_up_again(event: FederationEvent) -> None:
    with pytest.raises(IllegalTransition, match="in state TERMINATED"):
        advance(federation(FederationState.TERMINATED), event)
