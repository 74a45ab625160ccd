"""The process runtime by itself: ports, logs, leftovers, and the commands around the agent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from agent_harness import DIGEST, SCRIPT, World, alive, free_ports, gone
from hansa_agent.artefacts import Artefact
from hansa_agent.instance_ports import InstanceSettings
from hansa_agent.instance_store import InstanceStore
from hansa_agent.ports import StartRefused
from hansa_agent.processes import mark_of
from hansa_agent.reconciliation import RestartPolicy
from hansa_agent.runtime_process import ProcessRuntime, RunningProcess
from hansa_agent.supervisor import Supervisor
from hansa_agent.system import SystemClock, SystemRandom

from hansa.v1.agent_service_pb2 import Order
from hansa.v1.instance_pb2 import INSTANCE_STATE_READY

SLEEPER = ("/bin/sh", "-c", "touch $HANSA_READY_FILE; exec sleep 600")


class Bench:
    """A runtime on a folder; ``sleep`` is an artefact that gets ready and does nothing."""

    def __init__(self, folder: Path, port_count: int = 3) -> None:
        self.world = World(folder)
        self.first_port = free_ports(port_count)
        self.ports = (self.first_port, self.first_port + port_count - 1)
        self.artefacts = {"echo": Artefact("echo", (SCRIPT,), SLEEPER, DIGEST)}
        self.reopen()

    def reopen(self) -> None:
        settings = InstanceSettings("127.0.0.1", self.ports, log_bytes_max=1_000)
        self.store = InstanceStore(self.world.state_dir)
        self.runtime = ProcessRuntime(self.artefacts, settings, self.store)

    async def start(self, instance: str = "c1-0") -> RunningProcess:
        return await self.runtime.start(self.world.desired(instance))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    built = Bench(tmp_path)
    try:
        yield built
    finally:
        await built.world.clean_up()


async def until_executed(running: RunningProcess) -> None:
    """Waits until the shim has become the artefact."""
    async with asyncio.timeout(30):
        while Path(f"/proc/{running.pid}/comm").read_text().strip() != "sleep":
            await asyncio.sleep(0.01)


async def test_port_in_use_is_passed_over_and_each_instance_has_its_own(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", bench.first_port)):
        first, second = await bench.start("c1-0"), await bench.start("c2-0")
    assert first.endpoint_url.endswith(f":{bench.first_port + 1}")
    assert second.endpoint_url.endswith(f":{bench.first_port + 2}")


async def test_no_free_port_is_a_passing_refusal(tmp_path: Path) -> None:
    bench = Bench(tmp_path, port_count=1)
    try:
        await bench.start("c1-0")
        with pytest.raises(StartRefused, match="no port") as refused:
            await bench.start("c2-0")
        assert not refused.value.permanent
    finally:
        await bench.world.clean_up()


async def test_artefact_that_is_not_allowed_is_a_lasting_refusal(bench: Bench) -> None:
    bench.artefacts.clear()
    with pytest.raises(StartRefused, match="not allowed") as refused:
        await bench.start()
    assert refused.value.permanent


async def test_ready_needs_the_file_and_a_port_that_accepts(bench: Bench) -> None:
    running = await bench.start()
    await until_executed(running)
    ready_file = bench.world.state_dir / "instances/c1-0/home/ready"
    assert ready_file.exists() and not await running.ready(), "the file alone is not enough"
    with socket.create_server(("127.0.0.1", bench.first_port)):
        assert await running.ready()
        ready_file.unlink()
        assert not await running.ready(), "the port alone is not enough"


async def test_command_that_does_not_exist_ends_with_a_line_in_the_log(bench: Bench) -> None:
    bench.artefacts["echo"] = Artefact("echo", (SCRIPT,), ("/no/such/program",), DIGEST)
    running = await bench.start()
    assert await running.exited() == "ended with status 126"
    assert "not started" in (bench.world.state_dir / "instances/c1-0/log").read_text()


async def test_nothing_of_the_agents_files_is_inherited(bench: Bench) -> None:
    with (bench.world.folder / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        running = await bench.start()
        await until_executed(running)
        targets = {os.readlink(f"/proc/{running.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{running.pid}/fd")}
    folder = bench.world.state_dir / "instances/c1-0"
    assert targets == {"/dev/null", str(folder / "log"), str(folder / "lock")}


async def test_second_process_of_an_instance_cannot_run(bench: Bench) -> None:
    first = await bench.start()
    await until_executed(first)
    (bench.world.state_dir / "instances/c1-0/process").unlink()
    second = await bench.start()
    assert await second.exited() == "ended with status 75"
    assert alive(first.pid)
    assert "still runs" in (bench.world.state_dir / "instances/c1-0/log").read_text()
    await first.kill()


async def test_leftover_that_names_itself_is_ended_before_the_next_start(bench: Bench) -> None:
    first = await bench.start()
    await until_executed(first)
    second = await bench.start()
    await until_executed(second)
    assert not alive(first.pid) and alive(second.pid)


async def test_process_without_a_record_is_ended_at_the_next_start_of_the_agent(bench: Bench) -> None:
    running = await bench.start()
    await until_executed(running)
    (bench.world.state_dir / "instances/c1-0/instance.json").write_text("{")
    bench.reopen()
    assert await bench.runtime.adopt() == {}
    await gone(running.pid)
    assert not (bench.world.state_dir / "instances/c1-0").exists()


async def test_log_over_its_size_is_copied_and_cut_while_it_is_written(bench: Bench) -> None:
    command = ("/bin/sh", "-c", "echo begin; echo $$ > $HOME/up; read x < $HOME/go; echo end; exec sleep 600")
    bench.artefacts["echo"] = Artefact("echo", (SCRIPT,), command, DIGEST)
    home = bench.world.state_dir / "instances/c1-0/home"
    home.mkdir(parents=True)
    os.mkfifo(home / "go")
    running = await bench.start()
    async with asyncio.timeout(30):
        while not (home / "up").exists():
            await asyncio.sleep(0.01)
    log = bench.world.state_dir / "instances/c1-0/log"
    await bench.runtime.housekeep()
    assert log.read_text() == "begin\n", "under the bound nothing happens"
    with log.open("a") as writer:
        writer.write("x" * 2_000)
    await bench.runtime.housekeep()
    assert log.read_text() == "" and log.with_name("log.1").stat().st_size == 2_006
    await asyncio.to_thread((home / "go").write_text, "go\n")
    await until_executed(running)
    assert log.read_text() == "end\n", "it goes on at the beginning, without a hole"


async def test_adopted_process_is_watched_and_ended_like_an_own_one(bench: Bench) -> None:
    code = "import subprocess,sys; print(subprocess.Popen(['sleep','600'],start_new_session=True,stdout=2).pid)"
    printed = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, text=True).stdout
    pid = int(printed)
    await bench.start()
    folder = bench.world.state_dir / "instances/c1-0"
    own_pid = json.loads((folder / "instance.json").read_bytes())["pid"]
    os.killpg(own_pid, signal.SIGKILL)
    bench.store.set_process("c1-0", mark_of(pid), bench.first_port)
    bench.reopen()
    adopted = (await bench.runtime.adopt())["c1-0"]
    assert adopted.pid == pid
    await adopted.terminate()
    async with asyncio.timeout(30):
        assert await adopted.exited() == "ended; its status is not known"
    assert not alive(pid)


async def test_adopted_ready_instance_is_reported_ready_from_the_first_moment(bench: Bench) -> None:
    running = await bench.start()
    await until_executed(running)
    desired = bench.world.desired()
    order = Order(name="instances/c1-0", etag="1", instance=desired)
    bench.store.put(replace(bench.store.records["c1-0"], order=order.SerializeToString()))
    bench.reopen()
    supervisor = Supervisor(bench.runtime, bench.store, SystemClock(), lambda: None)
    with socket.create_server(("127.0.0.1", bench.first_port)):
        assert await supervisor.adopt(RestartPolicy(), SystemRandom()) == (order,)
    status = supervisor.statuses()["c1-0"]
    assert status.state == INSTANCE_STATE_READY and status.endpoint_url.endswith(f":{bench.first_port}")
    assert supervisor.tokens() == {"c1": 7}


def test_digest_command_prints_what_an_order_must_carry() -> None:
    command = [sys.executable, "-m", "hansa_agent.main", "digest", str(SCRIPT)]
    assert subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip() == DIGEST
    missing = subprocess.run([*command, "/no/such/file"], capture_output=True, check=False, text=True)
    assert missing.returncode == 78 and "/no/such/file" in missing.stderr and not missing.stdout


def test_inventory_command_prints_this_machine() -> None:
    command = [sys.executable, "-m", "hansa_agent.main", "inventory"]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert "cpu_millis" in printed and "memory_mib" in printed


def test_help_says_that_instances_go_on_running() -> None:
    command = [sys.executable, "-m", "hansa_agent.main", "serve", "--help"]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert "GO ON RUNNING" in " ".join(printed.split())


def test_wrong_configuration_ends_the_command_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text("zonee: a/b\n")
    command = [sys.executable, "-m", "hansa_agent.main", "serve", "--config", str(path)]
    ended = subprocess.run(command, capture_output=True, check=False, text=True)
    assert ended.returncode == 78
    assert f"{path}:1: unknown key 'zonee'; did you mean 'zone'?" in ended.stderr
