"""What the agent knows of its containers, kept true by the engine's stream of events.

Every event leads to one look at its container, and a new stream to a look at all of them, so that nothing depends on
what an engine calls its events. Silence changes nothing: what ran goes on until the engine says otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from hansa_agent.container_engine import Engine
from hansa_agent.container_socket import EngineRefused
from hansa_agent.container_spec import ZONE
from hansa_agent.ports import Clock, PlatformSilent, Random

_log = structlog.get_logger(__name__)
BACKOFF_S_MIN = 0.2
BACKOFF_S_MAX = 5.0
_ENDED = frozenset({"exited", "dead", "stopped", "removing"})


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at a container. ``end`` is how it ended, empty while it runs; ``unready`` why it cannot be ready."""

    end: str = ""
    unready: str = ""


_GONE = Seen(end="its container is gone")


class ContainerView:
    """The last look at every container that somebody watches."""

    def __init__(self, engine: Engine, zone: str) -> None:
        self._engine = engine
        self._zone = zone
        self._seen: dict[str, Seen] = {}
        self._changed: dict[str, asyncio.Event] = {}
        self.silence = ""
        self.on_all: Callable[[list[Mapping[str, Any]]], None] = lambda _found: None

    def watch(self, container: str) -> None:
        """From now on ``container`` is looked at; it is taken to run until it is seen otherwise."""
        self._seen.setdefault(container, Seen())
        self._changed.setdefault(container, asyncio.Event())

    def drop(self, container: str) -> None:
        """``container`` was taken away; nobody asks for it any more."""
        self._seen.pop(container, None)
        if changed := self._changed.pop(container, None):
            changed.set()

    def of(self, container: str) -> Seen:
        """The last look."""
        return self._seen.get(container, Seen())

    async def ended(self, container: str) -> str:
        """Waits for its end; how it ended."""
        return await self._until(container, "end")

    async def unready(self, container: str) -> str:
        """Waits until it cannot be ready; why."""
        return await self._until(container, "unready")

    async def follow(self, clock: Clock, random: Random) -> None:
        """Keeps the view true until it is cancelled."""
        delay_s = BACKOFF_S_MIN
        while True:
            began = clock.now().monotonic_ms
            try:
                await self._follow_once()
            except (PlatformSilent, EngineRefused) as error:
                self._say_silent(str(error))
            if clock.now().monotonic_ms - began > BACKOFF_S_MAX * 1_000:
                delay_s = BACKOFF_S_MIN
            await clock.sleep(delay_s * random.uniform(0.5, 1.0))
            delay_s = min(2 * delay_s, BACKOFF_S_MAX)

    async def look_at_all(self) -> list[Mapping[str, Any]]:
        """Compares with all that the engine has of the zone; those containers."""
        found: list[Mapping[str, Any]] = [*await self._engine.containers(f"{ZONE}={self._zone}")]
        states = {str(each.get("Id")): str(each.get("State")) for each in found}
        for container in list(self._seen):
            if states.get(container) != "running" or self._seen[container] != Seen():
                await self.look(container)
        self.on_all(found)
        return found

    async def look(self, container: str) -> None:
        """Looks at one container, if somebody watches it."""
        if container not in self._seen:
            return
        found = await self._engine.inspect(container)
        if container in self._seen:
            seen = seen_of(found)
            if seen != self._seen[container]:
                self._seen[container] = seen
                self._changed[container].set()

    async def _follow_once(self) -> None:
        async with contextlib.aclosing(self._engine.events(self._zone)) as events:
            async for container in events:
                if container:
                    await self.look(container)
                    continue
                # The stream stands: what happens from here on is told, what happened before is asked for now.
                await self.look_at_all()
                if self.silence:
                    _log.info("container engine answers again")
                self.silence = ""
        self._say_silent("its stream of events ended")

    def _say_silent(self, message: str) -> None:
        if not self.silence:
            _log.warning("container engine silent", message=message)
        self.silence = message

    async def _until(self, container: str, what: str) -> str:
        while not (found := str(getattr(self._seen.get(container, _GONE), what))):
            if container not in self._changed:
                await asyncio.get_running_loop().create_future()
            changed = self._changed[container]
            await changed.wait()
            changed.clear()
        return found


def seen_of(found: Mapping[str, Any] | None) -> Seen:
    """What an inspection says; None where there is no such container."""
    if found is None:
        return _GONE
    state: Mapping[str, Any] = found.get("State") or {}
    if state.get("Status") in _ENDED and not state.get("Running"):
        return Seen(end=how_it_ended(state))
    if state.get("Paused"):
        return Seen(unready="its container is paused")
    health: Mapping[str, Any] = state.get("Health") or {}
    if health.get("Status") == "unhealthy":
        return Seen(unready="its health check fails")
    return Seen()


def how_it_ended(state: Mapping[str, Any]) -> str:
    """The end of a container, for a person."""
    code = int(state.get("ExitCode") or 0)
    told = f"ended by signal {code - 128}" if 128 < code <= 128 + 64 else f"ended with status {code}"
    if state.get("OOMKilled"):
        told += ", out of memory"
    error = "".join(char for char in str(state.get("Error") or "") if char.isprintable())[:200]
    return f"{told}: {error}" if error else told
