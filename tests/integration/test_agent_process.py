"""The agent as a process, before a fake operator over real mutual TLS, with real instances."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from agent_harness import CALLER, SCRIPT, WAIT_S, World, alive, gone, zone_world
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hansa.v1.instance_pb2 import INSTANCE_STATE_FAILED, INSTANCE_STATE_READY, INSTANCE_STATE_STOPPING


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with zone_world(tmp_path) as built:
        yield built


async def test_ordered_instance_is_started_and_answers_over_mutual_tls(world: World) -> None:
    await world.spawn(world.config())
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    status = await world.operator.ready("c1-0")
    assert await world.call(status, "/v2/health/ready") == {"ready": True}
    environment = await world.call(status, "/environment")
    assert environment["HANSA_CLIENT_IDS"] == CALLER
    assert environment["HANSA_INSTANCE"] == "c1-0"
    assert not [name for name in environment if name.startswith(("PYTEST", "VIRTUAL_ENV"))], "nothing is inherited"
    assert Path(environment["HOME"]) == world.state_dir / "instances/c1-0/home"


async def test_instance_survives_kill_of_its_agent_and_is_adopted_by_the_next(world: World) -> None:
    config = world.config()
    agent = await world.spawn(config)
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    before = await world.operator.ready("c1-0")
    pid = world.record()["pid"]
    seen = len(world.operator.received)
    agent.kill()
    await agent.wait()
    assert alive(pid)
    await world.spawn(config)
    hello = (await world.operator.until(lambda: world.operator.of("hello", seen)))[0]
    assert [held.name for held in hello.order_etags] == ["instances/c1-0"]
    await world.operator.until(lambda: len(world.operator.of("heartbeat", seen)) >= 3)
    assert world.operator.of("adverts", seen) == [], "nothing has changed, so nothing is sent"
    assert (await world.call(before, "/process"))["pid"] == pid == world.record()["pid"]


async def test_adopted_instance_that_dies_is_restarted_on_its_port(world: World) -> None:
    config = world.config()
    agent = await world.spawn(config)
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    before = await world.operator.ready("c1-0")
    agent.kill()
    await agent.wait()
    await world.spawn(config)
    await world.operator.until(lambda: len(world.operator.of("hello")) == 2)
    os.kill(world.record()["pid"], signal.SIGKILL)
    after = await world.operator.until(lambda: _ready_after(world, restarts=1))
    assert after.endpoint_url == before.endpoint_url
    assert (await world.call(after, "/v2/health/ready")) == {"ready": True}


async def test_instance_that_died_with_its_agent_is_started_by_the_next_agent(world: World) -> None:
    config = world.config()
    agent = await world.spawn(config)
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    await world.operator.ready("c1-0")
    agent.kill()
    await agent.wait()
    old_pid = world.record()["pid"]
    os.killpg(old_pid, signal.SIGKILL)
    await gone(old_pid)
    await world.spawn(config)
    after = await world.operator.until(lambda: _ready_after(world, restarts=1))
    assert (await world.call(after, "/process"))["pid"] != old_pid


async def test_killed_instance_is_restarted(world: World) -> None:
    await world.spawn(world.config())
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    await world.operator.ready("c1-0")
    os.kill(world.record()["pid"], signal.SIGKILL)
    await world.operator.until(lambda: "signal 9" in (world.operator.status("c1-0") or world).message)
    after = await world.operator.until(lambda: _ready_after(world, restarts=1))
    assert (await world.call(after, "/v2/health/ready")) == {"ready": True}


async def test_instance_that_keeps_crashing_is_failed(world: World) -> None:
    await world.spawn(world.config(artefacts=[world.artefact(mode="crash")]))
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    status = await world.operator.until(lambda: _failed(world))
    assert status.message == "given up after 3 failures in a row: ended with status 3"
    assert status.restarts == 2
    log = (world.state_dir / "instances/c1-0/log").read_text()
    assert log.count("started") == 3


async def test_instance_that_never_gets_ready_is_killed_and_tried_again(world: World) -> None:
    config = world.config(artefacts=[world.artefact(mode="unready")])
    config.write_text(config.read_text().replace("stop_grace_s: 1.0", "ready_timeout_s: 0.5\n  stop_grace_s: 1.0"))
    await world.spawn(config)
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    await world.operator.until(lambda: _failed(world))
    assert not list(_processes(world)), "the last one is dead, too"


async def test_withdrawn_order_ends_the_whole_process_group(world: World) -> None:
    await world.spawn(world.config(artefacts=[world.artefact(mode="family")]))
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    await world.operator.ready("c1-0")
    pid = world.record()["pid"]
    child = int((world.state_dir / "instances/c1-0/home/child.pid").read_text())
    assert alive(child)
    await world.operator.order()
    await world.operator.until(lambda: world.operator.status("c1-0") is None)
    await gone(child)
    assert not alive(pid) and not alive(child)
    async with asyncio.timeout(WAIT_S):
        while (world.state_dir / "instances/c1-0").exists():
            await asyncio.sleep(0.01)
    assert "started" in (world.state_dir / "logs/c1-0.log").read_text(), "the log is kept"


async def test_instance_that_ignores_sigterm_is_killed_after_the_grace(world: World) -> None:
    await world.spawn(world.config(artefacts=[world.artefact(mode="stubborn")]))
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    await world.operator.ready("c1-0")
    pid = world.record()["pid"]
    await world.operator.order()
    await world.operator.until(lambda: world.operator.status("c1-0") is None)
    assert not alive(pid)


async def test_limits_are_in_force_in_the_running_process(world: World) -> None:
    await world.spawn(world.config())
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    status = await world.operator.ready("c1-0")
    process = await world.call(status, "/process")
    limits = Path(f"/proc/{process['pid']}/limits").read_text()
    rows = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()[1:]}
    assert rows["Max data size"] == [str(512 << 20)] * 2
    assert rows["Max core file size"] == ["0", "0"]
    assert rows["Max open files"] == ["4096", "4096"]
    assert rows["Max file size"] == [str(1 << 30)] * 2
    assert process["pgid"] == process["pid"]
    facts = dict(line.split(":\t", 1) for line in process["status"].splitlines())
    assert facts["NoNewPrivs"] == "1"
    assert facts["Cpus_allowed_list"].isdecimal(), "half a core stays on one CPU"


async def test_artefact_changed_on_disk_is_not_started(world: World) -> None:

    copy = world.folder / "agent_artefact.py"
    copy.write_bytes(SCRIPT.read_bytes())
    artefact = world.artefact() | {"files": [str(copy)]}
    await world.spawn(world.config(artefacts=[artefact]))
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    copy.write_bytes(SCRIPT.read_bytes() + b"# changed\n")
    await world.operator.order(world.desired())
    status = await world.operator.until(lambda: _failed(world))
    assert "on disk" in status.message
    assert not list(_processes(world))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"artefact": {"name": "stranger", "digest": "sha256:00"}}, "instance.artefact.name"),
        ({"artefact": {"name": "echo", "digest": "sha256:" + "0" * 64}}, "instance.artefact.digest"),
        ({"limits": {"cpu_millis": 8_001}}, "instance.limits.cpu_millis"),
        ({"limits": {"accelerators": [{"pool": "nvidia/H100", "count": 1}]}}, "instance.limits.accelerators"),
        ({"fencing_token": 0}, "instance.fencing_token"),
    ],
)
async def test_unlawful_order_is_refused_and_the_agent_goes_on(
    world: World, changes: dict[str, object], field: str
) -> None:
    await world.spawn(world.config())
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired("bad-0", **changes), world.desired("good-0"))
    ack = (await world.operator.until(lambda: world.operator.of("order_ack")))[0]
    assert [refusal.name for refusal in ack.refusals] == ["instances/bad-0"]
    assert ack.refusals[0].field.startswith(field)
    await world.operator.ready("good-0")
    assert world.operator.status("bad-0") is None


async def test_stale_token_is_refused_even_after_the_agent_was_killed(world: World) -> None:
    config = world.config()
    agent = await world.spawn(config)
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired(fencing_token=7))
    await world.operator.ready("c1-0")
    pid = world.record()["pid"]
    agent.kill()
    await agent.wait()
    await world.spawn(config)
    await world.operator.until(lambda: len(world.operator.of("hello")) == 2)
    await world.operator.order(world.desired(fencing_token=6))
    ack = (await world.operator.until(lambda: [ack for ack in world.operator.of("order_ack") if ack.refusals]))[0]
    assert ack.refusals[0].field == "instance.fencing_token"
    assert world.record()["pid"] == pid and alive(pid)
    assert world.record()["fencing_token"] == 7


async def test_greater_token_alone_does_not_disturb_the_process(world: World) -> None:
    await world.spawn(world.config())
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired(fencing_token=7))
    before = await world.operator.ready("c1-0")
    await world.operator.order(world.desired(fencing_token=8))
    after = await world.operator.until(lambda: _with_token(world, 8))
    assert after.state == INSTANCE_STATE_READY and after.started_at_ms == before.started_at_ms


async def test_sigterm_leaves_instances_running(world: World) -> None:
    agent = await world.spawn(world.config())
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    status = await world.operator.ready("c1-0")
    agent.terminate()
    assert await agent.wait() == 0
    assert (await world.call(status, "/v2/health/ready")) == {"ready": True}


async def test_stop_instances_ends_them_with_the_agent(world: World) -> None:
    agent = await world.spawn(world.config(), "--stop-instances")
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    await world.operator.ready("c1-0")
    pid = world.record()["pid"]
    agent.terminate()
    assert await agent.wait() == 0
    assert not alive(pid)
    assert list(world.state_dir.glob("instances/*")) == []


async def test_second_agent_on_the_same_state_is_turned_away(world: World) -> None:
    config = world.config()
    await world.spawn(config)
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    second = await world.spawn(config)
    assert await second.wait() == 78
    assert "another agent works on" in (world.folder / "agent.log").read_text()


async def test_state_directory_that_cannot_be_used_is_said_and_tried_again_by_whoever_starts_the_agent(
    world: World,
) -> None:
    in_the_way = world.folder / "a-file"
    in_the_way.write_text("")
    agent = await world.spawn(world.config(state_dir=str(in_the_way)))
    assert await agent.wait() == 1
    said = (world.folder / "agent.log").read_text()
    assert f"state_dir: {in_the_way} cannot be used: File exists" in said
    assert "Traceback" not in said


async def test_process_that_only_has_the_same_number_is_not_adopted(world: World) -> None:
    config = world.config()
    agent = await world.spawn(config)
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    await world.operator.ready("c1-0")
    agent.kill()
    await agent.wait()
    old_pid = world.record()["pid"]
    os.killpg(old_pid, signal.SIGKILL)
    await gone(old_pid)
    stranger = await asyncio.create_subprocess_exec("sleep", "60", start_new_session=True)
    try:
        folder = world.state_dir / "instances/c1-0"
        for name in ("instance.json", "process"):
            path = folder / name
            path.write_text(path.read_text().replace(str(old_pid), str(stranger.pid)))
        await world.spawn(config)
        await world.operator.until(lambda: _ready_after(world, restarts=1))
        await world.operator.order()
        await world.operator.until(lambda: world.operator.status("c1-0") is None)
        assert stranger.returncode is None and alive(stranger.pid)
    finally:
        stranger.kill()
        await stranger.wait()


async def test_instance_whose_agent_died_before_writing_its_number_down_is_adopted(world: World) -> None:
    config = world.config()
    agent = await world.spawn(config)
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    await world.operator.ready("c1-0")
    agent.kill()
    await agent.wait()
    pid = world.record()["pid"]
    path = world.state_dir / "instances/c1-0/instance.json"
    path.write_text(path.read_text().replace(f'"pid": {pid}', '"pid": 0'))
    await world.spawn(config)
    await world.operator.until(lambda: len(world.operator.of("hello")) == 2)
    status = await world.operator.ready("c1-0")
    assert status.restarts == 0 and (await world.call(status, "/process"))["pid"] == pid == world.record()["pid"]
    await world.operator.order()
    await world.operator.until(lambda: world.operator.status("c1-0") is None)
    assert not alive(pid)


async def test_order_withdrawn_while_the_agent_was_away_is_carried_out(world: World) -> None:
    config = world.config()
    agent = await world.spawn(config)
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    await world.operator.ready("c1-0")
    agent.kill()
    await agent.wait()
    pid = world.record()["pid"]
    world.operator.orders = {}
    await world.spawn(config)
    await world.operator.until(lambda: len(world.operator.of("hello")) == 2)
    await world.operator.notify()
    await world.operator.until(lambda: world.operator.status("c1-0") is None)
    assert not alive(pid)


async def test_agent_killed_while_it_stops_an_instance_goes_on_stopping_it(world: World) -> None:
    config = world.config(artefacts=[world.artefact(mode="stubborn")])
    config.write_text(config.read_text().replace("stop_grace_s: 1.0", "stop_grace_s: 60.0"))
    agent = await world.spawn(config)
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    await world.operator.ready("c1-0")
    await world.operator.order()
    await world.operator.until(lambda: _in_state(world, INSTANCE_STATE_STOPPING))
    pid = world.record()["pid"]
    agent.kill()
    await agent.wait()
    assert alive(pid) and world.record()["ordered"] is False
    config.write_text(config.read_text().replace("stop_grace_s: 60.0", "stop_grace_s: 0.2"))
    seen = len(world.operator.received)
    await world.spawn(config)
    hello = (await world.operator.until(lambda: world.operator.of("hello", seen)))[0]
    assert not hello.order_etags, "a withdrawn order is not held"
    await world.operator.until(lambda: world.operator.status("c1-0") is None)
    assert not alive(pid)


def _in_state(world: World, state: int) -> bool:
    status = world.operator.status("c1-0")
    return status is not None and status.state == state


def _ready_after(world: World, restarts: int) -> object:
    status = world.operator.status("c1-0")
    fits = status is not None and status.state == INSTANCE_STATE_READY and status.restarts == restarts
    return status if fits else None


def _failed(world: World) -> object:
    status = world.operator.status("c1-0")
    return status if status is not None and status.state == INSTANCE_STATE_FAILED else None


def _with_token(world: World, token: int) -> object:
    status = world.operator.status("c1-0")
    return status if status is not None and status.fencing_token == token else None


def _processes(world: World) -> list[int]:
    marks = [path.read_text().split() for path in world.state_dir.glob("instances/*/process")]
    return [int(mark[0]) for mark in marks if alive(int(mark[0]))]


async def test_what_the_site_asks_is_told_at_once_and_by_the_next_agent_too(world: World) -> None:
    config = world.config()
    agent = await world.spawn(config)
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    await world.operator.order(world.desired())
    await world.operator.ready("c1-0")
    assert await world.command("drain", "--config", str(config), "--why", "power") == 0
    await world.operator.until(lambda: world.operator.adverts["inventory"].inventory.wish.note == "power")
    await world.operator.order(world.desired(), world.desired("c2-0"))
    await world.operator.until(lambda: any(ack.refusals for ack in world.operator.of("order_ack")))
    agent.terminate()
    await agent.wait()
    seen = len(world.operator.received)
    await world.spawn(config)
    await world.operator.until(lambda: world.operator.of("hello", seen))
    await world.operator.until(lambda: len(world.operator.of("heartbeat", seen)) >= 2)
    assert world.operator.adverts["inventory"].inventory.wish.drained
    status = world.operator.status("c1-0")
    assert status is not None and status.state == INSTANCE_STATE_READY, "what runs goes on"
    assert await world.command("uncordon", "--config", str(config)) == 0
    await world.operator.until(lambda: not world.operator.adverts["inventory"].inventory.HasField("wish"))


async def test_an_operator_that_does_not_ask_is_refused_by_the_agent_and_what_runs_goes_on(world: World) -> None:
    refusals = {"tenants": {"allow": ["nordfjell/shop"]}}
    await world.spawn(world.config(refusals=refusals))
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    told = world.operator.adverts["inventory"].inventory.refusals
    assert list(told.tenants_allowed) == ["nordfjell/shop"]
    ours = world.desired(asker="nordfjell/shop")
    await world.operator.order(ours)
    before = await world.operator.ready("c1-0")
    await world.operator.order(ours, world.desired("c2-0"), world.desired("c3-0", asker="nordfjell/mill"))
    acks = await world.operator.until(lambda: [ack for ack in world.operator.of("order_ack") if len(ack.refusals) == 2])
    reasons = sorted(refusal.message.partition(":")[0] for refusal in acks[-1].refusals)
    assert reasons == ["TENANT_REFUSED", "TENANT_UNKNOWN"]
    assert world.operator.status("c1-0") == before


async def test_a_configuration_that_was_altered_is_not_taken_over_by_a_reload(world: World) -> None:
    config, key = world.config(), world.folder / "config.key"
    private = Ed25519PrivateKey.generate()
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert await world.command("sign-config", str(config), "--key", str(key)) == 0
    pinned = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    agent = await world.spawn(config, "--config-key", pinned)
    await world.operator.until(lambda: "inventory" in world.operator.adverts)
    config.write_text(config.read_text().replace("title: Oslo", "title: Bergen"))
    agent.send_signal(signal.SIGHUP)
    while "configuration not reloaded" not in [line["event"] for line in world.log()]:
        await asyncio.sleep(0.05)
    assert world.operator.adverts["inventory"].inventory.title == "Oslo"
    assert await world.command("sign-config", str(config), "--key", str(key)) == 0
    agent.send_signal(signal.SIGHUP)
    await world.operator.until(lambda: world.operator.adverts["inventory"].inventory.title == "Bergen")
