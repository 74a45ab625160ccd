"""The same seed plays the same run, to the byte, whatever hashes and memory addresses are."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hansa_sim.scenario import run_scenario
from hansa_sim.scenarios import SCENARIOS
from hansa_sim.streams import Streams

PROGRAM = "from hansa_sim.main import app; app()"


def digests(scenario: str, seeds: str, hash_seed: str) -> list[str]:
    command = [sys.executable, "-c", PROGRAM, "run", "--scenario", scenario, "--seeds", seeds, "-o", "json"]
    # What this process imports, the other is to import, too; hash seed aside, it gets nothing else.
    env = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return [json.loads(line)["digest"] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("scenario", "seeds"),
    [("two-operators", "5..5"), ("three-operators-storm", "5..5"), ("drawn", "2..4"), ("awaits", "41..42")],
)
def test_the_same_seed_gives_the_same_digest_under_two_hash_seeds(scenario: str, seeds: str) -> None:
    assert digests(scenario, seeds, "0") == digests(scenario, seeds, "4711")


def test_the_same_seed_gives_the_same_digest_twice_in_one_process() -> None:
    first, second = (run_scenario(SCENARIOS["two-operators"], 3) for _ in range(2))
    assert first.lines == second.lines
    assert first.digest == second.digest


def test_different_seeds_give_different_digests() -> None:
    outcomes = [run_scenario(SCENARIOS["two-operators"], seed) for seed in range(1, 6)]
    assert len({outcome.digest for outcome in outcomes}) == 5


def test_a_stream_does_not_depend_on_how_others_are_used() -> None:
    alone, beside = Streams(1), Streams(1)
    for _ in range(5):
        beside.stream("other").fraction()
    assert alone.stream("mine").word() == beside.stream("mine").word()
    assert Streams(1).stream("mine").word() != Streams(2).stream("mine").word()
    assert Streams(1).stream("mine").word() != Streams(1).stream("yours").word()


def test_numbers_of_a_stream_stay_within_their_bounds() -> None:
    stream = Streams(7).stream("numbers")
    assert all(0 <= stream.fraction() < 1 for _ in range(500))
    assert {stream.integer(2, 4) for _ in range(200)} == {2, 3, 4}
    assert all(1.5 <= stream.uniform(1.5, 2.5) < 2.5 for _ in range(200))
    assert 20 < sum(stream.chance(0.25) for _ in range(200)) < 80
