"""The share of requests that were late or lost while something was down: by exact times, and without the warm-up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from engine_worlds import drawn_world, nearest
from hansa_sim.engines import event
from hansa_sim.engines.acceleration import Speed
from hansa_sim.engines.measured import Measured
from hansa_sim.engines.model import SECOND_NS, Faults, Outages, Retries, Window
from hansa_sim.engines.recorder import Run
from hansa_sim.engines.router import Table
from hansa_sim.engines.timeline import Spells
from hansa_sim.latency.results import FaultsFelt
from hansa_sim.latency.run import run_scenario
from hansa_sim.latency.traffic import traffic_of
from scenario_texts import world_of

WORLD = drawn_world(3)
RUN = ("run: {requests: 40000, replications: 4", "run: {duration_s: 60, replications: 2")
RETRIES = "recovery: {detect_s: 2, replace_s: 1, retries: 0}"


def test_stretches_are_joined_cut_to_the_window_and_open_at_their_end() -> None:
    spells = Spells.of([(40, 50), (0, 12), (20, 30), (25, 40), (90, 1 << 61), (70, 70)], Window(100, 10))
    assert spells.edges_ns.tolist() == [10, 12, 20, 50, 90, 100]
    at_ns = np.array([0, 9, 10, 11, 12, 19, 20, 49, 50, 89, 90, 99, 100], np.int64)
    assert at_ns[spells.cover(at_ns)].tolist() == [10, 11, 20, 49, 90, 99]


def test_where_nothing_was_down_no_moment_is_covered() -> None:
    assert not Spells.of([], Window(100)).cover(np.arange(100)).any()


def served(run: Run, speed: Speed) -> Measured:
    end_ns = run.window.end_ns
    outages = Outages(np.zeros(1, np.int32), np.array([end_ns // 3]), np.array([end_ns // 2]))
    return event.serve(WORLD.blocks(), Table(nearest(WORLD.run.paths)), run, Faults(outages, Retries(2)), speed)


def ended(measured: Measured) -> tuple[int, int]:
    """How many requests of the window came to an end, and how many of them badly."""
    lost = int((measured.failed + measured.unlawful + measured.unreachable).sum())
    return int(measured.served.sum()) + lost, int(measured.late.sum()) + lost


@pytest.mark.parametrize("speed", [Speed.PLAIN, Speed.COMPILED])
def test_stretches_that_make_up_the_window_have_all_of_its_requests_between_them(speed: Speed) -> None:
    window = WORLD.run.window
    run = replace(WORLD.run, bound_ns=20_000_000)
    cut_ns = (2 * window.begin_ns + window.end_ns) // 3 + 12_345
    parts = []
    for stretches in ([(0, cut_ns)], [(cut_ns, 1 << 61)], [(0, 1 << 61)]):
        measured = served(replace(run, spells=Spells.of(stretches, window)), speed)
        parts.append(measured.in_spells)
    before, after, whole = parts
    assert tuple(whole.tolist()) == ended(measured)
    assert (before + after).tolist() == whole.tolist()
    assert 0 < before[1] < before[0] and 0 < after[1] < after[0]
    at_ns = np.concatenate([block.at_ns for block in WORLD.blocks()])
    assert before[0] == ((at_ns >= window.begin_ns) & (at_ns < cut_ns)).sum()


def felt(folder: Path, fault: str) -> FaultsFelt:
    head = f"faults: [{fault}]\n{RETRIES}\npolicies: [nearest]"
    row = run_scenario(world_of(folder, ("policies: [nearest]", head), RUN)).row("nearest", "together")
    assert row is not None and row.faults is not None
    return row.faults


def test_a_fault_that_is_over_before_the_warm_up_ends_is_in_no_figure(tmp_path: Path) -> None:
    faults = felt(tmp_path, "{operator: nordavind, parts: zones, at_s: 1, for_s: 1}")  # over at 5 s
    assert (faults.lost, faults.miss_share) == (0, None)


def test_the_share_is_of_what_was_sent_while_it_was_down_to_the_nanosecond(tmp_path: Path) -> None:
    everything = "{operator: %s, parts: zones, at_s: 20.25, for_s: 0.5}"
    faults = felt(tmp_path, ", ".join(everything % name for name in ("nordavind", "skargard", "waldnetz")))
    traffic = traffic_of(world_of(tmp_path, RUN))
    begin_ns, end_ns = round(20.25 * SECOND_NS), round(23.75 * SECOND_NS)
    at_ns = np.concatenate([block.at_ns for number in range(2) for block in traffic.requests(number)])
    sent = int(((at_ns >= begin_ns) & (at_ns < end_ns)).sum())
    assert faults.miss_share is not None
    missed = faults.miss_share * sent
    assert missed == pytest.approx(round(missed), abs=1e-6), "a whole number of requests of those sent then"
    assert missed > 0.9 * faults.lost > 0
