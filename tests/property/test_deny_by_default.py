"""What is not known, or no longer, never passes; and nobody gains by saying less, except by taking back a bad claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import law_values as values
from hansa_control.domain.model import (
    Evidence,
    EvidenceKind,
    Fact,
    FactKind,
    LegalRule,
    Reason,
    ResidencyPolicy,
    SiteRule,
)
from hansa_control.domain.predicates import ZoneAttributes
from hansa_control.domain.residency import check_law, check_legal, check_site
from hypothesis import given, settings
from hypothesis import strategies as st

many = settings(max_examples=200, deadline=None)
ATTRIBUTES = ZoneAttributes("nordavind", "oslo-1", "oslo", "", 1_000, ("L4",), 24_000)


def refusals(policy: ResidencyPolicy, facts: tuple[Fact, ...]) -> list[Reason]:
    found = check_law(replace(policy, predicates=()), ATTRIBUTES, facts, values.NOW_MS)
    return [one.reason for one in found if one.reason is not None]


@many
@given(values.policies, values.fact_lists)
def test_taking_back_a_fact_turns_a_refusal_into_a_pass_only_if_that_fact_was_at_fault(
    policy: ResidencyPolicy, facts: tuple[Fact, ...]
) -> None:
    if not refusals(policy, facts):
        return
    for index, taken in enumerate(facts):
        rest = facts[:index] + facts[index + 1 :]
        if refusals(policy, rest):
            continue
        # The rest passes, so that what is taken back was lapsed, unwelcome, unreadable or contradicted the rest.
        beside = [one for one in rest if one.kind is taken.kind and one.evidence.is_valid(values.NOW_MS)]
        lapsed = not taken.evidence.is_valid(values.NOW_MS)
        alone = refusals(policy, (*(one for one in rest if one.kind is not taken.kind), taken))
        assert lapsed or alone or any(one.value != taken.value for one in beside)


@many
@given(values.policies, values.fact_lists)
def test_nothing_that_is_not_valid_now_helps(policy: ResidencyPolicy, facts: tuple[Fact, ...]) -> None:
    valid = tuple(one for one in facts if one.evidence.is_valid(values.NOW_MS))
    if not refusals(policy, facts):
        assert not refusals(policy, valid)


@many
@given(values.policies, values.fact_lists)
def test_facts_that_have_all_expired_pass_nothing_that_asks_for_facts(
    policy: ResidencyPolicy, facts: tuple[Fact, ...]
) -> None:
    over = Evidence(EvidenceKind.REGISTER, "a", "register", 1, values.NOW_MS, "sha256:0")
    expired = tuple(replace(one, evidence=over) for one in facts)
    asks = refusals(policy, ())
    found = refusals(policy, expired)
    assert bool(found) == bool(asks)
    claimed = {one.kind for one in expired}
    if policy.site is not None:
        assert (Reason.FACT_EXPIRED in found) or FactKind.SITE_COUNTRY not in claimed


@many
@given(values.policies, values.fact_lists)
def test_the_order_of_facts_changes_nothing(policy: ResidencyPolicy, facts: tuple[Fact, ...]) -> None:
    verdict: Callable[[tuple[Fact, ...]], object] = lambda given: [  # noqa: E731
        (one.reason, one.result.constraint, one.result.measured)
        for one in check_law(policy, ATTRIBUTES, given, values.NOW_MS)
    ]
    assert verdict(facts) == verdict(tuple(reversed(facts)))


@many
@given(values.sites, values.legals, values.fact_lists, st.lists(st.integers(-2, 3), min_size=1, max_size=3))
def test_what_is_kept_of_one_time_is_never_taken_for_another(
    site: SiteRule, legal: LegalRule, facts: tuple[Fact, ...], offsets: list[int]
) -> None:
    policy = ResidencyPolicy(site=site, legal=legal)
    for now_ms in (values.NOW_MS + offset for offset in offsets):
        expected = (*check_site(site, facts, now_ms), *check_legal(legal, facts, now_ms))
        assert check_law(policy, ATTRIBUTES, facts, now_ms) == expected
