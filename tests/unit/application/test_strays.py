"""Claims that an owner keeps and nobody here knows, as after the records were set back to an older copy."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.ports import (
    HoldGrant,
    HoldRequest,
    OwnerUnreachable,
    Refused,
    StoredOffer,
    Table,
)
from hansa_control.application.settings import Settings
from hansa_control.application.state import State
from hansa_control.application.strays import KEPT, Stray, Strays
from hansa_control.application.world import World
from hansa_control.domain.model import ClaimState, ClaimStatus, Manifest, Reason
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
    seen: list[Stray] = field(default_factory=list)

    async def start(self) -> Desk:
        self.store = self.store.reopen()
        self.state = State(self.store)
        self.world = World(Settings(HOME, partners=frozenset({OWNER})), self.state, self.clock, ((), ()))
        self.strays = Strays(AFTER_MS, (self.state, self.world), {OWNER: self.owner}, self.clock)
        self.strays.on_seen = self.seen.append
        await self.state.load()
        self.world.recover()
        self.strays.recover()
        return self

    def tell(self, claim: str, state: ClaimState = ClaimState.SERVING) -> None:
        name = f"claims/{claim}"
        self.world.offered.put(StoredOffer(OWNER, name, "e", status(claim, state)))
        self.strays.told(OWNER, claim, is_known=False)

    async def look_after(self, ms: int) -> list[str]:
        self.clock.now_ms += ms
        await self.strays.look()
        return [claim for claim, _ in self.owner.released]


@pytest.mark.parametrize("state", sorted(KEPT))
async def test_what_nobody_knows_is_said_at_once_and_given_back_after_a_while(state: ClaimState) -> None:
    desk = await Desk().start()
    desk.tell("c9", state)
    assert await desk.look_after(1) == []
    assert desk.seen == [Stray(OWNER, "c9")]
    assert await desk.look_after(AFTER_MS - 2) == []
    assert await desk.look_after(1) == ["c9"]
    assert desk.owner.released == [("c9", Reason.WORKLOAD_DELETED)]
    assert await desk.look_after(AFTER_MS) == ["c9"]
    assert desk.seen == [Stray(OWNER, "c9")]


async def test_what_a_workload_names_stays_whenever_it_was_told() -> None:
    desk = await Desk().start()
    desk.tell("c1")
    desk.state.put(Table.WORKLOAD, str(YARD), workload("c1"))
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
    assert await desk.look_after(AFTER_MS) == []


async def test_what_the_owner_no_longer_tells_of_is_left_alone() -> None:
    desk = await Desk().start()
    desk.tell("c9")
    desk.world.offered.forget(OWNER, "claims/c9")
    assert await desk.look_after(AFTER_MS) == []


async def test_an_owner_that_cannot_be_asked_is_asked_again() -> None:
    desk = await Desk().start()
    desk.tell("c9")
    desk.owner.is_cut = True
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
    assert await desk.look_after(AFTER_MS) == ["c9"]


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
