"""Logs without secrets, and numbers for Prometheus."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator, Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import structlog
from hansa_control.adapters.call_context import CALL
from hansa_control.adapters.log_setup import REDACTED, set_up_logs
from hansa_control.adapters.metrics import Metrics
from prometheus_client import generate_latest

KEY = "-----BEGIN PRIVATE KEY-----\nMIGHAgEA\n-----END PRIVATE KEY-----"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    set_up_logs("nordfjord", "info", stream)
    yield stream
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_a_line_is_json_with_time_level_and_operator(lines: io.StringIO) -> None:
    structlog.get_logger().info("ready", ports={"api": 7443})
    line = json.loads(lines.getvalue())
    assert (line["event"], line["level"], line["operator"]) == ("ready", "info", "nordfjord")
    assert line["ports"] == {"api": 7443}
    assert line["timestamp"].endswith("Z")


def test_a_line_within_a_call_names_the_call_unless_it_says_otherwise(lines: io.StringIO) -> None:
    outer = CALL.set(("r-17", "hansa.v1.WorkloadService/GetWorkload"))
    structlog.get_logger().info("refused")
    structlog.get_logger().info("passed_on", request_id="r-18")
    CALL.reset(outer)
    structlog.get_logger().info("afterwards")
    within, passed_on, after = map(json.loads, lines.getvalue().splitlines())
    assert (within["request_id"], within["method"]) == ("r-17", "hansa.v1.WorkloadService/GetWorkload")
    assert passed_on["request_id"] == "r-18"
    assert "request_id" not in after


@pytest.mark.parametrize(
    "values",
    [
        {"password": "hunter2"},
        {"db_token": "hunter2"},
        {"key_pem": "hunter2"},
        {"nested": {"client_secret": "hunter2"}},
        {"several": [{"password": "hunter2"}]},
    ],
)
def test_secrets_are_not_written(lines: io.StringIO, values: dict[str, object]) -> None:
    structlog.get_logger().info("configured", **values)
    assert "hunter2" not in lines.getvalue()
    assert REDACTED in lines.getvalue()


def test_a_pem_block_is_not_written_wherever_it_stands(lines: io.StringIO) -> None:
    structlog.get_logger().info("odd", text=f"before {KEY} after", many=[KEY], raw=KEY.encode())
    assert "MIGHAgEA" not in lines.getvalue()
    assert "before" in lines.getvalue()


def test_a_key_in_a_traceback_is_not_written(lines: io.StringIO) -> None:
    try:
        raise ValueError(KEY)
    except ValueError:
        structlog.get_logger().exception("defect")
    assert "MIGHAgEA" not in lines.getvalue()
    assert "ValueError" in lines.getvalue()


def test_a_fencing_token_is_no_secret(lines: io.StringIO) -> None:
    structlog.get_logger().info("confirmed", fencing_token=7)
    assert json.loads(lines.getvalue())["fencing_token"] == 7


def test_lines_below_the_level_are_not_written(lines: io.StringIO) -> None:
    structlog.get_logger().debug("detail")
    assert lines.getvalue() == ""


def test_metrics_show_each_partner_with_its_circuit_rates_offers_and_promises() -> None:
    metrics = Metrics()
    counts = {
        "circuit_open|skargard": 1,
        "circuit_opened|skargard": 2,
        "circuit_spared|skargard": 7,
        "limited|waldnetz": 3,
        "offers_refused|skargard|by_us": 4,
        "broken|skargard|CLAIM_LOST": 5,
        "held|skargard": 350,
    }
    metrics.read_from(lambda: counts)
    text = generate_latest(metrics.registry).decode()
    for line in (
        'hansa_partner_circuit_open{partner="skargard"} 1.0',
        'hansa_partner_circuit_opened_total{partner="skargard"} 2.0',
        'hansa_partner_calls_spared_total{partner="skargard"} 7.0',
        'hansa_partner_calls_limited_total{partner="waldnetz"} 3.0',
        'hansa_partner_offers_refused_total{partner="skargard",side="by_us"} 4.0',
        'hansa_partner_promises_broken_total{breach="claim_lost",partner="skargard"} 5.0',
        'hansa_partner_held_against_milli{partner="skargard"} 350.0',
    ):
        assert line in text.splitlines(), line


def test_metrics_show_calls_states_and_totals() -> None:
    metrics = Metrics()
    calls = metrics.calls_of("hansa.v1.WorkloadService/GetWorkload")
    calls.ended("OK")
    calls.ended("OK")
    calls.ended("NOT_FOUND")
    for elapsed_us in (500, 501, 1_500, 7_000_000):
        calls.took(elapsed_us)
    metrics.read_from(lambda: {"zones|AVAILABLE": 3, "claims|HELD": 1, "decisions": 7, "adverts": 9, "defects": 2})
    text = generate_latest(metrics.registry).decode()
    for line in (
        'hansa_rpc_total{code="OK",method="hansa.v1.WorkloadService/GetWorkload"} 2.0',
        'hansa_rpc_total{code="NOT_FOUND",method="hansa.v1.WorkloadService/GetWorkload"} 1.0',
        'hansa_rpc_duration_seconds_bucket{le="0.0005",method="hansa.v1.WorkloadService/GetWorkload"} 1.0',
        'hansa_rpc_duration_seconds_bucket{le="0.001",method="hansa.v1.WorkloadService/GetWorkload"} 2.0',
        'hansa_rpc_duration_seconds_bucket{le="5.0",method="hansa.v1.WorkloadService/GetWorkload"} 3.0',
        'hansa_rpc_duration_seconds_bucket{le="+Inf",method="hansa.v1.WorkloadService/GetWorkload"} 4.0',
        'hansa_rpc_duration_seconds_count{method="hansa.v1.WorkloadService/GetWorkload"} 4.0',
        'hansa_rpc_duration_seconds_sum{method="hansa.v1.WorkloadService/GetWorkload"} 7.002501',
        'hansa_zones{state="available"} 3.0',
        'hansa_claims{state="held"} 1.0',
        "hansa_decisions_total 7.0",
        "hansa_adverts_total 9.0",
        "hansa_defects_total 2.0",
    ):
        assert line in text


@pytest.fixture
async def address() -> AsyncIterator[str]:
    metrics = Metrics()
    metrics.read_from(lambda: {"decisions": 1})
    port = await metrics.serve("127.0.0.1", 0)
    yield f"http://127.0.0.1:{port}"
    await metrics.stop()


def fetched(url: str) -> tuple[int, bytes]:
    try:
        with urlopen(url, timeout=5) as response:
            return response.status, response.read()
    except HTTPError as error:
        return error.code, error.read()


async def test_metrics_are_served_on_a_port_of_their_own(address: str) -> None:
    status, body = await asyncio.to_thread(fetched, f"{address}/metrics")
    assert status == 200
    assert b"hansa_decisions_total 1.0" in body


async def test_nothing_else_is_served_there(address: str) -> None:
    assert (await asyncio.to_thread(fetched, f"{address}/../etc/passwd"))[0] == 404


async def test_a_caller_that_talks_nonsense_does_not_disturb_the_next(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"x" * 100_000)
    writer.close()
    assert (await asyncio.to_thread(fetched, f"{address}/metrics"))[0] == 200


def test_a_line_goes_to_standard_error_as_it_is_now_and_not_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    before, now = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", before)
    set_up_logs("nordavind")
    before.close()
    monkeypatch.setattr(sys, "stderr", now)
    structlog.get_logger().info("ready")
    assert '"event": "ready"' in now.getvalue()
