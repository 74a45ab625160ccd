"""Which nodes have the accelerators that an order names: by the labels of the nodes, asked for when it is needed."""

from __future__ import annotations

from contextlib import aclosing

from hansa.v1.common_pb2 import Capacity
from hansa_agent.kubernetes.accelerators import labelled, selection
from hansa_agent.kubernetes.api import METADATA_ONLY, KubernetesApi
from hansa_agent.ports import StartRefused

PAGE_LIMIT = 500
Devices = tuple[tuple[str, int], ...]
"""Amounts by extended resource."""
Nodes = tuple[tuple[str, tuple[str, ...]], ...]
"""The values that a node's label must have, by label."""


async def nodes_with(api: KubernetesApi, limits: Capacity, node_selector: dict[str, str]) -> tuple[Devices, Nodes]:
    """What a pod must ask for and where it must go; raises ``StartRefused`` where the cluster has no such pool."""
    wanted = {amount.pool: amount.count for amount in limits.accelerators if amount.count}
    if not wanted:
        return (), ()
    found: dict[str, dict[str, set[str]]] = {pool: {} for pool in wanted}
    selector = ",".join(f"{key}={value}" for key, value in sorted(node_selector.items()))
    query = {"labelSelector": selector} if selector else {}
    async with aclosing(api.pages("/api/v1/nodes", query, PAGE_LIMIT, METADATA_ONLY)) as pages:
        async for page in pages:
            for node in page.get("items") or []:
                labels = node["metadata"].get("labels") or {}
                for resource, kind in labelled(labels):
                    if kind.pool in found and (value := labels.get(selection(resource))):
                        found[kind.pool].setdefault(resource, set()).add(value)
    return _chosen(wanted, found)


def _chosen(wanted: dict[str, int], found: dict[str, dict[str, set[str]]]) -> tuple[Devices, Nodes]:
    devices: list[tuple[str, int]] = []
    nodes: list[tuple[str, tuple[str, ...]]] = []
    for pool, count in sorted(wanted.items()):
        if not found[pool]:
            raise StartRefused(f"no node of the cluster has {pool}", permanent=False)
        resource, values = min(found[pool].items())
        devices.append((resource, count))
        nodes.append((selection(resource), tuple(sorted(values))))
    return tuple(devices), tuple(nodes)
