"""The REST face of the fake: discovery, reading, paging, writing, deleting."""

from __future__ import annotations

import copy
import json
from typing import Any

import yaml
from aiohttp import web
from kubernetes_api.kube_apply import apply, claim_changes
from kubernetes_api.kube_kinds import BY_PLURAL, KINDS, LATE, ApiError, Json, Kind
from kubernetes_api.kube_selectors import selects
from kubernetes_api.kube_store import Deletion, Store


def discovery(served: list[Kind]) -> Json:
    """/apis."""
    versions: dict[str, list[str]] = {}
    for kind in served:
        if kind.group and kind.version not in versions.setdefault(kind.group, []):
            versions[kind.group].append(kind.version)
    groups = [
        {"name": group, "versions": [{"groupVersion": f"{group}/{each}", "version": each} for each in versions[group]]}
        for group in sorted(versions)
    ]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group_of(served: list[Kind], group: str) -> Json:
    """/apis/{group}."""
    for found in discovery(served)["groups"]:
        if found["name"] == group:
            return {"kind": "APIGroup", "apiVersion": "v1", **found, "preferredVersion": found["versions"][0]}
    raise ApiError(404, "NotFound", "the server could not find the requested resource")


def resources(served: list[Kind], group: str, version: str) -> Json:
    """/api/v1 or /apis/{group}/{version}."""
    found = [kind for kind in served if (kind.group, kind.version) == (group, version)]
    if not found:
        raise ApiError(404, "NotFound", "the server could not find the requested resource")
    entries = [{"name": kind.plural, "kind": kind.kind, "namespaced": kind.namespaced} for kind in found]
    group_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries}


class Rest:
    """Reads and writes ``store``; ``served`` are the kinds that this server has."""

    def __init__(self, store: Store, defaults: Any) -> None:
        self.store = store
        self.served = [kind for kind in KINDS if kind.plural not in LATE]
        self.page_max = 0
        self.snapshots: dict[str, tuple[str, list[Json]]] = {}
        self._defaults = defaults

    def kind(self, group: str, version: str, plural: str) -> Kind:
        kind = BY_PLURAL.get(plural)
        if kind is None or kind not in self.served or (kind.group, kind.version) != (group, version):
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        return kind

    def list(self, kind: Kind, namespace: str, query: Any) -> Json:
        """One page; the pages of one list show one moment, until its continue token has expired."""
        token, limit = query.get("continue", ""), int(query.get("limit", "0"))
        if token:
            name, _, offset_text = token.partition(":")
            if name not in self.snapshots:
                raise ApiError(410, "Expired", "The provided continue parameter is too old")
            version, bodies = self.snapshots[name]
            offset = int(offset_text)
        else:
            chosen = self.store.all(kind.plural, namespace)
            labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
            bodies = [body for body in chosen if selects(labels, fields, body)]
            version, offset, name = str(self.store.version), 0, f"t{len(self.snapshots)}-{self.store.version}"
        meta: Json = {"resourceVersion": version}
        if limit and offset + limit < len(bodies):
            self.snapshots[name] = (version, bodies)
            meta |= {"continue": f"{name}:{offset + limit}", "remainingItemCount": len(bodies) - offset - limit}
        page = bodies[offset : offset + limit] if limit else bodies[offset:]
        items = [{key: value for key, value in body.items() if key not in ("kind", "apiVersion")} for body in page]
        return {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": meta, "items": items}

    def create(self, kind: Kind, namespace: str, raw: bytes) -> Json:
        body = kind.check(_parsed(raw))
        body["metadata"].setdefault("namespace", namespace)
        if body["metadata"]["namespace"] != namespace:
            raise ApiError(400, "BadRequest", "the namespace of the object does not match the request")
        if not namespace:
            del body["metadata"]["namespace"]
        if body["metadata"].get("resourceVersion"):
            raise ApiError(400, "BadRequest", "resourceVersion should not be set on objects to be created")
        self._defaults(self.store, kind, body)
        return self.store.create(kind, body)

    def replace(self, kind: Kind, raw: bytes, *, subresource: str = "") -> Json:
        body = kind.check(_parsed(raw))
        meta = body["metadata"]
        former = self.store.get(kind, meta.get("namespace", ""), meta["name"])
        return self.store.replace(kind, former | {"status": body.get("status")} if subresource else body)

    def patch(self, kind: Kind, where: tuple[str, str], request: web.Request, raw: bytes) -> tuple[int, Json]:
        """Server-side apply or a merge patch; the status and the object after it."""
        form, patch, query = request.content_type, _parsed(raw), request.query
        if form == "application/apply-patch+yaml":
            return self._apply(kind, where, patch, query)
        if form not in ("application/merge-patch+json", "application/strategic-merge-patch+json"):
            raise ApiError(415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {form}")
        former = self.store.get(kind, *where)
        changed = _merge_patched(former, patch)
        kind.check(changed)
        key = (kind.plural, *where)
        owners = self.store.owners.setdefault(key, {})
        claim_changes(former, changed, owners, query.get("fieldManager", "unknown"))
        return 200, self.store.replace(kind, changed)

    def _apply(self, kind: Kind, where: tuple[str, str], patch: Json, query: Any) -> tuple[int, Json]:
        manager = query.get("fieldManager", "")
        if not manager:
            raise ApiError(422, "Invalid", "fieldManager is required for apply patch")
        kind.check(patch)
        namespace, name = where
        if (patch["metadata"].get("namespace", namespace), patch["metadata"].get("name")) != (namespace, name):
            raise ApiError(400, "BadRequest", "the name in the body does not match the name in the request")
        key = (kind.plural, namespace, name)
        former = copy.deepcopy(self.store.objects.get(key))
        if former is None and patch["metadata"].get("uid"):
            raise ApiError(409, "Conflict", f"uid mismatch: {patch['metadata']['uid']}, the object does not exist")
        owners = {manager_: set(paths) for manager_, paths in self.store.owners.get(key, {}).items()}
        result = apply(former, patch, owners, manager, force=query.get("force") == "true")
        result["metadata"]["namespace"] = namespace
        kind.check(result)
        self._defaults(self.store, kind, result)
        if former is None:
            result["metadata"].pop("resourceVersion", None)
            written, status = self.store.create(kind, result), 201
        else:
            written, status = self.store.replace(kind, result), 200
        self.store.owners[key] = owners
        return status, written

    def delete(self, kind: Kind, where: tuple[str, str], query: Any, raw: bytes) -> Json:
        options = _parsed(raw) if raw else {}
        grace = options.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
        how = Deletion(
            grace_s=int(grace) if grace is not None else None,
            propagation=options.get("propagationPolicy") or query.get("propagationPolicy", "Background"),
            uid=(options.get("preconditions") or {}).get("uid", ""),
        )
        return self.store.delete(kind, *where, how)


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        try:
            return yaml.safe_load(raw)
        except yaml.YAMLError as error:
            raise ApiError(400, "BadRequest", f"the body cannot be read: {error}") from error


def _merge_patched(tree: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(tree) if isinstance(tree, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge_patched(result.get(key), value)
    return result
