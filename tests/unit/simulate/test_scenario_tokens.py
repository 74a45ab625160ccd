"""Scenarios of apps that serve tokens, and of recorded arrivals: what is read, planned, played and said."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hansa_sim.engines.token_model import TokenModel, unpacked
from hansa_sim.latency.policies import stations_of
from hansa_sim.latency.records import row_records
from hansa_sim.latency.report import report_of
from hansa_sim.latency.results import Results, as_json
from hansa_sim.latency.run import run_scenario
from hansa_sim.latency.scenario_file import ScenarioError, load_scenario
from hansa_sim.latency.table import tables_of, words_of
from hansa_sim.latency.traffic import traffic_of
from hansa_sim.latency.world import World, build_world
from rich.console import Console
from scenario_texts import TWO_APPS, world_of, written

ENGINE = "{step_ms: 10, token_us: 50, sample_us: 2, context_ns: 100, sequences: 16, kv_tokens: 20000}"
COUNTS = "prompt: {mean: 300, scv: 0.5}, generated: {mean: 20, scv: 0.5}"
TOKENS = (
    ("service: {times: [{mean_ms: 20}]}", f"service: {{tokens: {{{COUNTS}, engines: [{ENGINE}]}}}}"),
    ("response_ms_max: 300", "response_ms_max: 3000"),
    ("requests: 40000, replications: 4", "requests: 6000, replications: 3"),
)
RECORDED = (
    ("users:\n", "arrivals: {kind: trace, file: trace.csv, speed: 2}\nusers:\n"),
    ("requests: 40000, replications: 4", "requests: 1200, replications: 3"),
)
SHARES = {"oslo": 60, "bergen": 50, "malmo": 90}


def _trace(folder: Path, requests: int = 400, *more: str) -> Path:
    """A trace of 20 requests a second."""
    rows = [f"{50 * n},{100 + n % 7},{1 + n % 30}" for n in range(requests)]
    file = folder / "trace.csv"
    file.write_text("\n".join(["timestamp_ms,input_length,output_length", *rows, *more]), encoding="utf-8")
    return file


def _refused(folder: Path, *changes: tuple[str, str]) -> str:
    with pytest.raises(ScenarioError) as refused:
        build_world(load_scenario(written(folder, *changes)))
    return str(refused.value)


def _printed(results: Results) -> str:
    out = StringIO()
    console = Console(width=190, file=out)
    for table in tables_of(results, 190):
        console.print(table)
    return out.getvalue()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world_of(tmp_path_factory.mktemp("tokens"), *TOKENS, ("policies: [nearest]", "policies: [nearest, hansa]"))


@pytest.fixture(scope="module")
def results(world: World) -> Results:
    return run_scenario(world)


def test_a_row_says_when_tokens_come(results: Results) -> None:
    row = results.rows[0]
    assert (row.engine, row.is_sound) == ("tokens", True)
    assert row.tokens is not None
    first, each, whole = row.tokens.first_mean_ms.mean, row.tokens.each_mean_ms.mean, row.mean_ms.mean
    assert first is not None and each is not None and whole is not None
    # A step is 10 ms and more, a prompt 15 ms; ways are 8 to 20 ms; an answer has 20 tokens in the mean.
    assert 30 < first < whole and 10 < each < 60
    assert whole == pytest.approx(first + 19 * each, rel=0.2)
    percentiles = [row.tokens.first_p50_ms.mean, row.tokens.first_p95_ms.mean, row.tokens.first_p99_ms.mean]
    assert percentiles == sorted(percentiles, key=lambda value: value or 0.0)
    assert row.tokens.generated_per_s.mean == pytest.approx(200 * 20, rel=0.1)


def test_results_tables_and_report_have_the_tokens(results: Results) -> None:
    document = json.loads(json.dumps(as_json(results), allow_nan=False))
    assert document["rows"][0]["tokens"]["first_p95_ms"]["mean"] > 0
    text = _printed(results)
    assert "FIRST TOKEN ms" in text and "EACH FURTHER ms" in text and text.count("hansa") >= 2
    assert "<h2>Tokens</h2>" in report_of(results) and "first token is with the user" in report_of(results)


def test_tables_of_records_have_a_column_for_every_figure_of_tokens(results: Results) -> None:
    records = row_records(results)
    assert results.rows[0].tokens is not None
    assert records[0]["tokens_first_p95_ms"] == results.rows[0].tokens.first_p95_ms.mean
    assert {"tokens_each_mean_ms", "tokens_each_mean_ms_half_width", "tokens_generated_per_s"} <= set(records[0])
    assert "tokens" not in records[0], "a figure for each column, no figures within figures"


def test_an_app_without_tokens_has_no_such_table(tmp_path: Path) -> None:
    found = run_scenario(world_of(tmp_path, ("requests: 40000", "requests: 4000")))
    assert found.rows[0].tokens is None
    assert len(list(tables_of(found, 190))) == 1 and "<h2>Tokens</h2>" not in report_of(found)
    assert as_json(found)["rows"][0]["tokens"] is None


def test_the_same_seed_gives_the_same_bytes(world: World, results: Results) -> None:
    assert json.dumps(as_json(run_scenario(world))) == json.dumps(as_json(results))


def test_the_planner_is_told_slots_with_the_capacity_of_a_full_replica(world: World) -> None:
    profile = world.planned.profile
    model = TokenModel(10_000_000_000, 50_000_000, 2_000_000, 100_000, 0, 16, 2_048, 20_000)
    prompt, generated = unpacked(traffic_of(world).demand.draw(np.random.default_rng(3), 100_000))
    assert profile.concurrency == model.batch_when_full(prompt, generated) == 16
    rate = 1e12 / float(model.work_ps(prompt, generated).mean())
    stations = stations_of(world)
    assert stations.capacity_rps(np.ones(3, np.int64))[0] == pytest.approx(rate, rel=0.02)
    assert world.planned.scv == pytest.approx(0.25, abs=0.02), "of prompt and answer, 0.5 each, half of the work each"


def test_slots_are_the_least_over_accelerators_and_times_keep_each_capacity(tmp_path: Path) -> None:
    small = ENGINE.replace("{", "{accelerator: L40S, ").replace("kv_tokens: 20000", "kv_tokens: 2500")
    changed = world_of(tmp_path, TOKENS[0], (f"engines: [{ENGINE}]", f"engines: [{small}, {ENGINE}]"))
    mine, others = changed.planned.profile.times
    assert (mine.model, others.model, changed.planned.profile.concurrency) == ("L40S", "", 7)
    assert mine.mean_us > 1.1 * others.mean_us, "a smaller batch reads the weights for fewer"
    assert {model.kv_tokens for model in traffic_of(changed).models or () if model} == {2_500}


def test_more_than_replicas_can_do_is_unstable(tmp_path: Path) -> None:
    slow = ENGINE.replace("step_ms: 10", "step_ms: 100").replace("sequences: 16", "sequences: 2")
    found = run_scenario(world_of(tmp_path, *TOKENS, (f"engines: [{ENGINE}]", f"engines: [{slow}]")))
    row = found.rows[0]
    assert row.unstable and row.tokens is not None
    assert _printed(found).count("UNSTABLE") == 2, "neither table shows times that mean nothing"


def test_recorded_requests_come_when_they_came_and_as_fast_as_wanted(tmp_path: Path) -> None:
    _trace(tmp_path)
    traffic = traffic_of(world_of(tmp_path, *RECORDED))
    first, second = (list(traffic.requests(number)) for number in (0, 1))
    at_ns = np.concatenate([one.at_ns for one in first])
    assert (np.diff(at_ns) == 25_000_000).all(), "one every 50 ms, twice as fast"
    assert traffic.horizon_ns == pytest.approx(400 * 25e6, rel=1e-3)
    assert len(at_ns) == pytest.approx(400, abs=1)
    assert second[0].at_ns[0] == 0, "the second replication begins with the request in the first third"


def test_users_have_parts_of_recorded_requests_as_of_all_demand(tmp_path: Path) -> None:
    _trace(tmp_path, 4_000)
    world = world_of(tmp_path, *RECORDED, ("requests: 1200, replications: 3", "requests: 12000, replications: 3"))
    assert sum(user.millirps for user in world.users) == pytest.approx(40_000, rel=1e-3)
    traffic = traffic_of(world)
    who = np.concatenate([one.user for one in traffic.requests(0)]) // traffic.groups
    for at, user in enumerate(world.users):
        assert user.millirps / 40_000 == pytest.approx(SHARES[user.access_point] / 200, rel=0.01)
        assert (who == at).mean() == pytest.approx(SHARES[user.access_point] / 200, abs=0.03)


def test_recorded_tokens_are_those_that_are_served(tmp_path: Path) -> None:
    _trace(tmp_path)
    engines = f"service: {{tokens: {{engines: [{ENGINE}]}}}}"
    world = world_of(tmp_path, ("service: {times: [{mean_ms: 20}]}", engines), *RECORDED)
    traffic = traffic_of(world)
    demands = np.concatenate([one.demand_ns for one in traffic.requests(1)])
    prompt, generated = unpacked(demands)
    begin = 400 // 3
    assert prompt[:5].tolist() == [100 + (begin + n) % 7 for n in range(5)]
    assert generated[:5].tolist() == [1 + (begin + n) % 30 for n in range(5)]
    found = run_scenario(world)
    assert found.rows[0].tokens is not None
    assert found.rows[0].tokens.generated_per_s.mean == pytest.approx(40 * 15.5, rel=0.05)
    said = next(words for words in words_of(found) if words.startswith("Arrivals are those of"))
    assert "trace.csv, 2 times as fast as recorded, from 3 places of it on" in said
    assert said.split(",")[0] in report_of(found)


def test_times_of_service_are_drawn_where_recorded_arrivals_meet_an_app_without_tokens(tmp_path: Path) -> None:
    _trace(tmp_path)
    found = run_scenario(world_of(tmp_path, *RECORDED))
    assert (found.rows[0].engine, found.rows[0].tokens) == ("static", None)
    assert found.rows[0].requests == pytest.approx(3 * 400 * 0.9, abs=6)


def test_requests_that_fit_nowhere_are_not_served_and_not_planned_for(tmp_path: Path) -> None:
    _trace(tmp_path, 400, *(f"{20_000 + n},30000,10" for n in range(40)))
    engines = f"service: {{tokens: {{engines: [{ENGINE}]}}}}"
    world = world_of(tmp_path, ("service: {times: [{mean_ms: 20}]}", engines), *RECORDED)
    found = run_scenario(world)
    assert found.rows[0].unserved_share == pytest.approx(40 / 440, rel=0.2)
    assert world.planned.profile.times[0].mean_us < 1_000_000


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ([("{times: [{mean_ms: 20}]}", "{distribution: fixed}")], "service: give times or tokens, one of the two"),
        ([*TOKENS, ("service: {tokens", "service: {concurrency: 2, tokens")], "concurrency is of times"),
        (
            [*TOKENS, (COUNTS, "prompt: {mean: 5}")],
            "tokens of 'ocr' need prompt and generated, or arrivals of kind trace",
        ),
        ([*TOKENS, ("step_ms: 10", "step_s: 10")], "unknown key; did you mean step_ms?"),
        ([*TOKENS, ("policies: [nearest]\n", "")], "least-loaded looks at servers, and 'ocr' serves tokens in batches"),
        ([*TOKENS, ("kv_tokens: 20000", "kv_tokens: 16")], "none of its requests fits"),
        ([("users:\n", "arrivals: {kind: trace}\nusers:\n")], "arrivals: kind trace needs a file"),
        ([("users:\n", "arrivals: {file: trace.csv}\nusers:\n")], "arrivals: file is of kind trace, not poisson"),
        ([("users:\n", "arrivals: {speed: 2}\nusers:\n")], "arrivals: speed is of kind trace, not poisson"),
        ([RECORDED[0]], "arrivals.file: "),
        ([*TWO_APPS, RECORDED[0]], "arrivals: a trace is of one app; there are 2"),
        (
            [RECORDED[0], ("requests_per_s: 60}", "requests_per_s: 60, surges: [{at_s: 1, for_s: 1, times: 2}]}")],
            "surges are of drawn arrivals",
        ),
    ],
)
def test_what_does_not_go_together_is_said_with_its_place(
    tmp_path: Path, changes: list[tuple[str, str]], says: str
) -> None:
    refusal = _refused(tmp_path, *changes)
    assert says in refusal
    assert refusal.startswith(f"{tmp_path / 'scenario.yaml'}:")


def test_an_error_of_a_trace_has_the_line_of_both_files(tmp_path: Path) -> None:
    file = _trace(tmp_path, 10, "oops,1,1")
    refusal = _refused(tmp_path, *RECORDED)
    line = written(tmp_path, *RECORDED).read_text(encoding="utf-8").split("arrivals")[0].count("\n") + 1
    assert refusal == f"{tmp_path / 'scenario.yaml'}:{line}: arrivals.file: {file}:12:1: 'oops' is not a moment"


def test_the_worked_scenario_runs_without_any_data() -> None:
    loaded = load_scenario(Path(__file__).resolve().parents[3] / "simulations" / "scenarios" / "llm-serving.yaml")
    small = loaded.with_run(requests=4_000, replications=2)
    only = small.scenario.model_copy(update={"policies": small.scenario.policies[:1]})
    found = run_scenario(build_world(replace(small, scenario=only)))
    row = found.rows[0]
    assert row.tokens is not None and row.tokens.first_p95_ms.mean is not None
    assert (row.engine, row.unserved_share) == ("tokens", 0.0)
