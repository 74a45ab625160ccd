"""Days of small scenarios, played by the system engine, and what tests ask of them."""

from __future__ import annotations

from pathlib import Path

from hansa_sim.latency.system.day import Played, play_day
from hansa_sim.latency.transients import Move
from hansa_sim.latency.world import World
from scenario_texts import world_of

RUN = "run: {requests: 40000, replications: 4, seed: 7}"
OSLO_FALLS = "{zone: nordavind/oslo-1, at_s: 400.3, for_s: 300}"
ROOMY = ("accelerators: {model: L40S, count: 3}", "accelerators: {model: L40S, count: 12}")
"""Stockholm has room for everybody."""


def day_world(folder: Path, faults: str = "", *changes: tuple[str, str], run: str = "") -> World:
    """The small scenario with faults, a day of 1,000 s long."""
    wanted = f"run: {{duration_s: 1000, seed: 7{', ' + run if run else ''}}}"
    return world_of(folder, ("policies:", f"faults: [{faults}]\npolicies:"), (RUN, wanted), ROOMY, *changes)


def played_day(folder: Path, faults: str = "", *changes: tuple[str, str], run: str = "", leaps: bool = True) -> Played:
    """That day, played."""
    return play_day(day_world(folder, faults, *changes, run=run), leaps=leaps)


def told(moves: list[Move]) -> list[tuple[str, str, str]]:
    """Who moved from where to where."""
    return [(move.workload.rpartition("/")[2], move.before, move.after) for move in moves]


def kinds(played: Played) -> list[tuple[str, str]]:
    """What happened, without when."""
    return [(one.kind, one.what) for one in played.diary.happenings]
