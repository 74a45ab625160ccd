"""A zone on a real OpenStack: the runtime as the agent has it, its supervisor, and what the administrator sees."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from cloud_settings import PASSWORD
from hansa_agent.artefacts import Artefact
from hansa_agent.config_openstack import OpenStackSection, ServerSection
from hansa_agent.instance_store import InstanceStore
from hansa_agent.inventory_openstack import OpenStackSource, Outside
from hansa_agent.openstack_api import OpenStackApi
from hansa_agent.ports import Running, StartRefused
from hansa_agent.reconciliation import RestartPolicy
from hansa_agent.runtime_openstack import OpenStackRuntime, ServerSettings
from hansa_agent.supervisor import Supervisor
from hansa_agent.system import SystemClock, SystemRandom
from openstack_cloud import Cloud

from hansa.v1.agent_service_pb2 import Order
from hansa.v1.common_pb2 import ArtefactRef, Capacity, PoolAmount
from hansa.v1.instance_pb2 import INSTANCE_STATE_READY, DesiredInstance, InstanceStatus

ZONE = "waldnetz/ber-1"
DIGEST = "sha256:" + "5" * 64
IMAGE = f"registry.waldnetz.example/ocr@{DIGEST}"
WAIT_S = 60.0
ENDPOINT = "https://{name}.waldnetz.example:{port}"
"""The cloud of the tests gives servers no address."""


def desired(instance: str = "c1-0", **changes: Any) -> DesiredInstance:
    """An order; ``gpus`` by pool."""
    gpus = changes.pop("gpus", {})
    amounts = [PoolAmount(pool=pool, count=count) for pool, count in gpus.items()]
    content: dict[str, Any] = {
        "instance": instance,
        "claim": instance.rpartition("-")[0],
        "workload": "workloads/shop",
        "artefact": ArtefactRef(name="ocr", digest=DIGEST),
        "limits": Capacity(cpu_millis=500, memory_mib=256, accelerators=amounts),
        "fencing_token": 7,
        "client_ca_pem": b"-----BEGIN CERTIFICATE-----\n",
        "client_ids": ["spiffe://waldnetz/app/shop"],
    }
    return DesiredInstance(**(content | changes))


class Bench:
    """One zone in a folder. ``reopen`` is what a restart of the agent is."""

    def __init__(self, cloud: Cloud, folder: Path, **options: Any) -> None:
        self.cloud = cloud
        self.folder = folder
        self.options = options
        self.cloud_changes: dict[str, Any] = {}
        self.as_admin = False
        self.reopen()

    def reopen(self) -> None:
        file = self.cloud.clouds_file(self.folder / "clouds.yaml", as_admin=self.as_admin, **self.cloud_changes)
        server = ServerSection(image="tiny", ready="active", endpoint=ENDPOINT, **self.options)
        section = OpenStackSection(clouds_file=file, cloud="edge", server=server, poll_s=1.0, timeout_s=10.0)
        self.api = OpenStackApi(file, "edge", section.timeout_s)
        self.outside = Outside(self.api, SystemClock(), SystemRandom())
        self.store = InstanceStore(self.folder / "state")
        artefacts = {"ocr": Artefact("ocr", (), (), DIGEST, {}, IMAGE)}
        self.runtime = OpenStackRuntime(artefacts, ServerSettings(ZONE, section, server), self.store, self.outside)
        self.source = OpenStackSource(section, ZONE, self.outside)

    @contextlib.asynccontextmanager
    async def supervised(self, **policy: Any) -> AsyncIterator[Supervised]:
        """The supervisor at work; what it has started goes on running afterwards."""
        supervised = Supervised(self, RestartPolicy(**{"backoff_ms_min": 50, "stop_grace_ms": 5_000} | policy))
        await supervised.adopt()
        task = asyncio.create_task(supervised.supervisor.run())
        await asyncio.sleep(0)
        try:
            yield supervised
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def start(self, order: DesiredInstance) -> Running | StartRefused:
        try:
            return await self.runtime.start(order)
        except StartRefused as refused:
            return refused

    def credential(self, *roles: str, **wanted: Any) -> Callable[[], object]:
        """From now on the agent uses an application credential with these roles; withdraws it when called."""
        auth_url, session = self.cloud.auth["auth_url"], self.api._session
        body = {"name": str(uuid.uuid4()), "secret": PASSWORD, "roles": [{"name": role} for role in roles]} | wanted
        url = f"{auth_url}/users/{session.get_user_id()}/application_credentials"
        made = session.post(url, json={"application_credential": body}).json()["application_credential"]
        told = {"application_credential_id": made["id"], "application_credential_secret": PASSWORD}
        self.cloud_changes = {"auth_type": "v3applicationcredential", "auth": {"auth_url": auth_url, **told}}
        self.reopen()
        return lambda: session.delete(f"{url}/{made['id']}")

    def password(self) -> None:
        """The agent uses its user's password again."""
        self.cloud_changes = {}
        self.reopen()

    def servers(self) -> list[dict[str, Any]]:
        """Every server of the agent's project, as the administrator sees it."""
        found: list[dict[str, Any]] = self.cloud.ask("GET", "compute", "/servers/detail?all_tenants=1")["servers"]
        return found

    def held(self, resource_class: str) -> int:
        """How much of a class everybody holds."""
        total = 0
        for one in self.cloud.ask("GET", "placement", "/resource_providers")["resource_providers"]:
            usages = self.cloud.ask("GET", "placement", f"/resource_providers/{one['uuid']}/usages")["usages"]
            total += usages.get(resource_class, 0)
        return total

    async def until(self, condition: Callable[[], Any]) -> Any:
        async with asyncio.timeout(WAIT_S):
            while not (found := await asyncio.to_thread(condition)):
                await asyncio.sleep(0.1)
        return found

    def clear(self) -> None:
        for server in self.servers():
            self.cloud.ask("POST", "compute", f"/servers/{server['id']}/action", {"forceDelete": None})
        self.cloud.until(lambda: not self.servers())
        self.api.close()


class Supervised:
    """A supervisor and what it told last."""

    def __init__(self, bench: Bench, policy: RestartPolicy) -> None:
        self._bench = bench
        self._policy = policy
        self.supervisor = Supervisor(bench.runtime, bench.store, bench.outside.clock, lambda: None)

    async def adopt(self) -> None:
        await self.supervisor.adopt(self._policy, self._bench.outside.random)

    def order(self, *orders: DesiredInstance) -> None:
        """These are all orders from now on."""
        self.supervisor.desire({f"instances/{one.instance}": _order(one) for one in orders})

    def status(self, instance: str = "c1-0") -> InstanceStatus | None:
        return self.supervisor.statuses().get(instance)

    async def until(self, condition: Callable[[InstanceStatus], Any], instance: str = "c1-0") -> InstanceStatus:
        """Waits until the status of an instance is as ``condition`` says."""
        async with asyncio.timeout(WAIT_S):
            while (status := self.status(instance)) is None or not condition(status):
                await asyncio.sleep(0.05)
        return status

    async def ready(self, instance: str = "c1-0") -> InstanceStatus:
        return await self.until(lambda status: status.state == INSTANCE_STATE_READY, instance)

    async def nothing_left(self) -> None:
        async with asyncio.timeout(WAIT_S):
            while self.supervisor.statuses():
                await asyncio.sleep(0.05)


def _order(one: DesiredInstance) -> Order:
    return Order(name=f"instances/{one.instance}", etag=f"{one.fencing_token}", instance=one)
