"""What a planner is told comes true: a world is taken, a zone's failure is supposed, and then its agent really dies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hansa_demo.check import wait_for
from hansa_demo.processes import DemoFailed
from hansa_demo.replicated import rewrite
from hansa_sim.latency.command import app
from small_world import DIGEST, HOME, PARTNER, SmallWorld
from typer.testing import CliRunner, Result

from hansa.operator_client import OperatorClient
from hansa.profile import load_profile
from hansa.spec_file import parse_workload_text
from hansa.sync import SyncClient
from hansa.v1 import workload_pb2

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]
OSLO, BERGEN = f"{HOME}/oslo-1", f"{HOME}/bergen-1"
READY = workload_pb2.PLACEMENT_STATE_READY
SPEC = """\
kind: Workload
name: any
artefact: {{name: tiny, digest: {digest}}}
resources: {{cpu: {cpu}, memory: 64MiB}}
users: [{{access_point: oslo, requests_per_s: 1}}]
latency: {{rtt_ms_max: {rtt_ms_max}}}
residency: {{data: [{countries}], control: ['NO', DE]}}
objective: {{latency: 1, price: 0}}
priority: {priority}
"""
AT_HOME, ANYWHERE = "'NO'", "'NO', DE"
WORKLOADS = {  # in the order in which they are submitted; zones have 16 cores
    "near": (3, 11, AT_HOME, 0),
    "free-1": (5, 60, ANYWHERE, 0),
    "low": (3, 60, AT_HOME, -10),
    "high": (5, 60, AT_HOME, 10),
    "large": (8, 60, AT_HOME, 0),
    "free-2": (3, 60, ANYWHERE, 0),
}


def hasten(document: dict[str, Any]) -> None:
    document["timings"] = {"quiet_after_ms": 1_500, "lost_after_ms": 3_000}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    world = SmallWorld(tmp_path_factory.mktemp("what-if") / "world")
    for operator in (HOME, PARTNER):
        rewrite(world.prepared.operator(operator) / "control-plane.yaml", hasten)
    try:
        world.start()
        submit_all(world)
        yield world
    finally:
        world.processes.stop_all()


def simulate(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def where(client: SyncClient) -> dict[str, str]:
    """Where every workload answers; "" for nowhere."""
    found = {}
    for workload in client.workloads():
        zones = [placement.zone for placement in workload.placements if placement.state == READY]
        found[workload.name.rsplit("/", 1)[1]] = ",".join(zones)
    return found


def predicted(answer: dict[str, Any]) -> dict[str, str]:
    return {
        one["workload"].rsplit("/", 1)[1]: ",".join(at["zone"] for at in one["after"]["zones"])
        for one in answer["workloads"]
    }


def submit_all(world: SmallWorld) -> None:
    with SyncClient(load_profile(world.prepared.profile)) as client:
        for name, (cpu, rtt_ms_max, countries, priority) in WORKLOADS.items():
            asked = SPEC.format(digest=DIGEST, cpu=cpu, rtt_ms_max=rtt_ms_max, countries=countries, priority=priority)
            client.submit(name, parse_workload_text(asked, "harbour").spec)
            wait_for(f"{name} answers", lambda name=name: where(client)[name], 20)  # type: ignore[misc]


def engineers(world: SmallWorld) -> Path:
    return world.prepared.operator(HOME) / "profile.yaml"


def await_all(world: SmallWorld, foretold: dict[str, str]) -> None:
    with SyncClient(load_profile(world.prepared.profile)) as client:
        with suppress(DemoFailed):
            wait_for("everybody is where it was foretold", lambda: where(client) == foretold or None, 25)
        assert where(client) == foretold


async def decide(world: SmallWorld, *, drained: bool) -> None:
    async with OperatorClient(load_profile(engineers(world))) as client:
        await (client.drain("bergen-1") if drained else client.uncordon("bergen-1"))


def test_a_snapshot_has_all_and_no_secrets_and_where_nothing_is_supposed_all_stay(
    world: SmallWorld, tmp_path: Path
) -> None:
    live = tmp_path / "live.yaml"
    taken = simulate("snapshot", "--out", live, "--profile", engineers(world))
    assert taken.exit_code == 0, taken.output
    checked = simulate("check", live)
    assert (checked.exit_code, f"{len(WORKLOADS)} workloads" in checked.stdout) == (0, True)
    told = (tmp_path / "live.world.json").read_text()
    assert not [secret for secret in ("PRIVATE", "BEGIN", "https://", "fencing") if secret in told]
    nothing = simulate("what-if", live, "-o", "json")
    assert nothing.exit_code == 0
    with SyncClient(load_profile(world.prepared.profile)) as client:
        assert predicted(json.loads(nothing.stdout)) == where(client)
    from_file = simulate("what-if", live, "--fail", f"zone:{OSLO}", "-o", "json")
    from_operator = simulate("what-if", "--profile", engineers(world), "--fail", f"zone:{OSLO}", "-o", "json")
    assert json.loads(from_file.stdout) == json.loads(from_operator.stdout)


def test_a_drained_zone_is_left_as_was_foretold(world: SmallWorld) -> None:
    asked = simulate("what-if", "--profile", engineers(world), "--drain", f"zone:{BERGEN}", "-o", "json")
    answer = json.loads(asked.stdout)
    foretold = predicted(answer)
    assert asked.exit_code == 0, "who cannot leave stays, and answers"
    assert any(one["outcome"] == "moves" for one in answer["workloads"])
    assert BERGEN in foretold.values(), "somebody may not leave Norway, and Oslo is full"
    asyncio.run(decide(world, drained=True))
    await_all(world, foretold)
    asyncio.run(decide(world, drained=False))


def test_a_zone_whose_agent_dies_is_left_as_was_foretold(world: SmallWorld) -> None:
    asked = simulate("what-if", "--profile", engineers(world), "--fail", f"zone:{OSLO}", "-o", "json")
    answer = json.loads(asked.stdout)
    foretold = predicted(answer)
    assert OSLO not in foretold.values()
    assert any(one["outcome"] == "moves" for one in answer["workloads"])
    assert asked.exit_code == 1, "who may be in Oslo alone has no lawful place"
    world.processes.kill(OSLO)
    await_all(world, foretold)
