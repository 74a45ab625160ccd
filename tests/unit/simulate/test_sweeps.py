"""A sweep says the same whoever plays it and however often it was killed; errors are results of their points."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hansa_sim.latency import frames
from hansa_sim.latency.command import app
from hansa_sim.latency.scenario_changes import Change
from hansa_sim.latency.scenario_file import ScenarioError
from hansa_sim.latency.sweeps import bundle as bundles
from hansa_sim.latency.sweeps.bundle import Bundle, bundled, point_digest
from hansa_sim.latency.sweeps.grid import Axis, points_of
from hansa_sim.latency.sweeps.journal import Journal, JournalBusy
from hansa_sim.latency.sweeps.page import page_of_sweep
from hansa_sim.latency.sweeps.playing import Outcome, Status, Task
from hansa_sim.latency.sweeps.study import Points, Sofar, Swept, swept
from hansa_sim.latency.sweeps.summary import summary_of, words_of_sweep
from hansa_sim.latency.sweeps.workers import Processes
from scenario_texts import written
from typer.testing import CliRunner

SMALL = ("requests: 40000, replications: 4", "requests: 2000, replications: 2")
GRID = ("users.oslo.requests_per_s=20,-1,60", "run.seed=1..2")
FILES = ("rows.jsonl", "rows.parquet", "sweep.html")


def _points(*assignments: str) -> Points:
    return points_of([Axis.of(one) for one in assignments])


def _sweep(path: Path, out: Path, *more: str, grid: Sequence[str] = GRID) -> str:
    """Plays the grid in this process; answers what it said."""
    changes = [word for one in grid for word in ("--set", one)]
    ran = CliRunner().invoke(app, ["sweep", str(path), *changes, "--out", str(out), "--jobs", "1", *more])
    assert ran.exit_code == 0, ran.output
    return ran.output


def _files(out: Path) -> list[bytes]:
    return [(out / name).read_bytes() for name in FILES]


def test_a_sweep_says_what_it_came_to_as_json(tmp_path: Path) -> None:
    grid = ["run.requests=2000,4000,-5", "run.seed=1,2"]
    wanted = [word for one in grid for word in ("--set", one)]
    sweep = ["sweep", str(written(tmp_path)), *wanted, "--out", str(tmp_path / "out"), "--jobs", "1"]
    ran = CliRunner().invoke(app, [*sweep, "-o", "json", "--least", "p99_ms"])
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout)
    assert (found["figure"], found["points"]) == ("p99_ms", {"ok": 4, "refused": 2, "failed": 0, "before": 0})
    assert [(one["setting"], one["row"], one["seeds"]) for one in found["figures"]] == [
        ({"run.requests": 2000}, "nearest", 2),
        ({"run.requests": 4000}, "nearest", 2),
    ]
    assert found["best"]["nearest"]["mean"] == min(one["mean"] for one in found["figures"])
    assert [(one["point"], one["status"]) for one in found["errors"]] == [(5, "refused"), (6, "refused")]
    assert CliRunner().invoke(app, [*sweep, "-o", "yaml"]).exit_code == 2


KILLED = """
import os, signal
from pathlib import Path
from hansa_sim.latency.sweeps.grid import Axis, points_of
from hansa_sim.latency.sweeps.study import swept
from hansa_sim.latency.sweeps.workers import Processes
def watch(sofar):
    if sofar.done == 3:
        os.kill(os.getpid(), signal.SIGKILL)
points = points_of([Axis.of(one) for one in {grid!r}])
swept(Path({path!r}), points, Path({out!r}), Processes(1), watch)
"""

STRUCK = """
import os, signal
from hansa_sim.latency.sweeps import command
kept = command.swept
def struck(scenario, points, out, engine, watch):
    def and_strike(sofar):
        watch(sofar)
        if sofar.done == 2:
            os.kill(os.getpid(), signal.SIGINT)
    return kept(scenario, points, out, engine, and_strike)
