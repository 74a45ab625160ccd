"""The relay between pretended devices, and the twin's processes outside of namespaces."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hansa_sim.latency.twin import cast as casting
from hansa_sim.latency.twin import relay as relaying
from hansa_sim.latency.twin.cast import Cast, TwinFailed, heard, told
from hansa_sim.latency.twin.namespaces import Run
from hansa_sim.latency.twin.relay import Relay
from hansa_sim.latency.twin.system import monotonic_ns

MS_NS = 1_000_000
HOSTS = [{"namespace": name, "address": f"198.18.0.{n}"} for n, name in enumerate("abc", start=1)]
WAYS = [
    [[0, 0], [30 * MS_NS, 0], [5 * MS_NS, 0]],
    [[1 * MS_NS, 0], [0, 0], None],
    [[5 * MS_NS, 0], None, [0, 0]],
]


def packet(source: int, target: int, said: bytes, *, version: int = 4) -> bytes:
    """As much of an IP packet as the relay looks at."""
    addresses = bytes([198, 18, 0, source, 198, 18, 0, target])
    return bytes([version << 4 | 5]) + bytes(11) + addresses + said


class Wired:
    """A relay in a thread, whose devices are sockets; ``ends`` are the hosts' ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pairs = {host["namespace"]: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for host in HOSTS}
        self.ends = [pair[1] for pair in pairs.values()]
        self._pairs = pairs
        self.configured: list[tuple[str, str]] = []
        orders, self._orders = os.pipe()
        self._stdin = os.fdopen(orders, "r")
        for pair in pairs.values():
            pair[0].setblocking(False)
            pair[1].settimeout(5)
        monkeypatch.setattr(relaying, "_open_device", lambda namespace: pairs[namespace][0].fileno())
        monkeypatch.setattr(relaying, "_configure", lambda *words: self.configured.append(words))
        monkeypatch.setattr(sys, "stdin", self._stdin)
        self.relay = Relay({"hosts": HOSTS, "ways": WAYS}, monotonic_ns)
        self._thread = threading.Thread(target=self.relay.run)
        self._thread.start()

    def tell(self, line: str) -> None:
        os.write(self._orders, line.encode())

    def close(self) -> None:
        os.close(self._orders)
        self._thread.join(5)
        assert not self._thread.is_alive()
        self._stdin.close()
        for pair in self._pairs.values():
            for end in pair:
                end.close()


@pytest.fixture
def wired(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wired]:
    found = Wired(monkeypatch)
    yield found
    found.close()


# --- the relay ---


def test_a_packet_comes_where_it_is_addressed_after_its_delay_and_unchanged(wired: Wired) -> None:
    began_ns = monotonic_ns()
    wired.ends[0].send(packet(1, 2, b"slow"))
    wired.ends[0].send(packet(1, 3, b"fast"))
    assert wired.ends[2].recv(100) == packet(1, 3, b"fast")
    assert monotonic_ns() - began_ns >= 5 * MS_NS
    assert wired.ends[1].recv(100) == packet(1, 2, b"slow")
    assert monotonic_ns() - began_ns >= 30 * MS_NS
    assert wired.configured == [(host["namespace"], host["address"]) for host in HOSTS]


