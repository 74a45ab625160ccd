"""A started instance that is a container."""

from __future__ import annotations

from hansa_agent.answering import answers
from hansa_agent.container_engine import Engine
from hansa_agent.container_socket import EngineRefused
from hansa_agent.container_view import ContainerView
from hansa_agent.instance_ports import InstanceSettings, reachable_host
from hansa_agent.ports import PlatformSilent


class RunningContainer:
    """A container that was started; what it does is read from the view, what it is told goes to the engine."""

    def __init__(
        self, container: str, port: int, settings: InstanceSettings, engine: Engine, view: ContainerView
    ) -> None:
        self._container = container
        self._port = port
        self._settings = settings
        self._engine = engine
        self._view = view

    @property
    def container(self) -> str:
        """The engine's id."""
        return self._container

    @property
    def endpoint_url(self) -> str:
        return self._settings.endpoint_url(self._port)

    @property
    def silent(self) -> bool:
        return bool(self._view.silence)

    @property
    def trouble(self) -> str:
        seen = self._view.of(self._container)
        if seen.unready:
            return seen.unready
        if self._view.silence:
            return f"the container engine does not answer: {self._view.silence}"
        return f"nothing answers on port {self._port} yet"

    async def exited(self) -> str:
        return await self._view.ended(self._container)

    async def unready(self) -> str:
        return await self._view.unready(self._container)

    async def ready(self) -> bool:
        seen = self._view.of(self._container)
        if seen.end or seen.unready:
            return False
        host = reachable_host(self._settings.listen_host)
        return await answers(host, self._port, has_tls=bool(self._settings.tls_cert))

    async def terminate(self) -> None:
        try:
            await self._engine.signal(self._container, "SIGTERM")
        except EngineRefused as refused:
            if not await self._has_ended() and not refused.is_not_running:
                raise PlatformSilent(refused.message) from refused

    async def kill(self) -> None:
        try:
            await self._engine.signal(self._container, "SIGKILL")
        except EngineRefused:
            if not await self._has_ended():
                await self._take_away()

    async def _take_away(self) -> None:
        """One that was never started, or is paused, takes no signal; taking it away ends it as well."""
        try:
            await self._engine.remove(self._container)
        except EngineRefused as refused:
            raise PlatformSilent(refused.message) from refused
        await self._has_ended()

    async def _has_ended(self) -> bool:
        try:
            await self._view.look(self._container)
        except EngineRefused as refused:
            raise PlatformSilent(refused.message) from refused
        return bool(self._view.of(self._container).end)
