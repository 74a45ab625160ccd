"""Which node takes a pod, and what the scheduler says when none does."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from kubernetes_api.kube_kinds import Json

_SUFFIXES = {
    "m": Fraction(1, 1000),
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


def amount(text: str | int) -> Fraction:
    """A quantity."""
    text = str(text)
    for suffix in sorted(_SUFFIXES, key=len, reverse=True):
        if text.endswith(suffix):
            return Fraction(text.removesuffix(suffix)) * _SUFFIXES[suffix]
    return Fraction(text)


def requested(pod: Json) -> Counter[str]:
    """What a pod asks of its node, by resource."""
    spec = pod["spec"]
    running: Counter[str] = Counter()
    for container in spec["containers"]:
        running.update(_of(container))
    peak: Counter[str] = Counter()
    sidecars: Counter[str] = Counter()
    for container in spec.get("initContainers") or []:
        if container.get("restartPolicy") == "Always":
            sidecars.update(_of(container))
            peak |= sidecars
        else:
            peak |= sidecars + _of(container)
    total = (running + sidecars) | peak
    total.update({name: amount(value) for name, value in (spec.get("overhead") or {}).items()})
    return total


def _of(container: Json) -> Counter[str]:
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return Counter({name: amount(value) for name, value in asked.items()})


def active(pod: Json) -> bool:
    """Whether it occupies its node."""
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def choose(pod: Json, nodes: list[Json], pods: list[Json]) -> tuple[str, str]:
    """The name of the node, or why there is none."""
    reasons: Counter[str] = Counter()
    for node in nodes:
        why = _obstacles(pod, node, pods)
        if not why:
            return node["metadata"]["name"], ""
        reasons.update(why)
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return "", f"0/{len(nodes)} nodes are available: {told}." if nodes else "no nodes available to schedule pods"


def _obstacles(pod: Json, node: Json, pods: list[Json]) -> list[str]:
    spec, labels = pod["spec"], node["metadata"].get("labels") or {}
    if node["spec"].get("unschedulable"):
        return ["node(s) were unschedulable"]
    tolerated = [(each.get("key"), each.get("operator")) for each in spec.get("tolerations") or []]
    for taint in node["spec"].get("taints") or []:
        if taint["effect"] != "PreferNoSchedule" and (taint["key"], "Exists") not in tolerated:
            return [f"node(s) had taint {{{taint['key']}: {taint.get('value', '')}}}, that the pod didn't tolerate"]
    selector = spec.get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in selector.items()) or not _affine(spec, labels):
        return ["node(s) didn't match Pod's node affinity/selector"]
    used: Counter[str] = Counter({"pods": Fraction(0)})
    for other in pods:
        if other["spec"].get("nodeName") == node["metadata"]["name"] and active(other):
            used.update(requested(other))
    has = node["status"]["allocatable"]
    return [
        f"Insufficient {name}"
        for name, value in sorted(requested(pod).items())
        if value and value + used[name] > amount(has.get(name, 0))
    ]


def _affine(spec: Json, labels: dict[str, str]) -> bool:
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not required:
        return True
    return any(
        all(_expression(each, labels) for each in term.get("matchExpressions") or [])
        for term in required["nodeSelectorTerms"]
    )


def _expression(expression: Json, labels: dict[str, str]) -> bool:
    found, values = labels.get(expression["key"]), expression.get("values") or []
    return {
        "In": found in values,
        "NotIn": found not in values,
        "Exists": found is not None,
        "DoesNotExist": found is None,
    }[expression["operator"]]
