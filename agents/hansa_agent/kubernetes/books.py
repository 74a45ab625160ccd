"""The books of a cluster: nodes and what is held on them, kept change by change, and the sum of it. Pure.

What others hold is subtracted node by node, because no instance spans two; what orders granted to this agent's own
pods is not, because the operator subtracts that; what these hold beyond it counts as held by others. A node that takes
nothing new counts with exactly what was granted to own pods on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

from hansa.v1.common_pb2 import AcceleratorPool, Capacity
from hansa_agent.kubernetes.accelerators import Kind
from hansa_agent.kubernetes.nodes import NOT_READY, USABLE, NodeRow, node_row
from hansa_agent.kubernetes.pods import CPU, MEMORY, PodRow, pod_row
from hansa_agent.kubernetes.slices import Slices
from hansa_agent.kubernetes.words import printable
from hansa_agent.ports import Machine

SOURCE = "kubernetes"


class Books:
    """All nodes and all pods that hold something on one."""

    def __init__(self, tolerated: Collection[str], is_own: Callable[[Mapping[str, Any]], bool]) -> None:
        self._tolerated = frozenset(tolerated)
        self._is_own = is_own
        self._nodes: dict[str, NodeRow] = {}
        self._pods: dict[str, PodRow] = {}
        self._held: dict[tuple[str, bool], Counter[str]] = {}
        self.slices = Slices()

    def put_node(self, body: Mapping[str, Any]) -> str:
        """Writes a node down; its key."""
        name = str(body["metadata"]["name"])
        self._nodes[name] = node_row(body, self._tolerated)
        return name

    def drop_node(self, name: str) -> None:
        """A node is gone."""
        self._nodes.pop(name, None)

    def put_pod(self, body: Mapping[str, Any]) -> str:
        """Writes a pod down; its key."""
        uid = str(body["metadata"]["uid"])
        row = pod_row(body, own=self._is_own(body))
        if row is None:
            self.drop_pod(uid)
        elif self._pods.get(uid) != row:
            self.drop_pod(uid)
            self._pods[uid] = row
            self._hold(row, 1)
        return uid

    def drop_pod(self, uid: str) -> None:
        """A pod is gone or holds nothing any more."""
        row = self._pods.pop(uid, None)
        if row is not None:
            self._hold(row, -1)

    def node_names(self) -> Collection[str]:
        """Keys of all nodes."""
        return self._nodes.keys()

    def pod_uids(self) -> Collection[str]:
        """Keys of all pods that hold something."""
        return self._pods.keys()

    def machine(self) -> Machine:
        """The sum, rounded down; ``trouble`` tells what was left out."""
        cpu_millis = memory_mib = 0
        pools: Counter[Kind] = Counter()
        on_node: dict[Kind, int] = {}
        left_out: Counter[str] = Counter()
        for name, node in self._nodes.items():
            left_out[_nodes_that_are(node.obstacle)] += 1
            free = self._free(name, node)
            cpu_millis += free(CPU, node.cpu_millis)
            memory_mib += free(MEMORY, node.memory) >> 20
            for device in node.devices:
                if isinstance(device.kind, Kind):
                    count = free(device.resource, device.count)
                    pools[device.kind] += count
                    on_node[device.kind] = max(on_node.get(device.kind, 0), count)
                else:
                    left_out[f"devices {device.kind.why}"] += device.count
        capacity = Capacity(cpu_millis=cpu_millis, memory_mib=memory_mib)
        return Machine(capacity, _pools(pools, on_node), SOURCE, self._told(left_out))

    def _free(self, name: str, node: NodeRow) -> Callable[[str, int], int]:
        others, own = self._held.get((name, False), Counter()), self._held.get((name, True), Counter())
        if node.obstacle == USABLE:
            return lambda resource, allocatable: max(0, allocatable - others[resource])
        if node.obstacle == NOT_READY:
            return lambda _resource, _allocatable: 0
        return lambda resource, allocatable: min(own[resource], allocatable)

    def _hold(self, row: PodRow, sign: int) -> None:
        self._add((row.node, row.own), row.amounts, sign)
        self._add((row.node, False), row.beyond, sign)

    def _add(self, key: tuple[str, bool], amounts: tuple[tuple[str, int], ...], sign: int) -> None:
        if not amounts:
            return
        held = self._held.setdefault(key, Counter())
        for resource, amount in amounts:
            held[resource] += sign * amount
        if sign < 0 and not any(held.values()):
            del self._held[key]

    def _told(self, left_out: Counter[str]) -> str:
        devices, incomplete = self.slices.counted()
        # Instances do not order by ResourceClaim, so these are only told.
        left_out["devices of resource slices"], left_out["resource pools that are not whole"] = devices, incomplete
        parts = [f"{what} ({count})" for what, count in sorted(left_out.items()) if what and count]
        return printable(f"left out: {', '.join(parts)}") if parts else ""


def _nodes_that_are(obstacle: str) -> str:
    return f"nodes {obstacle}" if obstacle else ""


def _pools(pools: Counter[Kind], on_node: Mapping[Kind, int]) -> tuple[AcceleratorPool, ...]:
    found = sorted(
        (kind.vendor, kind.model, kind.memory_mib, kind.mig_profile, count, on_node[kind])
        for kind, count in pools.items()
        if count
    )
    return tuple(
        AcceleratorPool(
            vendor=vendor, model=model, memory_mib=memory_mib, mig_profile=profile, count=count, node_count_max=most
        )
        for vendor, model, memory_mib, profile, count, most in found
    )
