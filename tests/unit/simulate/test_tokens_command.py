"""``hansa simulate`` on apps that serve tokens and on recorded arrivals, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hansa_sim.latency.command import app
from scenario_texts import written
from typer.testing import CliRunner, Result

ENGINE = "{step_ms: 10, token_us: 50, sample_us: 2, context_ns: 100, sequences: 16, kv_tokens: 20000}"
RECORDED = (
    ("service: {times: [{mean_ms: 20}]}", f"service: {{tokens: {{engines: [{ENGINE}]}}}}"),
    ("response_ms_max: 300", "response_ms_max: 3000"),
    ("users:\n", "arrivals: {kind: trace, file: trace.jsonl}\nusers:\n"),
    ("requests: 40000, replications: 4", "requests: 1000, replications: 2"),
)


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    """The small scenario with a trace of Mooncake's form beside it."""
    keys = '{{"timestamp": {}, "input_length": {}, "output_length": {}, "hash_ids": [7]}}'
    lines = [keys.format(20 * n, 50 + n % 90, 1 + n % 40) for n in range(500)]
    (tmp_path / "trace.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return written(tmp_path, *RECORDED)


def _typed(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_run_prints_both_tables_and_what_was_played(scenario: Path) -> None:
    done = _typed("run", scenario)
    assert done.exit_code == 0, done.output
    assert "MEAN ms" in done.output and "FIRST TOKEN ms" in done.output
    assert "Arrivals are those of trace.jsonl, as fast as recorded, from 2 places of it on" in done.output


def test_run_writes_tokens_into_the_results_and_the_report(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = _typed("run", scenario, "--out", out)
    assert done.exit_code == 0, done.output
    document = json.loads((out / "results.json").read_text(encoding="utf-8"))
    (row,) = document["rows"]
    assert row["engine"] == "tokens"
    assert set(row["tokens"]) == {
        "first_mean_ms",
        "first_p50_ms",
        "first_p95_ms",
        "first_p99_ms",
        "each_mean_ms",
        "each_p50_ms",
        "each_p95_ms",
        "each_p99_ms",
        "generated_per_s",
    }
    assert document["scenario"]["arrivals"]["file"] == "trace.jsonl"
    assert "<h2>Tokens</h2>" in (out / "report.html").read_text(encoding="utf-8")


def test_json_on_standard_output_is_the_same_as_in_the_file(scenario: Path, tmp_path: Path) -> None:
    shown = json.loads(_typed("run", scenario, "-o", "json").stdout)
    _typed("run", scenario, "--out", tmp_path / "out")
    assert shown == json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))


def test_another_seed_draws_other_users_for_the_same_requests(scenario: Path) -> None:
    rows = [json.loads(_typed("run", scenario, "-o", "json", "--seed", seed).stdout)["rows"][0] for seed in (1, 2)]
    assert rows[0]["mean_ms"] != rows[1]["mean_ms"]
    assert rows[0]["requests"] == rows[1]["requests"], "who asks is drawn; when and how much is recorded"
    assert rows[0]["tokens"]["generated_per_s"] == rows[1]["tokens"]["generated_per_s"]


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_line_of_the_trace_that_is_wrong_ends_with_two_and_its_place(scenario: Path, command: str) -> None:
    file = scenario.parent / "trace.jsonl"
    file.write_text(file.read_text(encoding="utf-8") + '{"timestamp": 1}\n', encoding="utf-8")
    done = _typed(command, scenario)
    assert done.exit_code == 2
    assert f"{scenario}:" in done.output and f"{file}:501:1: input_length is missing" in done.output


def test_a_trace_that_is_not_there_ends_with_two(scenario: Path) -> None:
    (scenario.parent / "trace.jsonl").unlink()
    done = _typed("check", scenario)
    assert done.exit_code == 2 and "arrivals.file" in done.output and "No such file" in done.output


def test_check_says_who_is_served_and_plays_nothing(scenario: Path) -> None:
    done = _typed("check", scenario)
    assert done.exit_code == 0
    assert "3 of 3 access points have a lawful zone" in done.output and "FIRST TOKEN" not in done.output
