"""Server-side apply: fields belong to managers, and what another one owns is a conflict."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from kubernetes_api.kube_kinds import ApiError, Json

Path = tuple[str, ...]
_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "ports": "containerPort|port",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
    "ownerReferences": "uid",
}
_IDENTITY = {("apiVersion",), ("kind",)} | {
    ("metadata", key) for key in ("name", "namespace", "uid", "resourceVersion")
}


def apply(former: Json | None, body: Json, owners: dict[str, set[Path]], manager: str, *, force: bool) -> Json:
    """The object after ``manager`` applied ``body``; ``owners`` is brought up to date. Raises 409 for conflicts."""
    fresh = {path: value for path, value in leaves(body) if path not in _IDENTITY}
    current = dict(leaves(former or {}))
    conflicts = [
        (other, path)
        for other, paths in sorted(owners.items())
        for path in sorted(paths)
        if other != manager and path in fresh and current.get(path) != fresh[path]
    ]
    if conflicts and not force:
        causes = [
            {"reason": "FieldManagerConflict", "message": f'conflict with "{other}"', "field": "." + ".".join(path)}
            for other, path in conflicts
        ]
        told = ", ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
        plural = "conflict" if len(causes) == 1 else "conflicts"
        raise ApiError(409, "Conflict", f"Apply failed with {len(causes)} {plural}: {told}", causes=causes)
    for other, path in conflicts:
        owners[other].discard(path)
    left = owners.get(manager, set()) - set(fresh)
    kept: set[Path] = set().union(*(paths for other, paths in owners.items() if other != manager))
    result = copy.deepcopy(former or {})
    for path in left - kept:
        _remove(result, path)
    owners[manager] = set(fresh)
    return _merged(result, body)


def claim_changes(former: Json, changed: Json, owners: dict[str, set[Path]], manager: str) -> None:
    """An update by ``manager`` takes what it changed from whoever owned it."""
    before, after = dict(leaves(former)), dict(leaves(changed))
    taken = {path for path, value in after.items() if before.get(path) != value and path[0] != "status"}
    for paths in owners.values():
        paths -= taken
    owners.setdefault(manager, set()).update(taken)


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every field with its value; lists with a merge key are entered, others are one value."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, (*path, key))
    elif isinstance(value, list) and _key_of(path, value):
        for each in value:
            yield from leaves(each, (*path, f"k:{each[_key_of(path, value)]}"))
    else:
        yield path, value


def _key_of(path: Path, values: list[Any]) -> str:
    for key in _KEYS.get(path[-1] if path else "", "").split("|"):
        if key and values and all(isinstance(each, dict) and key in each for each in values):
            return key
    return ""


def _merged(old: Any, new: Any, path: Path = ()) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: _merged(old.get(key), value, (*path, key)) for key, value in new.items()}
    if isinstance(old, list) and isinstance(new, list) and (key := _key_of(path, new)):
        by_key = {each.get(key): each for each in old}
        fresh = {each[key]: _merged(by_key.get(each[key]), each) for each in new}
        return [fresh.pop(each.get(key), each) for each in old] + list(fresh.values())
    return copy.deepcopy(new)


def _remove(tree: Any, path: Path) -> None:
    head, rest = path[0], path[1:]
    if isinstance(tree, list):
        wanted = head.removeprefix("k:")
        tree_item = next((each for each in tree if wanted in map(str, each.values())), None)
        if tree_item is not None:
            _remove(tree_item, rest)
            if not rest or set(tree_item) <= {"name", "mountPath", "uid"}:
                tree.remove(tree_item)
    elif isinstance(tree, dict) and head in tree:
        if not rest:
            del tree[head]
        else:
            _remove(tree[head], rest)
            if tree[head] in ({}, []):
                del tree[head]
