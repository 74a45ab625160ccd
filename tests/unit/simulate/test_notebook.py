"""From Python a simulation gives records, frames and a page, and says what is wrong as the command does."""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars
import pytest
from hansa_sim.latency.command import app
from hansa_sim.latency.frames import FramesMissing
from hansa_sim.latency.scenario_changes import ChangeError
from hansa_sim.latency.scenario_file import ScenarioError
from hansa_sim.latency.sweeps.bundle import Bundle, code_digest
from hansa_sim.latency.sweeps.playing import Outcome, Status, Task
from hansa_sim.notebook import Simulation, simulate, sweep
from scenario_texts import written
from typer.testing import CliRunner

TWO = ("policies: [nearest]", "policies: [nearest, hansa]")
SMALL = {"run.replications": 2}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    path = written(tmp_path_factory.mktemp("notebook"), TWO)
    return simulate(path, seed=3, requests=2_000, changes=SMALL)


def test_settings_are_those_that_were_given(found: Simulation) -> None:
    run = found.results.scenario["run"]
    assert (run["seed"], run["requests"], run["replications"]) == (3, 2_000, 2)


def test_it_says_what_the_command_says(tmp_path: Path) -> None:
    path = written(tmp_path, TWO)
    options = ["--seed", "3", "--requests", "2000", "--set", "run.replications=2", "-o", "json"]
    ran = CliRunner().invoke(app, ["run", str(path), *options])
    assert json.loads(ran.stdout) == json.loads(
        json.dumps(simulate(path, seed=3, requests=2_000, changes=SMALL).to_json())
    )


def test_records_have_every_figure_and_half_its_width(found: Simulation) -> None:
    nearest, row = found.row("nearest"), found.results.row("nearest")
    assert row is not None
    assert nearest["mean_ms"] == row.mean_ms.mean
    assert nearest["mean_ms_half_width"] == row.mean_ms.half_width
    assert nearest["app"] == "ocr"
    assert nearest["replications"] == 2
    assert nearest["stable"] is True
    assert nearest["regret_ms"] is None  # there is no optimum to regret
    assert [record["row"] for record in found.rows] == ["nearest", "hansa"]
    with pytest.raises(KeyError, match="there are nearest, hansa"):
        found.row("cheapest")


def test_frames_are_of_rows_zones_and_access_points(found: Simulation) -> None:
    frame = found.to_frame()
    assert frame["row"].to_list() == ["nearest", "hansa"]
    assert frame["mean_ms"].dtype == polars.Float64
    assert frame["regret_ms"].dtype == polars.Float64
    assert frame["regret_ms"].null_count() == 2
    zones = found.zones_frame()
    assert zones.height == 2 * 3
    shares = zones.group_by("row").agg(polars.col("request_share").sum())["request_share"]
    assert shares.to_list() == pytest.approx([1.0, 1.0])
    points = found.points_frame()
    assert set(points["access_point"]) == {"oslo", "bergen", "malmo"}
    assert points.filter(polars.col("row") == "nearest")["requests_per_s"].sum() == pytest.approx(200)


