"""Faults at their very ends: the nanosecond of a cut, several at once, and those that outlive the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hansa_sim.engines.model import AHEAD_NS_MAX, SECOND_NS, Outages
from hansa_sim.latency.fault_course import Epoch, Spell, epochs
from hansa_sim.latency.fault_schedule import Cause, Fallen, Fault, causes_of, schedule
from hansa_sim.latency.fault_worlds import Crossings, FaultWorlds
from hansa_sim.latency.scenario_faults import FaultPart, RecoveryPart
from hansa_sim.latency.views import ViewName
from scenario_texts import TWO_APPS, world_of
from system_days import day_world, played_day

A, B = Fallen(zones=frozenset({"a/one"})), Fallen(zones=frozenset({"b/two"}))
NOTHING = Fallen()
AT_ONCE = RecoveryPart(detect_s=0)


def at_once(*faults: tuple[int, int, Fallen]) -> list[Spell]:
    """Faults that are known as soon as they are there."""
    return [Spell.of(Fault("x", begin, end, falls), AT_ONCE, is_sudden=False) for begin, end, falls in faults]


def fallen(spells: list[Spell]) -> list[tuple[int, Fallen]]:
    return [(one.at_ns, one.fallen) for one in epochs(spells, 0)][1:]


# --- epochs ---


def test_fault_is_there_at_its_first_nanosecond_and_gone_at_its_end() -> None:
    outages = Outages(np.zeros(1, np.int32), np.array([10]), np.array([11]))
    assert fallen(at_once((10, 11, A))) == [(10, A), (11, NOTHING)]
    assert outages.of_zone(0) == [(10, 11)]


def test_a_zone_that_falls_again_as_it_is_mended_was_never_up() -> None:
    assert fallen(at_once((10, 20, A), (20, 30, A))) == [(10, A), (20, A), (30, NOTHING)]
    touching = Outages(np.zeros(2, np.int32), np.array([20, 10]), np.array([30, 20]))
    assert touching.of_zone(0) == [(10, 30)]


@pytest.mark.parametrize("swapped", [False, True])
def test_one_ends_as_another_begins_in_whatever_order_they_are_written(swapped: bool) -> None:
    faults = [(10, 20, A), (20, 30, B)]
    assert fallen(at_once(*faults[:: -1 if swapped else 1])) == [(10, A), (20, B), (30, NOTHING)]


def test_a_zone_that_two_faults_take_is_up_when_the_last_of_them_ends() -> None:
    found = fallen(at_once((10, 40, A), (10, 40, A), (20, 30, A | B)))
    assert found == [(10, A), (20, A | B), (30, A), (40, NOTHING)]
    inner = Outages(np.zeros(2, np.int32), np.array([10, 20]), np.array([40, 30]))
    assert inner.of_zone(0) == [(10, 40)]


def test_outages_of_other_zones_are_not_a_zones_own() -> None:
    both = Outages(np.array([0, 1, 0], np.int32), np.array([50, 10, 5]), np.array([60, 90, 7]))
    assert (both.of_zone(0), both.of_zone(1), both.of_zone(2)) == ([(5, 7), (50, 60)], [(10, 90)], [])


def test_fault_that_is_over_before_it_is_known_is_known_as_long_as_it_was() -> None:
    late = Spell.of(Fault("x", 10, 12, A), RecoveryPart(detect_s=5e-9), is_sudden=False)
    assert (late.known_ns, late.over_ns) == (15, 17)
    assert list(epochs([late], 3))[1:] == [
        Epoch(10, A, NOTHING, NOTHING),
        Epoch(12, NOTHING, NOTHING, NOTHING),
        Epoch(15, NOTHING, A, NOTHING),
        Epoch(17, NOTHING, NOTHING, NOTHING),
        Epoch(18, NOTHING, NOTHING, A),
        Epoch(20, NOTHING, NOTHING, NOTHING),
    ]


def test_notice_from_before_the_beginning_is_known_from_the_beginning_on() -> None:
    told = Spell.of(Fault("x", 5, 9, A, notice_ns=1_000), AT_ONCE, is_sudden=False)
    assert told.known_ns == 0
    first, second, *_ = epochs([told], 0)
    assert (first, second) == (Epoch(0), Epoch(0, NOTHING, A, A))


def test_fault_that_outlives_the_run_has_no_end_in_any_sum() -> None:
    forever = Spell.of(Fault("x", 10, AHEAD_NS_MAX, A), RecoveryPart(detect_s=100), is_sudden=False)
    assert forever.over_ns == AHEAD_NS_MAX
    found = list(epochs([forever], 10**12))
    assert found[-1] == Epoch(10 + 100 * SECOND_NS + 10**12, A, A, A)


# --- schedule ---


@pytest.mark.parametrize("for_s", [1e-12, 4e-10, 1e-9])
def test_however_short_a_fault_is_it_ends(for_s: float) -> None:
    (found,) = Cause(FaultPart(zone="a/one", at_s=1, for_s=for_s), "x", A).faults(1, 2 * SECOND_NS)
    assert (found.begin_ns, found.end_ns) == (SECOND_NS, SECOND_NS + 1)
    assert fallen(at_once((found.begin_ns, found.end_ns, A)))[-1] == (SECOND_NS + 1, NOTHING)


def test_random_fault_begins_before_the_horizon_and_may_outlive_it() -> None:
    cause = Cause(FaultPart(zone="a/one", mtbf_s=3, mttr_s=1_000), "x", A)
    (whole,) = cause.faults(5, 100 * SECOND_NS)
    assert whole.begin_ns < 100 * SECOND_NS < whole.end_ns
    assert list(cause.faults(5, whole.begin_ns)) == []
    assert list(cause.faults(5, whole.begin_ns + 1)) == [whole]


def test_faults_of_the_shortest_times_are_apart_and_end() -> None:
    cause = Cause(FaultPart(zone="a/one", mtbf_s=1e-12, mttr_s=1e-12), "x", A)
    found = list(cause.faults(1, 9))
    assert [(one.begin_ns, one.end_ns) for one in found] == [(1, 2), (3, 4), (5, 6), (7, 8)]


def test_faults_of_the_same_nanosecond_are_in_the_order_of_their_names() -> None:
    parts = [Cause(FaultPart(zone="a/one", at_s=2), name, A) for name in ("c", "a", "b")]
    early = Cause(FaultPart(zone="a/one", at_s=1), "z", A)
    assert [one.title for one in schedule([*parts, early], 1, SECOND_NS)] == ["z", "a", "b", "c"]


# --- worlds ---


def test_operator_and_its_zone_at_once_are_the_operator(tmp_path: Path) -> None:
    faults = "{operator: nordavind, at_s: 10, for_s: 20}, {zone: nordavind/oslo-1, at_s: 10, for_s: 5}"
    world = world_of(
        tmp_path, ("policies:", f"faults: [{faults}]\npolicies:"), ("run: {requests: 40000,", "run: {duration_s: 60,")
    )
    whole, zone = causes_of(world.loaded, world.ground)
    assert zone.falls.zones == whole.falls.zones and whole.falls.links
    spells = [Spell.of(one, AT_ONCE, is_sudden=False) for one in schedule((whole, zone), 1, 60 * SECOND_NS)]
    seconds = [(at // SECOND_NS, falls) for at, falls in fallen(spells)]
    assert seconds == [(10, whole.falls), (15, whole.falls), (30, NOTHING)]


def test_country_falls_with_its_zones_and_every_link_that_touches_it(tmp_path: Path) -> None:
    world = world_of(
        tmp_path,
        *TWO_APPS,
        ("policies:", "faults: [{country: SE, at_s: 1}]\npolicies:"),
        ("run: {requests: 40000,", "run: {duration_s: 60,"),
    )
    (cause,) = causes_of(world.loaded, world.ground)
    assert cause.falls.zones == {"skargard/stockholm-1"}
    assert cause.falls.links == {"hamburg--malmo", "island--reef", "malmo--stockholm", "oslo--stockholm"}
    worlds = FaultWorlds(world)
    for part, view in zip(worlds.parts(cause.falls), worlds.views(cause.falls, ViewName.LAWLESS), strict=True):
        column = [str(zone.id) for zone in part.zones].index("skargard/stockholm-1")
        rows = [user.access_point for user in part.users]
        assert not view.lawful[:, column].any()
        assert [bool((view.rtt_ns[row] >= 0).any()) for row in range(len(rows))] == [one != "malmo" for one in rows]


def test_nothing_that_has_fallen_is_the_world_itself(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    worlds = FaultWorlds(world)
    assert all(one is other for one, other in zip(worlds.parts(NOTHING), world.parts, strict=True))
    (crossings,) = worlds.crossings(NOTHING, ViewName.LAWLESS)
    assert not crossings.broken(NOTHING).any()
    assert not crossings.broken(Fallen(links=frozenset({"no--such"}), zones=frozenset({"a/one"}))).any()


def test_ways_are_broken_pair_by_pair_at_the_edges_of_the_list() -> None:
    begin, links = np.array([0, 2, 2, 3, 4]), np.array([0, 1, 1, 2], np.int32)
    crossings = Crossings(("p", "q", "r"), begin, links, (2, 2))

    def broken(*names: str) -> list[list[bool]]:
        found: list[list[bool]] = crossings.broken(Fallen(links=frozenset(names))).tolist()
        return found

    assert broken("p") == [[True, False], [False, False]]
    assert broken("q") == [[True, False], [True, False]]
    assert broken("r") == [[False, False], [False, True]]
    assert broken("p", "q", "r") == [[True, False], [True, True]]
    empty = Crossings((), np.zeros(5, np.int64), np.zeros(0, np.int32), (2, 2))
    assert not empty.broken(A).any()


# --- the day that is played ---


def test_fault_of_less_than_a_microsecond_falls_and_is_mended_in_that_order(tmp_path: Path) -> None:
    played = played_day(tmp_path, "{zone: waldnetz/hamburg-1, at_s: 100, for_s: 0.0000001}")
    assert [(one.kind, round(one.at_s, 3)) for one in played.diary.happenings] == [("fault", 100.0), ("mended", 100.0)]
    assert (played.diary.moves, played.broken) == ([], ())


def test_fault_that_outlives_the_day_is_never_mended(tmp_path: Path) -> None:
    world = day_world(tmp_path, "{zone: waldnetz/hamburg-1, at_s: 990, for_s: 500}")
    (fault,) = schedule(causes_of(world.loaded, world.ground), 7, 1_000 * SECOND_NS)
    assert fault.end_ns == 1_490 * SECOND_NS
    played = played_day(tmp_path, "{zone: waldnetz/hamburg-1, at_s: 990, for_s: 500}")
    kinds = [one.kind for one in played.diary.happenings]
    assert kinds[0] == "fault" and "mended" not in kinds
