"""Runs instances as servers of an OpenStack project, one server an instance.

Nova knows no idempotent creation, so a server bears whose it is and under which order (``openstack_marks``). Before one
is made, those of the instance are looked up: the one of the same order is taken over, those of older orders are
deleted first, and before a newer fencing token the start gives way. A creation whose answer was lost is found so by the
next try; should a lost request be carried out even later, ``housekeep`` leaves one server and always the same one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from hansa.v1.instance_pb2 import DesiredInstance
from hansa_agent.artefacts import Artefact
from hansa_agent.cloud_init import Certificate, Start, encoded, user_data
from hansa_agent.config_openstack import OpenStackSection, ServerSection
from hansa_agent.instance_store import InstanceStore
from hansa_agent.inventory_openstack import Outside, kinds_by
from hansa_agent.openstack_api import CloudBusy, CloudRefused, printable
from hansa_agent.openstack_create import create, flavors_of, group_of, image_of, server_body
from hansa_agent.openstack_flavors import NoFlavor, chosen
from hansa_agent.openstack_leftovers import Leftovers
from hansa_agent.openstack_marks import order_digest
from hansa_agent.openstack_running import ENDED, Reach, RunningServer
from hansa_agent.openstack_servers import Server
from hansa_agent.openstack_view import ServersView, delete_server
from hansa_agent.ports import PlatformSilent, StartRefused

_log = structlog.get_logger(__name__)
START_PATIENCE_S = 45.0
RETRY_S_MIN, RETRY_S_MAX = 0.5, 10.0


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Whose servers they are, what they are made of, and the certificate files that they serve with."""

    zone: str
    openstack: OpenStackSection
    server: ServerSection
    cert: Path | None = None
    key: Path | None = None


