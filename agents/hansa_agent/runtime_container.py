"""Runs instances as containers of podman or docker on this machine.

A container's name follows from zone and instance, and its labels say for which order and under which token it was
made. So a start whose answer was lost, or that a former agent process began, is found again, whatever was written
down. What runs is decided by the zone owner's configuration alone, which names images by their digests.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from hansa.v1.instance_pb2 import DesiredInstance
from hansa_agent.artefacts import Artefact
from hansa_agent.config_container import ContainerSection
from hansa_agent.container_devices import HOLDS_NOTHING, chosen_devices
from hansa_agent.container_engine import Engine
from hansa_agent.container_files import laid_out, save_log
from hansa_agent.container_images import ensure_image
from hansa_agent.container_running import RunningContainer
from hansa_agent.container_socket import EngineRefused
from hansa_agent.container_spec import (
    DEVICES,
    INSTANCE,
    ORDER,
    ORDERED,
    PORT,
    TOKEN,
    ZONE,
    ContainerSpec,
    inner_environment,
    inner_place,
    labels_of,
    name_of,
    order_digest,
    ulimits_of,
)
from hansa_agent.container_view import ContainerView
from hansa_agent.instance_ports import InstanceSettings, free_port
from hansa_agent.instance_store import InstanceStore, ProcessMark
from hansa_agent.ports import Clock, PlatformSilent, Random, StartRefused
from hansa_agent.strays import Strays, ordered_in

_log = structlog.get_logger(__name__)
START_PATIENCE_S = 30.0
RETRY_S = 0.5
_ATTEMPTS_MAX = 3


@dataclass(frozen=True, slots=True)
class Around:
    """What the runtime takes from its surroundings."""

    zone: str
    clock: Clock
    random: Random
    strays: Strays = field(default_factory=Strays)


class ContainerRuntime:
    """Starts, adopts and forgets containers. ``artefacts`` may be replaced while instances run."""

    collects = True

    def __init__(
        self,
        artefacts: Mapping[str, Artefact],
        section: ContainerSection,
        settings: InstanceSettings,
        store: InstanceStore,
        around: Around,
    ) -> None:
        self.artefacts = artefacts
        self.engine = Engine(section.socket)
        self._section = section
        self._settings = settings
        self._store = store
        self._around = around
        self._view = ContainerView(self.engine, around.zone)
        self._choosing = asyncio.Lock()
        self._left_over: frozenset[str] = frozenset()
        self._view.on_all = self._tell_strays

    async def start(self, order: DesiredInstance) -> RunningContainer:
        """Waits up to ``START_PATIENCE_S`` for an engine that does not answer, which is no fault of the instance."""
        artefact = self._allowed(order)
        clock = self._around.clock
        until_ms = clock.now().monotonic_ms + int(START_PATIENCE_S * 1_000)
        while True:
            try:
                return await self._started(order, artefact)
            except EngineRefused as refused:
                raise StartRefused(refused.message, permanent=False) from refused
            except PlatformSilent as silent:
                if clock.now().monotonic_ms >= until_ms:
                    raise StartRefused(f"the container engine does not answer: {silent}", permanent=False) from silent
            await clock.sleep(RETRY_S * self._around.random.uniform(0.5, 1.0))

    async def adopt(self) -> dict[str, RunningContainer]:
        found = {}
        for instance, record in self._store.records.items():
            if record.handle:
                found[instance] = self._running(instance, record.handle, record.port)
        return found

    async def forget(self, instance: str) -> None:
        try:
            found = await self.engine.inspect(self._name(instance))
            if found is not None and self._is_ours(found):
                await self._remove(instance, str(found["Id"]))
        except (PlatformSilent, EngineRefused) as error:
            # Without its record it counts as left over, and housekeeping tries again.
            _log.warning("container not removed yet", instance=instance, message=str(error))
        self._store.remove(instance)

    async def housekeep(self) -> None:
        """Removes what is the zone's and in no record, once it was seen so twice."""
        try:
            found = await self._view.look_at_all()
            orphans = {str(each["Id"]) for each in found if not self._is_wanted(each)}
            removed = sorted(orphans & self._left_over)
            for container in removed:
                _log.warning("container without a record removed", container=container)
                await self.engine.remove(container)
            self._left_over = frozenset(orphans)
            self._tell_strays([each for each in found if str(each["Id"]) not in removed])
        except (PlatformSilent, EngineRefused) as error:
            _log.warning("containers not looked after", message=str(error))

    async def run(self) -> None:
        try:
            await self._view.follow(self._around.clock, self._around.random)
        finally:
            await self.engine.close()

    def _allowed(self, order: DesiredInstance) -> Artefact:
        artefact = self.artefacts.get(order.artefact.name)
        if artefact is None or not artefact.image:
            raise StartRefused(f"artefact {order.artefact.name!r} is not allowed here", permanent=True)
        if artefact.digest != order.artefact.digest:
            message = f"{artefact.name} is allowed with digest {artefact.digest}, not {order.artefact.digest}"
            raise StartRefused(message, permanent=True)
        return artefact

    async def _started(self, order: DesiredInstance, artefact: Artefact) -> RunningContainer:
        await ensure_image(self.engine, artefact, self._section)
        for _ in range(_ATTEMPTS_MAX):
            found = await self.engine.inspect(self._name(order.instance))
            if found is not None and not await self._kept(order, found):
                found = None
            if found is not None:
                return await self._begin(order, str(found["Id"]), int(_labels(found)[PORT]))
            try:
                container, port = await self._create(order, artefact)
            except EngineRefused as refused:
                if refused.name_is_taken:
                    continue
                raise
            return await self._begin(order, container, port)
        raise StartRefused(f"the name {self._name(order.instance)} is taken again and again", permanent=False)

    async def _kept(self, order: DesiredInstance, found: Mapping[str, Any]) -> bool:
        """Whether the container of that name is the one that was ordered; one that is not makes room for it."""
        if not self._is_ours(found):
            raise StartRefused(f"the name {self._name(order.instance)} is another's container's", permanent=False)
        labels = _labels(found)
        if _number(labels.get(TOKEN)) > order.fencing_token:
            raise StartRefused(f"it runs under the newer token {labels.get(TOKEN)}", permanent=True)
        status = (found.get("State") or {}).get("Status")
        if labels.get(ORDER) == order_digest(order) and status in ("running", "created", "configured", "initialized"):
            return _number(labels.get(PORT)) > 0
        await self._remove(order.instance, str(found["Id"]))
        return False

    async def _create(self, order: DesiredInstance, artefact: Artefact) -> tuple[str, int]:
        async with self._choosing:
            port = free_port(order.instance, self._settings, self._store)
            devices = await self._devices(order)
            # The port first: should this process die now, the next one knows where the new instance listens.
            self._store.set_process(order.instance, ProcessMark(), port)
            mounts = laid_out(self._store.folder(order.instance), self._settings, order.client_ca_pem)
            spec = self._spec(order, artefact, port, devices, mounts)
            return await self.engine.create(self._name(order.instance), spec), port

    async def _devices(self, order: DesiredInstance) -> tuple[str, ...]:
        if not order.limits.accelerators:
            return ()
        return chosen_devices(order.limits, self._section.devices, await self.engine.containers(DEVICES))

    async def _begin(self, order: DesiredInstance, container: str, port: int) -> RunningContainer:
        try:
            await self.engine.start(container)
        except EngineRefused:
            # What did not start may hold its port; it is made anew next time.
            with contextlib.suppress(PlatformSilent, EngineRefused):
                await self.engine.remove(container)
            raise
        self._store.set_process(order.instance, ProcessMark(), port)
        self._store.set_handle(order.instance, container)
        running = self._running(order.instance, container, port)
        with contextlib.suppress(PlatformSilent, EngineRefused):
            await self._view.look(container)
        return running

    def _spec(
        self, order: DesiredInstance, artefact: Artefact, port: int, devices: tuple[str, ...], mounts: dict[str, str]
    ) -> ContainerSpec:
        on_host = self._section.network == "host"
        host = self._settings.listen_host if on_host else "0.0.0.0"  # noqa: S104 - inside the container
        place = inner_place(host, port, has_tls=bool(self._settings.tls_cert))
        return ContainerSpec(
            image=artefact.image,
            command=artefact.command,
            env=inner_environment(order, artefact, place),
            labels=labels_of(self._around.zone, order, port, devices),
            mounts=mounts,
            port=port,
            published="" if on_host else self._settings.listen_host,
            devices=devices,
            cpu_millis=order.limits.cpu_millis,
            memory_mib=order.limits.memory_mib,
            ulimits=ulimits_of(self._section, _hard_limits()),
            log_bytes_max=self._settings.log_bytes_max,
            section=self._section,
        )

    def _running(self, instance: str, container: str, port: int) -> RunningContainer:
        self._view.watch(container)
        return RunningContainer(container, port, self._settings, self.engine, self._view)

    async def _remove(self, instance: str, container: str) -> None:
        await save_log(self.engine, container, self._log_of(instance), self._settings.log_bytes_max)
        await self.engine.remove(container)
        self._view.drop(container)

    def _is_wanted(self, found: Mapping[str, Any]) -> bool:
        return _labels(found).get(INSTANCE) in self._store.records

    def _tell_strays(self, found: list[Mapping[str, Any]]) -> None:
        strays = [each for each in found if not self._is_wanted(each) and each.get("State") not in HOLDS_NOTHING]
        self._around.strays.tell(ordered_in(_labels(each).get(ORDERED, "")) for each in strays)

    def _log_of(self, instance: str) -> Path:
        return self._store.folder(instance) / "log"

    def _name(self, instance: str) -> str:
        return name_of(self._around.zone, instance)

    def _is_ours(self, found: Mapping[str, Any]) -> bool:
        return _labels(found).get(ZONE) == self._around.zone


def _labels(found: Mapping[str, Any]) -> Mapping[str, str]:
    """Labels of a listed or an inspected container."""
    labels: Mapping[str, str] = found.get("Labels") or (found.get("Config") or {}).get("Labels") or {}
    return labels


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 20 else 0


def _hard_limits() -> dict[str, int]:
    """What this process could be allowed at most, which is what an engine beside it can give; without a limit, none."""
    kinds = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    found = {name: resource.getrlimit(kind)[1] for name, kind in kinds.items()}
    return {name: most for name, most in found.items() if most != resource.RLIM_INFINITY}
