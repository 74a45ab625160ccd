"""What keeps an instance from being ready, in the platform's own words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hansa_agent.kubernetes.words import printable

Body = Mapping[str, Any]
_STARTING = ("ContainerCreating", "PodInitializing")


def trouble_of(deployment: Body | None, pods: Iterable[Body], events: Iterable[Body]) -> str:
    """The first that is known of: a container that cannot run, no node for the pod, no pod at all, a warning."""
    living = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    for look in (_containers, _scheduling):
        for pod in living:
            if told := look(pod):
                return printable(told)
    return printable(_creation(deployment) or _warning(events))


def _containers(pod: Body) -> str:
    status = pod.get("status") or {}
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        ended = _ended((container.get("lastState") or {}).get("terminated"))
        ended = ended or _ended((container.get("state") or {}).get("terminated"))
        reason = str(waiting.get("reason") or "")
        if reason in _STARTING:
            reason = ""
        told = [part for part in (ended, reason, str(waiting.get("message") or "") if reason else "") if part]
        if told and not container.get("ready"):
            restarts = int(container.get("restartCount") or 0)
            return ": ".join(told) + (f" (restarted {restarts} times)" if restarts else "")
    return f"{status['reason']}: {status.get('message', '')}" if status.get("reason") else ""


def _ended(terminated: Body | None) -> str:
    if not terminated:
        return ""
    return f"{terminated.get('reason') or 'ended'} with exit code {terminated.get('exitCode')}"


def _scheduling(pod: Body) -> str:
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("message") or condition.get("reason") or "not scheduled")
    return ""


def _creation(deployment: Body | None) -> str:
    for condition in ((deployment or {}).get("status") or {}).get("conditions") or []:
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return f"{condition.get('reason')}: {condition.get('message')}"
    return ""


def _warning(events: Iterable[Body]) -> str:
    warnings = [event for event in events if event.get("type") == "Warning"]
    newest = max(warnings, key=lambda event: int(event["metadata"].get("resourceVersion") or 0), default=None)
    return f"{newest.get('reason')}: {newest.get('message')}" if newest else ""
