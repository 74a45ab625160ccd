"""What the inventory keeps of a pod: where it is and what it holds there. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hansa_agent.kubernetes.accelerators import is_accelerator
from hansa_agent.kubernetes.names import GRANTED
from hansa_agent.kubernetes.quantity import rounded_up

CPU, MEMORY = "cpu", "memory"
_ENDED = ("Succeeded", "Failed")
Amounts = dict[str, int]
"""By resource: thousandths of a core, bytes, devices."""


@dataclass(frozen=True, slots=True)
class PodRow:
    """A pod on a node; ``own`` if this agent made it.

    ``beyond`` is what an own one holds over ``amounts``, which its order granted: overhead of its runtime class,
    sidecars, what the cluster put in. No order pays for that, so nobody subtracts it but the inventory.
    """

    node: str
    amounts: tuple[tuple[str, int], ...]
    own: bool
    beyond: tuple[tuple[str, int], ...] = ()


def pod_row(body: Mapping[str, Any], *, own: bool) -> PodRow | None:
    """From a Pod object; None for one that holds nothing because it is nowhere or has ended."""
    spec = body.get("spec") or {}
    if not holds(body):
        return None
    node, held = spec["nodeName"], requested(spec)
    granted = _granted(body) if own else None
    if granted is None:
        return PodRow(str(node), tuple(sorted(held.items())), own)
    beyond = {key: amount - granted.get(key, 0) for key, amount in held.items() if amount > granted.get(key, 0)}
    amounts = {key: amount - beyond.get(key, 0) for key, amount in held.items()}
    return PodRow(str(node), tuple(sorted(amounts.items())), own, tuple(sorted(beyond.items())))


def holds(body: Mapping[str, Any]) -> bool:
    """Whether a pod holds something: it is on a node and has not ended."""
    spec, status = body.get("spec") or {}, body.get("status") or {}
    return bool(spec.get("nodeName")) and status.get("phase") not in _ENDED


def _granted(body: Mapping[str, Any]) -> Amounts | None:
    """What the order of an own pod granted; None where the pod does not say so, and so nothing is beyond it."""
    told = ((body.get("metadata") or {}).get("annotations") or {}).get(GRANTED)
    try:
        quantities = json.loads(told) if told is not None else None
    except ValueError:
        return None
    return _amounts(quantities) if isinstance(quantities, dict) else None


def requested(spec: Mapping[str, Any]) -> Amounts:
    """What the scheduler reserves for a pod.

    The sum over its containers and sidecars, or the peak while it is initialised where that is more, plus overhead;
    what the pod asks for as a whole replaces the sum.
    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
    """
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or []:
        if container.get("restartPolicy") == "Always":
            sidecars = _sum((sidecars, _of(container)))
            peak = _most(peak, sidecars)
        else:
            peak = _most(peak, _sum((sidecars, _of(container))))
    running = _sum((sidecars, *(_of(container) for container in spec.get("containers") or [])))
    whole = _most(running, peak) | _of(spec)
    return _sum((whole, _amounts(spec.get("overhead") or {})))


def _of(holder: Mapping[str, Any]) -> Amounts:
    resources = holder.get("resources") or {}
    return _amounts({**(resources.get("limits") or {}), **(resources.get("requests") or {})})


def _amounts(quantities: Mapping[str, Any]) -> Amounts:
    amounts: Amounts = {}
    for resource, quantity in quantities.items():
        if resource == CPU:
            amounts[resource] = rounded_up(quantity, 1_000)
        elif resource == MEMORY or is_accelerator(resource):
            amounts[resource] = rounded_up(quantity)
    return amounts


def _sum(parts: Iterable[Amounts]) -> Amounts:
    total: Amounts = {}
    for part in parts:
        for resource, amount in part.items():
            total[resource] = total.get(resource, 0) + amount
    return total


def _most(one: Amounts, other: Amounts) -> Amounts:
    return {resource: max(one.get(resource, 0), other.get(resource, 0)) for resource in {*one, *other}}
