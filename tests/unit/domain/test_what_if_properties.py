"""What holds of every what-if: nothing moves for nothing, no zone gives more than it has, and law only takes away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from estates import BODO, GOTEBORG, HELSINKI, OSLO, ask, asks, cores, estate, where
from hansa_control.domain.capacity import NOTHING, add
from hansa_control.domain.model import OnChange, ResidencyPolicy, SiteRule, WorkloadSpec, ZoneBounds
from hansa_sim.what_if.answer import Outcome
from hansa_sim.what_if.changes import Changes, suppose
from hansa_sim.what_if.estate import Estate
from hansa_sim.what_if.settling import settle
from hypothesis import given, settings
from hypothesis import strategies as st

ZONES = (OSLO, BODO, GOTEBORG, HELSINKI)
RULES = (None, frozenset({"NO"}), frozenset({"NO", "SE"}), frozenset({"SE", "FI"}))


def policy(countries: frozenset[str] | None, on_change: OnChange) -> ResidencyPolicy:
    return ResidencyPolicy(site=SiteRule(countries) if countries else None, on_change=on_change)


specs = st.builds(
    lambda size, access, rtt_ms, rule, on_change, priority, spread: replace(
        asks(size, access, rtt_ms, residency=policy(rule, on_change), priority=priority),
        replicas=2 if spread else 1,
        zones=ZoneBounds(1, 2) if spread else ZoneBounds(),
    ),
    st.integers(1, 6),
    st.sampled_from(("oslo", "bodo", "goteborg")),
    st.sampled_from((12, 30, 60)),
    st.sampled_from(RULES),
    st.sampled_from(list(OnChange)),
    st.sampled_from((-5, 0, 5)),
    st.booleans(),
)
sizes = st.tuples(*(st.sampled_from((0, 4, 8, 16)) for _ in ZONES))


def drawn(asked: list[WorkloadSpec], room: tuple[int, ...]) -> Estate:
    zones = [cores(size, zone) for size, zone in zip(room, ZONES, strict=True) if size]
    return estate(zones or [OSLO], **{f"app_{number}": one for number, one in enumerate(asked)})


@pytest.fixture(scope="module")
def law(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("law") / "law.yaml"
    path.write_text("kind: Law\nnation: {data: ['NO'], on_change: drain}\n")
    return path


changes = st.sampled_from(
    (
        Changes(fail=("zone:nordavind/oslo-1",)),
        Changes(fail=("country:SE",)),
        Changes(fail=("operator:skargard",)),
        Changes(drain=("zone:nordavind/bodo-1",)),
        Changes(cut=("link:oslo/goteborg",)),
    )
)
some = settings(max_examples=25, derandomize=True, deadline=None)


@some
@given(st.lists(specs, min_size=1, max_size=6), sizes)
def test_where_nothing_is_supposed_nothing_moves(asked: list[WorkloadSpec], room: tuple[int, ...]) -> None:
    found = ask(drawn(asked, room))
    assert found.unsettled == ()
    assert {change.outcome for change in found.changes} <= {Outcome.STAYS, Outcome.WAITS}
    assert not found.breaks_promise


@some
@given(st.lists(specs, min_size=1, max_size=6), sizes)
def test_a_zone_that_nobody_uses_fails_and_nobody_moves(asked: list[WorkloadSpec], room: tuple[int, ...]) -> None:
    present = drawn(asked, room)
    used = set(", ".join(where(ask(present)).values()).split(", "))
    for zone in present.snapshot.zones:
        if str(zone.id) not in used:
            found = ask(present, fail=(f"zone:{zone.id}",))
            assert {change.outcome for change in found.changes} <= {Outcome.STAYS, Outcome.WAITS}


@some
@given(st.lists(specs, min_size=1, max_size=6), sizes, changes)
def test_no_zone_gives_more_than_it_has_and_nothing_is_lost(
    asked: list[WorkloadSpec], room: tuple[int, ...], supposed: Changes
) -> None:
    present = drawn(asked, room)
    if any(f"zone:{zone}" in (*supposed.fail, *supposed.drain) for zone in missing(present)):
        return
    if supposed.fail == ("operator:skargard",) and not any(z.id.operator == "skargard" for z in present.snapshot.zones):
        return
    after = settle(suppose(present, supposed))
    for zone in after.snapshot.zones:
        held = NOTHING
        for resident in after.residents.values():
            for placement in resident.placements:
                held = add(held, resident.amount(placement)) if placement.zone == zone.id else held
        assert add(zone.free, held) == zone.inventory.capacity


def missing(present: Estate) -> list[str]:
    there = {zone.id for zone in present.snapshot.zones}
    return [str(zone.id) for zone in ZONES if zone.id not in there]


@some
@given(st.lists(specs, min_size=1, max_size=4))
def test_a_stricter_law_never_adds_a_place(law: Path, asked: list[WorkloadSpec]) -> None:
    """Where there is room for all: what is forbidden is left, and nobody gains."""
    present = drawn(asked, (64, 64, 64, 64))
    found = ask(present, law=law)
    for change in found.changes:
        assert change.outcome is not Outcome.PLACED
        if change.outcome is Outcome.MOVES:
            assert {zone.operator for zone, _ in change.after.zones} == {"nordavind"}
        assert change.after.broken or all(zone.operator == "nordavind" for zone, _ in change.after.zones)
