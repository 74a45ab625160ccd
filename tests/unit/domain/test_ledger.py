"""The life of a claim, and the sums of a zone's ledger."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.domain.ledger import CLAIM_MOVES, ClaimEvent, Tally, advance, free, grant, holds_capacity, used
from hansa_control.domain.model import (
    ArtefactRef,
    Capacity,
    Claim,
    ClaimState,
    LatencyBudget,
    ResidencyPolicy,
    WorkloadSpec,
)
from hansa_control.domain.transitions import IllegalTransition

L4, H100 = "nvidia/L4", "nvidia/H100"
SPEC = WorkloadSpec(
    ArtefactRef("asr", "sha256:0"), None, 1000, 2048, 1, (), LatencyBudget(95, 20_000), ResidencyPolicy()
)
ENDPOINTS = ("https://10.0.0.7:8443",)


def claim(state: ClaimState = ClaimState.HELD, amount: Capacity = Capacity(1000, 2048), name: str = "c-1") -> Claim:  # noqa: B008
    ready = 1 if state is ClaimState.SERVING else 0
    return Claim(name, "nordavind", "oslo-1", SPEC, amount, L4, state, 7, 5000, None, ready, ENDPOINTS[:ready])


LIFE = [
    ("HELD", "CONFIRM", "ALLOCATED"),
    ("HELD", "EXPIRE", "RELEASED"),
    ("HELD", "RELEASE", "RELEASED"),
    ("HELD", "ZONE_LOST", "RELEASED"),
    ("ALLOCATED", "READY", "SERVING"),
    ("SERVING", "NOT_READY", "ALLOCATED"),
    ("ALLOCATED", "FAIL", "FAILED"),
    ("SERVING", "FAIL", "FAILED"),
    ("ALLOCATED", "ZONE_LOST", "LOST"),
    ("SERVING", "ZONE_LOST", "LOST"),
    ("FAILED", "ZONE_LOST", "LOST"),
    ("LOST", "ZONE_BACK", "ALLOCATED"),
    ("ALLOCATED", "RELEASE", "RELEASING"),
    ("SERVING", "RELEASE", "RELEASING"),
    ("LOST", "RELEASE", "RELEASING"),
    ("FAILED", "RELEASE", "RELEASING"),
    ("RELEASING", "STOPPED", "RELEASED"),
]

REFUSED = [
    ("HELD", "READY"),  # nothing was ordered yet
    ("HELD", "STOPPED"),
    ("ALLOCATED", "EXPIRE"),  # a lease counts in HELD only
    ("SERVING", "EXPIRE"),
    ("LOST", "EXPIRE"),
    ("RELEASING", "EXPIRE"),
    ("LOST", "READY"),  # a zone is back before its instances are
    ("LOST", "STOPPED"),
    ("SERVING", "STOPPED"),  # only what was told to stop has stopped
    ("RELEASING", "CONFIRM"),
    ("RELEASED", "CONFIRM"),
    ("RELEASED", "READY"),
]


@pytest.mark.parametrize(("before", "event", "after"), LIFE)
def test_a_claim_lives_as_drawn(before: str, event: str, after: str) -> None:
    assert advance(claim(ClaimState(before)), ClaimEvent(event)).state is ClaimState(after)


def test_no_other_event_changes_a_state() -> None:
    drawn = {(before, event) for before, event, _ in LIFE}
    loops = {(source, event): target for (source, event), target in CLAIM_MOVES.items() if (source, event) not in drawn}
    assert all(source is target for (source, _), target in loops.items())


@pytest.mark.parametrize(("before", "event"), REFUSED)
def test_what_cannot_happen_is_refused(before: str, event: str) -> None:
    with pytest.raises(IllegalTransition, match=f"{event} is not possible in state {before}"):
        advance(claim(ClaimState(before)), ClaimEvent(event))


@pytest.mark.parametrize("state", [ClaimState.RELEASING, ClaimState.RELEASED])
@pytest.mark.parametrize("event", [ClaimEvent.RELEASE, ClaimEvent.ZONE_LOST, ClaimEvent.ZONE_BACK])
def test_repeated_ends_change_nothing(state: ClaimState, event: ClaimEvent) -> None:
    ended = claim(state)
    assert advance(ended, event) is ended


@pytest.mark.parametrize("state", ["ALLOCATED", "SERVING", "LOST", "FAILED"])
def test_confirming_twice_changes_nothing(state: str) -> None:
    confirmed = claim(ClaimState(state))
    assert advance(confirmed, ClaimEvent.CONFIRM) is confirmed


@pytest.mark.parametrize("event", [ClaimEvent.ZONE_LOST, ClaimEvent.FAIL, ClaimEvent.RELEASE])
def test_a_claim_that_cannot_answer_has_no_endpoints(event: ClaimEvent) -> None:
    after = advance(claim(ClaimState.SERVING), event)
    assert (after.replicas_ready, after.endpoint_urls) == (0, ())


def test_a_claim_with_some_replicas_ready_keeps_their_endpoints() -> None:
    after = advance(claim(ClaimState.SERVING), ClaimEvent.NOT_READY)
    assert (after.replicas_ready, after.endpoint_urls) == (1, ENDPOINTS)


def test_a_zone_that_comes_back_must_report_readiness_anew() -> None:
    back = advance(advance(claim(ClaimState.SERVING), ClaimEvent.ZONE_LOST), ClaimEvent.ZONE_BACK)
    assert (back.state, back.replicas_ready) == (ClaimState.ALLOCATED, 0)


def test_a_failed_instance_does_not_serve_again_by_itself() -> None:
    assert advance(claim(ClaimState.FAILED), ClaimEvent.READY).state is ClaimState.FAILED


@pytest.mark.parametrize("state", ClaimState)
def test_only_a_released_claim_holds_nothing(state: ClaimState) -> None:
    assert holds_capacity(state) is (state is not ClaimState.RELEASED)


def test_used_adds_what_holds_capacity() -> None:
    claims = [
        claim(ClaimState.HELD, Capacity(100, 10, ((L4, 1),))),
        claim(ClaimState.LOST, Capacity(200, 20, ((H100, 2), (L4, 3)))),
        claim(ClaimState.RELEASED, Capacity(4000, 4000, ((L4, 8),))),
    ]
    assert used(claims) == Capacity(300, 30, ((H100, 2), (L4, 4)))


def test_no_claims_use_nothing() -> None:
    assert used([]) == Capacity()


def test_a_tally_follows_a_claim_that_changes_and_one_that_goes() -> None:
    tally, amount = Tally(), Capacity(300, 40, ((L4, 1),))
    tally.count(None, claim(amount=amount))
    tally.count(claim(amount=amount), claim(ClaimState.SERVING, replace(amount, cpu_millis=500)))
    assert tally.total() == Capacity(500, 40, ((L4, 1),))
    tally.count(claim(ClaimState.SERVING, replace(amount, cpu_millis=500)), claim(ClaimState.RELEASED, amount))
    assert tally.total() == Capacity()
    tally.count(claim(ClaimState.RELEASED, amount), None)
    assert tally.total() == Capacity()


def test_free_is_what_is_left() -> None:
    total = Capacity(1000, 100, ((H100, 2), (L4, 4)))
    assert free(total, used([claim(amount=Capacity(300, 40, ((L4, 1),)))])) == Capacity(700, 60, ((H100, 2), (L4, 3)))


def test_a_pool_that_is_used_up_leaves_the_sum() -> None:
    total = Capacity(1000, 100, ((H100, 2), (L4, 4)))
    assert free(total, used([claim(amount=Capacity(0, 0, ((L4, 4),)))])).accelerators == ((H100, 2),)


def test_an_inventory_that_shrank_below_its_use_leaves_nothing_and_no_debt() -> None:
    shrunken = Capacity(100, 1000, ((L4, 1),))
    assert free(shrunken, used([claim(amount=Capacity(500, 300, ((H100, 1), (L4, 2))))])) == Capacity(0, 700, ())


def test_a_claim_that_fits_exactly_is_granted() -> None:
    total = Capacity(3000, 4096, ((L4, 2),))
    held = claim(amount=Capacity(1000, 2048, ((L4, 1),)))
    assert grant(replace(held, name="c-2", amount=Capacity(2000, 2048, ((L4, 1),))), total, used([held])) == ()


@pytest.mark.parametrize(
    ("amount", "short"),
    [
        (Capacity(2001, 1, ()), ("cpu_millis",)),
        (Capacity(1, 2050, ()), ("memory_mib",)),
        (Capacity(1, 1, ((L4, 2),)), (L4,)),
        (Capacity(1, 1, ((H100, 1),)), (H100,)),
        (Capacity(9000, 9000, ((H100, 1), (L4, 2))), ("cpu_millis", "memory_mib", H100, L4)),
    ],
)
def test_every_component_that_does_not_fit_is_named(amount: Capacity, short: tuple[str, ...]) -> None:
    total = Capacity(3000, 4096, ((L4, 2),))
    others = [claim(ClaimState.LOST, Capacity(1000, 2047, ((L4, 1),)))]
    assert grant(claim(amount=amount), total, used(others)) == short


def test_what_was_released_does_not_stand_in_the_way() -> None:
    total = Capacity(1000, 2048)
    assert grant(claim(), total, used([claim(ClaimState.RELEASED), claim(ClaimState.RELEASED)])) == ()
