"""The command ``hansa sim``."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest
from hansa_sim import main, sweep
from hansa_sim.geography import TWO_OPERATORS
from hansa_sim.scenario import Scenario, Stage
from typer.testing import CliRunner

RUNNER = CliRunner()


def scenario(name: str, play: Callable[[Stage], Awaitable[None]]) -> dict[str, Scenario]:
    return {name: Scenario(name, "a test's play", TWO_OPERATORS, play)}


async def short(stage: Stage) -> None:
    await stage.world.pass_s(1)


async def broken(stage: Stage) -> None:
    stage.watcher.break_("something that must hold")


async def broken_at_odd_seeds(stage: Stage) -> None:
    if stage.world.streams.seed % 2:
        stage.watcher.break_("something that must hold")


def test_one_seed_tells_everything_and_ends_with_the_digest() -> None:
    done = RUNNER.invoke(main.app, ["run", "--seed", "2"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert any("is lost" in line for line in lines)
    assert lines[-1].startswith("two-operators seed 2: sound, ")


def test_many_seeds_tell_a_line_each_and_a_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "SCENARIOS", scenario("short", short))
    done = RUNNER.invoke(main.app, ["run", "--scenario", "short", "--seeds", "1..3"])
    assert done.exit_code == 0
    assert len(done.output.splitlines()) == 4
    assert done.output.splitlines()[-1] == "3 of 3 seeds sound"


def test_a_broken_invariant_is_told_and_ends_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "SCENARIOS", scenario("broken", broken))
    done = RUNNER.invoke(main.app, ["run", "--scenario", "broken", "--seeds", "4..5"])
    assert done.exit_code == 1
    assert "something that must hold" in done.output
    assert "broken: seeds 4, 5" in done.output


def test_json_is_one_object_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "SCENARIOS", scenario("short", short))
    done = RUNNER.invoke(main.app, ["run", "--scenario", "short", "--seeds", "1..2", "-o", "json"])
    told = [json.loads(line) for line in done.output.splitlines()]
    assert [(one["seed"], one["sound"], one["virtual_ms"]) for one in told] == [(1, True, 1_000), (2, True, 1_000)]


@pytest.mark.parametrize(
    "arguments", [["--scenario", "nope"], ["--seeds", "9..1"], ["--seeds", "x"], ["--output", "xml"]]
)
def test_bad_arguments_are_refused_with_what_would_do(arguments: list[str]) -> None:
    done = RUNNER.invoke(main.app, ["run", *arguments])
    assert done.exit_code == 2


def test_scenarios_are_listed_with_what_they_play() -> None:
    done = RUNNER.invoke(main.app, ["scenarios"])
    assert done.exit_code == 0
    assert "storm" in done.output


# --- sweeps ---------------------------------------------------------------------------------------------------------


def test_a_sweep_prints_one_command_for_each_seed_that_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "SCENARIOS", scenario("drawn", broken_at_odd_seeds))
    done = RUNNER.invoke(main.app, ["sweep", "--start", "4", "--seeds", "3", "--jobs", "1"])
    assert done.exit_code == 1
    commands = [line for line in done.output.splitlines() if line.startswith("hansa sim run")]
    assert commands == ["hansa sim run --scenario drawn --seed 5"]
    assert "something that must hold" in done.output
    assert "2 of 3 seeds sound" in done.output


def test_a_sound_sweep_says_how_far_it_is_and_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "SCENARIOS", scenario("drawn", short))
    monkeypatch.setattr(main, "PROGRESS_SEEDS", 2)
    done = RUNNER.invoke(main.app, ["sweep", "--seeds", "5", "--jobs", "1"])
    assert done.exit_code == 0
    assert [line for line in done.stderr.splitlines() if line] == ["2 of 5 seeds", "4 of 5 seeds"]
    assert done.stdout == "5 of 5 seeds sound\n"


def test_a_simulation_that_fails_itself_is_broken_and_the_sweep_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(stage: Stage) -> None:
        raise KeyError("a defect of the simulation")

    monkeypatch.setattr(sweep, "SCENARIOS", scenario("drawn", fails))
    found = sweep.sweep("drawn", range(1, 4), 1, lambda played: None)
    assert [one.seed for one in found] == [1, 2, 3]
    assert "a defect of the simulation" in found[0].broken[0]


def test_processes_side_by_side_play_what_one_plays() -> None:
    told: dict[int, dict[int, str]] = {}
    for jobs in (1, 2):
        digests = told.setdefault(jobs, {})
        for_each = digests.__setitem__
        sweep.sweep("drawn", range(3, 6), jobs, lambda one, note=for_each: note(one.seed, one.digest))
    assert told[1] == told[2]
    assert len(set(told[1].values())) == 3


def test_a_sweep_of_what_is_not_there_is_refused_with_what_would_do() -> None:
    done = RUNNER.invoke(main.app, ["sweep", "--scenario", "nope"])
    assert done.exit_code == 2
