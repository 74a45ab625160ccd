"""Fail-over: a zone falls silent, and its workloads are placed elsewhere. 1,000 workloads, SQLite, one process.

Agents are played: no wire, real clock, real store, the production application. "detected" is how long after its agent
was last heard a zone is given up, with the timings of a configuration for fast detection; "replaced" is from there
until owners have granted other places, durably: for a hundredth of the workloads, the slowest of them. On a shared
machine wall times grow with its load, so the processor's seconds stand beside them.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from hansa_control.adapters.store_sqlite import SqliteStore
from hansa_control.adapters.system import SystemClock, SystemIds
from hansa_control.application.control_plane import ControlPlane, Surroundings
from hansa_control.application.ports import StoredAdvert
from hansa_control.application.settings import Settings
from hansa_control.domain.model import (
    AccessDemand,
    ArtefactRef,
    Capacity,
    Inventory,
    LatencyBudget,
    NetworkNode,
    Placement,
    PlacementState,
    ResidencyPolicy,
    WorkloadId,
    WorkloadSpec,
)

OPERATOR = "nordavind"
ARTEFACT = ArtefactRef("tiny", "sha256:" + "a" * 64)
WORKLOADS = 1_000
NODES = (NetworkNode("oslo", "Oslo", "NO", 59.9, 10.7, access_point=True),)
TIMINGS = {"heartbeat_interval_ms": 500, "quiet_after_ms": 1_500, "lost_after_ms": 2_500}
DETECTED_MS_MAX, REPLACED_MS_MAX = 3_000.0, 1_000.0
SETTLE_S = 400.0


def rows() -> list[dict[str, object]]:
    """Detection, and re-placement of all and of a tenth of the workloads."""
    table: list[dict[str, object]] = []
    for name, zones in (("tenth", 10), ("all", 1)):
        with tempfile.TemporaryDirectory() as folder:
            table += asyncio.run(_measured(name, zones, Path(folder) / "state.db"))
    return table


async def _measured(name: str, zones: int, path: Path) -> list[dict[str, object]]:
    settings = Settings(OPERATOR, **TIMINGS)
    surroundings = Surroundings(SqliteStore(path), SystemClock(), SystemIds(), {})
    plane = ControlPlane(settings, (NODES, ()), surroundings)
    await plane.start()
    async with asyncio.TaskGroup() as group:
        heard = [f"z-{number}" for number in range(zones + 2)]
        for zone in heard:
            await _greet(plane, zone, WORKLOADS // zones if zone != f"z-{zones}" else WORKLOADS)
        tasks = [group.create_task(plane.run()), group.create_task(_beat(plane, heard))]
        await _submit_all(plane)
        await _until(lambda: _placed(plane) == WORKLOADS)
        found = await _lose(plane, heard, heard[0])
        for task in tasks:
            task.cancel()
    await plane.stop()
    detected_ms, replaced_ms, cpu_s, count = found
    at = f"failover.{name}"
    return [
        _row(f"{at}.detected", detected_ms, "ms", DETECTED_MS_MAX),
        _row(f"{at}.replaced_p99", replaced_ms[max(0, -(-count * 99 // 100) - 1)], "ms", REPLACED_MS_MAX),
        _row(f"{at}.cpu", cpu_s * 1_000, "ms", None),
        _row(f"{at}.workloads", count, "", None),
    ]


async def _greet(plane: ControlPlane, zone: str, room: int) -> None:
    inventory = Inventory(
        "oslo", "Oslo", Capacity(room * 10, room * 10), (), (ARTEFACT,), "", 100, "file", cordoned=False
    )
    plane.agents.welcome(zone, "boot-1", SystemClock().wall_ms())
    plane.agents.heard(zone)
    await plane.agents.adverts(zone, [StoredAdvert(zone, "inventory", "e1", inventory)], [])


async def _beat(plane: ControlPlane, heard: list[str]) -> None:
    while True:
        for zone in heard:
            plane.agents.heard(zone)
        await asyncio.sleep(TIMINGS["heartbeat_interval_ms"] / 1_000)


async def _submit_all(plane: ControlPlane) -> None:
    access, budget = (AccessDemand("oslo", 1_000),), LatencyBudget(95, 50_000)
    spec = WorkloadSpec(ARTEFACT, None, 10, 10, 1, access, budget, ResidencyPolicy())
    calls: list[Awaitable[object]] = [
        plane.workloads.submit("bench", f"r{n}", WorkloadId("bench", f"w-{n:04}"), spec, f"d{n}")
        for n in range(WORKLOADS)
    ]
    await asyncio.gather(*calls)


def _live(plane: ControlPlane) -> list[Placement]:
    states = {PlacementState.STARTING, PlacementState.READY}
    return [one for w in plane.state.workloads.values() for one in w.placements if one.state in states]


def _placed(plane: ControlPlane) -> int:
    return len(_live(plane))


async def _lose(plane: ControlPlane, heard: list[str], zone: str) -> tuple[float, list[float], float, int]:
    """Detection, re-placements (both ms, the latter sorted), processor seconds, how many had to move."""
    count = sum(one.zone.zone == zone for one in _live(plane))
    granted_s: list[float] = []
    lost_s: list[float] = []
    normal, on_lost = plane.journal.normal, plane.owner.on_zone_lost

    def note(workload: WorkloadId, reason: str, message: str) -> None:
        if reason == "Placed":
            granted_s.append(time.perf_counter())
        normal(workload, reason, message)

    def note_lost(name: str) -> None:
        lost_s.append(time.perf_counter())
        lost_s.append(time.process_time())
        on_lost(name)

    plane.journal.normal = note  # type: ignore[method-assign]
    plane.owner.on_zone_lost = note_lost  # type: ignore[method-assign]
    plane.agents.heard(zone)
    heard.remove(zone)
    silent_s = time.perf_counter()
    await _until(lambda: len(granted_s) >= count)
    await plane.state.commit()
    cpu_s = time.process_time() - lost_s[1]
    return (lost_s[0] - silent_s) * 1_000, sorted((at - lost_s[0]) * 1_000 for at in granted_s), cpu_s, count


async def _until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(SETTLE_S):
        while not look():  # noqa: ASYNC110 - what is looked at has no event
            await asyncio.sleep(0.05)


def _row(name: str, value: float, unit: str, most: float | None) -> dict[str, object]:
    met = None if most is None else value <= most
    return {"name": name, "value": value, "unit": unit, "floor": None, "ratio": None, "target": most, "met": met}
