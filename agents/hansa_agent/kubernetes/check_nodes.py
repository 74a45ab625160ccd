"""Looks at the nodes that the zone offers: whether there are any, and whether their accelerators can be told apart."""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field

from hansa_agent.check import Finding, ok, problem, unknown, warning
from hansa_agent.config_kubernetes import KubernetesSection
from hansa_agent.kubernetes.accelerators import SHARED, UNLABELLED, Kind, LeftOut
from hansa_agent.kubernetes.api import KubernetesApi
from hansa_agent.kubernetes.connection import ApiSilent
from hansa_agent.kubernetes.nodes import USABLE, NodeRow, node_row
from hansa_agent.kubernetes.refusal import ApiRefused
from hansa_agent.kubernetes.words import printable

PAGE_LIMIT = 500
NAMED_MAX = 3
_REMEDIES = {
    UNLABELLED: "install NVIDIA GPU Feature Discovery (part of the GPU Operator), or AMD's node labeller",
    SHARED: "take time-slicing or MPS off the nodes that the zone offers, or offer others",
}


@dataclass
class _Seen:
    nodes: Counter[str] = field(default_factory=Counter)
    devices: Counter[str] = field(default_factory=Counter)
    left_out: Counter[LeftOut] = field(default_factory=Counter)
    where: dict[LeftOut, list[str]] = field(default_factory=dict)

    def add(self, name: str, row: NodeRow) -> None:
        self.nodes[row.obstacle] += 1
        for device in row.devices:
            if isinstance(device.kind, Kind):
                self.devices[device.kind.pool] += device.count
            else:
                self.left_out[device.kind] += device.count
                self.where.setdefault(device.kind, []).append(name)


async def check_nodes(api: KubernetesApi, section: KubernetesSection) -> list[Finding]:
    """What the zone has by its nodes, whatever is held on them."""
    selector, seen = ",".join(f"{key}={value}" for key, value in sorted(section.node_selector.items())), _Seen()
    query = {"labelSelector": selector} if selector else {}
    try:
        async with aclosing(api.pages("/api/v1/nodes", query, PAGE_LIMIT)) as pages:
            async for page in pages:
                for body in page.get("items") or []:
                    seen.add(str(body["metadata"]["name"]), node_row(body, section.tolerate))
    except (ApiSilent, ApiRefused) as error:
        return [unknown("nodes", f"they cannot be looked at: {error}")]
    if not seen.nodes:
        told = f"bears {selector}" if selector else "is there"
        return [problem("nodes", f"no node {told}: the zone has nothing", "label what the zone is to offer")]
    return [_counted(seen), _accelerators(seen), *(_missed(seen, kind) for kind in _REMEDIES if seen.left_out[kind])]


def _counted(seen: _Seen) -> Finding:
    usable = seen.nodes[USABLE]
    rest = ", ".join(f"{count} {why}" for why, count in sorted(seen.nodes.items()) if why != USABLE)
    message = f"{usable} of {seen.nodes.total()} take new pods" + (f"; {rest}" if rest else "")
    if usable:
        return ok("nodes", message)
    return problem("nodes", message, "kubectl uncordon, or name their taints in kubernetes.tolerate")


def _accelerators(seen: _Seen) -> Finding:
    told = ", ".join(f"{count} x {pool}" for pool, count in sorted(seen.devices.items()))
    return ok("accelerators", told or "none that could be ordered")


def _missed(seen: _Seen, kind: LeftOut) -> Finding:
    names = sorted(seen.where.get(kind, []))
    shown = ", ".join(names[:NAMED_MAX]) + (f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else "")
    message = printable(f"{seen.left_out[kind]} devices {kind.why}, on {shown}: they do not count")
    return warning("accelerators", message, _REMEDIES[kind])
