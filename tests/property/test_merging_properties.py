"""Merging is commutative, associative, idempotent, and never looser than any of its parts."""

from __future__ import annotations

from dataclasses import replace

import law_values as values
from hansa_control.domain.merging import is_stricter_or_equal, merge
from hansa_control.domain.model import DataSource, Fact, NetworkLink, NetworkNode, ResidencyPolicy, UnknownPaths
from hansa_control.domain.predicates import ZoneAttributes
from hansa_control.domain.residency import check_law, check_sources, link_faults, node_fault
from hypothesis import given, settings
from hypothesis import strategies as st

many = settings(max_examples=120, deadline=None)
several = st.lists(values.policies, min_size=1, max_size=3)
ATTRIBUTES = ZoneAttributes("nordavind", "oslo-1", "oslo", "", 1_000, ("L4",), 24_000)


def passes(policy: ResidencyPolicy, facts: tuple[Fact, ...]) -> bool:
    return all(found.reason is None for found in check_law(policy, ATTRIBUTES, facts, values.NOW_MS))


@many
@given(several, st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_show(policies: list[ResidencyPolicy], chance: object) -> None:
    shuffled = [*policies, policies[0]]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert merge(shuffled) == merge(policies)


@many
@given(values.policies, values.policies, values.policies)
def test_grouping_does_not_show(a: ResidencyPolicy, b: ResidencyPolicy, c: ResidencyPolicy) -> None:
    assert merge([merge([a, b]), c]) == merge([a, merge([b, c])]) == merge([a, b, c])


@many
@given(several)
def test_a_merged_policy_merged_again_is_the_same_and_stricter_than_each(policies: list[ResidencyPolicy]) -> None:
    merged = merge(policies)
    assert merge([merged]) == merged
    assert all(is_stricter_or_equal(merged, policy) for policy in policies)


@many
@given(several, values.fact_lists)
def test_a_zone_passes_the_merged_policy_exactly_if_it_passes_each(
    policies: list[ResidencyPolicy], facts: tuple[Fact, ...]
) -> None:
    assert passes(merge(policies), facts) == all(passes(policy, facts) for policy in policies)


@many
@given(several, values.links, values.nodes)
def test_a_path_that_passes_the_merged_policy_passes_each(
    policies: list[ResidencyPolicy], link: NetworkLink, node: NetworkNode
) -> None:
    merged, rules = merge(policies).transit, [policy.transit for policy in policies if policy.transit]
    if merged is None:
        assert not rules
        return
    assert (node_fault(merged, node) is None) == all(node_fault(rule, node) is None for rule in rules)
    each = all(not link_faults(rule, link) for rule in rules)
    if not link_faults(merged, link):
        assert each
    elif len({rule.unknown_paths for rule in rules}) == 1:
        assert not each


@many
@given(several, st.lists(values.sources, max_size=3))
def test_data_sources_that_pass_the_merged_policy_pass_each(
    policies: list[ResidencyPolicy], sources: list[DataSource]
) -> None:
    if all(found.reason is None for found in check_sources(merge(policies), sources)):
        for policy in policies:
            assert all(found.reason is None for found in check_sources(policy, sources))


@many
@given(values.policies, values.policies, values.fact_lists, values.links)
def test_stricter_means_that_what_passes_it_passes_the_looser(
    a: ResidencyPolicy, b: ResidencyPolicy, facts: tuple[Fact, ...], link: NetworkLink
) -> None:
    strict = merge([a, b])
    assert is_stricter_or_equal(strict, a)
    if is_stricter_or_equal(a, b) and passes(a, facts):
        assert passes(b, facts)
    if a.transit and b.transit and is_stricter_or_equal(a, b) and not link_faults(a.transit, link):
        assert not link_faults(b.transit, link)


@many
@given(values.links, values.transits)
def test_rejecting_what_is_unknown_is_never_looser_than_accepting_it(link: NetworkLink, rule: object) -> None:
    strict = replace(rule, unknown_paths=UnknownPaths.REJECT)  # type: ignore[type-var]
    if not link_faults(strict, link):  # type: ignore[arg-type]
        assert not link_faults(rule, link)  # type: ignore[arg-type]
