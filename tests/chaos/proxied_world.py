"""The small world with a fault proxy on every way between its processes, little room, and short patience."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from fault_proxy import FaultProxy
from hansa_demo.prepare import Prepared
from hansa_demo.replicated import SCRIPT, rewrite
from small_world import CAST, HOME, PARTNER, SmallWorld, until

from hansa.errors import HansaError
from hansa.v1 import zone_pb2

CLIENT_LINK, PARTNER_LINK, PARTNER_BACK_LINK = "client", "home-partner", "partner-home"
AGREEMENTS = "agreements.yaml"
ROOM_MILLIS = 1_600
"""Of every zone: three of the workloads that the matrix submits, and not a fourth."""
TIMINGS = {
    "heartbeat_interval_ms": 500,
    "quiet_after_ms": 1_500,
    "lost_after_ms": 3_000,
    "offer_ttl_ms": 3_000,
    "hold_lease_ms": 3_000,
}
STRETCH_MS = 150
"""What each way takes while a step is under way: whoever watches from outside has that long to act upon what it saw."""
ZONES = tuple(f"{operator}/{zone}" for operator, zones in CAST.items() for zone in zones)


class Instance(NamedTuple):
    """A process that runs: "c0123-1-7-0" is replica 0 of claim c0123-1 under fencing token 7."""

    name: str
    zone: str
    pid: int

    @property
    def claim(self) -> str:
        return self.name.rsplit("-", 2)[0]


class ProxiedWorld(SmallWorld):
    """Use as an asynchronous context manager: its proxies live in the loop that entered it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.links: dict[str, FaultProxy] = {}
        self._tails: dict[str, _Tail] = {}
        self._stack = AsyncExitStack()
        self.frozen: set[str] = set()

    async def __aenter__(self) -> ProxiedWorld:
        await self._stack.__aenter__()
        try:
            await self._put_proxies_between()
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in list(self.frozen):
            self.thaw(name)
        for proxy in self.links.values():
            proxy.slow()
            proxy.heal()
        await asyncio.to_thread(self.processes.stop_all)
        await self._stack.aclose()

    # --- making it ---

    async def _put_proxies_between(self) -> None:
        rewrite(self.prepared.profile, await self._rerouted(CLIENT_LINK, "endpoint"))
        for link, operator in ((PARTNER_LINK, HOME), (PARTNER_BACK_LINK, PARTNER)):
            change = await self._partner_rerouted(link, operator)
            rewrite(self.prepared.operator(operator) / "control-plane.yaml", change)
        for zone in ZONES:
            operator, _, name = zone.partition("/")
            path = self.prepared.operator(operator) / "agents" / f"{name}.yaml"
            rewrite(path, await self._agent_rerouted(zone, path))

    async def _proxied(self, link: str, address: str) -> str:
        host, _, port = address.rpartition(":")
        self.links[link] = await self._stack.enter_async_context(FaultProxy((host, int(port)), link))
        return f"127.0.0.1:{self.links[link].port}"

    async def _rerouted(self, link: str, key: str) -> Any:
        address = await self._proxied(link, _read(self.prepared.profile)[key])
        return lambda document: document.update({key: address})

    async def _partner_rerouted(self, link: str, operator: str) -> Any:
        document = _read(self.prepared.operator(operator) / "control-plane.yaml")
        address = await self._proxied(link, document["partners"][0]["endpoint"])

        def change(document: dict[str, Any]) -> None:
            document["partners"][0]["endpoint"] = address
            document["timings"] = dict(TIMINGS)
            if operator == PARTNER:
                document["agreements"] = AGREEMENTS

        return change

    async def _agent_rerouted(self, zone: str, path: Path) -> Any:
        address = await self._proxied(zone, _read(path)["operator"]["endpoints"][0])

        def change(document: dict[str, Any]) -> None:
            document["operator"]["endpoints"] = [address]
            document["inventory"]["capacity"]["cpu_millis"] = ROOM_MILLIS

        return change

    async def _start(self) -> None:
        self.agree()
        for operator in CAST:
            self.processes.start_operator(operator)
        for zone in ZONES:
            self.processes.start_agent(*zone.split("/"))
        await self.sees_all_zones()

    async def sees_all_zones(self) -> None:
        """Returns once the home operator takes every zone, the partner's too, for available."""
        async with self.client(timeout_ms=2_000) as client:

            async def look() -> bool:
                self.processes.check_alive()
                try:
                    states = [zone.state async for zone in client.zones()]
                except HansaError:
                    return False
                return states == [zone_pb2.ZONE_STATE_AVAILABLE] * len(ZONES)

            await until("every zone is seen", look, 60.0)

    # --- what is done to it ---

    def agree(self, **agreed: object) -> None:
        """Writes what the partner has agreed with the home operator; without words, everything and for ever."""
        path = self.prepared.operator(PARTNER) / AGREEMENTS
        document = {"kind": "Agreements", "partners": {HOME: {"standing": "in-force", **agreed}}}
        path.with_suffix(".new").write_text(yaml.safe_dump(document), encoding="utf-8")
        path.with_suffix(".new").replace(path)

    def stretch(self, *links: str, delay_ms: int = STRETCH_MS) -> None:
        """Makes these ways long, so that a step on them can be seen while it is under way; without names, all."""
        for link in links or tuple(self.links):
            self.links[link].slow(delay_ms=delay_ms)

    def freeze(self, name: str) -> None:
        self.send(name, signal.SIGSTOP)
        self.frozen.add(name)

    def thaw(self, name: str) -> None:
        self.send(name, signal.SIGCONT)
        self.frozen.discard(name)

    def forget_everything(self, operator: str) -> None:
        """Kills a control plane and takes its records away, as if it had never been; only while nothing runs."""
        self.processes.kill(operator)
        shutil.rmtree(self.prepared.operator(operator) / "data")

    # --- what is seen of it ---

    def mark(self, name: str) -> int:
        """How much of a process's log is known by now; for ``said_since``."""
        return len(self._lines(name))

    def said_since(self, name: str, mark: int, event: str, **fields: str) -> bool:
        """Whether a process has logged an event since, with these beginnings of its fields."""
        return any(
            line.get("event") == event
            and all(str(line.get(key, "")).startswith(value) for key, value in fields.items())
            for line in self._lines(name)[mark:]
        )

    def _lines(self, name: str) -> list[dict[str, Any]]:
        if name not in self._tails:
            self._tails[name] = _Tail(self.processes.log(name))
        return self._tails[name].lines()

    def instances(self) -> list[Instance]:
        """Every artefact of this world that lives, from the machine's table of processes, whoever knows of it."""
        return instances_of(self.prepared)

    def is_ready(self, zone: str, instance_prefix: str) -> bool:
        """Whether an instance has said to its agent that it is ready, whatever has come of that yet."""
        operator, _, name = zone.partition("/")
        folder = self.prepared.operator(operator) / "state" / name / "instances"
        return any(folder.glob(f"{instance_prefix}*/home/ready"))


