"""The objects of the fake API server, with resource versions, a log for watches, deletion and its finalizers."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable
from dataclasses import dataclass, field

from kubernetes_api.kube_kinds import ApiError, Json, Kind

Key = tuple[str, str, str]
"""Plural, namespace, name."""
FOREGROUND = "foregroundDeletion"


@dataclass(frozen=True)
class Change:
    """One line of the log; ``before`` tells a watch with a selector whether the object leaves its sight."""

    version: int
    kind: str
    type: str
    body: Json
    before: Json | None


@dataclass
class Deletion:
    """How an object is to be deleted."""

    grace_s: int | None = None
    propagation: str = "Background"
    uid: str = ""


@dataclass
class Store:
    """All objects, by plural, namespace and name. Everything given out is a copy."""

    version: int = 100
    objects: dict[Key, Json] = field(default_factory=dict)
    log: list[Change] = field(default_factory=list)
    compacted: int = 0
    listeners: list[Callable[[], None]] = field(default_factory=list)
    owners: dict[Key, dict[str, set[tuple[str, ...]]]] = field(default_factory=dict)
    _uids: int = 0

    def all(self, plural: str, namespace: str = "") -> list[Json]:
        keys = sorted(key for key in self.objects if key[0] == plural and namespace in ("", key[1]))
        return [self.objects[key] for key in keys]

    def get(self, kind: Kind, namespace: str, name: str) -> Json:
        found = self.objects.get((kind.plural, namespace, name))
        if found is None:
            group = f".{kind.group}" if kind.group else ""
            message = f'{kind.plural}{group} "{name}" not found'
            raise ApiError(404, "NotFound", message, name=name, kind=kind.plural)
        return copy.deepcopy(found)

    def create(self, kind: Kind, body: Json) -> Json:
        meta = body["metadata"]
        key = (kind.plural, meta.get("namespace", ""), meta["name"])
        if key in self.objects:
            raise ApiError(409, "AlreadyExists", f'{kind.plural} "{meta["name"]}" already exists', name=meta["name"])
        self._uids += 1
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        meta |= {"uid": f"{self._uids:08x}-0000-4000-8000-{self._uids:012x}", "creationTimestamp": now}
        meta["generation"] = 1
        return self._write(key, body, "ADDED")

    def replace(self, kind: Kind, body: Json) -> Json:
        """Writes an object back; refused when it was read at another resource version than it has."""
        meta = body["metadata"]
        key = (kind.plural, meta.get("namespace", ""), meta["name"])
        former = self.get(kind, key[1], key[2])
        if meta.get("resourceVersion") not in (None, "", former["metadata"]["resourceVersion"]):
            message = f'Operation cannot be fulfilled on {kind.plural} "{key[2]}": the object has been modified'
            raise ApiError(409, "Conflict", message, name=key[2])
        if meta.get("uid") not in (None, "", former["metadata"]["uid"]):
            raise ApiError(409, "Conflict", f"Precondition failed: UID in precondition: {meta['uid']}", name=key[2])
        for fixed in ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"):
            if fixed in former["metadata"]:
                meta[fixed] = former["metadata"][fixed]
        meta["resourceVersion"] = former["metadata"]["resourceVersion"]
        if body == former:
            return former
        if body.get("spec") != former.get("spec"):
            meta["generation"] = former["metadata"]["generation"] + 1
        written = self._write(key, body, "MODIFIED")
        return self._finish(key, written)

    def delete(self, kind: Kind, namespace: str, name: str, how: Deletion) -> Json:
        """Deletes, or marks as being deleted where a kubelet or a finalizer has something to do first."""
        body = self.get(kind, namespace, name)
        key, meta = (kind.plural, namespace, name), body["metadata"]
        if how.uid not in ("", meta["uid"]):
            raise ApiError(409, "Conflict", f"Precondition failed: UID in precondition: {how.uid}", name=name)
        grace_s = 0
        if kind.plural == "pods" and body["spec"].get("nodeName"):
            given = body["spec"].get("terminationGracePeriodSeconds", 30)
            grace_s = given if how.grace_s is None else how.grace_s
        if how.propagation == "Foreground" and FOREGROUND not in meta.setdefault("finalizers", []):
            meta["finalizers"].append(FOREGROUND)
        if how.propagation == "Orphan":
            self._orphan(meta["uid"])
        if grace_s or meta.get("finalizers"):
            meta.setdefault("deletionTimestamp", meta["creationTimestamp"])
            meta["deletionGracePeriodSeconds"] = min(grace_s, meta.get("deletionGracePeriodSeconds", grace_s))
            return self._finish(key, self._write(key, body, "MODIFIED"))
        return self.remove(key)

    def remove(self, key: Key) -> Json:
        """The object is gone."""
        before = self.objects.pop(key)
        self.owners.pop(key, None)
        gone = copy.deepcopy(before)
        self.version += 1
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._note(Change(self.version, key[0], "DELETED", gone, before))
        return copy.deepcopy(gone)

    def compact(self) -> None:
        """Forgets the log: watches from before are too old from now on."""
        self.log.clear()
        self.compacted = self.version

    def _finish(self, key: Key, body: Json) -> Json:
        meta = body["metadata"]
        waits = meta.get("finalizers") or meta.get("deletionGracePeriodSeconds")
        return self.remove(key) if meta.get("deletionTimestamp") and not waits else body

    def _orphan(self, uid: str) -> None:
        for key, body in list(self.objects.items()):
            references = body["metadata"].get("ownerReferences", [])
            if any(each["uid"] == uid for each in references):
                changed = copy.deepcopy(body)
                changed["metadata"]["ownerReferences"] = [each for each in references if each["uid"] != uid]
                self._write(key, changed, "MODIFIED")

    def _write(self, key: Key, body: Json, change: str) -> Json:
        self.version += 1
        before = self.objects.get(key)
        body["metadata"]["resourceVersion"] = str(self.version)
        self.objects[key] = copy.deepcopy(body)
        self._note(Change(self.version, key[0], change, self.objects[key], before))
        return copy.deepcopy(body)

    def _note(self, change: Change) -> None:
        self.log.append(change)
        for listener in list(self.listeners):
            listener()
