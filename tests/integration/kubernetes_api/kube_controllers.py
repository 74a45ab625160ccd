"""The controllers beside the fake API server: deployments, scheduler, kubelet, garbage collection."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass, field

from kubernetes_api.kube_kinds import BY_PLURAL, Json, Kind
from kubernetes_api.kube_kserve import KServe
from kubernetes_api.kube_routing import Routing
from kubernetes_api.kube_scheduling import choose
from kubernetes_api.kube_store import FOREGROUND, Deletion, Store

NODE_PORT_FIRST = 30_000


def defaults(store: Store, kind: Kind, body: Json) -> None:
    """What the real server fills in."""
    if kind.plural == "services":
        _service_defaults(store, body)
    elif kind.plural == "pods":
        body.setdefault("status", {}).setdefault("phase", "Pending")


def _service_defaults(store: Store, body: Json) -> None:
    spec = body["spec"]
    former = store.objects.get(("services", body["metadata"].get("namespace", ""), body["metadata"]["name"]))
    spec.setdefault("clusterIP", f"10.96.0.{len(store.all('services')) + 1}")
    if spec.get("type") in ("NodePort", "LoadBalancer"):
        taken = {port.get("nodePort") for each in store.all("services") for port in each["spec"]["ports"]}
        for index, port in enumerate(spec["ports"]):
            if former and index < len(former["spec"]["ports"]):
                port.setdefault("nodePort", former["spec"]["ports"][index].get("nodePort"))
            if not port.get("nodePort"):
                port["nodePort"] = next(number for number in range(NODE_PORT_FIRST, 32_768) if number not in taken)


@dataclass
class Controllers:
    """Carries everything to its end in one go, after each change, unless it is told to hold something back."""

    store: Store
    bad_images: set[str] = field(default_factory=set)
    ready: bool = True
    hanging: bool = False
    balancer_address: str = "192.0.2.10"
    refuse_pods: str = ""
    paused: bool = False
    routing: Routing = field(init=False)
    kserve: KServe = field(init=False)

    def __post_init__(self) -> None:
        self.routing, self.kserve = Routing(self.store), KServe(self.store)

    def settle(self) -> None:
        """Until nothing changes any more."""
        if self.paused:
            return
        for _ in range(50):
            before = self.store.version
            self._collect()
            self.kserve.settle(self._create, self._replace)
            for deployment in self.store.all("deployments"):
                self._deploy(deployment)
            for pod in self.store.all("pods"):
                self._schedule(pod)
            for pod in self.store.all("pods"):
                self._run(pod)
            self._balance()
            self.routing.settle(self._replace)
            if self.store.version == before:
                return
        raise AssertionError("the fake's controllers do not settle")

    def out_of_memory(self, namespace: str, name: str) -> None:
        """The container was killed and waits to be started again."""
        pod = self.store.get(BY_PLURAL["pods"], namespace, name)
        ended = {"exitCode": 137, "reason": "OOMKilled"}
        status = pod["status"]["containerStatuses"][0]
        status |= {"ready": False, "restartCount": status["restartCount"] + 1, "lastState": {"terminated": ended}}
        status["state"] = {
            "waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}
        }
        self._set_ready(pod, ready=False, why="ContainersNotReady")
        self.settle()

    def _deploy(self, deployment: Json) -> None:
        meta, spec = deployment["metadata"], deployment["spec"]
        if meta.get("deletionTimestamp"):
            return
        digest = hashlib.sha256(json.dumps(spec["template"], sort_keys=True).encode()).hexdigest()[:10]
        mine = [each for each in self.store.all("replicasets", meta["namespace"]) if _owned(each, meta["uid"])]
        wanted = f"{meta['name']}-{digest}"
        for old in mine:
            if old["metadata"]["name"] != wanted:
                self._drop("replicasets", old, "Foreground")
        if not [each for each in mine if each["metadata"]["name"] != wanted]:
            self._replicate(deployment, wanted)
        self._report(deployment, wanted)

    def _replicate(self, deployment: Json, name: str) -> None:
        namespace, template = deployment["metadata"]["namespace"], deployment["spec"]["template"]
        key = ("replicasets", namespace, name)
        if key not in self.store.objects:
            owner = _reference("apps/v1", "Deployment", deployment)
            meta = {
                "name": name,
                "namespace": namespace,
                "labels": template["metadata"]["labels"],
                "ownerReferences": [owner],
            }
            spec = {"replicas": 1, "selector": deployment["spec"]["selector"], "template": template}
            self._create("replicasets", {"metadata": meta, "spec": spec})
        replica_set = self.store.objects[key]
        pods = [each for each in self.store.all("pods", namespace) if _owned(each, replica_set["metadata"]["uid"])]
        living = [each for each in pods if not each["metadata"].get("deletionTimestamp")]
        wanted = deployment["spec"].get("replicas", 1)
        if len(living) < wanted and not pods and not self.refuse_pods:
            owner = _reference("apps/v1", "ReplicaSet", replica_set)
            meta = copy.deepcopy(template["metadata"])
            meta |= {"name": f"{name}-{self.store.version}", "namespace": namespace, "ownerReferences": [owner]}
            self._create("pods", {"metadata": meta, "spec": template["spec"], "status": {"phase": "Pending"}})
        for pod in living[wanted:]:
            self._drop("pods", pod, "Background")

    def _report(self, deployment: Json, replica_set: str) -> None:
        meta = deployment["metadata"]
        own = self.store.objects.get(("replicasets", meta["namespace"], replica_set))
        uid = own["metadata"]["uid"] if own else "-"
        pods = [each for each in self.store.all("pods", meta["namespace"]) if _owned(each, uid)]
        ready = [each for each in pods if _is_ready(each)]
        failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": self.refuse_pods}
        status = {
            "observedGeneration": meta["generation"],
            "replicas": len(pods),
            "updatedReplicas": len(pods),
            "readyReplicas": len(ready),
            "conditions": [failure] if self.refuse_pods and not pods else [],
        }
        if deployment.get("status") != status:
            self._replace("deployments", deployment | {"status": status})

    def _schedule(self, pod: Json) -> None:
        if pod["spec"].get("nodeName") or pod["metadata"].get("deletionTimestamp"):
            return
        node, message = choose(pod, self.store.all("nodes"), self.store.all("pods"))
        changed = copy.deepcopy(pod)
        if node:
            changed["spec"]["nodeName"] = node
            changed["status"]["conditions"] = [{"type": "PodScheduled", "status": "True"}]
        else:
            why = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
            changed["status"]["conditions"] = [why]
        if changed != pod:
            self._replace("pods", changed)

    def _run(self, pod: Json) -> None:
        meta, status = pod["metadata"], pod["status"]
        if meta.get("deletionTimestamp"):
            if not self.hanging:
                self.store.remove(("pods", meta["namespace"], meta["name"]))
            return
        if not pod["spec"].get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
            return
        if (status.get("containerStatuses") or [{}])[0].get("restartCount"):
            return
        self._start(copy.deepcopy(pod))

    def _start(self, pod: Json) -> None:
        image = pod["spec"]["containers"][0].get("image", "")
        missing = self._missing_volume(pod)
        waiting = {"reason": "ContainerCreating"} if missing else None
        if image in self.bad_images:
            waiting = {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}"'}
        if missing:
            self._event(pod, "FailedMount", f"MountVolume.SetUp failed for volume: {missing} not found")
        running = self.ready and waiting is None
        state = {"waiting": waiting} if waiting else {"running": {}}
        pod["status"] |= {"phase": "Pending" if waiting else "Running", "podIP": "10.1.0.9", "hostIP": "192.0.2.1"}
        pod["status"]["containerStatuses"] = [
            {
                "name": each["name"],
                "image": each.get("image", ""),
                "imageID": "",
                "restartCount": 0,
                "ready": running,
                "state": state,
            }
            for each in pod["spec"]["containers"]
        ]
        self._set_ready(pod, ready=running, why="" if running else "ContainersNotReady")

    def _set_ready(self, pod: Json, *, ready: bool, why: str) -> None:
        others = [each for each in pod["status"].get("conditions") or [] if each["type"] != "Ready"]
        condition = {"type": "Ready", "status": str(ready)} | ({"reason": why} if why else {})
        pod["status"]["conditions"] = [*others, condition]
        self._replace("pods", pod)

    def _missing_volume(self, pod: Json) -> str:
        for volume in pod["spec"].get("volumes") or []:
            for plural, field_name, key in (("configmaps", "configMap", "name"), ("secrets", "secret", "secretName")):
                if field_name in volume:
                    wanted = (plural, pod["metadata"]["namespace"], volume[field_name][key])
                    if wanted not in self.store.objects:
                        return f'{plural.removesuffix("s")} "{wanted[2]}"'
        return ""

    def _event(self, pod: Json, reason: str, message: str) -> None:
        meta = pod["metadata"]
        name = f"{meta['name']}.{reason.lower()}"
        if ("events", meta["namespace"], name) in self.store.objects:
            return
        involved = {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}
        body = {"involvedObject": involved, "reason": reason, "message": message, "type": "Warning"}
        self._create("events", body | {"metadata": {"name": name, "namespace": meta["namespace"]}})

    def _balance(self) -> None:
        for service in self.store.all("services"):
            if service["spec"].get("type") == "LoadBalancer" and self.balancer_address:
                status = {"loadBalancer": {"ingress": [{"ip": self.balancer_address}]}}
                if service.get("status") != status:
                    self._replace("services", service | {"status": status})

    def _collect(self) -> None:
        """Dependents follow their owners; an owner deleted in the foreground goes after those that block it."""
        uids = {body["metadata"]["uid"] for body in self.store.objects.values()}
        ending = {
            body["metadata"]["uid"]
            for body in self.store.objects.values()
            if FOREGROUND in body["metadata"].get("finalizers", [])
        }
        for key, body in list(self.store.objects.items()):
            references = body["metadata"].get("ownerReferences", [])
            if not references or body["metadata"].get("deletionTimestamp"):
                continue
            if not any(each["uid"] in uids for each in references):
                self._drop(key[0], body, "Background")
            elif all(each["uid"] in ending for each in references if each["uid"] in uids):
                self._drop(key[0], body, "Background" if key[0] == "pods" else "Foreground")
        self._release(ending)

    def _release(self, ending: set[str]) -> None:
        blocked = {
            each["uid"]
            for body in self.store.objects.values()
            for each in body["metadata"].get("ownerReferences", [])
            if each.get("blockOwnerDeletion")
        }
        for key, body in list(self.store.objects.items()):
            if body["metadata"]["uid"] in ending - blocked:
                changed = copy.deepcopy(body)
                changed["metadata"]["finalizers"].remove(FOREGROUND)
                self._replace(key[0], changed)

    def _drop(self, plural: str, body: Json, propagation: str) -> None:
        meta = body["metadata"]
        if not meta.get("deletionTimestamp"):
            how = Deletion(propagation=propagation)
            self.store.delete(BY_PLURAL[plural], meta.get("namespace", ""), meta["name"], how)

    def _create(self, plural: str, body: Json) -> None:
        kind = BY_PLURAL[plural]
        whole = copy.deepcopy({"apiVersion": kind.api_version, "kind": kind.kind} | body)
        self.store.create(kind, kind.check(whole))

    def _replace(self, plural: str, body: Json) -> None:
        kind = BY_PLURAL[plural]
        self.store.replace(kind, copy.deepcopy(body))


def _reference(api_version: str, kind: str, owner: Json) -> Json:
    meta = owner["metadata"]
    block = {"controller": True, "blockOwnerDeletion": True}
    return {"apiVersion": api_version, "kind": kind, "name": meta["name"], "uid": meta["uid"]} | block


def _owned(body: Json, uid: str) -> bool:
    return any(each["uid"] == uid for each in body["metadata"].get("ownerReferences", []))


def _is_ready(pod: Json) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions") or [])