class _Tail:
    """The JSON lines of a log that grows; each look reads what is new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""
        self._known: list[dict[str, Any]] = []

    def lines(self) -> list[dict[str, Any]]:
        with self._path.open("rb") as log:
            log.seek(self._offset)
            new = log.read()
        self._offset += len(new)
        *whole, self._rest = (self._rest + new).split(b"\n")
        self._known.extend(_parsed(whole))
        return self._known


def _parsed(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def instances_of(prepared: Prepared) -> list[Instance]:
    """Every artefact of a prepared world that lives."""
    world, found = str(prepared.directory), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (ready_file := _ready_file_of(entry)) and ready_file.startswith(world):
            # OPERATOR/state/ZONE/instances/INSTANCE/home/ready, by way of agents/..
            operator, _, zone, _, instance, *_ = Path(os.path.relpath(ready_file, world)).parts
            found.append(Instance(instance, f"{operator}/{zone}", int(entry.name)))
    return sorted(found)


def _ready_file_of(process: Path) -> str:
    """Where a process says that it is ready, if it is an artefact; "" if it is none or has ended meanwhile."""
    try:
        if SCRIPT.name.encode() not in (process / "cmdline").read_bytes():
            return ""
        variables = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    ours = [word for word in variables if word.startswith(b"HANSA_READY_FILE=")]
    return ours[0].partition(b"=")[2].decode() if ours else ""


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document
