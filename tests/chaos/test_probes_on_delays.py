"""What probes say of ways whose delay, jitter and loss are known: real sockets, through a network in user space."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
HOSTS = {"here": "10.99.0.1", "near": "10.99.0.2", "mid": "10.99.0.3", "far": "10.99.0.4"}
WAYS = {"near": (5.0, 0.5), "mid": (20.0, 1.0), "far": (40.0, 1.5)}
"""One-way delay and its standard deviation, ms."""
P95_OF_NORMAL = 1.645


def need_namespaces() -> None:
    """Root with network namespaces and TAP devices; where root is missing, so is this test, and it says so."""
    if os.geteuid() != 0:
        pytest.skip("the delay network needs root")
    missing = [what for what in ("chrt", "ip", "nsenter") if shutil.which(what) is None]
    if missing or not Path("/dev/net/tun").exists():
        why = f"the delay network needs {', '.join(missing) or '/dev/net/tun'}"
        in_ci = os.environ.get("CI") == "true"  # noqa: TID251 - what CI cannot run is a failure
        (pytest.fail if in_ci else pytest.skip)(why)


class DelayNetwork:
    """The network's process, and hosts in it."""

    def __init__(self) -> None:
        words = [f"{host}={address}" for host, address in HOSTS.items()]
        self._process = _start([sys.executable, str(HERE / "delay_network.py"), *words])
        self._stations: list[subprocess.Popen[str]] = []
        assert self._said() == "ready"

    def set(self, host: str, delay_ms: float, jitter_ms: float = 0.0, loss: float = 0.0) -> None:
        """Both directions between here and a host."""
        assert self._process.stdin is not None
        for source, target in (("here", host), (host, "here")):
            order = {"from": source, "to": target, "delay_ms": delay_ms, "jitter_ms": jitter_ms, "loss": loss}
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            assert self._said() == "set"

    def station(self, host: str, *words: str) -> subprocess.Popen[str]:
        namespace = f"/run/netns/hansa-{self._process.pid}-{host}"
        # What else runs on the machine must not be measured.
        ahead = ["chrt", "--rr", "10", "nsenter", f"--net={namespace}"]
        station = _start([*ahead, sys.executable, str(HERE / "probe_station.py"), *words])
        self._stations.append(station)
        return station

    def reflect(self, host: str) -> str:
        """Where it answers."""
        station = self.station(host, "reflect", f"{HOSTS[host]}:8620")
        assert station.stdout is not None and station.stdout.readline() == "ready\n"
        return f"{host}={HOSTS[host]}:8620"

    def close(self) -> None:
        for station in self._stations:
            station.kill()
            station.communicate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=10)

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def _start(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def figures(station: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert station.stdout is not None
    return (json.loads(line) for line in station.stdout)


@pytest.fixture
def network() -> Iterator[DelayNetwork]:
    need_namespaces()
    started = DelayNetwork()
    yield started
    started.close()


def test_medians_are_within_a_millisecond_and_95th_percentiles_within_a_tenth(network: DelayNetwork) -> None:
    for host, (delay_ms, jitter_ms) in WAYS.items():
        network.set(host, delay_ms, jitter_ms)
    targets = [network.reflect(host) for host in WAYS]
    last = {one["target"]: one for one in figures(network.station("here", "probe", "14", "0.05", *targets))}
    assert sorted(last) == sorted(WAYS)
    for host, (delay_ms, jitter_ms) in WAYS.items():
        p50_ms, p95_ms = last[host]["p50_us"] / 1_000, last[host]["p95_us"] / 1_000
        expected_ms = 2 * delay_ms + P95_OF_NORMAL * 2**0.5 * jitter_ms
        print(f"{host}: set p50 {2 * delay_ms:.1f} p95 {expected_ms:.1f} ms, measured {p50_ms:.2f} {p95_ms:.2f}")
        assert abs(p50_ms - 2 * delay_ms) <= 1.0
        assert abs(p95_ms - expected_ms) <= 0.1 * expected_ms
        assert last[host]["loss_permille"] == 0


def test_losses_are_counted_and_do_not_move_the_median(network: DelayNetwork) -> None:
    network.set("mid", 20.0, 1.0, loss=0.1)
    *_, last = figures(network.station("here", "probe", "8", "0.05", network.reflect("mid")))
    print(f"loss set 190, measured {last['loss_permille']} permille; p50 {last['p50_us']} us")
    assert 120 <= last["loss_permille"] <= 260
    assert abs(last["p50_us"] - 40_000) <= 1_500


def test_a_step_of_the_median_is_told_within_two_rounds(network: DelayNetwork) -> None:
    network.set("mid", 20.0, 1.0)
    told = figures(network.station("here", "probe", "20", "0.5", network.reflect("mid")))
    before = next(one for one in told if one["sent"] >= 60)
    assert abs(before["p50_us"] - 40_000) <= 2_000
    network.set("mid", 30.0, 1.0)
    after = next(one for one in told if one["p50_us"] > 55_000)
    print(f"seen {after['sent'] - before['sent']} probes after the step at most; p50 {after['p50_us']} us")
    assert after["sent"] - before["sent"] <= 20
