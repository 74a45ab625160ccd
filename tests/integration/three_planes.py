"""Three real control planes: waldnetz owns a zone, skargard offers it on, nordavind places in it.

Nordavind and waldnetz have no agreement and know one another's authority alone. Each lets skargard show its network to
the other, so that the owner knows the way to nordavind's users. The agent runs at once what it is ordered.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from agent_harness import free_ports
from control_harness import Operator, authority_of, running, spec
from federated_pair import PATIENT, RunningAgent, until
from hansa_control.adapters.codec_workload import spec_in
from hansa_control.application.control_plane import ControlPlane
from hansa_control.domain.model import Workload, WorkloadId, WorkloadState

from hansa.v1 import workload_pb2

HOME, BETWEEN, OWNER = "nordavind", "skargard", "waldnetz"
ZONE, ALIAS = "berlin-1", "skargard/waldnetz--berlin-1"
YARD = WorkloadId("harbour", "yard-ocr")
USERS = [workload_pb2.AccessDemand(access_point="oslo", demand_millirps=1_000)]
PLACES = {
    HOME: [("oslo", "NO", 59.9, 10.7)],
    BETWEEN: [("visby", "SE", 57.6, 18.3)],
    OWNER: [("rostock", "DE", 54.1, 12.1), ("berlin", "DE", 52.5, 13.4)],
}
LINKS = {HOME: [("oslo", "visby")], BETWEEN: [("visby", "rostock")], OWNER: [("rostock", "berlin")]}
BEGIN, END = "2026-01-01T00:00:00Z", "2036-01-01T00:00:00Z"


def network(operator: str) -> dict[str, Any]:
    """The operator's network file: its nodes, all of them access points, and the links that it carries."""
    nodes = [
        {"name": name, "country": country, "lat": lat, "lon": lon, "access_point": True}
        for name, country, lat, lon in PLACES[operator]
    ]
    links = [
        {
            "name": f"{a}--{b}",
            "a": a,
            "b": b,
            "length_km": 400.0,
            "countries": [],
            "carrier": operator,
            "kind": "terrestrial",
        }
        for a, b in LINKS[operator]
    ]
    return {"nodes": nodes, "links": links}


def control(country: str) -> list[dict[str, str]]:
    """An operator's word on who controls it."""
    plain = {"issuer": "register", "scheme": "declaration", "valid_from": BEGIN, "valid_until": END}
    kinds = ("HEADQUARTERS_COUNTRY", "ULTIMATE_PARENT_COUNTRY")
    return [{"kind": kind, "value": country, **plain} for kind in kinds]


@dataclass
class Three:
    """The three as they run, by name, and everything that is to be stopped in the end."""

    sides: dict[str, Operator]
    stacks: dict[str, contextlib.AsyncExitStack] = field(default_factory=dict)
    agents: list[RunningAgent] = field(default_factory=list)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    requests: int = 0

    def plane(self, operator: str) -> ControlPlane:
        return self.sides[operator].running.application

    def agree(self, operator: str, **partners: dict[str, Any]) -> None:
        """Writes an operator's file of agreements anew, in the place of the old one."""
        folder = self.sides[operator].folder
        folder.mkdir(parents=True, exist_ok=True)
        body = {name: {"standing": "in-force", **agreed} for name, agreed in partners.items()}
        draft = folder / "agreements.new"
        draft.write_text(yaml.safe_dump({"kind": "Agreements", "partners": body}))
        draft.rename(folder / "agreements.yaml")

    async def start(self, operator: str) -> None:
        stack = self.stacks[operator] = contextlib.AsyncExitStack()
        await stack.enter_async_context(running(self.sides[operator]))

    async def stop(self, operator: str) -> None:
        await self.stacks.pop(operator).aclose()
        self.sides[operator].store = self.sides[operator].store.reopen()

    async def connect(self, operator: str, zone: str, node: str, country: str) -> None:
        agent = RunningAgent(self.sides[operator], zone, node, country)
        self.agents.append(agent)
        greeted = asyncio.Event()
        self.tasks[f"{operator}/{zone}"] = asyncio.create_task(agent.run(greeted))
        await greeted.wait()

    async def sees(self, zone: str) -> None:
        await until(lambda: zone in {str(one.id) for one in self.plane(HOME).queries.zones("", 100)})

    async def is_known_at_the_owner(self, node: str) -> None:
        """The owner has heard of a node of somebody's network."""
        await until(lambda: any(node in one.name for one in self.plane(OWNER).world.snapshot().network.nodes))

    async def submit(self, **changes: Any) -> None:
        self.requests += 1
        asked = spec_in(spec(access=USERS, **changes), "spec")
        await self.plane(HOME).workloads.submit("spiffe://a/b", f"r{self.requests}", YARD, asked, "x")

    @property
    def workload(self) -> Workload:
        return self.plane(HOME).queries.workload(YARD)

    async def runs_in(self, zone: str) -> None:
        await until(
            lambda: (
                [str(one.zone) for one in self.workload.placements] == [zone]
                and self.workload.state is WorkloadState.RUNNING
            )
        )

    def claims(self) -> tuple[list[str], list[str]]:
        """Names of home's claims between, and of those behind at the owner."""
        return sorted(self.plane(BETWEEN).world.claims_of(HOME)), sorted(self.plane(OWNER).world.claims_of(BETWEEN))


@asynccontextmanager
async def three_planes(folder: Path) -> AsyncIterator[Three]:
    """All three run, home sees the zone, and the owner knows the way to home's users."""
    sides = {name: Operator(name, folder / name, authority_of(name)) for name in (OWNER, BETWEEN, HOME)}
    addresses = {name: f"127.0.0.1:{free_ports(1)}" for name in sides}
    joined = {OWNER: (BETWEEN,), BETWEEN: (OWNER, HOME), HOME: (BETWEEN,)}
    for name, side in sides.items():
        side.network = network(name)
        side.partners = {other: (addresses[other], sides[other].authority.cert_pem) for other in joined[name]}
        side.settings = {"timings": {**PATIENT, "drain_ms": 0}, "agreements": "agreements.yaml"}
        side.settings["listen"] = {"partners": addresses[name]} | dict.fromkeys(
            ("api", "agents", "metrics"), "127.0.0.1:0"
        )
        strangers = [other for other in sides if other not in {name, *joined[name]}]
        known = [{"operator": other, "ca": str(folder / f"{other}.pem")} for other in strangers]
        side.settings["known_operators"] = known
        (folder / f"{name}.pem").write_bytes(side.authority.cert_pem)
    sides[BETWEEN].settings["legal_facts"] = control("SE")
    three = Three(sides)
    three.agree(OWNER, skargard={"reoffer": {"zones": ["berlin-*"], "to": [HOME]}})
    three.agree(HOME, skargard={"reoffer": {"zones": ["*"], "to": [OWNER]}})
    three.agree(BETWEEN, nordavind={"passes_on": ["waldnetz/*"]}, waldnetz={"passes_on": ["nordavind/*"]})
    try:
        for name in sides:
            await three.start(name)
        await three.connect(OWNER, ZONE, "berlin", "DE")
        await three.sees(ALIAS)
        await three.is_known_at_the_owner("oslo")
        yield three
    finally:
        for task in three.tasks.values():
            task.cancel()
        await asyncio.gather(*three.tasks.values(), return_exceptions=True)
        for stack in three.stacks.values():
            await stack.aclose()
