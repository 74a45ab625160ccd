"""What a zone may count with, from what Placement says of its resource providers. Pure.

Placement (docs.openstack.org/placement) keeps, per resource provider and resource class, an inventory and who holds how
much of it. A provider may take ``(total - reserved) * allocation_ratio`` of a class. From that goes what others hold;
what servers of this zone were *ordered* with stays, because the operator subtracts that itself, and what their flavors
are larger than the order counts as others'. A host that takes no new servers counts with what the zone has there.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from hansa.v1.common_pb2 import AcceleratorPool, Capacity
from hansa_agent.accelerator_kinds import Kind, is_accelerator

DISABLED_TRAIT = "COMPUTE_STATUS_DISABLED"
MEMORY_CLASS = "MEMORY_MB"
CPU_SCALE = 1_000
"""hansa counts thousandths of a processor, Placement whole ones."""

KindOf = Callable[[str, frozenset[str]], Kind | None]
"""What the units of a class are, on a provider with these traits."""


@dataclass(frozen=True, slots=True)
class Stock:
    """An inventory: how much there is, how much is set aside, and how often the rest may be given away."""

    total: int
    reserved: int = 0
    ratio: float = 1.0

    @property
    def capacity(self) -> int:
        """What may be held of it, rounded down."""
        return max(0, math.floor((self.total - self.reserved) * self.ratio))


@dataclass(frozen=True, slots=True)
class Provider:
    """A resource provider: its inventories by class, and what each consumer holds of them by class."""

    uuid: str
    name: str
    root: str
    stocks: Mapping[str, Stock] = field(default_factory=dict)
    traits: frozenset[str] = frozenset()
    held: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ordered:
    """What one server of this zone was ordered with."""

    cpu_millis: int = 0
    memory_mib: int = 0
    accelerators: Mapping[str, int] = field(default_factory=dict)
    """By pool, "vendor/MODEL" or "vendor/MODEL/mig-PROFILE"."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What the zone may count with, and what of it is not known well enough to be counted."""

    cpu_millis: int
    memory_mib: int
    pools: tuple[AcceleratorPool, ...]
    unknown: tuple[str, ...] = ()

    def capacity(self) -> Capacity:
        """Without accelerators."""
        return Capacity(cpu_millis=self.cpu_millis, memory_mib=self.memory_mib)


def truth_of(
    providers: Iterable[Provider],
    ours: Mapping[str, Ordered],
    kind_of: KindOf,
    *,
    cpu_class: str,
    closed: Iterable[str],
) -> Truth:
    """Adds up ``providers``; ``ours`` is by consumer, ``closed`` has the roots that take no new servers."""
    providers = sorted(providers, key=lambda provider: provider.uuid)
    shut = {*closed, *(one.uuid for one in providers if DISABLED_TRAIT in one.traits)}
    sums: Counter[str | Kind] = Counter()
    on_host: Counter[tuple[Kind, str]] = Counter()
    unknown: set[str] = set()
    for provider in providers:
        for resource_class, stock in provider.stocks.items():
            what = _meaning(resource_class, provider.traits, kind_of, cpu_class)
            if what is None:
                unknown.update([resource_class] if is_accelerator(resource_class) and stock.total else [])
                continue
            scale = CPU_SCALE if what == cpu_class else 1
            own, others = _shares(provider, resource_class, what, ours, scale)
            open_capacity = 0 if provider.root in shut else stock.capacity * scale
            count = own + max(0, open_capacity - own - others)
            sums[what] += count
            if isinstance(what, Kind):
                on_host[what, provider.root] += count
    pools = tuple(_pool(kind, sums[kind], _most(on_host, kind)) for kind in sorted(_kinds(sums)) if sums[kind] > 0)
    return Truth(sums[cpu_class], sums[MEMORY_CLASS], pools, tuple(sorted(unknown)))


def in_aggregates(providers: Iterable[Provider], members: Iterable[str]) -> Iterator[Provider]:
    """The members of the zone's aggregates with everything below them: only a root is a member itself."""
    roots = set(members)
    return (provider for provider in providers if provider.root in roots or provider.uuid in roots)


def _meaning(resource_class: str, traits: frozenset[str], kind_of: KindOf, cpu_class: str) -> str | Kind | None:
    return resource_class if resource_class in (cpu_class, MEMORY_CLASS) else kind_of(resource_class, traits)


def _shares(
    provider: Provider, resource_class: str, what: str | Kind, ours: Mapping[str, Ordered], scale: int
) -> tuple[int, int]:
    """How much of a class the zone's orders hold, and how much the rest of the world."""
    own = others = 0
    for consumer, resources in provider.held.items():
        amount = resources.get(resource_class, 0) * scale
        due = min(amount, _due(ours[consumer], what)) if consumer in ours else 0
        own += due
        others += amount - due
    return own, others


def _due(ordered: Ordered, what: str | Kind) -> int:
    if isinstance(what, Kind):
        return ordered.accelerators.get(what.pool, 0)
    return ordered.memory_mib if what == MEMORY_CLASS else ordered.cpu_millis


def _kinds(sums: Mapping[str | Kind, int]) -> Iterator[Kind]:
    return (what for what in sums if isinstance(what, Kind))


def _most(on_host: Mapping[tuple[Kind, str], int], kind: Kind) -> int:
    """What the host with the most has, because a server is on one."""
    return max(count for (of, _), count in on_host.items() if of == kind)


def _pool(kind: Kind, count: int, node_count_max: int) -> AcceleratorPool:
    return AcceleratorPool(
        vendor=kind.vendor,
        model=kind.model,
        memory_mib=kind.memory_mib,
        count=count,
        mig_profile=kind.mig_profile,
        node_count_max=node_count_max,
    )
