"""What the zone's servers do, as it was last seen; everybody who waits for a server waits here.

One list of servers serves all instances. A server that the list does not have is asked for by itself before it is
taken for gone: a list leaves out what lies in a cell that is down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from hansa_agent.openstack_api import CloudBusy, CloudRefused, OpenStackApi
from hansa_agent.openstack_servers import Server, server_in, servers_of
from hansa_agent.ports import Clock, PlatformSilent, Random

_log = structlog.get_logger(__name__)
BUSY_POLL_S = 1.0
BACKOFF_S_MAX = 60.0
_NOT_FOUND = 404
RUNNING = 1
"""Nova's power state of a server that runs."""


class ServersView:
    """The servers of ``zone`` by id. ``watched`` are those that somebody waits for."""

    def __init__(self, api: OpenStackApi, zone: str, clock: Clock, random: Random, poll_s: float) -> None:
        self._api = api
        self._zone = zone
        self._clock = clock
        self._random = random
        self._poll_s = poll_s
        self._changed = asyncio.Event()
        self._lock = asyncio.Lock()
        self._gone: set[str] = set()
        self.servers: dict[str, Server] = {}
        self.watched: set[str] = set()
        self.trouble = ""
        self.looked = False
        self.on_look: Callable[[], None] = lambda: None

    def is_gone(self, uuid: str) -> bool:
        """Whether the cloud has said that there is no such server (any more)."""
        return uuid in self._gone

    async def news(self) -> None:
        """Waits until the servers were looked at once more."""
        await self._changed.wait()

    async def refresh(self) -> tuple[Server, ...]:
        """Looks now; raises ``PlatformSilent`` or ``CloudRefused``."""
        async with self._lock:
            listed = await servers_of(self._api, self._zone)
            found = {server.uuid: server for server in listed}
            for uuid in sorted(self.watched - found.keys() - self._gone):
                server = await self._ask(uuid)
                if server is not None:
                    found[uuid] = server
        self.servers, self.trouble, self.looked = found, "", True
        self.on_look()
        self._tell()
        return tuple(found.values())

    async def run(self) -> None:
        """Looks again and again: often while something is on its way, else every ``poll_s``."""
        failures = 0
        while True:
            failures = 0 if await self.look() else failures + 1
            await self._clock.sleep(self._delay_s(failures))

    async def look(self) -> bool:
        """Looks now; whether the cloud answered. If not, ``trouble`` says why."""
        try:
            await self.refresh()
        except (PlatformSilent, CloudRefused) as error:
            if not self.trouble:
                _log.warning("servers not seen", message=str(error))
            self.trouble = str(error)
            self._tell()
            return False
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            self.trouble = f"an answer of the cloud is not understood: {error}"
            self._tell()
            return False
        return True

    def _delay_s(self, failures: int) -> float:
        quiet = all(uuid in self.servers and _is_settled(self.servers[uuid]) for uuid in self.watched - self._gone)
        pace_s = self._poll_s if quiet else min(BUSY_POLL_S, self._poll_s)
        wanted_s = min(pace_s * float(1 << min(failures, 8)), BACKOFF_S_MAX)
        return wanted_s * self._random.uniform(0.8, 1.0)

    async def _ask(self, uuid: str) -> Server | None:
        """A server by itself; what is in a cell that is down stays as it was last seen."""
        answer = await self._api.call("GET", "compute", f"/servers/{uuid}")
        if answer.status == _NOT_FOUND:
            self._gone.add(uuid)
            return None
        if not answer.ok:
            raise CloudBusy(f"compute answers {answer.status}: {answer.words}", answer.retry_after_s)
        return server_in(answer.body["server"], self._zone) or self.servers.get(uuid)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def delete_server(api: OpenStackApi, uuid: str) -> None:
    """Asks for its deletion; raises ``PlatformSilent`` unless the cloud took note or has no such server."""
    answer = await api.call("DELETE", "compute", f"/servers/{uuid}")
    if not answer.ok and answer.status != _NOT_FOUND:
        raise CloudBusy(f"compute does not delete the server ({answer.status}): {answer.words}", answer.retry_after_s)


def _is_settled(server: Server) -> bool:
    return server.status == "ACTIVE" and server.power_state == RUNNING and not server.task
