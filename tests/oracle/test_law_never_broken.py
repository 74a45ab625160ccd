"""No choice, plan or fallback of the engine ever breaks the law; see ``law_breaches`` for the long form."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.domain.model import SiteRule
from hansa_control.domain.placement import decide
from law_breaches import Checker, Count, count_breaches
from oracle_worlds import World, large_world


def test_of_thousands_of_decisions_on_changing_worlds_none_breaks_the_law() -> None:
    count = count_breaches(2_000, seed=5, sizes=((50, 200),))
    assert count.breaches == []
    assert count.placed > 300
    assert count.paths > 3_000


def decided() -> tuple[World, Count]:
    for seed in range(100):
        world = large_world(seed, 50, 200)
        if decide(world.request(), world.snapshot(), world.now_ms).choices:
            return world, Count()
    raise AssertionError("no world with a choice")


def test_the_count_sees_a_zone_that_is_chosen_against_its_facts() -> None:
    world, count = decided()
    decision = decide(world.request(), world.snapshot(), world.now_ms)
    strict = replace(world.spec, residency=replace(world.spec.residency, site=SiteRule(frozenset({"SJ"}))))
    breaches = list(Checker(replace(world, spec=strict)).breaches(decision.choices, decision.plan, count))
    assert len([words for words in breaches if "against its facts" in words]) == len(decision.choices)


@pytest.mark.parametrize("damage", ["path", "cost", "countries"])
def test_the_count_sees_a_path_that_is_not_as_told(damage: str) -> None:
    world, count = decided()
    decision = decide(world.request(), world.snapshot(), world.now_ms)
    choice = next(x for x in decision.choices if len(x.latencies[0].path) > 2)
    told = choice.latencies[0]
    other = {
        "path": replace(told, path=(told.path[0], told.path[-1]), return_path=()),
        "cost": replace(told, rtt_us=told.rtt_us - 1),
        "countries": replace(told, countries=()),
    }[damage]
    false = replace(choice, latencies=(other, *choice.latencies[1:]))
    assert list(Checker(world).breaches((false,), None, count))