def test_both_directions_have_delays_of_their_own(wired: Wired) -> None:
    wired.ends[0].send(packet(1, 2, b"there"))
    wired.ends[1].send(packet(2, 1, b"back"))
    assert wired.ends[0].recv(100) == packet(2, 1, b"back")
    wired.ends[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        wired.ends[1].recv(100)


def test_what_goes_nowhere_reaches_nobody(wired: Wired) -> None:
    wired.ends[1].send(packet(2, 3, b"no way"))
    wired.ends[0].send(packet(1, 9, b"nobody"))
    wired.ends[0].send(packet(1, 3, b"another protocol", version=6))
    wired.ends[0].send(packet(1, 3, b"last"))
    assert wired.ends[2].recv(100) == packet(1, 3, b"last")


def test_an_account_says_what_was_relayed_and_lost(wired: Wired, capsys: pytest.CaptureFixture[str]) -> None:
    wired.ends[1].send(packet(2, 3, b"no way"))
    for number in range(3):
        wired.ends[0].send(packet(1, 3, bytes([number])))
    assert [wired.ends[2].recv(100)[-1] for _ in range(3)] == [0, 1, 2]
    wired.ends[0].send(packet(1, 3, b"flushed before the account"))
    wired.ends[2].recv(100)
    wired.tell("account\n")
    shown = said_by(capsys)
    account = json.loads(shown)
    assert (account["packets"], account["lost"]) == (4, 1)
    assert 0 < account["late_us_p50"] <= account["late_us_p99"] <= account["late_us_p100"]


def said_by(capsys: pytest.CaptureFixture[str]) -> str:
    """What the thread prints; waits for it."""
    waited, shown = threading.Event(), ""
    for _ in range(500):
        shown += capsys.readouterr().out
        if shown:
            break
        waited.wait(0.01)
    return shown


# --- processes ---


class Outside(Run):
    """A run without namespaces: commands run where we are."""

    def __init__(self, folder: Path) -> None:
        self.name, self.folder = "0", folder

    def inside(self, host: str, command: Any) -> list[str]:
        return list(command)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where programs are taken from, instead of those of the product."""
    monkeypatch.setattr(casting, "BIN", tmp_path)
    return tmp_path


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


async def test_a_server_that_has_ended_is_told_with_the_end_of_its_log(folder: Path) -> None:
    cast = Cast(Outside(folder), folder / "profile.yaml")
    program(folder, "hansa-agent", 'echo "it is $1 $2"; exit 3')
    await cast.serve("zone/nordavind/oslo-1", "hansa-agent", folder / "a.yaml")
    cast.check_alive()
    await cast._servants["zone/nordavind/oslo-1"].wait()
    with pytest.raises(TwinFailed, match=r"^zone/nordavind/oslo-1 ended with 3: it is serve --config$"):
        cast.check_alive()


async def test_the_command_line_answers_with_its_json_or_nothing(folder: Path) -> None:
    cast = Cast(Outside(folder), folder / "profile.yaml")
    program(folder, "hansa", 'test "$3" = zones || { echo "no $3" >&2; exit 2; }; echo "{\\"asked\\": \\"$*\\"}"')
    answer = await cast.hansa("op/nordavind", "zones")
    assert answer == {"asked": f"--profile {folder / 'profile.yaml'} zones -o json"}
    assert await cast.hansa("op/nordavind", "submit") is None
    assert cast.tail("hansa") == "no submit"


async def test_everything_that_runs_is_ended(folder: Path) -> None:
    cast = Cast(Outside(folder), folder / "profile.yaml")
    program(folder, "hansa-control", "exec sleep 60")
    await cast.serve("op/nordavind", "hansa-control", folder / "a.yaml")
    await cast.end()
    assert cast._servants["op/nordavind"].returncode == -9


async def test_a_program_speaks_in_lines_until_it_ends(folder: Path) -> None:
    cast = Cast(Outside(folder), folder / "profile.yaml")
    client = await cast.speak("client", "users/oslo")
    await told(client, "this is no JSON")
    with pytest.raises(TwinFailed, match="users at oslo: ended before it said anything"):
        await heard(client, "users at oslo", 30.0)
    await cast.end()


async def test_a_program_that_says_nothing_is_not_waited_for_for_ever(folder: Path) -> None:
    cast = Cast(Outside(folder), folder / "profile.yaml")
    client = await cast.speak("client", "users/oslo")
    with pytest.raises(TwinFailed, match="users at oslo: nothing within 0 s"):
        await heard(client, "users at oslo", 0.05)
    await cast.end()
