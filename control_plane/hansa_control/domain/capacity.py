"""Amounts of capacity: adding, taking away, and which accelerators a need would take.

Integers throughout. Capacity never goes negative: taking more than there is raises ValueError.
"""

from __future__ import annotations

from hansa_control.domain.columns import pools_by_size as pools_by_size
from hansa_control.domain.model import AcceleratorNeed, AcceleratorPool, Capacity, WorkloadSpec

NOTHING = Capacity()


def capacity_of(cpu_millis: int, memory_mib: int, accelerators: dict[str, int]) -> Capacity:
    """A capacity in canonical form: pools sorted by key, zero counts left out. ValueError on a negative amount."""
    amount = Capacity(cpu_millis, memory_mib, tuple(sorted((k, n) for k, n in accelerators.items() if n)))
    if cpu_millis < 0 or memory_mib < 0 or any(n < 0 for _, n in amount.accelerators):
        raise ValueError(f"capacity would be negative: {amount}")
    return amount


def add(left: Capacity, right: Capacity) -> Capacity:
    """Both amounts together."""
    pools = dict(left.accelerators)
    for key, count in right.accelerators:
        pools[key] = pools.get(key, 0) + count
    return capacity_of(left.cpu_millis + right.cpu_millis, left.memory_mib + right.memory_mib, pools)


def subtract(left: Capacity, right: Capacity) -> Capacity:
    """What is left of ``left`` after ``right`` is taken. ValueError if anything would go below zero."""
    pools = dict(left.accelerators)
    for key, count in right.accelerators:
        pools[key] = pools.get(key, 0) - count
    return capacity_of(left.cpu_millis - right.cpu_millis, left.memory_mib - right.memory_mib, pools)


def fits(amount: Capacity, free: Capacity) -> bool:
    """Whether ``amount`` can be taken from ``free``."""
    if amount.cpu_millis > free.cpu_millis or amount.memory_mib > free.memory_mib:
        return False
    return all(count <= count_of(free, key) for key, count in amount.accelerators)


def count_of(amount: Capacity, pool_key: str) -> int:
    """Devices of a pool in an amount; 0 where the pool is not in it."""
    return next((count for key, count in amount.accelerators if key == pool_key), 0)


def amount_for(spec: WorkloadSpec, pool: str) -> Capacity:
    """What all replicas of a workload take, with accelerators from ``pool`` (empty when none are needed).

    ValueError if the workload needs accelerators and no pool is named.
    """
    need = spec.accelerator
    if need is not None and need.count and not pool:
        raise ValueError("the workload needs accelerators; a pool must be named")
    devices = {pool: need.count * spec.replicas} if need is not None else {}
    return capacity_of(spec.cpu_millis * spec.replicas, spec.memory_mib * spec.replicas, devices)


def is_acceptable_model(need: AcceleratorNeed, pool: AcceleratorPool) -> bool:
    """Whether a pool's model is among those asked for, by model (``L40S``) or by key (``nvidia/L40S``).

    Case does not count. A model's name accepts its MIG slices too: what a slice lacks is memory, and that is asked
    for separately.
    """
    if not need.any_of:
        return True
    names = {pool.model.casefold(), pool.key.casefold(), f"{pool.vendor}/{pool.model}".casefold()}
    return any(wanted.casefold() in names for wanted in need.any_of)


def choose_pool(spec: WorkloadSpec, pools: tuple[AcceleratorPool, ...], free: Capacity) -> AcceleratorPool | None:
    """The smallest pool that serves every replica now; None if none does or none is needed."""
    need = spec.accelerator
    if need is None:
        return None
    wanted = need.count * spec.replicas
    for pool in pools_by_size(pools):
        sufficient = is_acceptable_model(need, pool) and pool.memory_mib >= need.memory_mib_min
        if sufficient and need.count <= pool.replica_count_max and count_of(free, pool.key) >= wanted:
            return pool
    return None
