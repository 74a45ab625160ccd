"""What an OpenStack zone has: Placement's truth, bounded by what the project's quota leaves, read again and again.

Placement tells nobody of changes, so it is asked every ``poll_s`` at no more than so many calls a second. While it does
not answer the last that it said stands, and the zone takes nothing new.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from hansa.v1.common_pb2 import Capacity
from hansa_agent.accelerator_kinds import Kind, kind_of
from hansa_agent.config_openstack import AcceleratorSection, OpenStackSection
from hansa_agent.openstack_api import CloudBusy, CloudRefused, OpenStackApi, Pace, printable
from hansa_agent.openstack_servers import Server, servers_of
from hansa_agent.placement_reading import PlacementReader
from hansa_agent.placement_truth import CPU_SCALE, KindOf, Truth, truth_of
from hansa_agent.ports import Clock, Machine, PlatformSilent, Random

_log = structlog.get_logger(__name__)
SOURCE = "openstack"
BACKOFF_S_MAX = 120.0
_NEVER_READ = Machine(Capacity(), (), SOURCE, "", unsound=True)


@dataclass(frozen=True, slots=True)
class Outside:
    """Time and chance, and the cloud."""

    api: OpenStackApi
    clock: Clock
    random: Random


class OpenStackSource:
    """The inventory of ``zone``, which has the part of the cloud that ``section`` says."""

    def __init__(self, section: OpenStackSection, zone: str, outside: Outside) -> None:
        self._section = section
        self._zone = zone
        self._outside = outside
        self._pace = Pace(outside.clock, section.requests_per_second_max)
        self._placement = PlacementReader(outside.api, self._pace, section.aggregates)
        self._kind_of = kinds_by(section.accelerators)
        self._last = _NEVER_READ
        self._services_denied = False
        self._retry_after_s = 0.0

    async def read(self) -> Machine:
        self._retry_after_s = 0.0
        try:
            self._last = await self._look()
        except PlatformSilent as silent:
            self._retry_after_s = silent.retry_after_s if isinstance(silent, CloudBusy) else 0.0
            self._last = replace(self._last, trouble=printable(str(silent)), unsound=True)
        except CloudRefused as refused:
            self._last = replace(self._last, trouble=printable(f"{refused}{_hint(refused)}"), unsound=True)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            text = f"an answer of the cloud is not understood: {type(error).__name__} {error}"
            self._last = replace(self._last, trouble=printable(text), unsound=True)
        return self._last

    async def watch(self, found: Callable[[Machine], None]) -> None:
        told, failures = self._last, 0
        while True:
            await self._outside.clock.sleep(self._delay_s(failures))
            machine = await self.read()
            failures = failures + 1 if machine.unsound else 0
            if machine != told:
                found(machine)
                told = machine

    def _delay_s(self, failures: int) -> float:
        """The interval; doubled with each failure, and never sooner than the cloud asked; times [0.9, 1.1]."""
        longest_s = max(BACKOFF_S_MAX, self._section.poll_s)
        wanted_s = min(self._section.poll_s * float(1 << min(failures, 8)), longest_s)
        return max(wanted_s, self._retry_after_s) * self._outside.random.uniform(0.9, 1.1)

    async def _look(self) -> Machine:
        servers = await self._servers()
        providers = await self._placement.read()
        ours = {server.uuid: server.marks.ordered for server in servers}
        closed = await self._closed()
        roots = [one.uuid for one in providers if one.uuid == one.root and _is_host(one.name, closed)]
        truth = truth_of(providers, ours, self._kind_of, cpu_class=self._section.cpu_class, closed=roots)
        capacity = bounded(truth.capacity(), await self._limits(), servers)
        return Machine(capacity, truth.pools, SOURCE, _left_out(truth, len(roots)))

    async def _servers(self) -> tuple[Server, ...]:
        await self._pace.turn()
        return await servers_of(self._outside.api, self._zone)

    async def _closed(self) -> frozenset[str]:
        """Hosts whose nova-compute is down or disabled. Few may ask for that; who may not goes by traits alone."""
        if self._services_denied:
            return frozenset()
        await self._pace.turn()
        try:
            services = (await self._outside.api.get("compute", "/os-services?binary=nova-compute")).get("services", [])
        except CloudRefused as refused:
            _log.info("hosts that are down are not seen", message=str(refused))
            self._services_denied = True
            return frozenset()
        return frozenset(str(one["host"]) for one in services if one["state"] != "up" or one["status"] != "enabled")

    async def _limits(self) -> Mapping[str, Any]:
        await self._pace.turn()
        absolute = (await self._outside.api.get("compute", "/limits")).get("limits", {}).get("absolute", {})
        return dict(absolute)


def kinds_by(sections: list[AcceleratorSection]) -> KindOf:
    """What the configuration says of classes and traits first, then what their names say."""

    def kind(resource_class: str, traits: frozenset[str]) -> Kind | None:
        for one in sections:
            if one.resource_class == resource_class and traits.issuperset(one.traits):
                return Kind(one.vendor, one.model, one.memory_mib, one.mig_profile)
        return kind_of(resource_class, traits)

    return kind


def bounded(capacity: Capacity, limits: Mapping[str, Any], servers: tuple[Server, ...]) -> Capacity:
    """No more than the project's quota leaves beside what others in the project use; -1 is no limit (Nova, limits)."""
    orders = [(one, one.marks.ordered) for one in servers]
    cpu_millis = sum(min(one.cpus * CPU_SCALE, ordered.cpu_millis) for one, ordered in orders)
    memory_mib = sum(min(one.memory_mib, ordered.memory_mib) for one, ordered in orders)
    cpus_left = _left(limits, "maxTotalCores", "totalCoresUsed")
    memory_left = _left(limits, "maxTotalRAMSize", "totalRAMUsed")
    return Capacity(
        cpu_millis=_least(capacity.cpu_millis, cpus_left, CPU_SCALE, cpu_millis),
        memory_mib=_least(capacity.memory_mib, memory_left, 1, memory_mib),
    )


def _left(limits: Mapping[str, Any], most: str, used: str) -> int | None:
    limit = int(limits.get(most, -1))
    return None if limit < 0 else max(0, limit - int(limits.get(used, 0)))


def _least(capacity: int, left: int | None, scale: int, ours: int) -> int:
    """What the zone's own servers were ordered with is theirs already, whatever the quota leaves."""
    return capacity if left is None else min(capacity, left * scale + ours)


def _is_host(provider: str, hosts: frozenset[str]) -> bool:
    """Whether a provider is one of these: it has the hypervisor's name, often with a domain, they the service's."""
    return provider in hosts or provider.partition(".")[0] in {host.partition(".")[0] for host in hosts}


def _left_out(truth: Truth, closed_count: int) -> str:
    parts = []
    if closed_count:
        parts.append(f"{closed_count} of the hosts are down or take nothing new")
    if truth.unknown:
        parts.append(f"not counted, say what they are under openstack.accelerators: {', '.join(truth.unknown)}")
    return printable("; ".join(parts))


def _hint(refused: CloudRefused) -> str:
    return {401: "; the credential is not valid (any more)", 403: "; the role may not read this"}.get(
        refused.status, ""
    )
