"""Which of the configured devices an instance gets: each device serves one container at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hansa.v1.common_pb2 import Capacity
from hansa_agent.container_spec import DEVICES
from hansa_agent.ports import StartRefused

HOLDS_NOTHING = frozenset({"exited", "dead", "stopped"})
"""States of a container that has ended."""


def chosen_devices(
    limits: Capacity, configured: Mapping[str, list[str]], containers: Iterable[Mapping[str, Any]]
) -> tuple[str, ...]:
    """CDI names for what was ordered; the first of each pool that no container of ``containers`` holds.

    Raises ``StartRefused``, for good where the configuration names no devices of a pool.
    """
    held = held_devices(containers)
    chosen: list[str] = []
    for amount in limits.accelerators:
        if not amount.count:
            continue
        if amount.pool not in configured:
            raise StartRefused(f"container.devices names no device of pool {amount.pool}", permanent=True)
        free = [name for name in configured[amount.pool] if name not in held]
        if len(free) < amount.count:
            message = f"{amount.count} of {amount.pool} are wanted, {len(free)} of its devices are free"
            raise StartRefused(message, permanent=False)
        chosen += free[: amount.count]
    return tuple(chosen)


def held_devices(containers: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Devices of containers that have not ended."""
    return frozenset(
        name
        for each in containers
        if each.get("State") not in HOLDS_NOTHING
        for name in str((each.get("Labels") or {}).get(DEVICES, "")).split(",")
        if name
    )
