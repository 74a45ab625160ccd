"""What must not change a decision, or change it in one direction alone: order, names, units, history, stricter law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hansa_control.domain.merging import merge
from hansa_control.domain.model import (
    AttestationRule,
    DataClass,
    Decision,
    EnergyRule,
    LegalRule,
    NetworkLink,
    PersonnelRule,
    ResidencyPolicy,
    RoundTrip,
    Selector,
    SiteRule,
    TransitRule,
    UnknownPaths,
    ZoneId,
)
from hansa_control.domain.placement import decide
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle_paths import ATTACHED_US
from oracle_worlds import COUNTRIES, OPERATORS, Stream, World, random_policy, random_world, random_zone

seeds = st.integers(0, 1 << 40)
often = settings(max_examples=60, derandomize=True, deadline=None)


def run(world: World, *, with_fix: bool = False) -> Decision:
    return decide(world.request(with_fix=with_fix), world.snapshot(), world.now_ms)


def feasible(decision: Decision) -> set[ZoneId]:
    return {choice.zone for choice in decision.choices}


def scores(decision: Decision) -> dict[ZoneId, float]:
    return {choice.zone: choice.score for choice in decision.choices}


def reasons(decision: Decision) -> dict[ZoneId, set[tuple[str, str]]]:
    found: dict[ZoneId, set[tuple[str, str]]] = {}
    for rejection in decision.rejections:
        found.setdefault(rejection.zone, set()).add((rejection.result.constraint, rejection.reason.value))
    return found


# --- a stricter law ---------------------------------------------------------------------------------------------------


def _less(rule: Any, country: str) -> Any:
    allowed = None if rule.countries_allowed is None else rule.countries_allowed - {country}
    return replace(rule, countries_allowed=allowed, countries_denied=rule.countries_denied | {country})


def stricter(policy: ResidencyPolicy, chance: Stream) -> ResidencyPolicy:
    """The policy with one thing more forbidden or asked for, in none of the engine's ways."""
    country = chance.pick(COUNTRIES)
    transit = policy.transit or TransitRule(None, unknown_paths=UnknownPaths.ACCEPT_ENCRYPTED)
    legal = policy.legal or LegalRule(None)
    people = policy.personnel or PersonnelRule(None)
    energy = policy.energy or EnergyRule()
    carbon = energy.carbon_gco2_per_kwh_max
    proofs = policy.attestation.required if policy.attestation else ()
    changes: tuple[dict[str, Any], ...] = (
        {"site": _less(policy.site or SiteRule(None), country)},
        {"transit": _less(transit, country)},
        {"transit": replace(transit, carriers_denied=transit.carriers_denied | {chance.pick(OPERATORS)})},
        {"transit": replace(transit, encryption_required=True)},
        {"transit": replace(transit, unknown_paths=UnknownPaths.REJECT)},
        {"applies_to": frozenset(DataClass)},
        {"legal": _less(legal, country)},
        {"legal": replace(legal, laws_denied=legal.laws_denied | {"US-CLOUD-ACT"})},
        {"legal": replace(legal, foreign_share_percent_max=min(legal.foreign_share_percent_max or 100, 20))},
        {"personnel": _less(people, country)},
        {"personnel": replace(people, clearances_required=people.clearances_required | {"NO-SECRET"})},
        {"attestation": AttestationRule((*proofs, frozenset({"intel-tdx"})))},
        {"energy": replace(energy, carbon_gco2_per_kwh_max=100 if carbon is None else min(100, carbon))},
        {"predicates": (*policy.predicates, 'zone.country == "NO"')},
    )
    return replace(policy, **chance.pick(changes))


@often
@given(seeds)
def test_a_stricter_law_admits_no_further_zone_and_makes_none_better(seed: int) -> None:
    world, chance = random_world(seed * 2), Stream(seed)
    before = run(world)
    for _ in range(3):
        world = replace(world, spec=replace(world.spec, residency=stricter(world.spec.residency, chance)))
        after = run(world)
        assert feasible(after) <= feasible(before), world.spec.residency
        if world.spec.zones.maximum == 1:  # else fewer access points may count
            assert all(score <= scores(before)[zone] + 1e-9 for zone, score in scores(after).items())
        if before.choices and after.choices and world.spec.zones.maximum == 1:
            assert after.plan is not None
            assert before.plan is not None
            assert after.plan.objective <= before.plan.objective + 1e-9
        before = after


