"""Calibration: what a server noted is read strictly, and the shares at which it was made are found again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from hansa_sim.latency.calibration import REQUESTS_MIN, Server, replay
from hansa_sim.latency.command import app
from hansa_sim.latency.served_file import Served, ServedFileError, read_served
from hansa_sim.latency.token_facts import DEVICES, MODELS, Limits, Shares, room_for_context
from typer.testing import CliRunner

SERVER = Server(MODELS["llama-3.1-8b"], DEVICES["RTX4090"], Limits(64, 2_048, kv_tokens=40_000))
RIGHT = {
    "input_toks": 10,
    "output_toks": 5,
    "arrival_time": 1_000.0,
    "queued_ts": 5.0,
    "scheduled_ts": 5.1,
    "first_token_ts": 5.2,
    "last_token_ts": 6.0,
}


def _notes(folder: Path, shares: Shares, count: int = REQUESTS_MIN) -> Path:
    """What a server that reaches these shares would note of so many requests."""
    rng = np.random.default_rng(1)
    arrival = np.cumsum(rng.integers(1, 200_000_000, count))
    prompt, generated = rng.integers(10, 1_500, count), rng.integers(2, 300, count)
    asked = Served(arrival, prompt, generated, arrival, arrival)
    whole, first = replay(asked, SERVER.model(shares))
    lines = [
        {
            "input_toks": int(prompt[n]),
            "output_toks": int(generated[n]),
            "arrival_time": 1_700_000_000 + arrival[n] / 1e9,
            "queued_ts": arrival[n] / 1e9,
            "scheduled_ts": arrival[n] / 1e9,
            "first_token_ts": (arrival[n] + first[n]) / 1e9,
            "last_token_ts": (arrival[n] + whole[n]) / 1e9,
        }
        for n in range(count)
    ]
    file = folder / "requests.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return file


def test_the_shares_that_a_server_reached_are_found_again(tmp_path: Path) -> None:
    file, out = _notes(tmp_path, Shares(0.8, 0.6)), tmp_path / "model.yaml"
    given = ["--model", "llama-3.1-8b", "--hardware", "RTX4090", "--hardware", "H100"]
    given += ["--limits", "sequences=64,kv_tokens=40000"]
    done = CliRunner().invoke(app, ["calibrate", str(file), *given, "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert "memory at 80." in done.output or "memory at 79.9" in done.output
    here, there = yaml.safe_load(out.read_text(encoding="utf-8"))["engines"]
    assert (here["accelerator"], there["accelerator"]) == ("RTX4090", "H100")
    assert here["step_ms"] * 0.8 == pytest.approx(SERVER.model(Shares(1.0, 1.0)).step_ps / 1e9, rel=2e-3)
    assert there["step_ms"] / here["step_ms"] == pytest.approx(1_008 / 3_350, rel=1e-6), "as the memories' speeds"
    assert (here["kv_tokens"], there["kv_tokens"]) == (40_000, room_for_context(SERVER.shape, DEVICES["H100"], 1))


@pytest.mark.parametrize("count", [1, REQUESTS_MIN - 1])
def test_fewer_requests_than_say_anything_are_refused_with_how_many_are_needed(tmp_path: Path, count: int) -> None:
    file, out = _notes(tmp_path, Shares(0.8, 0.6), count), tmp_path / "model.yaml"
    given = ["--model", "llama-3.1-8b", "--hardware", "RTX4090", "-o", str(out)]
    done = CliRunner().invoke(app, ["calibrate", str(file), *given])
    assert (done.exit_code, out.exists()) == (2, False)
    assert done.stderr.startswith(f"{count} request")
    assert f" {REQUESTS_MIN} are the least" in done.stderr


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", ":2:2: not JSON"),
        ("[1]", ":2:1: not a JSON object"),
        (json.dumps({**RIGHT, "output_toks": 0}), ":2:21: output_toks is 0; a number of 1 at least is needed"),
        (json.dumps({**RIGHT, "queued_ts": "now"}), "queued_ts is 'now'"),
        (json.dumps({**RIGHT, "last_token_ts": 5.15}), "last_token_ts is before first_token_ts"),
        (
            json.dumps({("input_tok" if k == "input_toks" else k): v for k, v in RIGHT.items()}),
            "did you mean input_tok",
        ),
    ],
)
def test_notes_with_an_error_are_refused_with_line_and_column(tmp_path: Path, line: str, says: str) -> None:
    file = tmp_path / "notes.jsonl"
    file.write_text(json.dumps(RIGHT) + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(ServedFileError) as refused:
        read_served(file)
    assert says in str(refused.value) and str(refused.value).startswith(f"{file}:2:")


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (["--hardware", "RTX409"], "--hardware RTX409: not known; did you mean RTX4090?"),
        (["--hardware", "RTX4090", "--model", "qwen3-32b"], "leave no room"),
        (["--hardware", "RTX4090", "--limits", "sequence=8"], "--limits: sequence: not known; did you mean sequences?"),
        (["--hardware", "RTX4090", "--limits", "sequences=0"], "sequences: '0' is not a whole number above 0"),
    ],
)
def test_what_is_not_known_or_does_not_fit_ends_with_two(tmp_path: Path, option: list[str], says: str) -> None:
    file = tmp_path / "notes.jsonl"
    file.write_text((json.dumps(RIGHT) + "\n") * REQUESTS_MIN, encoding="utf-8")
    done = CliRunner().invoke(app, ["calibrate", str(file), "--model", "llama-3.1-8b", *option])
    assert done.exit_code == 2 and says in done.output


def test_devices_that_share_a_model_exchange_what_each_has_of_a_layer() -> None:
    one, two = (Server(SERVER.shape, DEVICES["H100"], Limits(64, 2_048, count)).model(Shares(1, 1)) for count in (1, 2))
    assert two.step_ps * 2 == pytest.approx(one.step_ps, rel=1e-9)
    exchanged_ps = 2 * 32 * 2 * 4_096 / 450e9 * 1e12
    assert two.token_ps == pytest.approx(one.token_ps / 2 + exchanged_ps, rel=1e-4)
