"""Two operators with two zones each, as processes; a tiny artefact instead of a model, so that it starts at once."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import Any

from hansa_agent.artefacts import artefact_digest
from hansa_demo.addressing import LoopbackAddressing
from hansa_demo.check import until as until
from hansa_demo.check import wait_for
from hansa_demo.prepare import now_ms, prepare
from hansa_demo.processes import Processes, instance_claims, instance_pids
from hansa_demo.replicated import SCRIPT, keep_partners, rewrite, with_tiny_artefact

from hansa.client import Client
from hansa.errors import HansaError
from hansa.profile import load_profile
from hansa.spec_file import parse_workload_text
from hansa.sync import SyncClient
from hansa.v1 import workload_pb2, zone_pb2

DIGEST = artefact_digest([SCRIPT])
CAST = {"nordavind": ("oslo-1", "bergen-1"), "waldnetz": ("hamburg-1", "berlin-1")}
HOME, PARTNER = CAST
LOST_AFTER_MS = 7_000
INSTANCES_PER_ZONE = 24
READY = workload_pb2.PLACEMENT_STATE_READY
SPEC = """\
kind: Workload
name: any
artefact: {{name: tiny, digest: {digest}}}
resources: {{cpu: 500m, memory: 64MiB}}
users: [{{access_point: {access_point}, requests_per_s: 1}}]
latency: {{rtt_ms_max: 60}}
residency: {{data: ['{country}'], control: ['NO', DE], transit: ['{country}']}}
"""


class SmallWorld:
    """The processes, what they are told, and what really runs."""

    def __init__(self, folder: Path) -> None:
        self.prepared = prepare(folder, LoopbackAddressing(instance_ports=INSTANCES_PER_ZONE), now_ms())
        self.processes = Processes(self.prepared)
        for operator, zones in CAST.items():
            rewrite(self.prepared.operator(operator) / "control-plane.yaml", _made_small)
            for zone in zones:
                rewrite(self.prepared.operator(operator) / "agents" / f"{zone}.yaml", with_tiny_artefact)

    def start(self) -> None:
        """Starts everything and returns once the home operator sees every zone."""
        for operator in CAST:
            self.processes.start_operator(operator)
        for operator, zones in CAST.items():
            for zone in zones:
                self.processes.start_agent(operator, zone)
        with SyncClient(load_profile(self.prepared.profile), timeout_ms=1_000) as client:
            wait_for("four zones", lambda: self._sees_all(client), 60)

    def _sees_all(self, client: SyncClient) -> bool:
        self.processes.check_alive()
        try:
            states = [zone.state for zone in client.zones()]
        except HansaError:
            return False
        return states == [zone_pb2.ZONE_STATE_AVAILABLE] * 4

    def client(self, timeout_ms: int = 30_000) -> Client:
        """A patient client of the app team's."""
        return Client(load_profile(self.prepared.profile), timeout_ms=timeout_ms)

    # --- dying ---

    async def kill_and_restart(self, name: str) -> None:
        """kill -9 of a control plane or an agent, and its next process; a control plane listens again on return."""
        self.processes.kill(name)
        await self.start_again(name)

    async def start_again(self, name: str) -> None:
        """The next process of one that was killed."""
        before = self.said(name, "ready")
        if "/" in name:
            self.processes.start_agent(*name.split("/"))
            return
        self.processes.start_operator(name)
        await until(f"{name} listens again", lambda: self._has_said(name, "ready", before), 120.0)

    async def _has_said(self, name: str, event: str, before: int) -> bool:
        self.processes.check_alive()
        return self.said(name, event) > before

    def said(self, name: str, event: str) -> int:
        """How often a process and those before it have logged an event."""
        return sum(line.get("event") == event for line in self.processes.log_lines(name))

    def send(self, name: str, number: signal.Signals) -> None:
        """A signal to a control plane or an agent alone."""
        self.processes._running[name].send_signal(number)

    # --- what really runs ---

    def running_claims(self) -> Counter[str]:
        """The claims of every instance that lives, whoever knows of it."""
        found: Counter[str] = Counter()
        for operator, zones in CAST.items():
            for zone in zones:
                found.update(instance_claims(self.prepared, f"{operator}/{zone}"))
        return found

    def pids_in(self, zone: str) -> list[int]:
        return instance_pids(self.prepared, zone)


def _made_small(document: dict[str, Any]) -> None:
    keep_partners(document, CAST)
    document["timings"] = {"quiet_after_ms": LOST_AFTER_MS - 1_500, "lost_after_ms": LOST_AFTER_MS}


def spec_in(country: str) -> workload_pb2.WorkloadSpec:
    """A workload that may run in one country only: in Norway at home, in Germany at the partner's."""
    access_point = {"NO": "oslo", "DE": "hamburg"}[country]
    text = SPEC.format(digest=DIGEST, access_point=access_point, country=country)
    return parse_workload_text(text, "harbour").spec


async def settled(world: SmallWorld, client: Client) -> dict[str, workload_pb2.Workload]:
    """Every workload once each answers in exactly one place and nothing else runs anywhere."""
    wrong: list[str] = []

    async def look() -> dict[str, workload_pb2.Workload]:
        world.processes.check_alive()
        workloads = {workload.name.rsplit("/", 1)[1]: workload async for workload in client.workloads()}
        expected = Counter(p.claim for w in workloads.values() for p in w.placements if p.state == READY)
        running = world.running_claims()
        unsettled = [name for name, w in workloads.items() if [p.state for p in w.placements] != [READY]]
        wrong[:] = [*unsettled, *map(str, (running - expected).items()), *map(str, (expected - running).items())]
        return {} if wrong else workloads

    try:
        return await until("everything runs exactly once", look, 40.0)
    except AssertionError as late:
        raise AssertionError(f"{late}: {wrong}") from late


async def delete_all(world: SmallWorld, client: Client) -> None:
    """Deletes every workload; returns once nothing runs any more and every owner has its capacity back."""
    for workload in [workload async for workload in client.workloads()]:
        try:
            await client.delete(workload.name)
        except HansaError as error:
            assert error.reason == "NOT_FOUND"

    async def look() -> bool:
        left = [workload async for workload in client.workloads()]
        zones = [zone async for zone in client.zones()]
        free = all(zone.free == zone.inventory.capacity for zone in zones)
        return not left and free and not world.running_claims()

    await until("nothing is left", look, 40.0)
