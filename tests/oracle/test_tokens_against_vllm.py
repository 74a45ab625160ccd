"""The token model against real vLLM runs: calibrated on one device's run, it predicts the other's.

The runs are LLMServingSim's (bench/examples, MIT): 300 requests of ShareGPT each, on an RTX 4090 and on an RTX PRO 6000
(Server Edition), with Llama-3.1-8B. Limits are those that the runs' own notes tell: 256 and 128 sequences, 2048 tokens
a step, and room for 41408 tokens on the RTX 4090.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hansa_sim.latency.calibration import Errors, Server, calibrate, errors_of
from hansa_sim.latency.served_file import Served, read_served
from hansa_sim.latency.token_facts import DEVICES, MODELS, Limits

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT.parent / "shared" / "data" / "service-times"
SHAPE = MODELS["llama-3.1-8b"]
SERVERS = {
    "RTX4090": Server(SHAPE, DEVICES["RTX4090"], Limits(256, 2_048, kv_tokens=41_408)),
    "RTXPRO6000": Server(SHAPE, DEVICES["RTXPRO6000-Server"], Limits(128, 2_048)),
}


def _run(name: str) -> Served:
    file = RUNS / f"vllm_{name}_Llama-3.1-8B_requests.jsonl"
    if not file.is_file():
        pytest.skip(f"{file} is not there: real runs are not shipped")
    return read_served(file)


def _predicted(on: str, of: str) -> Errors:
    """Errors of a prediction of one run by what was calibrated on another."""
    return errors_of(_run(of), SERVERS[of].model(calibrate(_run(on), SERVERS[on])))


@pytest.mark.parametrize(("on", "of"), [("RTX4090", "RTXPRO6000"), ("RTXPRO6000", "RTX4090")])
def test_calibrated_on_one_device_it_predicts_the_others_mean_and_p95_within_ten_percent(on: str, of: str) -> None:
    errors = _predicted(on, of)
    assert abs(errors.mean) < 0.10 and abs(errors.p95) < 0.10


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_a_run_is_replayed_within_two_percent_by_what_was_calibrated_on_it(name: str) -> None:
    errors = _predicted(name, name)
    assert max(abs(errors.mean), abs(errors.p95), errors.single) < 0.02


def test_room_for_context_is_what_the_server_told() -> None:
    carried = Server(SHAPE, DEVICES["RTX4090"], Limits(256, 2_048)).model(
        calibrate(_run("RTXPRO6000"), SERVERS["RTX4090"])
    )
    assert carried.kv_tokens == pytest.approx(41_408, rel=0.01)
