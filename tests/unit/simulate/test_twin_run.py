"""The order in which a twin is built and driven, with processes that only pretend; nothing is left on failure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hansa_sim.engines.histogram import RELATIVE_ERROR
from hansa_sim.latency.twin import run as driving
from hansa_sim.latency.twin.cast import TwinFailed
from hansa_sim.latency.twin.namespaces import Run
from hansa_sim.latency.twin.plan import Part
from hansa_sim.latency.twin.run import Prepared, prepare_twin, run_twin
from twin_worlds import FIXED, twin_world

SECONDS = 20.0


class Actor:
    """A process that speaks: it is told lines and answers."""

    def __init__(self, name: str, answers: Iterator[str]) -> None:
        self.name, self.told, self._answers = name, list[str](), answers

    def hear(self) -> str:
        return next(self._answers)


class Pretended:
    """Stands for all processes; what was started, where, and what they say."""

    def __init__(self, run: Run, profile: Path) -> None:
        self.run, self.profile = run, profile
        self.served: list[tuple[str, str]] = []
        self.asked: list[tuple[str, ...]] = []
        self.actors: list[Actor] = []
        self.is_ended = False
        self.zones_after = 2
        self.answer: dict[str, Any] | None = None
        self.is_placed = True

    async def serve(self, host: str, program: str, config: Path) -> None:
        assert config.is_file()
        self.served.append((host, program))

    async def speak(self, program: str, host: str = "") -> Actor:
        actor = Actor(f"{program} {host}".strip(), iter(()))
        actor._answers = self._relay() if program == "relay" else self._users(actor)
        self.actors.append(actor)
        return actor

    def _relay(self) -> Iterator[str]:
        yield "ready"
        yield json.dumps({"packets": 7, "lost": 1, "late_us_p50": 40.0, "late_us_p99": 90.0, "late_us_p100": 95.0})

    def _users(self, actor: Actor) -> Iterator[str]:
        yield "ready"
        count = len(json.loads(actor.told[0])["requests"])
        came = {"latency_ns": [34_000_000] * count, "late_ns": [1_000] * count, "failures": {}}
        yield json.dumps(came)

    async def hansa(self, host: str, *arguments: str) -> dict[str, Any] | None:
        self.asked.append((host, *arguments))
        if arguments[0] == "zones":
            self.zones_after -= 1
            state = "AVAILABLE" if self.zones_after <= 0 else "QUIET"
            names = ("nordavind/zones/oslo-1", "skargard/zones/stockholm-1", "waldnetz/zones/hamburg-1")
            return {"zones": [{"name": f"operators/{name}", "state": state} for name in names]}
        if arguments[0] == "submit":
            return {} if self.is_placed else None
        return self.answer

    def check_alive(self) -> None:
        pass

    def tail(self, name: str) -> str:
        return f"the end of {name}'s log"

    async def end(self) -> None:
        self.is_ended = True


def answer_of(prepared: Prepared) -> dict[str, Any]:
    """What ``hansa endpoint`` would say of the plan."""
    share, world = prepared.plan.share, prepared.world
    assert share is not None
    return {
        "zones": [
            {
                "zone": str(zone.id),
                "endpoint_urls": [f"https://198.18.0.{at}:{8500 + n}" for n in range(int(prepared.plan.replicas[at]))],
                "endpoint_ca_pem": f"ca of {zone.id.operator}",
                "shares": [
                    {"access_point": user.access_point, "share_permille": round(1_000 * share[row, at])}
                    for row, user in enumerate(world.users)
                ],
            }
            for at, zone in enumerate(world.zones)
            if prepared.plan.replicas[at]
        ]
    }


class Stage:
    """A prepared twin, its pretended processes, and what was done to its namespaces."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        (folder / "run").mkdir()
        self.prepared = prepare_twin(twin_world(folder, FIXED), SECONDS)
        self.run = Run.__new__(Run)
        self.run.name, self.run.folder = "4711", folder / "run"
        self.made: list[str] = []
        self.removed = 0
        self.said: list[str] = []
        monkeypatch.setattr(self.run, "make", self.made.extend)
        monkeypatch.setattr(self.run, "remove", self._remove)
        self.cast = Pretended(self.run, folder)
        self.cast.answer = answer_of(self.prepared)
        monkeypatch.setattr(driving, "Cast", lambda run, profile: self.cast)
        monkeypatch.setattr(driving, "told", self._told)
        monkeypatch.setattr(driving, "heard", self._heard)
        monkeypatch.setattr(driving, "LOOKING_EVERY_S", 0.0)

    def _remove(self) -> None:
        self.removed += 1

    async def _told(self, actor: Actor, line: str) -> None:
        actor.told.append(line)

    async def _heard(self, actor: Actor, what: str, timeout_s: float) -> str:
        assert timeout_s > 0
        return actor.hear()

    async def play(self) -> Any:
        return await run_twin(self.prepared, self.run, self.said.append)

    def users(self) -> dict[str, Actor]:
        return {one.name.partition("users/")[2]: one for one in self.cast.actors if one.name.startswith("client")}


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    return Stage(monkeypatch, tmp_path)


# --- building ---


async def test_every_host_gets_a_namespace_and_its_own_processes(stage: Stage) -> None:
    await stage.play()
    hosts = stage.prepared.network.hosts
    assert stage.made == [host.label for host in hosts]
    assert stage.cast.served == [
        *((host.label, "hansa-control") for host in hosts if host.part is Part.OPERATOR),
        *((host.label, "hansa-agent") for host in hosts if host.part is Part.ZONE),
    ]
    assert set(stage.users()) == {host.name for host in hosts if host.part is Part.USERS}


