"""Role-based access control: what a bearer token may do, by the rules of its roles."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp import web
from kubernetes import client as official
from kubernetes_api.kube_kinds import ApiError, Json, Kind

_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass
class Access:
    """``rules`` by scope: a namespace, or empty for the whole cluster. Everything is allowed while it is None."""

    rules: dict[str, list[Json]] | None = None
    token: str = "agent-token"
    used: set[tuple[str, str, str]] = field(default_factory=set)

    def authenticate(self, request: web.Request) -> None:
        """Raises 401."""
        if request.headers.get("Authorization", "").lower() != f"bearer {self.token}":
            raise ApiError(401, "Unauthorized", "Unauthorized")

    def check(self, request: web.Request, kind: Kind, namespace: str, rest: list[str]) -> None:
        """Raises 401 or 403."""
        self.authenticate(request)
        verb = _VERBS[request.method]
        if verb == "get" and (not rest or request.query.get("watch")):
            verb = "watch" if request.query.get("watch") else "list"
        plural = "/".join([kind.plural, *rest[1:]])
        self.used.add((kind.group, plural, verb))
        if self.allows(kind.group, plural, verb, namespace):
            return
        where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
        message = (
            f'{plural} is forbidden: User "system:serviceaccount:hansa:hansa-agent" cannot {verb} resource "{plural}" '
            f'in API group "{kind.group}" {where}'
        )
        raise ApiError(403, "Forbidden", message)

    def allows(self, group: str, plural: str, verb: str, namespace: str) -> bool:
        """Whether a rule of the namespace or of the cluster says so."""
        return self.rules is None or any(
            group in rule["apiGroups"] and plural in rule["resources"] and verb in rule["verbs"]
            for scope in {"", namespace}
            for rule in self.rules.get(scope, [])
        )

    def review(self, body: Json) -> Json:
        """A SelfSubjectAccessReview, answered."""
        official.V1SelfSubjectAccessReview.model_validate(body)
        asked = body["spec"]["resourceAttributes"]
        plural = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
        allowed = self.allows(asked.get("group", ""), plural, asked["verb"], asked.get("namespace", ""))
        return body | {"status": {"allowed": allowed}}
