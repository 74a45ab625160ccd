"""Runs instances as Deployments of a cluster.

What is made bears names that follow from zone and instance alone, so that a start told twice, or told again by the
next agent process, finds what the first one made. The anchor (``objects``) also bears the fencing token of the order,
so that an older order is refused by what stands on the cluster, even where the agent's own records are lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import structlog

from hansa.v1.instance_pb2 import DesiredInstance
from hansa_agent.artefacts import Artefact
from hansa_agent.config_kubernetes import KubernetesSection
from hansa_agent.instance_store import InstanceStore
from hansa_agent.kubernetes import objects
from hansa_agent.kubernetes.api import KubernetesApi
from hansa_agent.kubernetes.board import Board
from hansa_agent.kubernetes.connection import ApiSilent
from hansa_agent.kubernetes.follower import Outside
from hansa_agent.kubernetes.names import SHAPE, Json, instance_of, is_ours, object_name, shape_of, token_of
from hansa_agent.kubernetes.pools import nodes_with
from hansa_agent.kubernetes.refusal import ApiRefused, NotServed
from hansa_agent.kubernetes.running import RunningDeployment, Surroundings
from hansa_agent.kubernetes.served import ANY_VERSION
from hansa_agent.kubernetes.unfinished import NotYet, Unfinished
from hansa_agent.kubernetes.wanted import Wanted
from hansa_agent.kubernetes.words import printable
from hansa_agent.ports import StartRefused
from hansa_agent.strays import Strays

_log = structlog.get_logger(__name__)
_RETRY_S_MIN, _RETRY_S_MAX = 0.25, 5.0
_NOT_FOUND = 404


class KubernetesRuntime:
    """Instances of ``zone``. ``artefacts`` may be replaced while instances run."""

    collects = True

    def __init__(
        self, section: KubernetesSection, zone: str, api: KubernetesApi, store: InstanceStore, outside: Outside
    ) -> None:
        self.artefacts: Mapping[str, Artefact] = {}
        self.stop_grace_s = 10
        self._section = section
        self._zone = zone
        self._api = api
        self._store = store
        self._outside = outside
        self.board = Board(api, zone, section, outside.clock)
        around = Surroundings(api, self.board, zone, section, outside.clock)
        self._around = around
        self._collection = f"/api/v1/namespaces/{section.namespace}/configmaps"
        self._orphans: dict[str, int] = {}
        self.strays = Strays()

    async def run(self) -> None:
        """Follows what happens to what was made."""
        try:
            await self.board.run(self._outside.random)
        finally:
            await self._api.close()

    async def start(self, order: DesiredInstance) -> RunningDeployment:
        artefact = self._allowed(order)
        self._store.set_handle(order.instance, object_name(self._zone, order.instance))
        deadline_ms = self._outside.clock.now().monotonic_ms + int(self._section.patience_s * 1_000)
        pause_s = _RETRY_S_MIN
        while True:
            try:
                return await self._started(order, artefact)
            except (ApiSilent, NotYet) as error:
                why, asked_s = str(error), 0.0
            except ApiRefused as refused:
                if not refused.passing:
                    raise StartRefused(printable(str(refused)), permanent=True) from refused
                why, asked_s = str(refused), refused.retry_after_s
            wait_s = max(asked_s, pause_s * self._outside.random.uniform(0.5, 1.0))
            if self._outside.clock.now().monotonic_ms + wait_s * 1_000 > deadline_ms:
                raise StartRefused(printable(why), permanent=False)
            await self._outside.clock.sleep(wait_s)
            pause_s = min(2 * pause_s, _RETRY_S_MAX)

    async def adopt(self) -> dict[str, RunningDeployment]:
        """What was made whole, that is, what has the uid of its anchor in its handle; the rest is started again."""
        found: dict[str, RunningDeployment] = {}
        for instance, record in self._store.records.items():
            if uid := record.handle.partition("/")[2]:
                found[instance] = self._running(record.parsed_order().instance, uid)
        if found:
            # So that what is ready is reported as ready from the first moment on.
            await self.board.refresh()
        return found

    async def forget(self, instance: str) -> None:
        try:
            await self._end(instance)
        except (ApiSilent, ApiRefused) as error:
            _log.warning("instance left on the cluster for now", instance=instance, message=str(error))
        self._store.remove(instance)

    async def _end(self, instance: str) -> None:
        record = self._store.records.get(instance)
        if record is None or not record.handle:
            return
        token = record.parsed_order().instance.fencing_token
        uid = record.handle.partition("/")[2] or await self._around.uid_of(instance, token)
        if uid:
            await self._around.end(instance, uid)

    async def housekeep(self) -> None:
        """Deletes what this zone made and nobody wants, once it has been so for a while; writes newer tokens down."""
        if not self.board.fresh:
            return
        await self._raise_tokens()
        self.strays.tell(self.board.left_over(self._store.records))
        now_ms = self._outside.clock.now().monotonic_ms
        orphans = {name: body for name, body in self.board.anchors.bodies.items() if self._is_orphan(name, body)}
        self._orphans = {name: self._orphans.get(name, now_ms) for name in orphans}
        for name, since_ms in self._orphans.items():
            if now_ms - since_ms >= self._section.orphan_grace_s * 1_000:
                await self._end_orphan(orphans[name])

    async def _raise_tokens(self) -> None:
        """An order that differs in its token alone reaches the cluster here, so that it fences there, too."""
        for instance, record in list(self._store.records.items()):
            order = record.parsed_order().instance
            standing = self.board.anchors.bodies.get(object_name(self._zone, instance))
            artefact = self.artefacts.get(order.artefact.name)
            if standing is None or artefact is None or token_of(standing) >= order.fencing_token:
                continue
            if standing["metadata"]["uid"] != record.handle.partition("/")[2]:
                continue
            body = objects.anchor(Wanted(self._zone, order, artefact), self._section)
            body["metadata"]["annotations"][SHAPE] = shape_of(standing)
            body["metadata"] |= {key: standing["metadata"][key] for key in ("uid", "resourceVersion")}
            with suppress(ApiSilent, ApiRefused):
                await self._api.apply(f"{self._collection}/{body['metadata']['name']}", body)

    def _is_orphan(self, name: str, anchor: Mapping[str, Any]) -> bool:
        instance = instance_of(anchor)
        wanted = instance in self._store.records and name == object_name(self._zone, instance)
        return not wanted and is_ours(anchor, self._zone) and name == object_name(self._zone, instance)

    async def _end_orphan(self, anchor: Mapping[str, Any]) -> None:
        meta = anchor["metadata"]
        if meta.get("deletionTimestamp"):
            return
        _log.warning("deleted what nobody asked for", instance=instance_of(anchor), name=meta["name"])
        try:
            await self._around.end(instance_of(anchor), str(meta["uid"]))
        except (ApiSilent, ApiRefused) as error:
            _log.warning("not deleted", name=meta["name"], message=str(error))

    def _allowed(self, order: DesiredInstance) -> Artefact:
        artefact = self.artefacts.get(order.artefact.name)
        if artefact is None or not artefact.image:
            raise StartRefused(f"artefact {order.artefact.name!r} is not allowed here", permanent=True)
        if order.artefact.digest != artefact.digest:
            message = f"{artefact.name} is allowed with digest {artefact.digest} only"
            raise StartRefused(message, permanent=True)
        return artefact

    async def _started(self, order: DesiredInstance, artefact: Artefact) -> RunningDeployment:
        devices, nodes = await nodes_with(self._api, order.limits, self._section.node_selector)
        wanted = Wanted(self._zone, order, artefact, devices, nodes, self.stop_grace_s)
        uid = await self._anchored(wanted)
        running = self._running(order, uid)
        try:
            await self._complete(wanted, uid)
        except ApiRefused as refused:
            if not refused.may_be_lifted:
                raise
            # Told as its trouble and tried again for as long as an instance may take to become ready.
            running.unfinished = Unfinished(partial(self._complete, wanted, uid), refused, self._outside)
        return running

    async def _complete(self, wanted: Wanted, uid: str) -> None:
        """Makes all but the anchor, and writes down that it is made."""
        for collection, body in objects.parts(wanted, self._section, uid):
            await self._make(collection, body, uid)
        self._store.set_handle(wanted.order.instance, f"{wanted.name}/{uid}")

    async def _anchored(self, wanted: Wanted) -> str:
        """The uid of the instance's anchor, made or brought up to date; refuses to touch what is not its own."""
        body = objects.anchor(wanted, self._section)
        found = await self._found(f"{self._collection}/{wanted.name}")
        if found is not None:
            self._check(found, wanted.order)
            if shape_of(found) != wanted.artefact.shape:
                await self._around.end(wanted.order.instance, str(found["metadata"]["uid"]))
                raise NotYet("it was made in another shape, which ends first")
            # Refused (409) if somebody has changed it since, for example an agent with a newer order.
            body["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
            body["metadata"]["uid"] = found["metadata"]["uid"]
        made = await self._apply(f"{self._collection}/{wanted.name}", body)
        return str(made["metadata"]["uid"])

    def _check(self, anchor: Json, order: DesiredInstance) -> None:
        if not is_ours(anchor, self._zone) or instance_of(anchor) != order.instance:
            name = anchor["metadata"]["name"]
            raise StartRefused(f"the ConfigMap {name} is there and is not hansa's", permanent=True)
        if token_of(anchor) > order.fencing_token:
            message = f"stale: the cluster has fencing token {token_of(anchor)}, the order {order.fencing_token}"
            raise StartRefused(message, permanent=True)
        if anchor["metadata"].get("deletionTimestamp"):
            raise NotYet("the former instance is still being deleted")

    async def _make(self, collection: str, body: Json, anchor_uid: str) -> None:
        path = f"{collection}/{body['metadata']['name']}"
        body["apiVersion"] = await self._version_of(collection, body["apiVersion"])
        found = await self._found(path)
        if found is not None:
            owners = {each.get("uid") for each in found["metadata"].get("ownerReferences") or []}
            if not is_ours(found, self._zone):
                raise ApiRefused(422, "Foreign", f"the {body['kind']} {body['metadata']['name']} is not hansa's")
            if anchor_uid not in owners or found["metadata"].get("deletionTimestamp"):
                raise NotYet(f"a former {body['kind']} is still being deleted")
        await self._apply(path, body)

    async def _version_of(self, collection: str, told: str) -> str:
        """``told``, or what the cluster serves where that is left open."""
        group, _, version = told.partition("/")
        if version != ANY_VERSION:
            return told
        return f"{group}/{await self._api.served.version(group, collection.rpartition('/')[2])}"

    async def _apply(self, path: str, body: Json) -> Json:
        try:
            return await self._api.apply(path, body)
        except ApiRefused as refused:
            if not refused.is_conflict_of_managers:
                raise
            _log.warning("taken back from another field manager", path=path, message=refused.message)
            return await self._api.apply(path, body, force=True)

    async def _found(self, path: str) -> Json | None:
        try:
            return await self._api.get(path)
        except ApiRefused as refused:
            if refused.status == _NOT_FOUND and not isinstance(refused, NotServed):
                return None
            raise

    def _running(self, order: DesiredInstance, uid: str) -> RunningDeployment:
        return RunningDeployment(self._around, order, uid)
