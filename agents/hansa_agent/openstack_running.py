"""An instance that runs as a server of its own."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

import structlog

from hansa_agent.openstack_api import OpenStackApi
from hansa_agent.openstack_servers import Server
from hansa_agent.openstack_view import RUNNING, ServersView, delete_server
from hansa_agent.ports import Clock, PlatformSilent

_log = structlog.get_logger(__name__)
CONNECT_TIMEOUT_S = 1.0
PROBE_S = 2.0
PROBE_FAILURES_MAX = 3
ENDED = {
    "ERROR": "the platform could not run it",
    "SHUTOFF": "the server was shut down",
    "DELETED": "the server was deleted",
    "SOFT_DELETED": "the server was deleted",
}
"""States out of which a server does not come by itself, and what each is called for a person."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How an instance is reached in its server: at ``port``, where the agent tries it if ``is_probed``.

    ``endpoint`` is its whole URL where that is not the server's address: {name}, {address} and {port} are filled in.
    ``has_answered`` for a server that is taken over, and may have answered before.
    """

    port: int
    is_probed: bool = True
    endpoint: str = ""
    has_answered: bool = False

    def url(self, name: str, address: str) -> str:
        """The base URL; empty while an address is needed and there is none."""
        host = f"[{address}]" if ":" in address else address
        template = self.endpoint or "https://{address}:{port}"
        if "{address}" in template and not address:
            return ""
        for key, value in {"name": name, "address": host, "port": str(self.port)}.items():
            template = template.replace(f"{{{key}}}", value)
        return template


class RunningServer:
    """One server."""

    def __init__(self, api: OpenStackApi, view: ServersView, clock: Clock, uuid: str, reach: Reach) -> None:
        self._api = api
        self._view = view
        self._clock = clock
        self._reach = reach
        self._ended = ""
        self._has_answered = reach.has_answered
        self.uuid = uuid
        view.watched.add(uuid)

    @property
    def endpoint_url(self) -> str:
        server = self._server()
        return self._reach.url(server.name, self._host()) if server is not None else ""

    @property
    def silent(self) -> bool:
        """Whether Nova is, or the way to a server that has answered before and that Nova says runs: the way may be down
        for the agent alone, and a server is no better for being made anew.
        """
        server = self._server()
        return bool(self._view.trouble) or (self._has_answered and server is not None and not _not_running(server))

    @property
    def trouble(self) -> str:
        if self._view.trouble:
            return self._view.trouble
        server = self._server()
        return _not_running(server) if server is not None else ""

    async def exited(self) -> str:
        """A server that has ended still holds its share, so it is deleted, and has ended once it is gone."""
        while not self._view.is_gone(self.uuid):
            server = self._server()
            if server is not None and server.status in ENDED:
                self._ended = self._ended or _end_of(server)
                with contextlib.suppress(PlatformSilent):
                    await delete_server(self._api, self.uuid)
            await self._view.news()
        self._view.watched.discard(self.uuid)
        return self._ended or "the server is gone"

    async def ready(self) -> bool:
        if not self._view.looked:
            await self._view.look()
        server = self._server()
        if server is None or _not_running(server):
            return False
        is_ready = not self._reach.is_probed or await self._takes_connections()
        self._has_answered = self._has_answered or is_ready
        return is_ready

    async def unready(self) -> str:
        failures = 0
        while True:
            server = self._server()
            if server is not None and (why := _not_running(server)):
                return why
            failures = 0 if not self._reach.is_probed or await self._takes_connections() else failures + 1
            if failures >= PROBE_FAILURES_MAX:
                return f"{self._host()}:{self._reach.port} takes no connections any more"
            await self._clock.sleep(PROBE_S)

    async def terminate(self) -> None:
        """Shuts it down, so that the workload can end in order; one that does not run is deleted."""
        answer = await self._api.call("POST", "compute", f"/servers/{self.uuid}/action", {"os-stop": None})
        if not answer.ok:
            await self.kill()

    async def kill(self) -> None:
        await delete_server(self._api, self.uuid)

    def _server(self) -> Server | None:
        return self._view.servers.get(self.uuid)

    def _host(self) -> str:
        server = self._server()
        return server.addresses[0] if server is not None and server.addresses else ""

    async def _takes_connections(self) -> bool:
        host = self._host()
        if not host:
            return False
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, writer = await asyncio.open_connection(host, self._reach.port)
        except (OSError, TimeoutError):
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True


def _not_running(server: Server) -> str:
    """Why a server cannot serve, as the platform has it; empty if it can."""
    if server.status != "ACTIVE":
        task = f", {server.task}" if server.task else ""
        return f"the server is {server.status}{task}" + (f": {server.fault}" if server.fault else "")
    if server.power_state != RUNNING:
        return f"the server is ACTIVE, but its host does not run it (power state {server.power_state})"
    return ""


def _end_of(server: Server) -> str:
    return f"{ENDED[server.status]}: {server.fault}" if server.fault else ENDED[server.status]
