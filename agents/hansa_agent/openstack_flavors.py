"""Which flavor a server is made of: the smallest that has what was ordered, with exactly the accelerators. Pure.

A flavor says what it has beside processors and memory in extra specs (docs.openstack.org/nova, "Flavors"): resource
classes of Placement with the traits that the provider must have, aliases of PCI devices, or its SCS-0100 name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from hansa.v1.common_pb2 import Capacity
from hansa_agent.accelerator_kinds import is_accelerator, kind_in
from hansa_agent.placement_truth import KindOf
from hansa_agent.scs_flavor_reading import NotScs, decode, is_scs
from hansa_agent.scs_gpus import kind_of_gpu

_RESOURCES = re.compile(r"resources(?P<group>[A-Za-z0-9_-]*):(?P<resource_class>[A-Z0-9_]+)")
_ALIAS = "pci_passthrough:alias"
UNKNOWN = "?"
"""The pool of accelerators of which nobody knows what they are; nothing that is ordered is called so."""


@dataclass(frozen=True, slots=True)
class Flavor:
    """One flavor as Nova lists it."""

    uuid: str
    name: str
    cpus: int
    memory_mib: int
    disk_gb: int = 0
    specs: Mapping[str, str] = field(default_factory=dict)


class NoFlavor(Exception):
    """No flavor will do; the text says what was sought and what the nearest lack."""


def flavor_in(one: Mapping[str, Any]) -> Flavor:
    """A flavor in an answer of Nova."""
    specs = {str(key): str(value) for key, value in (one.get("extra_specs") or {}).items()}
    return Flavor(str(one["id"]), str(one["name"]), int(one["vcpus"]), int(one["ram"]), int(one["disk"]), specs)


def chosen(flavors: Iterable[Flavor], limits: Capacity, kind_of: KindOf, *, names: str, cpu_class: str) -> Flavor:
    """The smallest flavor for ``limits`` among those whose name fits the pattern ``names``; raises ``NoFlavor``."""
    offered = [one for one in flavors if fnmatchcase(one.name, names or "*") and is_of(one, cpu_class)]
    wanted = Counter({amount.pool: amount.count for amount in limits.accelerators if amount.count > 0})
    equipped = [one for one in offered if accelerators(one, kind_of) == wanted]
    fitting = [one for one in equipped if _holds(one, limits)]
    if not fitting:
        raise NoFlavor(_why(limits, wanted, equipped, len(offered)))
    return min(fitting, key=lambda one: (one.cpus, one.memory_mib, one.disk_gb, one.name, one.uuid))


def accelerators(flavor: Flavor, kind_of: KindOf) -> Counter[str]:
    """How many accelerators of which pool a server of this flavor has."""
    found: Counter[str] = Counter()
    for resource_class, count, traits in _requested(flavor):
        if is_accelerator(resource_class):
            kind = kind_of(resource_class, traits)
            found[kind.pool if kind else UNKNOWN] += count
    for alias, count in _aliases(flavor):
        kind = kind_in(f"CUSTOM_{alias.upper().replace('-', '_')}")
        found[kind.pool if kind else UNKNOWN] += count
    return found or _said_by_name(flavor)


def _said_by_name(flavor: Flavor) -> Counter[str]:
    """An SCS name has the GPU where the extra specs are not shown to us, as most providers hide them."""
    if not is_scs(flavor.name):
        return Counter()
    try:
        gpu = decode(flavor.name).gpu
    except NotScs:
        return Counter()
    kind = kind_of_gpu(gpu) if gpu else None
    return Counter({kind.pool if kind else UNKNOWN: 1}) if gpu else Counter()


def _requested(flavor: Flavor) -> Iterator[tuple[str, int, frozenset[str]]]:
    for key, value in sorted(flavor.specs.items()):
        match = _RESOURCES.fullmatch(key)
        if match and value.isdecimal() and int(value):
            begin = f"trait{match['group']}:"
            required = (name for name, told in flavor.specs.items() if name.startswith(begin) and told == "required")
            yield match["resource_class"], int(value), frozenset(name.removeprefix(begin) for name in required)


def _aliases(flavor: Flavor) -> Iterator[tuple[str, int]]:
    for part in flavor.specs.get(_ALIAS, "").split(","):
        alias, _, count = part.strip().partition(":")
        if alias:
            yield alias, int(count) if count.isdecimal() else 1


def is_of(flavor: Flavor, cpu_class: str) -> bool:
    """Whether its processors are of the class that the zone's inventory counts."""
    dedicated = flavor.specs.get("hw:cpu_policy") == "dedicated" or "resources:PCPU" in flavor.specs
    return dedicated == (cpu_class == "PCPU")


def _holds(flavor: Flavor, limits: Capacity) -> bool:
    return flavor.cpus * 1_000 >= limits.cpu_millis and flavor.memory_mib >= limits.memory_mib


def _why(limits: Capacity, wanted: Counter[str], equipped: list[Flavor], offered_count: int) -> str:
    devices = ", ".join(f"{count} {pool}" for pool, count in sorted(wanted.items())) or "no accelerator"
    sought = f"no flavor has {limits.cpu_millis} thousandths of a CPU, {limits.memory_mib} MiB and {devices}"
    if not equipped:
        return f"{sought}: none of {offered_count} has these accelerators and no others"
    largest = max(equipped, key=lambda one: (one.memory_mib, one.cpus, one.name))
    return f"{sought}: the largest, {largest.name}, has {largest.cpus} CPUs and {largest.memory_mib} MiB"
