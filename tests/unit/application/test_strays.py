"""Claims that an owner keeps and nobody here knows, as after the records were set back to an older copy."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.ports import (
    HoldGrant,
    HoldRequest,
    OwnerUnreachable,
    Refused,
    StoredOffer,
    StoreFailed,
    Table,
)
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.application.strays import KEPT, ROUND_MAX, Strays
from hansa_control.application.world import World
from hansa_control.domain.model import ClaimState, ClaimStatus, Manifest, Reason, ZoneId
from home_operator import HandClock
from two_operators import HOME, OWNER, YARD, workload

AFTER_MS = 60_000


class Owner:
    """Takes back what it is told to, unless it cannot be reached."""

    def __init__(self) -> None:
        self.released: list[tuple[str, Reason]] = []
        self.is_cut = False

    async def hold(self, request: HoldRequest) -> HoldGrant | Refused:
        raise AssertionError("nobody asks for anything new")

    async def confirm(self, claim: str, fencing_token: int, manifest: Manifest) -> ClaimStatus:
        raise AssertionError("nobody asks for anything new")

    async def release(self, claim: str, reason: Reason) -> ClaimStatus:
        if self.is_cut:
            raise OwnerUnreachable("cut")
        self.released.append((claim, reason))
        return status(claim, ClaimState.RELEASING)


def status(claim: str, state: ClaimState = ClaimState.SERVING) -> ClaimStatus:
    return ClaimStatus(claim, state, 1, (), "", 7)


@dataclass
class Desk:
    store: MemoryStore = field(default_factory=MemoryStore)
    owner: Owner = field(default_factory=Owner)
    clock: HandClock = field(default_factory=HandClock)
    seen: list[tuple[str, int]] = field(default_factory=list)

    async def start(self) -> Desk:
        self.store = self.store.reopen()
        self.state = State(self.store)
        self.world = World(Settings(HOME, partners=frozenset({OWNER})), self.state, self.clock, ((), ()))
        self.strays = Strays(AFTER_MS, (self.state, self.world), {OWNER: self.owner}, self.clock)
        self.strays.on_seen = lambda owner, count: self.seen.append((owner, count))
        await self.state.load()
        self.world.recover()
        self.strays.recover()
        return self

    def tell(self, claim: str, state: ClaimState = ClaimState.SERVING) -> None:
        name = f"claims/{claim}"
        self.world.offered.put(StoredOffer(OWNER, name, "e", status(claim, state)))
        self.strays.told(OWNER, claim)

    async def look_after(self, ms: int) -> list[str]:
        self.clock.now_ms += ms
        await self.strays.look(OWNER)
        return [claim for claim, _ in self.owner.released]


@pytest.mark.parametrize("state", sorted(KEPT))
async def test_what_nobody_knows_is_said_at_once_and_given_back_after_a_while(state: ClaimState) -> None:
    desk = await Desk().start()
    desk.tell("c9", state)
    assert await desk.look_after(1) == []
    assert desk.seen == [(OWNER, 1)]
    assert await desk.look_after(AFTER_MS - 1) == []
    assert await desk.look_after(1) == ["c9"]
    assert desk.owner.released == [("c9", Reason.WORKLOAD_DELETED)]
    desk.tell("c9", ClaimState.RELEASING)
    assert await desk.look_after(2 * AFTER_MS) == ["c9"]
    assert desk.seen == [(OWNER, 1)]


async def test_what_a_workload_names_stays_whenever_it_was_told() -> None:
    desk = await Desk().start()
    desk.tell("c1")
    desk.state.put(Table.WORKLOAD, str(YARD), workload("c1"))
    await desk.look_after(0)
    assert await desk.look_after(AFTER_MS) == []
    assert desk.seen == []


async def test_what_comes_to_be_named_while_it_waits_stays() -> None:
    desk = await Desk().start()
    desk.tell("c1")
    await desk.look_after(AFTER_MS // 2)
    desk.state.put(Table.WORKLOAD, str(YARD), workload("c1"))
    assert await desk.look_after(AFTER_MS) == []


@pytest.mark.parametrize("state", sorted(set(ClaimState) - KEPT))
async def test_what_is_held_for_a_lease_or_given_back_already_is_left_alone(state: ClaimState) -> None:
    desk = await Desk().start()
    desk.tell("c9", state)
    await desk.look_after(0)
    assert await desk.look_after(AFTER_MS) == []


async def test_what_the_owner_no_longer_tells_of_is_left_alone() -> None:
    desk = await Desk().start()
    desk.tell("c9")
    await desk.look_after(0)
    desk.world.offered.forget(OWNER, "claims/c9")
    assert await desk.look_after(AFTER_MS) == []


async def test_an_owner_that_cannot_be_asked_is_asked_again() -> None:
    desk = await Desk().start()
    desk.tell("c9")
    desk.owner.is_cut = True
    await desk.look_after(0)
    assert await desk.look_after(AFTER_MS) == []
    desk.owner.is_cut = False
    assert await desk.look_after(1) == ["c9"]


async def test_after_a_restart_on_older_records_what_partners_had_told_of_is_looked_at() -> None:
    desk = await Desk().start()
    desk.world.offered.put(StoredOffer(OWNER, "claims/c1", "e", status("c1")))
    desk.world.offered.put(StoredOffer(OWNER, "claims/c9", "e", status("c9")))
    desk.state.put(Table.WORKLOAD, str(YARD), workload("c1"))
    await desk.state.commit()
    await desk.start()
    await desk.look_after(0)
    assert await desk.look_after(AFTER_MS) == ["c9"]


async def test_a_name_that_a_workload_uses_at_another_owner_is_unknown_at_this_one() -> None:
    desk = await Desk().start()
    desk.tell("c1")
    elsewhere = workload("c1")
    placement = replace(elsewhere.placements[0], zone=ZoneId("waldnetz", "berlin-1"))
    desk.state.put(Table.WORKLOAD, str(YARD), replace(elsewhere, placements=(placement,)))
    await desk.look_after(0)
    assert await desk.look_after(AFTER_MS) == ["c1"]


async def test_a_name_that_is_used_for_a_while_is_unknown_again_after_it() -> None:
    desk = await Desk().start()
    desk.tell("c1")
    desk.state.put(Table.WORKLOAD, str(YARD), workload("c1"))
    assert await desk.look_after(AFTER_MS) == []
    desk.state.put(Table.WORKLOAD, str(YARD), workload())
    assert await desk.look_after(0) == []
    assert await desk.look_after(AFTER_MS) == ["c1"]


async def test_a_name_that_comes_to_be_used_while_another_is_given_back_stays() -> None:
    desk = await Desk().start()
    desk.tell("c1")
    desk.tell("c2")
    await desk.look_after(0)
    release = desk.owner.release

    async def adopted_meanwhile(claim: str, reason: Reason) -> ClaimStatus:
        desk.state.put(Table.WORKLOAD, str(YARD), workload("c2"))
        return await release(claim, reason)

    desk.owner.release = adopted_meanwhile  # type: ignore[method-assign]
    assert await desk.look_after(AFTER_MS) == ["c1"]


async def test_an_owner_that_tells_of_very_many_is_served_a_round_at_a_time_and_said_once() -> None:
    desk = await Desk().start()
    for number in range(2 * ROUND_MAX):
        desk.tell(f"c{number}")
    await desk.look_after(0)
    assert desk.seen == [(OWNER, 2 * ROUND_MAX)]
    assert len(await desk.look_after(AFTER_MS)) == ROUND_MAX
    assert len(await desk.look_after(0)) == 2 * ROUND_MAX


async def test_what_an_owner_withdraws_is_forgotten() -> None:
    desk = await Desk().start()
    desk.tell("c9")
    await desk.look_after(0)
    desk.strays.gone(OWNER, "c9")
    assert await desk.look_after(AFTER_MS) == []


class RushingClock(HandClock):
    """Whoever sleeps finds that the time has passed."""

    async def sleep_ms(self, duration_ms: int) -> None:
        self.now_ms += duration_ms
        await asyncio.sleep(0)


async def test_it_looks_by_itself() -> None:
    desk = await Desk(clock=RushingClock()).start()
    desk.tell("c9")
    given_back = asyncio.Event()
    desk.strays.on_given_back = lambda stray: given_back.set()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(desk.strays.run())
        await given_back.wait()
        task.cancel()
    assert desk.owner.released == [("c9", Reason.WORKLOAD_DELETED)]


async def failing(desk: Desk, claim: str, failure: Exception) -> None:
    """Lets giving back a claim fail."""
    release = desk.owner.release

    async def release_or_fail(name: str, reason: Reason) -> ClaimStatus:
        if name == claim:
            raise failure
        return await release(name, reason)

    desk.owner.release = release_or_fail  # type: ignore[method-assign]
    desk.tell("c1")
    desk.tell("c2")
    await desk.look_after(0)


async def test_a_defect_at_one_claim_is_told_and_the_others_are_given_back() -> None:
    desk, told = await Desk().start(), list[tuple[str, Exception]]()
    desk.strays.on_defect = lambda owner, defect: told.append((owner, defect))
    await failing(desk, "c1", defect := ZeroDivisionError("by a defect"))
    assert await desk.look_after(AFTER_MS) == ["c2"]
    assert told == [(OWNER, defect)]


async def test_a_failed_store_is_not_contained_in_giving_back() -> None:
    desk = await Desk().start()
    await failing(desk, "c1", StoreFailed("disk full"))
    with pytest.raises(StoreFailed):
        await desk.look_after(AFTER_MS)


async def test_a_defect_met_while_looking_is_told_and_the_looks_go_on() -> None:
    desk, told, looks = await Desk().start(), list[Exception](), list[str]()
    enough = asyncio.Event()
    desk.strays.on_defect = lambda owner, defect: told.append(defect)

    async def broken_once(owner: str) -> None:
        looks.append(owner)
        if len(looks) == 1:
            raise ZeroDivisionError("by a defect")
        enough.set()

    async def soon(duration_ms: int) -> None:
        await asyncio.sleep(0)

    desk.strays.look = broken_once  # type: ignore[method-assign]
    desk.clock.sleep_ms = soon  # type: ignore[method-assign]
    work = asyncio.create_task(desk.strays.run())
    async with asyncio.timeout(10):
        await enough.wait()
    assert not work.done()
    work.cancel()
    assert [type(defect) for defect in told] == [ZeroDivisionError]
