"""What the zone's instances hold that nobody wants any more and that are not gone yet: others' use until then. Pure.

A source counts all that bears the zone's marks as the zone's own, because the operator subtracts what it has ordered.
Of what no record names the operator knows nothing, so the agent subtracts it before it advertises. What an order may
still take over is judged by the whole, since taking it over is what makes a stray wanted again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from hansa.v1.common_pb2 import AcceleratorPool, Capacity, PoolAmount
from hansa_agent.inventory import pool_key
from hansa_agent.ports import Machine


class Strays:
    """The sum of what strays were ordered with, as the runtime saw it last; ``changed`` is told when it is another."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self._changed = changed
        self._held: tuple[Capacity, ...] = ()

    def tell(self, held: Iterable[Capacity]) -> None:
        """These are all strays from now on."""
        found = tuple(held)
        if found != self._held:
            self._held = found
            self._changed()

    def less(self, machine: Machine) -> Machine:
        """``machine`` without what strays hold, and with a word about them."""
        if not self._held:
            return machine
        cpu_millis = machine.capacity.cpu_millis - sum(one.cpu_millis for one in self._held)
        memory_mib = machine.capacity.memory_mib - sum(one.memory_mib for one in self._held)
        counts = Counter[str]()
        for amount in (amount for one in self._held for amount in one.accelerators):
            counts[amount.pool] += amount.count
        told = f"instances left over and not gone yet: {len(self._held)}"
        return replace(
            machine,
            capacity=Capacity(cpu_millis=max(0, cpu_millis), memory_mib=max(0, memory_mib)),
            pools=tuple(_without(machine.pools, counts)),
            trouble=machine.trouble or told,
        )


def capacity_of(cpu_millis: int, memory_mib: int, devices: Mapping[str, int]) -> Capacity:
    """What one instance was ordered with; ``devices`` by pool. What is negative counts as nothing."""
    amounts = [PoolAmount(pool=pool, count=max(0, count)) for pool, count in sorted(devices.items())]
    return Capacity(cpu_millis=max(0, cpu_millis), memory_mib=max(0, memory_mib), accelerators=amounts)


def ordered_text(limits: Capacity) -> str:
    """What an instance was ordered with, for a label: JSON of thousandths of a core, MiB, and devices by pool."""
    counts = {amount.pool: amount.count for amount in limits.accelerators}
    return json.dumps([limits.cpu_millis, limits.memory_mib, counts], separators=(",", ":"), sort_keys=True)


def ordered_in(text: str) -> Capacity:
    """What ``ordered_text`` wrote; nothing where somebody has changed it, or nobody has written it."""
    try:
        cpu_millis, memory_mib, counts = json.loads(text)
        devices = {str(pool): int(count) for pool, count in counts.items()}
        return capacity_of(int(cpu_millis), int(memory_mib), devices)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return Capacity()


def _without(pools: Iterable[AcceleratorPool], counts: Counter[str]) -> Iterable[AcceleratorPool]:
    for pool in pools:
        taken = min(counts[pool_key(pool)], pool.count)
        counts[pool_key(pool)] -= taken
        if taken < pool.count:
            left = AcceleratorPool()
            left.CopyFrom(pool)
            left.count = pool.count - taken
            left.node_count_max = min(pool.node_count_max, left.count)
            yield left
