"""``hansa demo ha``: the leading control plane is killed under load, again and again; what app teams saw of it."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rich.console import Console
from rich.table import Table

from hansa.client import Client
from hansa.errors import HansaError
from hansa.profile import load_profile
from hansa_demo.app_teams import ANCHOR, AppTeams
from hansa_demo.postgres_server import PostgresServer
from hansa_demo.prepare import Prepared, now_ms, remove
from hansa_demo.processes import DemoFailed, Processes, instance_claims
from hansa_demo.replicated import CAST, HOME, PARTNER, REPLICAS, prepare_replicated, tiny_spec

T = TypeVar("T")
ROUNDS = 3
CALM_S = 3.0
FOLLOWED_WITHIN_S = 5.0
READY = "PLACEMENT_STATE_READY"


class Round(NamedTuple):
    """One killing: who led, how long until the next one did, and what callers waited at most, in seconds."""

    killed: str
    followed_s: float
    submit_s: float
    find_s: float


def play_high_availability(console: Console) -> bool:
    """Plays it in a temporary folder; whether every promise was kept."""
    folder = Path(tempfile.mkdtemp(prefix="hansa-demo-ha-"))
    console.print("  starting PostgreSQL, two control planes of one operator, one of a partner, three agents")
    server = PostgresServer()
    processes: Processes | None = None
    try:
        prepared = prepare_replicated(folder, now_ms(), server.new_database())
        processes = Processes(prepared)
        kept = asyncio.run(_Play(prepared, processes, console).play())
    except DemoFailed as failed:
        console.print(f"[bold red]failed:[/bold red] {failed}", highlight=False)
        kept = False
    finally:
        if processes is not None:
            processes.stop_all()
        server.close()
    if kept:
        remove(folder)
    else:
        console.print(f"  logs are in {folder}", highlight=False, soft_wrap=True)
    return kept


class _Play:
    def __init__(self, prepared: Prepared, processes: Processes, console: Console) -> None:
        self._prepared = prepared
        self._processes = processes
        self._console = console

    async def play(self) -> bool:
        await self._start()
        async with Client(load_profile(self._prepared.profile), timeout_ms=30_000) as client:
            await self._anchored(client)
            teams = AppTeams(client)
            running = asyncio.create_task(teams.run())
            rounds = []
            for number in range(ROUNDS):
                await asyncio.sleep(CALM_S)
                rounds.append(await self._kill(REPLICAS[number % 2], REPLICAS[(number + 1) % 2], teams))
            await asyncio.sleep(CALM_S)
            teams.stop()
            await running
            return await self._sum_up(client, teams, rounds)

    async def _start(self) -> None:
        self._processes.start_operator(PARTNER)
        self._processes.start_replica(HOME, REPLICAS[0])
        await self._said(REPLICAS[0], "ready", 0)
        self._processes.start_replica(HOME, REPLICAS[1])
        await self._said(REPLICAS[1], "store_follows", 0)
        for operator, zones in CAST.items():
            for zone in zones:
                self._processes.start_agent(operator, zone)

    async def _anchored(self, client: Client) -> None:
        await client.submit(ANCHOR, tiny_spec("NO"))

        async def answers() -> bool:
            return _states(await client.get(ANCHOR)) == [READY]

        await self._until("the first workload answers", answers)

    async def _kill(self, leader: str, other: str, teams: AppTeams) -> Round:
        """kill -9 of the leader; the next one leads on return, and the killed one is back to follow."""
        loop, before = asyncio.get_running_loop(), self._count(other, "ready")
        for waits in (teams.submits, teams.finds):
            waits.forget()
        self._processes.kill(f"{HOME}@{leader}")
        killed_s = loop.time()
        await self._said(other, "ready", before)
        followed_s = loop.time() - killed_s
        follows = self._count(leader, "store_follows")
        self._processes.start_replica(HOME, leader)
        await self._said(leader, "store_follows", follows)
        # Whoever was waiting then has its answer by now, or is waiting still.
        await asyncio.sleep(CALM_S)
        found = Round(leader, followed_s, teams.submits.longest_s, teams.finds.longest_s)
        self._console.print(
            f"  kill -9 {leader}: {other} leads after {followed_s:.1f} s; longest wait for a submit "
            f"{found.submit_s:.1f} s, for an endpoint {found.find_s:.1f} s",
            highlight=False,
        )
        return found

    async def _sum_up(self, client: Client, teams: AppTeams, rounds: list[Round]) -> bool:
        kept = await self._settled(client)
        expected = {**teams.expected, ANCHOR: (await client.get(ANCHOR)).uid}
        lost = sorted(name for name, uid in expected.items() if kept.get(name) != uid)
        returned = sorted(kept.keys() - expected.keys())
        slowest_s = max(each.followed_s for each in rounds)
        rows = [
            ("an acknowledged submit is never lost", f"{len(teams.accepted)} acknowledged, {len(lost)} lost", not lost),
            ("a deleted workload never returns", f"{len(teams.deleted)} deleted, {len(returned)} back", not returned),
            ("what runs is what is placed, once", f"{len(kept)} workloads", True),
            (
                "what runs goes on meanwhile",
                f"{len(teams.connects.seconds)} connections, {len(teams.connects.failed)} failed",
                not teams.connects.failed,
            ),
            ("who asks for an endpoint is answered", f"{len(teams.finds.failed)} refused", not teams.finds.failed),
            (
                f"the next one leads within {FOLLOWED_WITHIN_S:g} s",
                f"{slowest_s:.1f} s at most",
                slowest_s <= FOLLOWED_WITHIN_S,
            ),
        ]
        table = Table("promise", "seen", "", title=f"{len(rounds)} leaders killed under load")
        for promise, seen, is_kept in rows:
            table.add_row(promise, seen, "[green]ok[/green]" if is_kept else "[red]NOT[/red]")
        self._console.print(table)
        return all(is_kept for _, _, is_kept in rows)

    async def _settled(self, client: Client) -> dict[str, str]:
        """Uid by name of every workload, once each answers in one place and nothing else runs."""

        async def look() -> dict[str, str]:
            workloads = [workload async for workload in client.workloads()]
            placed = Counter(p.claim for w in workloads for p in w.placements)
            is_settled = all(_states(workload) == [READY] for workload in workloads)
            running = Counter(
                claim
                for operator, zones in CAST.items()
                for zone in zones
                for claim in instance_claims(self._prepared, f"{operator}/{zone}")
            )
            names = {w.name.rpartition("/")[2]: w.uid for w in workloads}
            return names if is_settled and running == placed else {}

        return await self._until("each workload runs exactly once", look)

    async def _said(self, replica: str, event: str, before: int) -> None:
        async def look() -> bool:
            return self._count(replica, event) > before

        await self._until(f"{replica} says {event}", look)

    def _count(self, replica: str, event: str) -> int:
        name = f"{HOME}@{replica}"
        if not self._processes.log(name).exists():
            return 0
        return sum(line.get("event") == event for line in self._processes.log_lines(name))

    async def _until(self, what: str, look: Callable[[], Awaitable[T]], timeout_s: float = 60.0) -> T:
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while True:
            self._processes.check_alive()
            try:
                if found := await look():
                    return found
            except HansaError as error:
                if error.reason != "UNAVAILABLE":
                    raise
            if asyncio.get_running_loop().time() > deadline_s:
                raise DemoFailed(f"not within {timeout_s:g} s: {what}")
            await asyncio.sleep(0.05)


def _states(workload: Any) -> list[str]:
    """The states of a workload's placements, by the names that the contract gives them."""
    return [
        placement.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_number[placement.state].name
        for placement in workload.placements
    ]
