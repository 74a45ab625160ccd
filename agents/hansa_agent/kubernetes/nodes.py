"""What the inventory keeps of a node. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from hansa_agent.kubernetes.accelerators import Kind, LeftOut, is_accelerator, kind_of
from hansa_agent.kubernetes.quantity import rounded_down

USABLE, CORDONED, TAINTED, NOT_READY = "", "cordoned", "tainted", "not ready"
_REPELLING = ("NoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True)
class Device:
    """Devices of one extended resource on a node."""

    resource: str
    kind: Kind | LeftOut
    count: int


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node: what it may hand to pods, and why nothing new goes there, if so. Memory in bytes."""

    obstacle: str
    cpu_millis: int
    memory: int
    devices: tuple[Device, ...]


def node_row(body: Mapping[str, Any], tolerated: Collection[str]) -> NodeRow:
    """From a Node object; ``tolerated`` are the keys of taints that instances tolerate."""
    meta, spec, status = (body.get(key) or {} for key in ("metadata", "spec", "status"))
    has, labels = status.get("allocatable") or {}, meta.get("labels") or {}
    return NodeRow(
        obstacle=_obstacle(spec, status, tolerated),
        cpu_millis=rounded_down(has.get("cpu", 0), 1_000),
        memory=rounded_down(has.get("memory", 0)),
        devices=tuple(
            Device(resource, kind_of(resource, labels), rounded_down(amount))
            for resource, amount in sorted(has.items())
            if is_accelerator(resource) and rounded_down(amount)
        ),
    )


def _obstacle(spec: Mapping[str, Any], status: Mapping[str, Any], tolerated: Collection[str]) -> str:
    conditions = {each.get("type"): each.get("status") for each in status.get("conditions") or []}
    if conditions.get("Ready") != "True":
        return NOT_READY
    if spec.get("unschedulable"):
        return CORDONED
    repelling = [taint for taint in spec.get("taints") or [] if taint.get("effect") in _REPELLING]
    return TAINTED if any(taint.get("key") not in tolerated for taint in repelling) else USABLE