command.swept = struck
from hansa_sim.latency.command import app
app({sweep!r})
"""


def _python(code: str, hash_seed: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}  # noqa: TID251
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)


@pytest.mark.timeout(300)
def test_same_bytes_for_any_number_of_workers_any_hash_seed_and_after_a_kill(tmp_path: Path) -> None:
    path, killed = written(tmp_path, SMALL), tmp_path / "killed"
    _sweep(path, tmp_path / "alone")
    killed.mkdir()
    ended = _python(KILLED.format(grid=GRID, path=str(path), out=str(killed)), "1")
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert len((killed / "journal.jsonl").read_text().splitlines()) == 3
    with (killed / "journal.jsonl").open("a", encoding="utf-8") as journal:
        journal.write('{"digest": "torn')
    sweep = ["sweep", str(path), "--set", GRID[0], "--set", GRID[1], "--out", str(killed), "--jobs", "3"]
    ran = _python(f"from hansa_sim.latency.command import app; app({sweep!r})", "2")
    assert ran.returncode == 0, ran.stderr
    assert "3 points were there before" in " ".join(ran.stderr.split())
    assert _files(killed) == _files(tmp_path / "alone")


@pytest.mark.timeout(300)
def test_ctrl_c_ends_without_a_word_of_workers_and_keeps_what_is_done(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL)
    sweep = ["sweep", str(path), "--set", GRID[0], "--set", GRID[1], "--out", str(tmp_path / "out"), "--jobs", "2"]
    ended = _python(STRUCK.format(sweep=sweep), "1")
    assert ended.returncode == 130, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "stopped with 2 of 6 points done" in ended.stderr
    assert "2 points were there before" in _sweep(path, tmp_path / "out")


def test_a_value_that_cannot_be_is_the_result_of_its_point(tmp_path: Path) -> None:
    said = _sweep(written(tmp_path, SMALL), tmp_path / "out")
    assert "2 of 6 points refused; point 3: --set users.oslo.requests_per_s" in said
    rows = [json.loads(line) for line in (tmp_path / "out" / "rows.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["ok", "ok", "refused", "refused", "ok", "ok"]
    assert [(row["point"], row["users.oslo.requests_per_s"], row["run.seed"]) for row in rows][:3] == [
        (1, 20, 1), (2, 20, 2), (3, -1, 1),
    ]  # fmt: skip
    assert "greater than or equal to 0.001" in rows[2]["error"]
    assert rows[0]["mean_ms"] != rows[1]["mean_ms"]


def test_a_place_in_an_error_is_the_users_and_not_the_workers(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL)
    said = _sweep(path, tmp_path / "out", grid=["apps.ocr.home=skargard,none"])
    assert f"{path}:" in said
    assert "hansa-point" not in (tmp_path / "out" / "rows.jsonl").read_text()


def test_a_key_that_is_not_there_ends_the_sweep_before_it_begins(tmp_path: Path) -> None:
    path, out = written(tmp_path), tmp_path / "out"
    ended = CliRunner().invoke(app, ["sweep", str(path), "--set", "run.sed=1..4", "--out", str(out), "--jobs", "1"])
    assert ended.exit_code == 2
    assert "--set run.sed: unknown key; did you mean seed?" in ended.stderr
    assert not (out / "rows.jsonl").exists()
    wrong = CliRunner().invoke(app, ["sweep", str(path), "--set", "run.seed=4..1", "--out", str(out)])
    assert wrong.exit_code == 2


class _Counting:
    """An engine that counts what it is given, and makes a row of each point's number."""

    def __init__(self, *failing: int) -> None:
        self.failing = failing
        self.given: list[int] = []

    def play(self, bundle: Bundle, tasks: Sequence[Task]) -> Iterator[Outcome]:
        for task in reversed(tasks):
            self.given.append(task.number)
            failed = task.number in self.failing
            row = {
                "app": "ocr",
                "row": "nearest",
                "mean_ms": 10.0 + task.number,
                "mean_ms_half_width": 1.0,
                "stable": True,
            }
            status = Status.FAILED if failed else Status.OK
            yield Outcome(task.digest, status, "broken" if failed else "", () if failed else (row,), self.code())

    def code(self) -> str:
        return bundles.code_digest()


def _play(path: Path, out: Path, engine: _Counting, *grid: str) -> Swept:
    out.mkdir(exist_ok=True)
    return swept(path, _points(*grid), out, engine)


def test_finished_points_stay_when_the_grid_grows_and_go_when_the_scenario_changes(tmp_path: Path) -> None:
    path, out = written(tmp_path), tmp_path / "out"
    _play(path, out, _Counting(), "run.seed=1..3")
    more = _Counting()
    grown = _play(path, out, more, "run.seed=2..5")
    assert more.given == [3, 2]
    assert (grown.before, grown.unused) == (2, 1)
    (tmp_path / "trips.csv").write_text((tmp_path / "trips.csv").read_text() + "oslo,reef,9,-,skargard\n")
    other = _Counting()
    changed = _play(path, out, other, "run.seed=2..5")
    assert (len(other.given), changed.before) == (4, 0)  # a file that the scenario names is part of it


