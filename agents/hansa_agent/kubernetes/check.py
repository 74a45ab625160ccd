"""Looks at a cluster before anything is joined: its version and clock, what the agent may do there, what it sees."""

from __future__ import annotations

import email.utils
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from hansa_agent.artefacts import Artefact
from hansa_agent.check import Finding, ok, problem, unknown, warning
from hansa_agent.config_kubernetes import KubernetesSection
from hansa_agent.kubernetes import routes
from hansa_agent.kubernetes.api import KubernetesApi
from hansa_agent.kubernetes.check_nodes import check_nodes
from hansa_agent.kubernetes.connection import ApiSilent
from hansa_agent.kubernetes.names import Json
from hansa_agent.kubernetes.refusal import ApiRefused, NotServed
from hansa_agent.kubernetes.rights import NAMESPACE, Right
from hansa_agent.kubernetes.shapes import KSERVE_GROUP
from hansa_agent.ports import Clock

VERSION_MIN = (1, 27)
"""The first whose PodDisruptionBudgets let pods go that are not ready (``unhealthyPodEvictionPolicy``)."""
CLOCK_MS_MAX = 2_000
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_TOO_MUCH = Right("", NAMESPACE, "", "secrets", ("get", "list"), "")


@dataclass(frozen=True, slots=True)
class ClusterLook:
    """What is looked at, and when."""

    api: KubernetesApi
    section: KubernetesSection
    clock: Clock


async def check_cluster(look: ClusterLook, rights: Collection[Right]) -> list[Finding]:
    """Everything about the cluster that ``rights`` are wanted for; one that does not answer leaves nothing else."""
    try:
        found = await _server(look)
    except (ApiSilent, ApiRefused) as error:
        remedy = "compare kubernetes.kubeconfig and its context; in a pod, its service account"
        return [problem("cluster", f"it does not answer: {error}", remedy)]
    found += await _rights(look, rights)
    found += await _kinds(look, rights)
    if any(right.resource == "nodes" for right in rights):
        found += await check_nodes(look.api, look.section)
    return found


def check_instances_of(section: KubernetesSection, artefacts: Collection[Artefact]) -> list[Finding]:
    """What the configuration says of instances, and what nobody can see from here."""
    found = [unknown("network policies", "they are made; whether the network plugin enforces them cannot be seen")]
    if section.tls_secret:
        message = f"Secret {section.tls_secret} of {section.namespace}: the agent reads none, and cannot see this one"
        found.append(unknown("instance certificate", message, f"kubectl get secret -n {section.namespace}"))
    else:
        remedy = "set kubernetes.tls_secret"
        found.append(warning("instance certificate", "instances have no certificate to serve with", remedy))
    if not artefacts:
        found.append(warning("artefacts", "none are allowed, so nothing can run here", "list them under artefacts"))
    return found


async def _server(look: ClusterLook) -> list[Finding]:
    before_ms = look.clock.now().wall_ms
    told, date = await look.api.dated("/version")
    after_ms = look.clock.now().wall_ms
    version = str(told.get("gitVersion") or "of unknown version")
    numbers = tuple(int("".join(filter(str.isdecimal, str(told.get(key, "")))) or 0) for key in ("major", "minor"))
    found = [ok("cluster", f"Kubernetes {version} answers")]
    if numbers < VERSION_MIN:
        wanted = ".".join(map(str, VERSION_MIN))
        found = [problem("cluster", f"Kubernetes {version}; {wanted} is the oldest that is known to do", "update it")]
    return [*found, _clock(date, before_ms, after_ms)]


def _clock(date: str, before_ms: int, after_ms: int) -> Finding:
    try:
        # The header has whole seconds (RFC 9110, 5.6.7); it was true at some moment between question and answer.
        there_ms = int(email.utils.parsedate_to_datetime(date).timestamp() * 1_000)
    except (TypeError, ValueError):
        return unknown("cluster clock", "the API server does not say what time it is")
    early_ms, late_ms = there_ms - after_ms, there_ms + 1_000 - before_ms
    least_ms = early_ms if early_ms > 0 else late_ms if late_ms < 0 else 0
    if abs(least_ms) <= CLOCK_MS_MAX:
        return ok("cluster clock", f"it differs by {CLOCK_MS_MAX // 1_000} s at most")
    way = "ahead of" if least_ms > 0 else "behind"
    message = f"the API server is {abs(least_ms) // 1_000} s {way} this machine"
    return warning("cluster clock", message, "certificates and tokens are judged by it: let both follow a time source")


async def _rights(look: ClusterLook, rights: Collection[Right]) -> list[Finding]:
    found = []
    try:
        for right in rights:
            found.append(_told(right, await _denied(look, right), look.section.namespace))
        denied = await _denied(look, _TOO_MUCH)
    except (ApiSilent, ApiRefused) as error:
        return [*found, unknown("rights", f"the cluster does not say what the agent may: {error}")]
    if len(denied) < len(_TOO_MUCH.verbs):
        message = f"it may read the secrets of {look.section.namespace}, which it never does"
        found.append(warning("rights", message, "take that away: agents/kubernetes/rbac.yaml has all that it needs"))
    return found


async def _denied(look: ClusterLook, right: Right) -> list[str]:
    """The verbs of ``right`` that the agent may not use, one review each."""
    resource, _, subresource = right.resource.partition("/")
    namespace = {"namespace": look.section.namespace} if right.scope == NAMESPACE else {}
    denied = []
    for verb in right.verbs:
        asked: Json = {"verb": verb, "group": right.group, "resource": resource, **namespace}
        asked |= {"subresource": subresource} if subresource else {}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        review = await look.api.create(_REVIEWS, {**body, "spec": {"resourceAttributes": asked}})
        if not (review.get("status") or {}).get("allowed"):
            denied.append(verb)
    return denied


def _told(right: Right, denied: list[str], namespace: str) -> Finding:
    where = f"in {namespace}" if right.scope == NAMESPACE else "in the whole cluster"
    what = f"{right.resource}.{right.group}" if right.group else right.resource
    if not denied:
        return ok("rights", f"may {', '.join(right.verbs)} {what} {where}")
    message = f"may not {', '.join(denied)} {what} {where}: {right.why}"
    remedy = f"kubectl apply -k agents/kubernetes{_component(right)}"
    return problem("rights", message, remedy) if right.needed else warning("rights", message, remedy)


def _component(right: Right) -> str:
    return "" if right.part in ("inventory", "runtime") else f", with its component {right.part}"


async def _kinds(look: ClusterLook, rights: Iterable[Right]) -> list[Finding]:
    """Whether kinds that are not the cluster's own are there."""
    found = []
    for right in rights:
        if right.group not in _REMEDIES:
            continue
        subject, remedy = f"kind {right.resource}", _REMEDIES[right.group]
        try:
            version = await look.api.served.version(right.group, right.resource)
            found.append(ok(subject, f"served as {right.group}/{version}"))
        except NotServed as absent:
            needed = right.needed
            found.append(problem(subject, absent.message, remedy) if needed else ok(subject, absent.message))
        except (ApiSilent, ApiRefused) as error:
            found.append(unknown(subject, str(error)))
    return found


_REMEDIES = {
    routes.GATEWAY_GROUP: "install the Gateway API, 1.5 or its experimental channel, and a controller of it",
    KSERVE_GROUP: "install KServe, or set kubernetes.kserve: false",
    "resource.k8s.io": "",
}
