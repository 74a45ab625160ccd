"""Role-based access control: what a bearer token may do, by the rules of its roles."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp import web
from kubernetes_api.kube_kinds import ApiError, Json, Kind

_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass
class Access:
    """``rules`` by scope: a namespace, or empty for the whole cluster. Everything is allowed while it is None."""

    rules: dict[str, list[Json]] | None = None
    token: str = "agent-token"
    used: set[tuple[str, str, str]] = field(default_factory=set)

    def check(self, request: web.Request, kind: Kind, namespace: str, rest: list[str]) -> None:
        """Raises 401 or 403."""
        if request.headers.get("Authorization", "").lower() != f"bearer {self.token}":
            raise ApiError(401, "Unauthorized", "Unauthorized")
        verb = _VERBS[request.method]
        if verb == "get" and (not rest or request.query.get("watch")):
            verb = "watch" if request.query.get("watch") else "list"
        plural = "/".join([kind.plural, *rest[1:]])
        self.used.add((kind.group, plural, verb))
        if self.rules is None:
            return
        for scope in {"", namespace}:
            for rule in self.rules.get(scope, []):
                if kind.group in rule["apiGroups"] and plural in rule["resources"] and verb in rule["verbs"]:
                    return
        where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
        message = (
            f'{plural} is forbidden: User "system:serviceaccount:hansa:hansa-agent" cannot {verb} resource "{plural}" '
            f'in API group "{kind.group}" {where}'
        )
        raise ApiError(403, "Forbidden", message)