def test_finished_points_go_when_the_code_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = written(tmp_path), tmp_path / "out"
    _play(path, out, _Counting(), "run.seed=1..3")
    monkeypatch.setattr(bundles, "LIBRARIES", ("numpy",))
    bundles.code_digest.cache_clear()
    other = _Counting()
    _play(path, out, other, "run.seed=1..3")
    bundles.code_digest.cache_clear()
    assert len(other.given) == 3


def test_a_point_that_failed_is_played_again(tmp_path: Path) -> None:
    path, out = written(tmp_path), tmp_path / "out"
    first = _play(path, out, _Counting(1), "run.seed=1..3")
    assert [outcome.status.value for outcome in first.outcomes] == ["ok", "failed", "ok"]
    again = _Counting()
    _play(path, out, again, "run.seed=1..3")
    assert again.given == [1]


def test_what_other_code_has_played_counts_as_failed(tmp_path: Path) -> None:
    class Older(_Counting):
        def code(self) -> str:
            return "older"

    strange = _play(written(tmp_path), tmp_path / "out", Older(), "run.seed=1")
    assert strange.outcomes[0].status is Status.FAILED
    assert "another version" in strange.outcomes[0].error


def test_damaged_lines_of_a_journal_are_played_again(tmp_path: Path) -> None:
    path, out = written(tmp_path), tmp_path / "out"
    _play(path, out, _Counting(), "run.seed=1..3")
    lines = (out / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (out / "journal.jsonl").write_bytes(b"\0\0\0\n" + lines[1] + b'{"digest": 3}\n' + lines[2][:40])
    again = _Counting()
    done = _play(path, out, again, "run.seed=1..3")
    assert done.before == 1
    assert len(again.given) == 2
    assert len((out / "journal.jsonl").read_bytes().splitlines()) == 5


def test_two_sweeps_do_not_write_one_journal(tmp_path: Path) -> None:
    path = written(tmp_path)
    with Journal(tmp_path / "journal.jsonl"), pytest.raises(JournalBusy):
        swept(path, _points("run.seed=1"), tmp_path, _Counting())


def test_progress_counts_what_was_there_before(tmp_path: Path) -> None:
    path, seen = written(tmp_path), list[Sofar]()
    _play(path, tmp_path, _Counting(), "run.seed=1..2")
    swept(path, _points("run.seed=1..4"), tmp_path, _Counting(), seen.append)
    assert [(one.done, one.total, one.before) for one in seen] == [(2, 4, 2), (3, 4, 2), (4, 4, 2)]


def test_a_bundle_holds_what_the_scenario_names_and_nothing_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "outside.csv").write_text("a,b,rtt_ms\n", encoding="utf-8")
    (tmp_path / "inner" / "beside.txt").write_text("not named", encoding="utf-8")
    path = written(tmp_path / "inner")
    found = bundled(path)
    assert [name for name, _ in found.files] == ["scenario.yaml", "trips.csv"]
    copy = found.write_to(tmp_path / "copy")
    assert copy.read_bytes() == path.read_bytes()
    assert bundled(copy).digest == found.digest
    path.write_text(path.read_text().replace("trips.csv", "../outside.csv"), encoding="utf-8")
    with pytest.raises(ScenarioError, match="not beside the scenario"):
        bundled(path)


def test_a_digest_knows_every_value(tmp_path: Path) -> None:
    found = bundled(written(tmp_path))
    one, other = Change("run.seed", "1"), Change("run.requests", "5000")
    digests = {point_digest(found, changes) for changes in ([one], [one, other], [other], [Change("run.seed", "2")])}
    assert len(digests) == 4
    assert point_digest(found, [one]) in digests


