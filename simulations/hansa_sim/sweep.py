"""Many seeds on several processes: what came of each as it is done, and for each that breaks the command to play it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

from hansa_sim.scenario import run_scenario
from hansa_sim.scenarios import SCENARIOS

CHUNK = 5
"""Seeds that a process plays before it tells."""


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one seed, without its trace."""

    scenario: str
    seed: int
    digest: str
    broken: tuple[str, ...]

    @property
    def command(self) -> str:
        """Plays this seed again and tells everything."""
        return f"hansa sim run --scenario {self.scenario} --seed {self.seed}"


def play(scenario: str, seed: int) -> Played:
    """Plays one seed. Whatever it raises, it counts as broken: a sweep goes on."""
    try:
        outcome = run_scenario(SCENARIOS[scenario], seed)
    except Exception as error:
        return Played(scenario, seed, "", (f"the simulation itself failed: {error!r}",))
    return Played(scenario, seed, outcome.digest, outcome.broken)


def sweep(scenario: str, seeds: range, jobs: int, on_played: Callable[[Played], None]) -> list[Played]:
    """Plays all seeds, ``jobs`` at a time, 0 for one a core; answers those that broke, by seed."""
    broken: list[Played] = []
    for played in _played(scenario, seeds, jobs or os.cpu_count() or 1):
        on_played(played)
        if played.broken:
            broken.append(played)
    return sorted(broken, key=lambda one: one.seed)


def _played(scenario: str, seeds: range, jobs: int) -> Iterator[Played]:
    if jobs == 1:
        for seed in seeds:
            yield play(scenario, seed)
        return
    context = multiprocessing.get_context("spawn")
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        for done in as_completed([pool.submit(_play_all, scenario, chunk) for chunk in chunks]):
            yield from done.result()


def _play_all(scenario: str, seeds: range) -> list[Played]:
    return [play(scenario, seed) for seed in seeds]
