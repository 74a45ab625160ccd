"""An estate comes to rest before anything is supposed: what starts has started, what was given up is gone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from deciding_world import L4, spec, zone
from estates import BODO, GOTEBORG, OSLO, ask, asks, cores, estate, outcomes, where
from hansa_control.domain.model import (
    AcceleratorNeed,
    Capacity,
    OnChange,
    PlacementState,
    ResidencyPolicy,
    SiteRule,
    WorkloadState,
    ZoneId,
)
from hansa_sim.what_if.estate import Estate, at_rest, given_back
from hansa_sim.what_if.settling import settle


def with_placements(present: Estate, **changes: Any) -> Estate:
    """The estate with every placement of its first workload changed."""
    first, *others = present.workloads
    placements = tuple(replace(one, **changes) for one in first.placements)
    return replace(present, workloads=(replace(first, placements=placements), *others))


def free_in(present: Estate, name: str) -> Capacity:
    snapshot, _ = at_rest(present)
    found = snapshot.zone(ZoneId.parse(name))
    assert found is not None
    return found.free


def test_what_starts_is_taken_to_answer() -> None:
    present = with_placements(estate([OSLO], app=asks(4)), state=PlacementState.STARTING, has_answered=False)
    _, residents = at_rest(present)
    (resident,) = residents.values()
    assert [at.state for at in resident.placements] == [PlacementState.READY]


def test_what_is_released_gives_its_room_back_once() -> None:
    present = estate([cores(8, OSLO)], app=asks(4))
    assert free_in(present, "nordavind/oslo-1").cpu_millis == 4_000
    released = with_placements(present, state=PlacementState.RELEASING)
    assert free_in(released, "nordavind/oslo-1").cpu_millis == 8_000
    assert settle(released).at_rest().workloads[0].placements, "it is placed again, as it is still wanted"


def test_a_workload_that_is_deleted_is_gone_and_its_room_is_free() -> None:
    present = estate([cores(8, OSLO)], app=asks(4), other=asks(2))
    first, second = present.workloads
    deleting = replace(present, workloads=(replace(first, state=WorkloadState.DELETING), second))
    assert free_in(deleting, "nordavind/oslo-1").cpu_millis == 6_000
    assert list(where(ask(deleting))) == ["other"]


def test_a_hold_without_a_pool_yet_gives_nothing_back() -> None:
    need = spec(accelerator=AcceleratorNeed(("L4",), 1, 16_000), replicas=1)
    present = estate([zone(pools=(L4,))], app=need)
    held = with_placements(present, state=PlacementState.HELD, pool="")
    assert free_in(held, "nordavind/oslo-1") == free_in(present, "nordavind/oslo-1")


def test_an_older_batch_gives_way_to_a_newer_one_that_answers() -> None:
    """A snapshot that is taken in the middle of a move."""
    present = estate([cores(8, OSLO), cores(8, BODO)], app=asks(4))
    (moving,) = present.workloads
    (old,) = moving.placements
    new = replace(old, claim="c-new", zone=BODO.id, batch=old.batch + 1, state=PlacementState.STARTING)
    between = replace(present, workloads=(replace(moving, placements=(old, new)),))
    found = ask(between)
    assert where(found) == {"app": "nordavind/bodo-1"}
    assert found.unsettled == (moving.name,), "it moves whatever is supposed"
    assert outcomes(found) == {"app": "STAYS"}


def test_no_more_is_given_back_than_a_zone_has() -> None:
    """A partner may show less room than there is."""
    present = estate([cores(8, OSLO)], app=asks(4))
    snapshot = given_back(present.snapshot, OSLO.id, Capacity(100_000, 1_000_000, ()))
    assert snapshot.zones[0].free == cores(8, OSLO).inventory.capacity
    assert given_back(present.snapshot, ZoneId("nobody", "nowhere"), Capacity(1, 1, ())) is present.snapshot


def test_whoever_waits_gets_the_room_that_a_move_leaves() -> None:
    present = estate([cores(4, OSLO), cores(4, GOTEBORG)], first=asks(4), second=asks(4), third=asks(4, "oslo", 10))
    assert outcomes(ask(present))["third"] == "WAITS"
    law = ResidencyPolicy(site=SiteRule(frozenset({"NO"})))
    first, second, third = present.workloads
    waiting = replace(third, spec=asks(4, residency=law), owned_residency=law)
    moved = replace(present, workloads=(first, second, waiting))
    found = ask(moved, drain=("zone:skargard/goteborg-1",))
    assert where(found)["third"] == "", "nobody leaves Oslo for it"


@pytest.mark.parametrize(
    ("on_change", "expected"),
    [(OnChange.KEEP_AND_ALERT, "STAYS"), (OnChange.DRAIN, "MOVES"), (OnChange.TERMINATE, "MOVES")],
)
def test_a_broken_law_is_followed_as_the_workload_asks(on_change: OnChange, expected: str) -> None:
    present = estate([GOTEBORG, OSLO], app=asks(4, "goteborg"))
    law = ResidencyPolicy(site=SiteRule(frozenset({"NO"})), on_change=on_change)
    (app,) = present.workloads
    forbidden = replace(app, spec=replace(app.spec, residency=law), owned_residency=law)
    before = settle(present)
    after = settle(replace(present, workloads=(forbidden,)))
    moved = before.residents[app.name].live[0].zone != after.residents[app.name].live[0].zone
    assert moved == (expected == "MOVES")
    assert bool(after.broken) == (expected == "STAYS")


def test_a_law_that_no_zone_keeps_ends_what_is_to_be_terminated() -> None:
    present = estate([GOTEBORG], app=asks(4, "goteborg"))
    law = ResidencyPolicy(site=SiteRule(frozenset({"NO"})), on_change=OnChange.TERMINATE)
    (app,) = present.workloads
    after = settle(replace(present, workloads=(replace(app, spec=replace(app.spec, residency=law)),)))
    assert after.residents[app.name].live == ()


def test_the_owners_own_demands_count_in_its_own_zones_alone() -> None:
    """The home operator refuses in its own zone what its owner's law forbids there, and a partner's zone is asked."""
    present = estate([OSLO, GOTEBORG], app=asks(4))
    strict = ResidencyPolicy(site=SiteRule(frozenset({"FI"})))
    (app,) = present.workloads
    nowhere = replace(app, placements=(), owned_residency=strict)
    emptied = estate([OSLO, GOTEBORG])
    found = settle(replace(emptied, workloads=(nowhere,)))
    assert [str(at.zone) for at in found.residents[app.name].live] == ["skargard/goteborg-1"]
