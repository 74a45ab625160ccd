"""Processes play points in any order and any number; each point comes back once, and none outlives the sweep."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hansa_sim.latency.scenario_changes import Change
from hansa_sim.latency.sweeps import playing
from hansa_sim.latency.sweeps.bundle import Bundle, bundled, code_digest
from hansa_sim.latency.sweeps.playing import Outcome, Status, Task, play
from hansa_sim.latency.sweeps.workers import Processes
from scenario_texts import written

SMALL = ("requests: 40000, replications: 4", "requests: 2000, replications: 2")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return bundled(written(tmp_path, SMALL))


def _tasks(*texts: str, key: str = "run.seed") -> list[Task]:
    return [Task(at, (Change(key, text),), f"digest-{at}") for at, text in enumerate(texts)]


def test_one_job_plays_in_order_and_starts_no_process(bundle: Bundle) -> None:
    engine = Processes(1)
    outcomes = list(engine.play(bundle, _tasks("1", "2", "3")))
    assert [one.digest for one in outcomes] == ["digest-0", "digest-1", "digest-2"]
    assert engine.workers == []


def test_nothing_to_play_starts_nothing(bundle: Bundle) -> None:
    assert list(Processes(4).play(bundle, [])) == []


@pytest.mark.timeout(300)
def test_processes_say_what_this_one_says_and_are_gone_afterwards(bundle: Bundle) -> None:
    tasks = _tasks("1", "-1", "3")
    engine = Processes(8)
    played = engine.play(bundle, tasks)
    first = next(played)
    processes = [worker.process for worker in engine.workers]
    assert len(processes) <= len(tasks)  # never more than there is to play
    found = {one.digest: one for one in [first, *played]}
    assert found == {task.digest: play(bundle, task) for task in tasks}
    assert engine.workers == []
    assert not any(process.is_alive() for process in processes)


@pytest.mark.timeout(300)
def test_a_sweep_that_is_left_ends_its_processes(bundle: Bundle) -> None:
    engine = Processes(2)
    played = engine.play(bundle, _tasks("1", "2", "3", "4"))
    next(played)
    processes = [worker.process for worker in engine.workers]
    played.close()  # type: ignore[attr-defined]
    assert processes
    assert not any(process.is_alive() for process in processes)


def test_a_point_is_played_with_its_changes(bundle: Bundle) -> None:
    one, other = (play(bundle, task) for task in _tasks("[nearest]", "[hansa,nearest]", key="policies"))
    assert [row["row"] for row in one.rows] == ["nearest"]
    assert [row["row"] for row in other.rows] == ["hansa", "nearest"]
    assert one.status is other.status is Status.OK
    assert one.code == code_digest()


def test_a_point_leaves_no_files_behind(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(room))
    play(bundle, _tasks("1")[0])
    play(bundle, _tasks("-1")[0])
    assert list(room.iterdir()) == []


@pytest.mark.parametrize("error", [ValueError("no"), MemoryError(), ZeroDivisionError("0")])
def test_whatever_breaks_is_the_outcome_of_the_point(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(_: object) -> None:
        raise error

    monkeypatch.setattr(playing, "run_scenario", broken)
    outcome = play(bundle, _tasks("1")[0])
    assert outcome == Outcome("digest-0", Status.FAILED, f"the simulation itself failed: {error!r}", code=code_digest())


def test_ctrl_c_is_nobodys_outcome(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def struck(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(playing, "run_scenario", struck)
    with pytest.raises(KeyboardInterrupt):
        play(bundle, _tasks("1")[0])


def test_a_bundle_can_be_played_where_its_scenario_is_not(bundle: Bundle, tmp_path: Path) -> None:
    before = play(bundle, _tasks("1")[0])
    for name in ("scenario.yaml", "trips.csv"):
        (tmp_path / name).unlink()
    assert play(bundle, _tasks("1")[0]) == before


def test_the_digest_of_the_code_is_of_files_and_not_of_what_python_makes_of_them(tmp_path: Path) -> None:
    before = code_digest()
    code_digest.cache_clear()
    assert code_digest() == before
    assert len(before) == 64
    assert os.fspath(tmp_path) not in before