def test_without_polars_records_are_there_and_frames_say_what_to_install(
    found: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    assert found.rows
    with pytest.raises(FramesMissing, match=r"pip install 'hansa\[sim-frames\]'"):
        found.to_frame()


def test_a_notebook_shows_the_report_in_a_frame_that_runs_nothing(found: Simulation) -> None:
    shown = found._repr_html_()
    inner = re.search(r'srcdoc="([^"]*)"', shown)
    assert inner is not None
    assert html.unescape(inner[1]) == found.report
    assert 'sandbox=""' in shown


def test_what_is_wrong_is_said_as_the_command_says_it(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(ScenarioError, match=r"--set run.sed: unknown key; did you mean seed\?"):
        simulate(path, changes={"run.sed": 1})
    with pytest.raises(ScenarioError, match="greater than or equal to 1000"):
        simulate(path, requests=3)
    with pytest.raises(ScenarioError, match="No such file"):
        simulate(tmp_path / "none.yaml")


def test_values_of_every_kind_can_be_put(tmp_path: Path) -> None:
    changes = {"policies": ["hansa"], "compare": {"law": False, "federation": True}, "title": "NO: yes # 'no'"}
    found = simulate(written(tmp_path), requests=2_000, changes={**SMALL, **changes})
    assert found.results.scenario["title"] == "NO: yes # 'no'"
    assert [record["row"] for record in found.rows] == ["hansa", "hansa, each operator alone"]


def test_a_sweep_is_a_frame_with_a_column_for_each_key(tmp_path: Path) -> None:
    path = written(tmp_path, ("requests: 40000, replications: 4", "requests: 2000, replications: 2"))
    done = sweep(path, {"users.oslo.requests_per_s": [20, 60.5], "run.seed": range(1, 3)}, tmp_path / "out")
    frame = done.to_frame()
    assert frame["users.oslo.requests_per_s"].to_list() == [20, 20, 60.5, 60.5]
    assert frame["run.seed"].to_list() == [1, 2, 1, 2]
    assert frame["mean_ms"].n_unique() == 4
    assert "users.oslo.requests_per_s=" in done.page("p99_ms")
    assert "<iframe" in done._repr_html_()
    again = sweep(path, {"users.oslo.requests_per_s": [20, 60.5], "run.seed": range(1, 4)}, tmp_path / "out")
    assert again.done.before == 4


def test_a_sweep_from_python_and_one_from_the_command_share_their_points(tmp_path: Path) -> None:
    path = written(tmp_path, ("requests: 40000, replications: 4", "requests: 2000, replications: 2"))
    sweep(path, {"run.seed": [1, 2]}, tmp_path / "out")
    ran = CliRunner().invoke(
        app, ["sweep", str(path), "--set", "run.seed=1..3", "--out", str(tmp_path / "out"), "--jobs", "1"]
    )
    assert "2 points were there before" in ran.output


def test_a_grid_without_values_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ChangeError, match=r"run\.seed has no values"):
        sweep(written(tmp_path), {"run.seed": []}, tmp_path / "out")


class _Elsewhere:
    """An engine that plays nothing and says so."""

    def play(self, bundle: Bundle, tasks: Sequence[Task]) -> Iterator[Outcome]:
        yield from (Outcome(task.digest, Status.REFUSED, "not here", code=code_digest()) for task in tasks)


def test_a_sweep_is_played_by_the_engine_that_is_given(tmp_path: Path) -> None:
    done = sweep(written(tmp_path), {"run.seed": [1, 2]}, tmp_path / "out", engine=_Elsewhere())
    assert [(row["status"], row["error"]) for row in done.rows] == [("refused", "not here")] * 2


def test_run_writes_tables_beside_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = written(tmp_path, TWO), tmp_path / "out"
    small = ["--requests", "2000", "--set", "run.replications=2", "--out", str(out)]
    ran = CliRunner().invoke(app, ["run", str(path), *small])
    assert ran.exit_code == 0, ran.output
    assert polars.read_parquet(out / "rows.parquet")["row"].to_list() == ["nearest", "hansa"]
    assert polars.read_parquet(out / "zones.parquet").height == 6
    assert polars.read_parquet(out / "points.parquet").height == 6
    before = (out / "rows.parquet").read_bytes()
    CliRunner().invoke(app, ["run", str(path), *small])
    assert (out / "rows.parquet").read_bytes() == before
    monkeypatch.setitem(sys.modules, "polars", None)
    ran = CliRunner().invoke(app, ["run", str(path), *small])
    assert "hansa[sim-frames]" in ran.stderr
    assert (out / "zones.csv").read_text(encoding="utf-8").startswith("app,row,zone,replicas,servers")
