"""The controllers of Ingresses and of the Gateway API, as far as they tell that they have taken something on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

from kubernetes_api.kube_kinds import Json
from kubernetes_api.kube_store import Store

Replace = Callable[[str, Json], None]


@dataclass
class Routing:
    """Does its work while ``on``."""

    store: Store
    on: bool = True
    refusal: str = ""

    def settle(self, replace: Replace) -> None:
        """One step of both controllers."""
        for ingress in self.store.all("ingresses"):
            given = [{"ip": "192.0.2.20"}] if self.on else []
            self._tell("ingresses", ingress, {"loadBalancer": {"ingress": given}}, replace)
        for route in self.store.all("tlsroutes"):
            parents = [self._answer(route, parent) for parent in route["spec"]["parentRefs"]] if self.on else []
            self._tell("tlsroutes", route, {"parents": parents}, replace)

    def _answer(self, route: Json, parent: Json) -> Json:
        generation = route["metadata"]["generation"]
        accepted = {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "taken on"}
        if self.refusal:
            accepted |= {"status": "False", "reason": "NoMatchingListenerHostname", "message": self.refusal}
        resolved = {"type": "ResolvedRefs", "status": "True", "reason": "ResolvedRefs", "message": ""}
        conditions = [each | {"observedGeneration": generation} for each in (accepted, resolved)]
        return {"parentRef": parent, "controllerName": "example.net/fake", "conditions": conditions}

    def _tell(self, plural: str, body: Json, status: Json, replace: Replace) -> None:
        if body.get("status") != status and not body["metadata"].get("deletionTimestamp"):
            replace(plural, copy.deepcopy(body) | {"status": status})


def gateway(mode: str = "Passthrough", protocol: str = "TLS", *, programmed: bool = True) -> Json:
    """A Gateway of somebody else with one listener, "passing"."""
    listener = {"name": "passing", "port": 443, "protocol": protocol, "tls": {"mode": mode}}
    condition = {"type": "Programmed", "status": str(programmed), "reason": "Pending", "message": "no address"}
    return {
        "metadata": {"name": "edge", "namespace": "ingress"},
        "spec": {"gatewayClassName": "fake", "listeners": [listener]},
        "status": {"conditions": [condition | {"observedGeneration": 1}], "addresses": [{"value": "192.0.2.30"}]},
    }
