"""Two control planes of one operator on one PostgreSQL behind a fault proxy, a partner, and who strikes at them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from itertools import count
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from fault_proxy import FaultProxy, Way
from hansa_demo.postgres_server import PostgresServer
from hansa_demo.prepare import now_ms
from hansa_demo.processes import Processes
from hansa_demo.replicated import CAST, HOME, PARTNER, REPLICAS, prepare_replicated, tiny_spec
from promises import History, emptied, settled
from proxied_world import Instance, instances_of
from small_world import until

from hansa.client import Client
from hansa.profile import load_profile

LASTING_S = 5.0
"""Longer than the lead's lease."""
EXIT_STORE = 3
TEAMS = 3
_NUMBERS = count(1)


class Supervised(Processes):
    """As a service manager has them: a replica that finds another one in its place ends, and is started again."""

    def check_alive(self) -> None:
        for name, process in list(self._running.items()):
            if "@" in name and process.poll() == EXIT_STORE:
                self.start_replica(*name.split("@"))
        super().check_alive()


class ReplicatedWorld:
    """Use as an asynchronous context manager. "nordavind@op-0" and "nordavind@op-1" are the two control planes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        try:
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        self.server = await asyncio.to_thread(PostgresServer)
        self._stack.callback(self.server.close)
        url = self.server.new_database()
        self.link = await self._stack.enter_async_context(FaultProxy(("127.0.0.1", self.server.port), "postgres"))
        through = urlsplit(url)._replace(netloc=f"hansa@127.0.0.1:{self.link.port}").geturl()
        self.prepared = await asyncio.to_thread(prepare_replicated, self._folder, now_ms(), through)
        self.processes = Supervised(self.prepared)
        self._stack.push_async_callback(asyncio.to_thread, self.processes.stop_all)
        self.processes.start_operator(PARTNER)
        self.processes.start_replica(HOME, REPLICAS[0])
        await until("somebody leads", lambda: _now(self.leader), 60.0)
        self.processes.start_replica(HOME, REPLICAS[1])
        for operator, zones in CAST.items():
            for zone in zones:
                self.processes.start_agent(operator, zone)

    def client(self) -> Client:
        return Client(load_profile(self.prepared.profile), timeout_ms=60_000)

    def instances(self) -> list[Instance]:
        return instances_of(self.prepared)

    def leader(self) -> str:
        """The replica that took the lead last, "" while none has."""
        epochs = {replica: max([0, *self._epochs(replica)]) for replica in REPLICAS}
        epoch, leader = max((epoch, replica) for replica, epoch in epochs.items())
        return leader if epoch else ""

    def follower(self) -> str:
        return next(replica for replica in REPLICAS if replica != self.leader())

    def _epochs(self, replica: str) -> list[int]:
        name = f"{HOME}@{replica}"
        if not self.processes.log(name).exists():
            return []
        return [line["epoch"] for line in self.processes.log_lines(name) if line.get("event") == "store_leads"]

    # --- what is done to it ---

    async def strike(self, victim: str, fault: str) -> None:
        """Returns once it is healed."""
        if victim == "postgres-link":
            await self._strike_link(fault)
        elif victim == "postgres":
            await self._strike_postgres(fault)
        else:
            await self._strike_replica(self.leader() if victim == "leader" else self.follower(), fault)

    async def _strike_link(self, fault: str) -> None:
        faults: dict[str, Callable[[], None]] = {
            "cut": self.link.cut,
            "half-open-to": lambda: self.link.swallow(Way.TO),
            "half-open-from": lambda: self.link.swallow(Way.FROM),
            "slow": lambda: self.link.slow(delay_ms=300, bytes_per_s=50_000),
        }
        faults[fault]()
        await asyncio.sleep(LASTING_S)
        self.link.slow()
        self.link.heal()

    async def _strike_postgres(self, fault: str) -> None:
        if fault == "kill":
            # What a power cut leaves: no process of it has had time to write anything.
            await asyncio.to_thread(self.server.stop, "immediate")
            await asyncio.to_thread(self.server.start)
            return
        pids = self.server.pids()
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(LASTING_S)
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    async def _strike_replica(self, replica: str, fault: str) -> None:
        name = f"{HOME}@{replica}"
        if fault == "kill":
            self.processes.kill(name)
            self.processes.start_replica(HOME, replica)
            return
        process, leads = self.processes._running[name], replica == self.leader()
        process.send_signal(signal.SIGSTOP)
        try:
            if leads:
                await until("the other one leads", lambda: _now(lambda: self.leader() != replica), 90.0)
            else:
                await asyncio.sleep(LASTING_S)
        finally:
            process.send_signal(signal.SIGCONT)
        if leads:
            # It was followed: it may write no more.
            assert await asyncio.to_thread(process.wait, 60) == EXIT_STORE


async def play_store(world: ReplicatedWorld, victim: str, fault: str) -> None:
    """Strikes under load; AssertionError if a promise was broken."""
    history, stop, enough = History(), asyncio.Event(), asyncio.Event()
    async with world.client() as client:

        async def team(country: str) -> None:
            while not stop.is_set():
                name = f"w-{next(_NUMBERS)}"
                await history.submit(client, name, tiny_spec(country))
                if len(history.calls) > 4 * TEAMS:
                    enough.set()
                if int(name.rpartition("-")[2]) % 4:
                    await history.delete(client, name)
                await asyncio.sleep(0.05)

        teams = [asyncio.create_task(team(country)) for country in ("NO", "NO", "DE")]
        try:
            await enough.wait()
            await world.strike(victim, fault)
            stop.set()
            await asyncio.gather(*teams)
        finally:
            for task in teams:
                task.cancel()
        await settled(world, client, history)
        await emptied(world, client, history)


async def _now(look: Callable[[], object]) -> object:
    return look()