async def test_the_relay_is_told_every_way_before_anything_talks(stage: Stage) -> None:
    await stage.play()
    relay = stage.cast.actors[0]
    plan = json.loads(relay.told[0])
    network = stage.prepared.network
    assert [one["address"] for one in plan["hosts"]] == [host.address for host in network.hosts]
    assert [one["namespace"] for one in plan["hosts"]] == [
        f"hansa-twin-4711-{host.label}".replace("/", ".") for host in network.hosts
    ]
    for row, told in zip(network.ways, plan["ways"], strict=True):
        assert told == [None if way is None else [way.delay_ns, way.loss] for way in row]


async def test_the_app_is_submitted_once_every_zone_is_available_and_asked_for_at_every_place(stage: Stage) -> None:
    await stage.play()
    home = "op/nordavind"
    assert [(one[0], one[1]) for one in stage.cast.asked] == [
        (home, "zones"),
        (home, "zones"),
        (home, "submit"),
        *((f"users/{point}", "endpoint") for point in ("bergen", "malmo", "oslo")),
    ]


# --- driving ---


async def test_users_are_told_their_own_requests_and_all_the_same_moment(stage: Stage) -> None:
    await stage.play()
    moments = {actor.told[1] for actor in stage.users().values()}
    assert len(moments) == 1
    counts = {point: len(json.loads(actor.told[0])["requests"]) for point, actor in stage.users().items()}
    for point, rate_rps in (("bergen", 5), ("malmo", 9), ("oslo", 6)):
        assert counts[point] == pytest.approx(SECONDS * rate_rps, abs=4 * (SECONDS * rate_rps) ** 0.5)


async def test_users_know_the_instances_of_the_zones_that_serve_them_and_no_other(stage: Stage) -> None:
    await stage.play()
    answer = {zone["zone"]: zone for zone in stage.cast.answer["zones"]} if stage.cast.answer else {}
    share = stage.prepared.plan.share
    assert share is not None
    for row, user in enumerate(stage.prepared.world.users):
        job = json.loads(stage.users()[user.access_point].told[0])
        used = [str(zone.id) for at, zone in enumerate(stage.prepared.world.zones) if share[row, at]]
        assert job["zones"] == [
            {"urls": answer[zone]["endpoint_urls"], "ca": answer[zone]["endpoint_ca_pem"]} for zone in used
        ]
        assert {zone for _, _, zone in job["requests"]} == set(range(len(used)))
        assert 4 < job["connections"] <= driving.CONNECTIONS_MAX


async def test_the_result_sets_what_was_measured_beside_what_was_predicted(stage: Stage) -> None:
    result = await stage.play()
    assert [point.access_point for point in result.points] == ["bergen", "malmo", "oslo"]
    assert all(point.measured_ms == (34.0, 34.0, 34.0) for point in result.points)
    for point in result.points:
        assert point.predicted_ms[0] >= (20 + 5.4) * (1 - RELATIVE_ERROR)
        assert 0 < point.requests < len(json.loads(stage.users()[point.access_point].told[0])["requests"])
    assert (result.differs, result.failures, result.hosts) == ((), {}, len(stage.made))
    assert (result.account.packets, result.account.lost, result.account.sent_late_us_p99) == (7, 1, 1.0)
    assert result.account.released_late_us == {"p50": 40.0, "p99": 90.0, "p100": 95.0}


async def test_another_placement_is_driven_as_it_is_and_said(stage: Stage) -> None:
    assert stage.cast.answer is not None
    elsewhere = stage.cast.answer["zones"][0] | {
        "zone": "waldnetz/hamburg-1",
        "endpoint_urls": ["https://198.18.0.6:8500"],
    }
    elsewhere["shares"] = [{"access_point": point, "share_permille": 1_000} for point in ("bergen", "malmo", "oslo")]
    stage.cast.answer = {"zones": [elsewhere]}
    result = await stage.play()
    assert result.replicas == {"waldnetz/hamburg-1": 1}
    assert all(point.zones == ("waldnetz/hamburg-1",) for point in result.points)
    assert result.differs and not result.holds


# --- failing ---


async def assert_failed(stage: Stage, match: str) -> None:
    with pytest.raises(TwinFailed, match=match):
        await stage.play()
    assert (stage.removed, stage.cast.is_ended) == (1, True)


async def test_zones_that_do_not_come_are_named(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    monkeypatch.setattr(driving, "STARTING_S", 0.05)
    stage.cast.zones_after = 1 << 40
    await assert_failed(stage, "not available within .*: nordavind/oslo-1, skargard/stockholm-1, waldnetz/hamburg-1")


async def test_a_process_that_ends_is_told_with_the_end_of_its_log(
    monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    def ended() -> None:
        raise TwinFailed("zone/nordavind/oslo-1 ended with 2: no such file")

    monkeypatch.setattr(stage.cast, "check_alive", ended)
    await assert_failed(stage, "oslo-1 ended with 2: no such file")


async def test_an_app_that_is_not_placed_is_told_with_what_the_command_said(stage: Stage) -> None:
    stage.cast.is_placed = False
    await assert_failed(stage, "the app was not placed: the end of hansa's log")


async def test_a_place_without_an_endpoint_fails(stage: Stage) -> None:
    stage.cast.answer = None
    await assert_failed(stage, "told no endpoint")


async def test_what_is_interrupted_is_taken_down_too(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    async def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(driving, "heard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        await stage.play()
    assert (stage.removed, stage.cast.is_ended) == (1, True)


async def test_when_it_is_done_everything_is_taken_down(stage: Stage) -> None:
    await stage.play()
    assert (stage.removed, stage.cast.is_ended) == (1, True)