@often
@given(seeds)
def test_two_policies_merged_admit_no_zone_that_one_of_them_refuses(seed: int) -> None:
    world, other = random_world(seed * 2), random_policy(Stream(seed), is_mild=True)
    mine = world.spec.residency
    apart = [feasible(run(replace(world, spec=replace(world.spec, residency=x)))) for x in (mine, other)]
    for both in (merge([mine, other]), merge([other, mine])):
        assert feasible(run(replace(world, spec=replace(world.spec, residency=both)))) <= apart[0] & apart[1]


# --- names, order, units ----------------------------------------------------------------------------------------------


def renamed(world: World, name: Callable[[str], str], zone_name: Callable[[str], str]) -> World:
    """The world with other names of nodes, links, operators (carriers are operators) and zones."""

    def of(zone: ZoneId) -> ZoneId:
        return ZoneId(name(zone.operator), zone_name(zone.zone))

    def selector(known: Selector) -> Selector:
        return replace(known, operators=frozenset(map(name, known.operators)), zones=tuple(map(of, known.zones)))

    spec, rule = world.spec, world.spec.residency.transit
    if rule is not None:
        rule = replace(rule, carriers_denied=frozenset(map(name, rule.carriers_denied)))
    wishes = spec.preferences
    spec = replace(
        spec,
        access=tuple(replace(at, access_point=name(at.access_point)) for at in spec.access),
        residency=replace(spec.residency, transit=rule),
        data_sources=tuple(replace(at, node=name(at.node)) for at in spec.data_sources),
        preferences=replace(
            wishes,
            ordered=tuple(map(selector, wishes.ordered)),
            soft=tuple(replace(at, selector=selector(at.selector)) for at in wishes.soft),
        ),
    )
    return replace(
        world,
        nodes=tuple(replace(node, name=name(node.name)) for node in world.nodes),
        links=tuple(
            replace(x, name=name(x.name), node_a=name(x.node_a), node_b=name(x.node_b), carrier=name(x.carrier))
            for x in world.links
        ),
        zones=tuple(
            replace(zone, id=of(zone.id), inventory=replace(zone.inventory, node=name(zone.inventory.node)))
            for zone in world.zones
        ),
        probes=tuple(replace(x, source_zone=of(x.source_zone), target_zone=of(x.target_zone)) for x in world.probes),
        spec=spec,
        home=name(world.home),
        exclude=frozenset(map(of, world.exclude)),
        current=frozenset(map(of, world.current)),
        promises=tuple(sorted((name(operator), milli) for operator, milli in world.promises)),
    )


def without_named_operators(world: World) -> World:
    """Predicates name an operator in their text, which renaming does not reach."""
    wishes, spec = world.spec.preferences, world.spec
    plain = replace(
        wishes,
        ordered=tuple(replace(x, predicate="") for x in wishes.ordered),
        soft=tuple(replace(x, selector=replace(x.selector, predicate="")) for x in wishes.soft),
    )
    law = replace(spec.residency, predicates=tuple(x for x in spec.residency.predicates if "operator" not in x))
    return replace(world, spec=replace(spec, preferences=plain, residency=law))


@often
@given(seeds, st.sampled_from(["kept", "turned"]))
def test_other_names_give_the_same_decision_under_other_names(seed: int, order: str) -> None:
    world = without_named_operators(random_world(seed))

    def other(name: str) -> str:
        turned = "".join(chr(ord("z") - (ord(x) - ord("a")) % 26) if x.isalpha() else str(9 - int(x)) for x in name)
        return (f"{turned}." if order == "turned" else f"x{name}") if name else ""

    def zone_name(name: str) -> str:
        return other(name)

    before, after = run(world), run(renamed(world, other, zone_name))
    again = {ZoneId(other(zone.operator), zone_name(zone.zone)): zone for zone in {x.id for x in world.zones}}
    assert {again[zone]: found for zone, found in reasons(after).items()} == reasons(before)
    assert {again[zone]: score for zone, score in scores(after).items()} == scores(before)
    told = {again[x.zone]: ([at.rtt_us for at in x.latencies], x.pool) for x in after.choices}
    assert told == {x.zone: ([at.rtt_us for at in x.latencies], x.pool) for x in before.choices}
    if order == "kept" or len(set(scores(before).values())) == len(before.choices):
        assert [again[x.zone] for x in after.choices] == [x.zone for x in before.choices]