@pytest.mark.timeout(300)
def test_a_process_that_dies_takes_one_point_with_it(tmp_path: Path) -> None:
    found = bundled(written(tmp_path, SMALL))
    tasks = [Task(at, changes, str(at)) for at, changes in enumerate(_points("run.seed=1..3"))]
    engine = Processes(2)
    played = engine.play(found, tasks)
    outcomes = [next(played)]
    os.kill(engine.workers[0].process.pid or 0, signal.SIGKILL)
    outcomes += played
    assert sorted(one.digest for one in outcomes) == ["0", "1", "2"]
    failed = [one.error for one in outcomes if one.status is Status.FAILED]
    assert failed == ["its process ended with -9; the machine may have run out of memory"]


class _Measured(_Counting):
    """An engine that finds given figures, by rate and seed."""

    def play(self, bundle: Bundle, tasks: Sequence[Task]) -> Iterator[Outcome]:
        figures = {(10, 1): 5.0, (10, 2): 9.0, (20, 1): 6.5, (20, 2): 6.7, (30, 1): 1.0, (30, 2): 1.0}
        for task in tasks:
            rate, seed = (int(change.text) for change in task.changes)
            row = {"app": "ocr", "row": "nearest", "mean_ms": figures[rate, seed], "stable": (rate, seed) != (30, 2)}
            yield Outcome(task.digest, Status.OK, "", (row,), self.code())


def test_the_best_point_is_over_all_seeds_and_only_where_all_are_stable(tmp_path: Path) -> None:
    done = _play(written(tmp_path), tmp_path / "out", _Measured(), "users.0.requests_per_s=10,20,30", "run.seed=1,2")
    summary = summary_of(done, "mean_ms")
    best = summary.best("nearest")
    assert best is not None
    assert best.setting == (20,)
    assert best.value.mean == pytest.approx(6.6)
    assert best.value.half_width == pytest.approx(12.706 * 0.1, rel=1e-3)
    assert [one.is_sound for one in summary.figures] == [True, True, False]
    assert next(words_of_sweep(done, summary)) == "nearest: least mean_ms 6.60 ± 1.27 at users.0.requests_per_s=20."
    page = page_of_sweep(done, summary, "small")
    assert page.count("<circle") == 2
    assert "users.0.requests_per_s × run.seed" in page


def test_what_a_grid_writes_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    done = _play(written(tmp_path), tmp_path / "out", _Counting(), "title='<script>x','<script>y'")
    page = page_of_sweep(done, summary_of(done, "mean_ms"), "<script>")
    assert "<script>" not in page
    assert "&lt;script&gt;y" in page


def test_mixed_numbers_are_one_kind_and_other_values_are_texts(tmp_path: Path) -> None:
    done = _play(written(tmp_path), tmp_path, _Counting(), "run.seed=1,2", "apps.ocr.service.concurrency=1,1.5")
    assert done.values == [(1, 1.0), (1, 1.5), (2, 1.0), (2, 1.5)]
    other = _play(written(tmp_path), tmp_path, _Counting(), "policies=[nearest],[hansa]")
    assert other.values == [("[nearest]",), ("[hansa]",)]


def test_without_polars_the_table_is_csv_and_says_how_to_get_parquet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    said = _sweep(written(tmp_path, SMALL), tmp_path / "out", grid=["run.seed=1,2"])
    assert "hansa[sim-frames]" in said
    lines = (tmp_path / "out" / "rows.csv").read_text().splitlines()
    assert lines[0].startswith("point,run.seed,status,error,app,row,policy")
    assert len(lines) == 3
    assert not (tmp_path / "out" / "rows.parquet").exists()


def test_parquet_holds_what_the_lines_hold(tmp_path: Path) -> None:
    import polars

    _sweep(written(tmp_path, SMALL), tmp_path / "out")
    frame = polars.read_parquet(tmp_path / "out" / "rows.parquet")
    rows = [json.loads(line) for line in (tmp_path / "out" / "rows.jsonl").read_text().splitlines()]
    assert frame.height == len(rows) == 6
    assert frame["mean_ms"].to_list() == [row.get("mean_ms") for row in rows]
    assert frame["stable"].dtype == polars.Boolean
    assert frames.columns_of(rows) == frame.columns


def test_a_figure_that_is_none_is_refused_with_the_nearest(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL)
    sweep = ["sweep", str(path), "--out", str(tmp_path / "out"), "--jobs", "1", "--least"]
    ended = CliRunner().invoke(app, [*sweep, "p9_ms"])
    assert ended.exit_code == 2
    assert "p99_ms" in ended.stderr
    assert CliRunner().invoke(app, [*sweep, "p99_ms"]).exit_code == 0
