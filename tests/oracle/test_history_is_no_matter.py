"""A snapshot that was reached step by step decides as one that was built from nothing: no stale memory anywhere."""

from __future__ import annotations

from dataclasses import fields, replace

from hansa_control.domain.model import Decision
from hansa_control.domain.placement import decide
from hypothesis import given, settings
from hypothesis import strategies as st
from living_world import LivingWorld
from oracle_compare import disagreements
from oracle_worlds import OPERATORS, Stream, World, large_world, random_policy, random_spec, random_world

STEPS_MAX = 24


def differences(one: Decision, other: Decision) -> list[str]:
    names = [field.name for field in fields(Decision)]
    return [f"{x}: {getattr(one, x)} <> {getattr(other, x)}" for x in names if getattr(one, x) != getattr(other, x)]


def walk(world: World, seed: int, steps: int) -> None:
    """Steps, after each of which requests old and new are decided on the snapshot and on one built from nothing."""
    chance, done = Stream(seed), list[str]()
    living = LivingWorld(world, chance)
    policies = [world.spec.residency, *(random_policy(chance, is_mild=True) for _ in range(3))]
    specs = [world.spec, *(random_spec(chance, world.nodes, is_mild=True) for _ in range(2))]
    for _ in range(steps):
        done.append(living.step())
        fresh = living.rebuilt()
        for _ in range(2):
            spec = replace(chance.pick(specs), residency=chance.pick(policies))
            asked = replace(living.world, spec=spec, home=chance.pick(OPERATORS[:2]))
            request = asked.request(with_fix=chance.one_in(3))
            found = differences(decide(request, living.snapshot, asked.now_ms), decide(request, fresh, asked.now_ms))
            assert not found, f"{world.note} after {done}: {found}"


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.integers(0, 1 << 40))
def test_a_decision_does_not_depend_on_how_its_snapshot_came_about(seed: int) -> None:
    walk(random_world(seed), seed + 1, STEPS_MAX)


@settings(max_examples=3, derandomize=True, deadline=None)
@given(st.integers(0, 1 << 40))
def test_nor_does_it_in_a_large_world(seed: int) -> None:
    walk(large_world(seed, 30, 80), seed + 1, 12)


@settings(max_examples=15, derandomize=True, deadline=None)
@given(st.integers(0, 1 << 40))
def test_the_oracle_agrees_on_worlds_that_have_lived(seed: int) -> None:
    living = LivingWorld(random_world(seed), Stream(seed))
    for _ in range(10):
        living.step()
    assert disagreements(living.world) == []
