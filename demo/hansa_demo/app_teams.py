"""App teams under way: they submit, delete, ask for endpoints and connect, and note how long each waited for what."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from hansa.client import Client
from hansa.errors import HansaError
from hansa_demo.replicated import tiny_spec

TEAMS = 6
KEPT_PER_TEAM = 4
ANCHOR = "anchor"
ASKING_INTERVAL_S, CONNECTING_INTERVAL_S = 0.05, 0.02


@dataclass(slots=True)
class Waits:
    """How long callers waited, in seconds, and how often they were refused in the end."""

    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def longest_s(self) -> float:
        return max(self.seconds, default=0.0)

    def forget(self) -> None:
        self.seconds.clear()


class AppTeams:
    """Keeps an operator busy until told to stop, and an account of all that it has acknowledged."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stop = asyncio.Event()
        self.accepted: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.submits, self.finds, self.connects = Waits(), Waits(), Waits()

    @property
    def expected(self) -> dict[str, str]:
        """Uid by name of every workload that was acknowledged and not deleted since."""
        return {name: uid for name, uid in self.accepted.items() if name not in self.deleted}

    async def run(self) -> None:
        """Until ``stop``; what was begun is finished."""
        async with asyncio.TaskGroup() as group:
            for team in range(TEAMS):
                group.create_task(self._submit(team))
            group.create_task(self._ask())
            group.create_task(self._connect())

    def stop(self) -> None:
        self._stop.set()

    async def _submit(self, team: int) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            name = f"w{team}-{number:04}"
            spec = tiny_spec("DE" if number % 3 == 0 else "NO")
            began_s = _now_s()
            accepted = await self._client.submit(name, spec, request_id=f"submit-{name}")
            self.submits.seconds.append(_now_s() - began_s)
            self.accepted[name] = accepted.uid
            if number > KEPT_PER_TEAM:
                await self._delete(f"w{team}-{number - KEPT_PER_TEAM:04}")
            await asyncio.sleep(0.2)

    async def _delete(self, name: str) -> None:
        try:
            await self._client.delete(name, request_id=f"delete-{name}")
        except HansaError as error:
            # A deletion whose answer was cut off is asked for again, and by then there may be nothing to delete.
            if error.reason != "NOT_FOUND":
                raise
        self.deleted.add(name)

    async def _ask(self) -> None:
        while not self._stop.is_set():
            began_s = _now_s()
            try:
                await self._client.find_endpoint(ANCHOR)
                self.finds.seconds.append(_now_s() - began_s)
            except HansaError as error:
                self.finds.failed.append(str(error))
            await asyncio.sleep(ASKING_INTERVAL_S)

    async def _connect(self) -> None:
        """Users of what runs: they know the endpoint and do not ask for it."""
        answer = await self._client.find_endpoint(ANCHOR)
        url = urlsplit(answer.endpoint_urls[0])
        while not self._stop.is_set():
            began_s = _now_s()
            try:
                _, writer = await asyncio.open_connection(url.hostname, url.port)
                writer.close()
                self.connects.seconds.append(_now_s() - began_s)
            except OSError as error:
                self.connects.failed.append(str(error))
            await asyncio.sleep(CONNECTING_INTERVAL_S)


def _now_s() -> float:
    return time.monotonic()  # noqa: TID251 - what is measured is this machine's time