class OpenStackRuntime:
    """Starts, adopts and forgets servers. ``artefacts`` may be replaced while instances run."""

    collects = True

    def __init__(
        self, artefacts: Mapping[str, Artefact], settings: ServerSettings, store: InstanceStore, outside: Outside
    ) -> None:
        self.artefacts = artefacts
        self._settings = settings
        self._store = store
        self._outside = outside
        poll_s = settings.openstack.poll_s
        self.view = ServersView(outside.api, settings.zone, outside.clock, outside.random, poll_s)
        self.leftovers = Leftovers(settings.zone, store, outside, self.view)
        self._kind_of = kinds_by(settings.openstack.accelerators)

    async def start(self, order: DesiredInstance) -> RunningServer:
        """Tries for ``START_PATIENCE_S`` while the cloud is silent or has no time, because a refusal is counted."""
        artefact = self._allowed(order)
        data = await asyncio.to_thread(self._user_data, order, artefact)
        clock = self._outside.clock
        until_ms = clock.now().monotonic_ms + int(START_PATIENCE_S * 1_000)
        delay_s = RETRY_S_MIN
        while True:
            try:
                return await self._attempt(order, data)
            except PlatformSilent as silent:
                told_s = silent.retry_after_s if isinstance(silent, CloudBusy) else 0.0
                wait_s = max(delay_s * self._outside.random.uniform(0.5, 1.0), told_s)
                if clock.now().monotonic_ms + int(wait_s * 1_000) > until_ms:
                    raise StartRefused(printable(str(silent)), permanent=False) from silent
            await clock.sleep(wait_s)
            delay_s = min(2 * delay_s, RETRY_S_MAX)

    async def adopt(self) -> dict[str, RunningServer]:
        records = self._store.records.items()
        return {name: self._running(record.handle, has_answered=True) for name, record in records if record.handle}

    async def forget(self, instance: str) -> None:
        """Forgets at once; servers that are there all the same are found by ``housekeep``, having no record."""
        self._store.remove(instance)
        await self.leftovers.clear_instance(instance)

    async def housekeep(self) -> None:
        await self.leftovers.clear()

    async def run(self) -> None:
        await self.view.run()

    def _allowed(self, order: DesiredInstance) -> Artefact:
        artefact = self.artefacts.get(order.artefact.name)
        if artefact is None or not artefact.image:
            raise StartRefused(f"artefact {order.artefact.name!r} is not allowed here", permanent=True)
        if order.artefact.digest != artefact.digest:
            raise StartRefused(f"{artefact.name} is allowed with digest {artefact.digest} only", permanent=True)
        return artefact

    def _user_data(self, order: DesiredInstance, artefact: Artefact) -> bytes:
        settings = self._settings
        certificate = Certificate()
        if settings.cert is not None and settings.key is not None:
            certificate = Certificate(settings.cert.read_bytes(), settings.key.read_bytes())
        start = Start(settings.server.port, with_podman=settings.server.start == "podman")
        data = user_data(order, artefact, certificate, start)
        most = settings.server.user_data_bytes_max
        if len(data) > most:
            raise StartRefused(f"the server's user data has {len(data)} bytes, {most} are allowed", permanent=True)
        return data

    async def _attempt(self, order: DesiredInstance, data: bytes) -> RunningServer:
        try:
            return await self._start(order, data)
        except CloudRefused as refused:
            raise StartRefused(printable(str(refused)), permanent=False) from refused
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise PlatformSilent(f"an answer of the cloud is not understood: {error}") from error

    async def _start(self, order: DesiredInstance, data: bytes) -> RunningServer:
        found = [one for one in await self.view.refresh() if one.marks.instance == order.instance]
        newest = max((one.marks.fencing_token for one in found), default=0)
        if newest > order.fencing_token:
            message = f"a server of a newer order runs: fencing token {newest}, not {order.fencing_token}"
            raise StartRefused(message, permanent=True)
        digest = order_digest(order)
        kept = self._kept(order.instance, [one for one in found if one.marks.order_digest == digest])
        leaving = [one for one in found if kept is None or one.uuid != kept.uuid]
        for one in leaving:
            _log.info("server of another order deleted", server=one.uuid, instance=order.instance)
            await delete_server(self._outside.api, one.uuid)
        if kept is None and leaving:
            raise PlatformSilent(f"{len(leaving)} servers of former orders are being deleted")
        if kept is None:
            return self._begun(order.instance, await self._create(order, data))
        await self._mark_token(kept, order.fencing_token)
        return self._begun(order.instance, kept.uuid)

    def _kept(self, instance: str, same: list[Server]) -> Server | None:
        """The one to go on with: the one that was written down, else the oldest."""
        usable = [one for one in same if one.status not in ENDED and one.task != "deleting"]
        record = self._store.records.get(instance)
        return next((one for one in usable if record and one.uuid == record.handle), usable[0] if usable else None)

    async def _create(self, order: DesiredInstance, data: bytes) -> str:
        api, settings = self._outside.api, self._settings
        try:
            flavor = chosen(
                await flavors_of(api),
                order.limits,
                self._kind_of,
                names=settings.server.flavors,
                cpu_class=settings.openstack.cpu_class,
            )
        except NoFlavor as none:
            raise StartRefused(str(none), permanent=True) from none
        made_of = {
            "image": await image_of(api, settings.server.image),
            "flavor": flavor.uuid,
            "group": await group_of(api, settings.zone, order.claim, settings.server),
            "user_data": encoded(data),
        }
        # Until the answer is here any server of this instance may be the one; only then is another one too many.
        self._store.set_handle(order.instance, "")
        uuid = await create(api, server_body(settings.zone, order, settings.server, made_of))
        _log.info("server created", instance=order.instance, server=uuid, flavor=flavor.name)
        return uuid

    async def _mark_token(self, server: Server, token: int) -> None:
        """A server that goes on under a newer order says so, so that an older one gives way to it."""
        if server.marks.fencing_token != token:
            told = {"metadata": {"hansa-fencing-token": str(token)}}
            answer = await self._outside.api.call("POST", "compute", f"/servers/{server.uuid}/metadata", told)
            if not answer.ok:
                raise CloudBusy(f"compute does not mark the server: {answer.words}", answer.retry_after_s)

    def _begun(self, instance: str, uuid: str) -> RunningServer:
        self._store.set_handle(instance, uuid)
        return self._running(uuid)

    def _running(self, uuid: str, *, has_answered: bool = False) -> RunningServer:
        server = self._settings.server
        is_probed = bool(server.networks) and server.ready == "connect"
        reach = Reach(server.port, is_probed, server.endpoint, has_answered)
        return RunningServer(self._outside.api, self.view, self._outside.clock, uuid, reach)
