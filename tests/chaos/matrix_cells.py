"""The cells of the kill matrix: at which step, to whom, what happens; and how one of them is played."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import NamedTuple

from fault_proxy import FaultProxy, Way
from matrix_agreements import AGREEMENT_STEPS
from matrix_drains import DRAIN_STEPS
from matrix_steps import STEPS, Scene, Step
from promises import History, Watch, emptied, settled
from proxied_world import CLIENT_LINK, PARTNER_LINK, ProxiedWorld
from small_world import CAST, HOME, PARTNER, spec_in, until

ALL_STEPS: tuple[Step, ...] = (*STEPS, *DRAIN_STEPS, *AGREEMENT_STEPS)
STEP_OF: Mapping[str, Step] = {step.full_name: step for step in ALL_STEPS}
PROCESS_FAULTS = ("kill", "freeze")
LINK_FAULTS = ("cut", "half-open-to", "half-open-from", "slow")
FAULT_S = 4.0
"""Longer than a lease, than offers live and than an agent may be silent in this world."""
SLOW_DELAY_MS, SLOW_BYTES_PER_S = 1_000, 20_000
"""There and back takes as long as a call to a partner may: some are in time and some are not."""
CALL_MS = 30_000
PASSERS_BY_EVERY_S = 0.4
_NUMBERS = count(1)
"""For names: one that was used in a cell before is remembered by the operators, with the requests that used it."""


class Cell(NamedTuple):
    """One experiment. ``victim`` is a process, or a way between processes with "-link"."""

    step: str
    victim: str
    fault: str

    @property
    def name(self) -> str:
        return f"{self.step}/{self.victim}/{self.fault}"


def _cells_of(step: Step) -> list[Cell]:
    processes = [Cell(step.full_name, victim, fault) for victim in step.victims for fault in PROCESS_FAULTS]
    links = [Cell(step.full_name, f"{link}-link", fault) for link in step.links for fault in LINK_FAULTS]
    return processes + links


STORE_STEP = "store/under-load"
STORE_CELLS: tuple[Cell, ...] = (
    *(Cell(STORE_STEP, victim, fault) for victim in ("leader", "follower", "postgres") for fault in PROCESS_FAULTS),
    *(Cell(STORE_STEP, "postgres-link", fault) for fault in LINK_FAULTS),
)
"""Played in a world of its own: two control planes of one operator on one PostgreSQL."""

CELLS: tuple[Cell, ...] = (*(cell for step in ALL_STEPS for cell in _cells_of(step)), *STORE_CELLS)
CELL_OF: Mapping[str, Cell] = {cell.name: cell for cell in CELLS}


async def play(world: ProxiedWorld, cell: Cell) -> None:
    """Plays one cell in a world in which nothing runs, and leaves it so; AssertionError if a promise was broken."""
    step = STEP_OF[cell.step]
    history = History()
    async with world.client(CALL_MS) as client, _watched(world) as watch:
        number = next(_NUMBERS)
        scene = Scene(world, client, history, f"subject-{number}")
        async with _passers_by(scene, step.group):
            await step.begin(scene)
            if step.keeps_alive and cell.victim != "instance":
                watch.kept_alive = scene.claims
            await _strike(scene, cell)
            if step.end is not None:
                await step.end(scene)
        for act in scene.acts:
            await act
        if step.group == "federation":
            await world.sees_all_zones()
            await history.submit(client, f"abroad-{next(_NUMBERS)}", spec_in("DE"))
        await settled(world, client, history)
        watch.kept_alive = ""
        await emptied(world, client, history)
        assert not watch.wrong, "; ".join(watch.wrong)


@asynccontextmanager
async def _watched(world: ProxiedWorld) -> AsyncIterator[Watch]:
    watch = Watch(world)
    running = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@asynccontextmanager
async def _passers_by(scene: Scene, group: str) -> AsyncIterator[None]:
    """Other app teams, who submit and delete meanwhile and are to get what they were promised, too."""
    stop = asyncio.Event()

    async def pass_by(country: str) -> None:
        while not stop.is_set():
            name = f"passer-{next(_NUMBERS)}"
            await scene.history.submit(scene.client, name, spec_in(country))
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), PASSERS_BY_EVERY_S)
            if not stop.is_set():
                await scene.history.delete(scene.client, name)

    # Operators that are to forget everything have promised nothing to anybody; what is agreed changes for the partner.
    countries = {"federation": (), "agreement": ("NO",)}.get(group, ("NO", "DE"))
    walking = [asyncio.create_task(pass_by(country)) for country in countries]
    try:
        yield
        stop.set()
        await asyncio.gather(*walking)
    finally:
        for task in walking:
            task.cancel()


# --- faults ---------------------------------------------------------------------------------------------------------


async def _strike(scene: Scene, cell: Cell) -> None:
    """What happens, for as long as it lasts, and its healing; every way is as short as ever afterwards."""
    world = scene.world
    try:
        if cell.victim.endswith("-link"):
            await _strike_link(scene, world.links[_link_of(scene, cell)], cell.fault)
        elif cell.victim == "instance":
            await _strike_instance(scene, cell.fault)
        else:
            await _strike_process(scene, _process_of(scene, cell), cell.fault)
    finally:
        for link in world.links.values():
            link.slow()
            link.heal()


async def _strike_link(scene: Scene, link: FaultProxy, fault: str) -> None:
    if fault == "cut":
        link.cut()
    elif fault == "slow":
        link.slow(SLOW_DELAY_MS, SLOW_BYTES_PER_S)
    else:
        link.swallow(Way.TO if fault == "half-open-to" else Way.FROM)
    await _lasting()


async def _strike_process(scene: Scene, name: str, fault: str) -> None:
    if fault == "kill":
        await scene.world.kill_and_restart(name)
        return
    scene.world.freeze(name)
    try:
        await _lasting()
    finally:
        scene.world.thaw(name)


async def _strike_instance(scene: Scene, fault: str) -> None:
    """The subject's instance that serves or is to serve: the newest."""

    async def look() -> int:
        return max(((one.name, one.pid) for one in scene.world.instances() if one.name.startswith(scene.claims)),
                   default=("", 0))[1]  # fmt: skip

    pid = await until("an instance to strike", look)
    os.kill(pid, signal.SIGKILL if fault == "kill" else signal.SIGSTOP)
    if fault == "freeze":
        try:
            await _lasting()
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


async def _lasting() -> None:
    """How long a fault lasts is the fault: there is no event to wait for."""
    await asyncio.sleep(FAULT_S)


def _process_of(scene: Scene, cell: Cell) -> str:
    if cell.victim in {"home", "partner"}:
        return {"home": HOME, "partner": PARTNER}[cell.victim]
    return _zone_of(scene, cell)


def _link_of(scene: Scene, cell: Cell) -> str:
    if cell.victim in {"client-link", "partner-link"}:
        return {"client-link": CLIENT_LINK, "partner-link": PARTNER_LINK}[cell.victim]
    return _zone_of(scene, cell)


def _zone_of(scene: Scene, cell: Cell) -> str:
    """The zone that the step is about."""
    zone = scene.old_zone if cell.step.endswith("/old-released") else scene.new_zone
    return zone or f"{PARTNER}/{CAST[PARTNER][0]}"