@often
@given(seeds)
def test_the_order_of_what_is_given_changes_nothing(seed: int) -> None:
    world, chance = random_world(seed), Stream(seed)
    zones = [replace(zone, facts=tuple(chance.shuffled(zone.facts))) for zone in chance.shuffled(world.zones)]
    other = replace(
        world,
        nodes=tuple(chance.shuffled(world.nodes)),
        links=tuple(chance.shuffled(world.links)),
        zones=tuple(zones),
        probes=tuple(chance.shuffled(world.probes)),
    )
    assert run(other, with_fix=True) == run(world, with_fix=True)
    users = replace(world, spec=replace(world.spec, access=tuple(chance.shuffled(world.spec.access))))
    assert reasons(run(users)) == reasons(run(world))
    assert scores(run(users)) == pytest.approx(scores(run(world)), abs=1e-8)


def slower(world: World, times: int) -> World:
    """The world in which everything takes so many times as long: links, service, budgets; rates are as much lower."""

    def link(known: NetworkLink) -> NetworkLink:
        rtt = known.rtt
        longer = RoundTrip(rtt.p50_us * times, rtt.p95_us * times, rtt.p99_us * times, rtt.basis)
        return replace(known, rtt=longer, length_m=0)

    spec, budget = world.spec, world.spec.latency
    fixed_us = ATTACHED_US[budget.percentile]  # the attachment's round trip does not follow
    response_us = budget.response_us_max and (budget.response_us_max - fixed_us) * times + fixed_us
    service = spec.service
    if service is not None:
        longer = tuple(
            replace(x, mean_us=x.mean_us * times, p95_us=x.p95_us * times, p99_us=x.p99_us * times)
            for x in service.times
        )
        sizes = (service.request_bytes * times // 1_000, service.response_bytes * times // 1_000)
        service = replace(service, times=longer, request_bytes=sizes[0], response_bytes=sizes[1])
    return replace(
        world,
        nodes=tuple(replace(node, latitude_deg=0.0, longitude_deg=0.0) for node in world.nodes),
        links=tuple(map(link, world.links)),
        probes=(),
        spec=replace(
            spec,
            latency=replace(
                budget, rtt_us_max=(budget.rtt_us_max - fixed_us) * times + fixed_us, response_us_max=response_us
            ),
            service=service,
        ),
    )


@often
@given(seeds)
def test_other_units_of_time_change_no_verdict(seed: int) -> None:
    world = random_world(seed)
    spec = replace(
        world.spec,
        access=tuple(replace(at, demand_millirps=6 * (at.demand_millirps // 1_000)) for at in world.spec.access),
    )
    world = replace(world, spec=spec)
    calm = tuple(replace(at, demand_millirps=at.demand_millirps // 3) for at in spec.access)
    base = slower(world, 1_000)
    thrice = slower(replace(world, spec=replace(spec, access=calm)), 3_000)
    assert reasons(run(thrice)) == reasons(run(base))
    assert {(x.zone, x.pool) for x in run(thrice).choices} == {(x.zone, x.pool) for x in run(base).choices}


# --- zones that come and go -------------------------------------------------------------------------------------------


@often
@given(seeds)
def test_a_zone_that_is_infeasible_changes_nothing_for_the_others(seed: int) -> None:
    world, chance = random_world(seed), Stream(seed)
    node = chance.pick(world.nodes)
    made = random_zone(chance, chance.pick(("a", "z3x", "zz")), (node.name, node.country), is_mild=True)
    useless = replace(made, inventory=replace(made.inventory, cordoned=True))
    before, after = run(world), run(replace(world, zones=(useless, *world.zones)))
    assert after.choices == before.choices
    assert after.plan == before.plan
    assert tuple(x for x in after.rejections if x.zone != useless.id) == before.rejections


@often
@given(seeds)
def test_the_choice_stays_when_a_zone_that_was_not_chosen_goes(seed: int) -> None:
    world = replace(random_world(seed * 2), probes=())  # a measurement is a witness against others
    before = run(world)
    assume(len(before.choices) > 1)
    for gone in before.choices[1:]:
        after = run(replace(world, zones=tuple(zone for zone in world.zones if zone.id != gone.zone)))
        assert after.choices[0].zone == before.choices[0].zone
        assert after.choices[0].score == before.choices[0].score


def test_nothing_here_is_about_empty_decisions() -> None:
    placed = [bool(run(random_world(seed)).choices) for seed in range(600)]
    assert sum(placed) > 120
