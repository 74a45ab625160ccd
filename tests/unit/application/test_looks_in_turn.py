"""First placings give way, what runs does not; and nothing is judged by the law again for nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hansa_control.application.control_plane import ControlPlane
from hansa_control.application.law_watch import LawWatch
from hansa_control.application.ports import StoredOffer
from hansa_control.domain.model import Preferences, Selector, WorkloadId, WorkloadState, Zone, ZoneId
from home_operator import OWNER, YARD, HandClock, HandOwner, home_operator, offered_zone, spec
from home_stage import site_fact

QUAY = WorkloadId("harbour", "quay-ocr")


async def let_run() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


async def open_plane() -> tuple[ControlPlane, HandOwner]:
    owner = HandOwner()
    owner.go_on.set()
    return await home_operator(owner), owner


def clock_of(plane: ControlPlane) -> HandClock:
    clock = plane.law_watch._clock
    assert isinstance(clock, HandClock)
    return clock


async def test_what_runs_is_looked_at_while_first_placings_wait_for_their_turn() -> None:
    plane, owner = await open_plane()
    await plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    running = asyncio.create_task(plane.reconciler.run())
    await let_run()
    assert len(owner.held) == 1
    turn = asyncio.Event()

    async def wait() -> None:
        await turn.wait()

    plane.reconciler.turn = wait
    for number in range(2 * plane.settings.reconcilers):
        name = WorkloadId("harbour", f"quay-{number}")
        await plane.workloads.submit("team", f"q{number}", name, spec(), f"q{number}")
    await plane.workloads.delete("team", "r2", YARD, "", "d2")
    await let_run()
    assert [claim for claim, _ in owner.released] == [owner.held[0].claim]
    assert len(owner.held) == 1
    turn.set()
    await let_run()
    assert len(owner.held) == 1 + 2 * plane.settings.reconcilers
    running.cancel()


async def offer(plane: ControlPlane, zone: Zone) -> None:
    await plane.partners.offered(OWNER, [StoredOffer(OWNER, "zones/oslo-9", "e2", zone)], [])


async def test_the_law_watch_tells_a_change_once() -> None:
    plane, _ = await open_plane()
    watch = LawWatch(plane.world, plane.laws, clock_of(plane))
    assert watch.changed() is None
    assert watch.changed() == frozenset()
    await offer(plane, replace(offered_zone(), facts=(site_fact("NO", 600_000),)))
    assert watch.changed() == {offered_zone().id}
    assert watch.changed() == frozenset()


async def test_the_law_watch_tells_that_a_zone_has_gone() -> None:
    plane, _ = await open_plane()
    watch = LawWatch(plane.world, plane.laws, clock_of(plane))
    await offer(plane, offered_zone())
    watch.changed()
    await plane.partners.offered(OWNER, [], ["zones/oslo-9"])
    assert watch.changed() == {offered_zone().id}


async def test_the_law_watch_tells_that_a_fact_has_run_out() -> None:
    plane, _ = await open_plane()
    clock = clock_of(plane)
    fact = site_fact("NO", 60_000)
    await offer(plane, replace(offered_zone(), facts=(fact,)))
    watch = LawWatch(plane.world, plane.laws, clock)
    assert watch.changed() is None
    clock.now_ms += fact.evidence.valid_until_ms - clock.wall_ms() - 1
    assert watch.changed() == frozenset()
    clock.now_ms += 1
    assert watch.changed() is None


async def test_a_zone_that_changed_has_those_looked_at_who_are_placed_there_and_who_wait() -> None:
    plane, _ = await open_plane()
    await offer(plane, offered_zone())
    running = asyncio.create_task(plane.reconciler.run())
    await plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    await let_run()
    running.cancel()
    assert [str(one.zone) for one in plane.state.workloads[str(YARD)].placements] == [str(offered_zone().id)]
    other = replace(offered_zone(), id=ZoneId(OWNER, "oslo-8"))
    await plane.partners.offered(OWNER, [StoredOffer(OWNER, "zones/oslo-8", "e1", other)], [])
    plane.law_watch.changed()
    woken: list[str] = []
    plane.reconciler.wake = woken.append  # type: ignore[method-assign]
    await plane.partners.offered(
        OWNER, [StoredOffer(OWNER, "zones/oslo-8", "e2", replace(other, facts=(site_fact("SE", 600_000),)))], []
    )
    woken.clear()
    judged(plane)
    assert woken == []
    await offer(plane, replace(offered_zone(), facts=(site_fact("NO", 600_000),)))
    woken.clear()
    judged(plane)
    assert woken == [str(YARD)]


def judged(plane: ControlPlane) -> None:
    """The check of the law that is due once in a while."""
    plane._next_law_check_ms = 0
    plane._next_sweep_ms = clock_of(plane).monotonic_ms() + 60_000
    plane._check_law()


async def test_what_is_free_in_a_zone_is_no_matter_of_law() -> None:
    plane, _ = await open_plane()
    watch = LawWatch(plane.world, plane.laws, clock_of(plane))
    watch.changed()
    await offer(plane, replace(offered_zone(), free=replace(offered_zone().free, cpu_millis=1)))
    assert plane.world.snapshot().zones[0].free.cpu_millis == 1
    assert watch.changed() == frozenset()


async def test_who_has_preferences_is_looked_at_though_the_law_stays() -> None:
    plane, _ = await open_plane()
    tiers = Preferences(ordered=(Selector(countries=frozenset({"NO"})),))
    await plane.workloads.submit("team", "r1", YARD, spec(), "d1")
    await plane.workloads.submit("team", "r2", QUAY, replace(spec(), preferences=tiers), "d2")
    for name in (YARD, QUAY):
        held = plane.state.workloads[str(name)]
        plane.journal.put(replace(held, state=WorkloadState.RUNNING))
    woken: list[str] = []
    plane.reconciler.wake = woken.append  # type: ignore[method-assign]
    plane.reconciler.wake_preferring()
    assert woken == [str(QUAY)]


async def test_measurements_that_stay_the_same_stay_the_same_object() -> None:
    plane, _ = await open_plane()
    before = plane.world.snapshot()
    await offer(plane, replace(offered_zone(), free=replace(offered_zone().free, cpu_millis=1)))
    after = plane.world.snapshot()
    assert after is not before
    assert after.measured is before.measured
