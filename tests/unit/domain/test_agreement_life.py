"""The life of an agreement: what configuration, clock and claims lead to, one event after another."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.domain.agreement import (
    ANYBODY,
    OPEN,
    Agreement,
    AgreementState,
    Amounts,
    NetworkShown,
    Quota,
    Reoffer,
    Stance,
    Standing,
    Terms,
    Wish,
)
from hansa_control.domain.agreement_life import AgreementEvent, Seen, advance, follow
from hansa_control.domain.transitions import IllegalTransition

S, E = AgreementState, AgreementEvent
START, END, NOTICE = 1_000, 9_000, 500
YEAR = Agreement(terms=Terms(START, END, NOTICE))


def seen(now_ms: int, wish: Wish = Wish.IN_FORCE, agreement: Agreement = YEAR, *, is_used: bool = True) -> Seen:
    return Seen(Stance(agreement, wish), now_ms, is_used)


def in_force(agreement: Agreement = YEAR) -> Standing:
    return follow(Standing(), seen(START, agreement=agreement))[0]


def test_a_proposal_is_accepted_when_its_time_has_come_and_not_before() -> None:
    early, events = follow(Standing(), seen(START - 1))
    assert (early.state, events) == (S.PROPOSED, (E.AMEND,))
    now, events = follow(early, seen(START))
    assert (now.state, now.version, now.digest, events) == (S.IN_FORCE, 1, YEAR.digest(), (E.ACCEPT,))


def test_a_proposal_whose_time_is_over_is_never_accepted() -> None:
    assert follow(Standing(), seen(END))[0].state is S.PROPOSED


def test_an_amendment_is_a_new_version_and_the_agreement_stays_in_force() -> None:
    other = replace(YEAR, quotas=(Quota(most=Amounts(accelerators=1)),))
    after, events = follow(in_force(), seen(START, agreement=other))
    assert (after.state, after.version, after.digest, events) == (S.IN_FORCE, 2, other.digest(), (E.AMEND,))
    assert follow(after, seen(START, agreement=other))[1] == ()


def test_suspending_and_resuming_change_neither_version_nor_digest() -> None:
    standing = in_force()
    suspended, _ = follow(standing, seen(START, Wish.SUSPENDED))
    assert suspended == replace(standing, state=S.SUSPENDED)
    assert follow(suspended, seen(START))[0] == standing


def test_an_amendment_while_suspended_leaves_it_suspended() -> None:
    suspended, _ = follow(in_force(), seen(START, Wish.SUSPENDED))
    after, _ = follow(suspended, seen(START, Wish.SUSPENDED, OPEN))
    assert (after.state, after.version) == (S.SUSPENDED, 2)


def test_a_line_that_is_lost_from_the_file_suspends_and_ends_nothing() -> None:
    lost = Seen(None, END + NOTICE + 1, is_used=True)
    after, events = follow(in_force(), lost)
    assert (after.state, events) == (S.SUSPENDED, (E.SUSPEND,))


def test_termination_drains_first_and_ends_when_nothing_is_left() -> None:
    draining, _ = follow(in_force(), seen(2_000, Wish.TERMINATED))
    assert (draining.state, draining.deadline_ms) == (S.DRAINING, 2_000 + NOTICE)
    assert follow(draining, seen(2_000 + NOTICE - 1, Wish.TERMINATED))[0] == draining
    over, events = follow(draining, seen(2_001, Wish.TERMINATED, is_used=False))
    assert (over.state, events) == (S.TERMINATED, (E.DRAINED,))


def test_termination_ends_at_its_deadline_whatever_still_runs() -> None:
    draining, _ = follow(in_force(), seen(2_000, Wish.TERMINATED))
    over, events = follow(draining, seen(2_000 + NOTICE, Wish.TERMINATED))
    assert (over.state, events) == (S.TERMINATED, (E.DEADLINE,))


def test_the_deadline_stays_where_it_was_however_often_it_is_looked_at() -> None:
    draining, _ = follow(in_force(), seen(2_000, Wish.TERMINATED))
    for now_ms in (2_001, 2_100, 2_400):
        assert follow(draining, seen(now_ms, Wish.TERMINATED))[0].deadline_ms == 2_000 + NOTICE


def test_a_notice_can_be_taken_back_until_it_is_carried_out() -> None:
    draining, _ = follow(in_force(), seen(2_000, Wish.TERMINATED))
    back, events = follow(draining, seen(2_100))
    assert (back.state, back.deadline_ms, events) == (S.IN_FORCE, 0, (E.RESUME,))
    over, _ = follow(draining, seen(2_000 + NOTICE, Wish.TERMINATED))
    assert follow(over, seen(2_600))[1] == ()


def test_a_proposal_that_is_terminated_has_nothing_to_drain() -> None:
    assert follow(Standing(), seen(START - 1, Wish.TERMINATED))[0].state is S.TERMINATED


def test_expiry_gives_notice_from_the_end_that_was_agreed() -> None:
    expired, events = follow(in_force(), seen(END + 100))
    assert (expired.state, expired.deadline_ms, events) == (S.EXPIRED, END + NOTICE, (E.EXPIRE,))
    assert follow(expired, seen(END + NOTICE - 1))[0] == expired
    assert follow(expired, seen(END + NOTICE))[0].state is S.TERMINATED


def test_a_suspended_agreement_expires_too() -> None:
    suspended, _ = follow(in_force(), seen(START, Wish.SUSPENDED))
    assert follow(suspended, seen(END, Wish.SUSPENDED))[0].state is S.EXPIRED


@pytest.mark.parametrize("until_ms", [0, END + 5_000])
def test_a_renewal_within_the_notice_puts_it_in_force_again(until_ms: int) -> None:
    expired, _ = follow(in_force(), seen(END))
    longer = replace(YEAR, terms=Terms(START, until_ms, NOTICE))
    after, events = follow(expired, seen(END + 100, agreement=longer))
    assert (after.state, after.version, after.deadline_ms, events) == (S.IN_FORCE, 2, 0, (E.RENEW,))


def test_a_renewal_that_is_over_itself_renews_nothing() -> None:
    expired, _ = follow(in_force(), seen(END))
    longer = replace(YEAR, terms=Terms(START, END + 50, NOTICE))
    after, events = follow(expired, seen(END + 100, agreement=longer))
    assert (after.state, events) == (S.EXPIRED, (E.AMEND,))


def test_terminating_what_has_expired_does_not_lengthen_its_notice() -> None:
    expired, _ = follow(in_force(), seen(END))
    draining, _ = follow(expired, seen(END + 100, Wish.TERMINATED))
    assert (draining.state, draining.deadline_ms) == (S.DRAINING, END + NOTICE)


def test_an_event_that_the_state_does_not_know_changes_nothing() -> None:
    draining, _ = follow(in_force(), seen(2_000, Wish.TERMINATED))
    with pytest.raises(IllegalTransition):
        advance(draining, E.SUSPEND, seen(2_000))


def test_the_digest_is_that_of_what_is_agreed_and_of_nothing_else() -> None:
    assert YEAR.digest() == Agreement(terms=Terms(START, END, NOTICE)).digest()
    assert YEAR.digest() != replace(YEAR, reference="contract 7").digest()


def test_an_agreement_of_before_networks_could_be_abstract_keeps_its_digest() -> None:
    former = Agreement("C-1", ("oslo-*",))
    assert former.digest() == "sha256:e5c13b928260360baed7ba51b2eb50dcd87dd4dea3da7b598af90d7a8a6ff337"
    assert replace(former, network=NetworkShown.ABSTRACT).digest() != former.digest()
    assert replace(former, gateways=("oslo",)).digest() != former.digest()
    assert replace(former, reoffer=Reoffer(("oslo-*",), ANYBODY)).digest() != former.digest()
    assert replace(former, passes_on=("waldnetz/*",)).digest() != former.digest()
