"""KServe's controller, without Knative: a Deployment for each InferenceService, and conditions from how it does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

from kubernetes_api.kube_kinds import BY_PLURAL, Json
from kubernetes_api.kube_store import Store

_OF_PREDICTOR = ("labels", "annotations", "minReplicas", "maxReplicas", "deploymentStrategy")
Write = Callable[[str, Json], None]


@dataclass
class KServe:
    """Does its work while ``on``; ``trouble`` is what it says of every predictor."""

    store: Store
    on: bool = True
    trouble: str = ""

    def settle(self, create: Write, replace: Write) -> None:
        """One step."""
        for service in self.store.all("inferenceservices"):
            if self.on and not service["metadata"].get("deletionTimestamp"):
                self._step(service, create, replace)

    def _step(self, service: Json, create: Write, replace: Write) -> None:
        meta, namespace = service["metadata"], service["metadata"]["namespace"]
        wanted = self._deployment(service)
        found = self.store.objects.get(("deployments", namespace, wanted["metadata"]["name"]))
        if found is None:
            create("deployments", wanted)
        elif found["spec"] != wanted["spec"]:
            replace("deployments", copy.deepcopy(found) | {"spec": wanted["spec"]})
        ready = bool(found and (found.get("status") or {}).get("readyReplicas")) and not self.trouble
        why = {} if ready else {"reason": "PredictorNotReady", "message": self.trouble or "waits for its pods"}
        conditions = [{"type": kind, "status": str(ready), **why} for kind in ("PredictorReady", "Ready")]
        status = {"observedGeneration": meta["generation"], "conditions": conditions}
        if service.get("status") != status:
            replace("inferenceservices", copy.deepcopy(service) | {"status": status})

    def _deployment(self, service: Json) -> Json:
        meta, predictor = service["metadata"], service["spec"]["predictor"]
        name = f"{meta['name']}-predictor"
        labels = {**meta["labels"], **predictor["labels"], "app": f"isvc.{name}"}
        annotations = {**meta["annotations"], **predictor["annotations"]}
        owner = {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "name": meta["name"],
            "uid": meta["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        pod = {key: value for key, value in predictor.items() if key not in _OF_PREDICTOR}
        spec = {
            "replicas": predictor["minReplicas"],
            "strategy": predictor["deploymentStrategy"],
            "selector": {"matchLabels": {"app": f"isvc.{name}"}},
            "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod},
        }
        own = {"name": name, "namespace": meta["namespace"], "labels": labels, "ownerReferences": [owner]}
        kind = BY_PLURAL["deployments"]
        return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": own, "spec": spec}
