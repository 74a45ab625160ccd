"""What an instance is made of on a cluster: names, marks, bodies, endpoints, words."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hansa_agent.artefacts import Artefact
from hansa_agent.config_kubernetes import KubernetesSection, ServiceSection
from hansa_agent.kubernetes import objects
from hansa_agent.kubernetes.endpoint import endpoint_of
from hansa_agent.kubernetes.names import is_ours, label_value, object_name, order_digest, token_of
from hansa_agent.kubernetes.trouble import trouble_of
from hansa_agent.kubernetes.wanted import Wanted
from hansa_agent.launch import ENVIRONMENT
from hypothesis import given
from hypothesis import strategies as st

from hansa.v1.common_pb2 import Capacity
from hansa.v1.instance_pb2 import DesiredInstance

ZONE = "nordavind/osl-1"
IMAGE = "registry.nordavind.example/ocr@sha256:" + "a" * 64
ORDER = DesiredInstance(
    instance="c1-0",
    claim="c1",
    workload="workloads/shop",
    limits=Capacity(cpu_millis=500, memory_mib=256),
    fencing_token=7,
    client_ca_pem=b"PEM",
    client_ids=["spiffe://nordavind/app/shop"],
)
names = st.from_regex(re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?", re.ASCII), fullmatch=True)


def wanted(**changes: Any) -> Wanted:
    return Wanted(ZONE, ORDER, Artefact("ocr", (), (), "", {"OMP": "2"}, IMAGE), **changes)


@given(names, names)
def test_names_are_dns_labels_and_tell_instances_apart(one: str, other: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,61}[a-z0-9]", object_name(ZONE, one))
    assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", label_value(one))
    assert (object_name(ZONE, one) == object_name(ZONE, other)) == (one == other)
    assert (label_value(one) == label_value(other)) == (one == other)


def test_two_zones_on_one_cluster_are_strangers() -> None:
    anchor = objects.anchor(wanted(), KubernetesSection())
    assert is_ours(anchor, ZONE) and not is_ours(anchor, "skargard/osl-1")
    assert object_name(ZONE, "c1-0") != object_name("skargard/osl-1", "c1-0")
    assert token_of(anchor) == 7


def test_token_and_workload_and_what_a_site_that_refuses_is_told_do_not_change_the_pod() -> None:
    later = DesiredInstance()
    later.CopyFrom(ORDER)
    later.fencing_token, later.workload, later.asker = 8, "workloads/other", "nordfjell/shop"
    later.data.append(1)
    assert order_digest(later) == order_digest(ORDER)
    later.limits.cpu_millis = 501
    assert order_digest(later) != order_digest(ORDER)


def test_container_gets_the_whole_contract_but_keeps_its_path() -> None:
    section = KubernetesSection(tls_secret="instance-tls")
    (container,) = objects.deployment(wanted(), section, "uid")["spec"]["template"]["spec"]["containers"]
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert set(environment) == (set(ENVIRONMENT) - {"PATH"}) | {"OMP"}
    assert environment["HANSA_LISTEN_PORT"] == "8443" and environment["HANSA_LISTEN_HOST"] == "0.0.0.0"
    mounts = [each["mountPath"] for each in container["volumeMounts"]]
    for name in ("HANSA_CLIENT_CA", "HANSA_TLS_CERT", "HANSA_TLS_KEY", "HANSA_READY_FILE", "HOME"):
        assert any(environment[name].startswith(mount) for mount in mounts), name
    assert "command" not in container


def test_pod_conforms_to_the_restricted_standard() -> None:
    pod = objects.deployment(wanted(), KubernetesSection(run_as_user=10_001), "uid")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10_001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert not pod["automountServiceAccountToken"]


def test_pod_goes_where_its_pool_is() -> None:
    found = wanted(devices=(("nvidia.com/gpu", 2),), nodes=(("nvidia.com/gpu.product", ("NVIDIA-H100-80GB-HBM3",)),))
    section = KubernetesSection(node_selector={"offered": "true"}, tolerate=["nvidia.com/gpu"])
    pod = objects.deployment(found, section, "uid")["spec"]["template"]["spec"]
    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (expression,) = required["nodeSelectorTerms"][0]["matchExpressions"]
    assert expression == {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["NVIDIA-H100-80GB-HBM3"]}
    assert pod["nodeSelector"] == {"offered": "true"}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    resources = pod["containers"][0]["resources"]
    assert resources["limits"] == resources["requests"] == {"cpu": "500m", "memory": "256Mi", "nvidia.com/gpu": "2"}


def test_nobody_may_be_called_and_nobody_may_call_unless_it_is_said() -> None:
    policy = objects.network_policy(wanted(), KubernetesSection(allow_from=[], allow_to=[]))["spec"]
    assert policy["ingress"] == policy["egress"] == []
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    policy = objects.network_policy(wanted(), KubernetesSection(allow_from=["192.0.2.0/24"]))["spec"]
    assert policy["ingress"][0]["from"] == [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
    assert policy["ingress"][0]["ports"] == [{"protocol": "TCP", "port": 8443}]


def test_pods_of_named_namespaces_may_call_as_well() -> None:
    section = KubernetesSection(allow_from=[], allow_from_namespaces=["ingress-nginx"])
    (incoming,) = objects.network_policy(wanted(), section)["spec"]["ingress"]
    assert incoming["from"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}
    ]


HOST = "{name}.edge.example"
PASSING = {"haproxy.org/ssl-passthrough": "true"}
LISTENER = {"name": "edge", "namespace": "ingress", "listener": "tls"}


@pytest.mark.parametrize(
    ("route", "service", "words"),
    [
        ({"kind": "HTTPRoute", "host": HOST}, {}, "an instance must see its client's certificate; use TLSRoute"),
        ({"kind": "Ingress", "host": HOST}, {}, "must pass TLS through"),
        ({"kind": "Ingress", "host": HOST, "annotations": {"haproxy.org/ssl-passthrough": "no"}}, {}, "pass TLS"),
        ({"kind": "Ingress", "host": HOST, "annotations": PASSING, "gateway": LISTENER}, {}, "has no gateway"),
        ({"kind": "TLSRoute", "host": HOST}, {}, "needs a gateway"),
        ({"kind": "TLSRoute", "host": "all.edge.example", "gateway": LISTENER}, {}, "host"),
        ({"kind": "Ingress", "host": HOST, "annotations": PASSING}, {"type": "LoadBalancer"}, "one way in, not two"),
        ({"kind": "Ingress", "host": HOST, "annotations": PASSING}, {"host": "a.example"}, "one way in, not two"),
    ],
)
def test_route_that_would_end_tls_or_leave_another_way_in_is_refused(route: Any, service: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        KubernetesSection.model_validate({"route": route, "service": {"type": "ClusterIP", **service}})


def body(node_port: int = 31_000, ingress: list[dict[str, str]] | None = None) -> dict[str, Any]:
    return {
        "metadata": {"name": "hansa-c1", "namespace": "hansa"},
        "spec": {"ports": [{"port": 8443, "nodePort": node_port}]},
        "status": {"loadBalancer": {"ingress": ingress or []}},
    }


@pytest.mark.parametrize(
    ("section", "service", "url"),
    [
        ({}, body(ingress=[{"ip": "192.0.2.7"}]), "https://192.0.2.7:8443"),
        ({}, body(ingress=[{"ip": "2001:db8::7"}]), "https://[2001:db8::7]:8443"),
        ({}, body(ingress=[{"hostname": "lb.nordavind.example"}]), "https://lb.nordavind.example:8443"),
        ({}, body(), ""),
        ({"type": "NodePort"}, body(), "https://192.0.2.1:31000"),
        ({"type": "NodePort", "host": "edge.nordavind.example"}, body(), "https://edge.nordavind.example:31000"),
        ({"type": "ClusterIP"}, body(), "https://hansa-c1.hansa.svc:8443"),
        ({"endpoint": "https://{instance}.edge.example:{port}"}, body(), "https://c1-0.edge.example:8443"),
        ({"endpoint": "https://{address}/x"}, body(), ""),
    ],
)
def test_endpoint_follows_from_the_type_of_the_service(section: Any, service: Any, url: str) -> None:
    pods = [{"metadata": {}, "status": {"hostIP": "192.0.2.1"}}]
    assert endpoint_of(ServiceSection(**section), service, pods, "c1-0") == url


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "status": status}


WAITING = {"name": "c", "ready": False, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no\nsuch"}}}


@pytest.mark.parametrize(
    ("pods", "words"),
    [
        ([pod(containerStatuses=[WAITING])], "ImagePullBackOff: no such"),
        ([pod(containerStatuses=[{"state": {"waiting": {"reason": "ContainerCreating"}}}])], ""),
        (
            [pod(initContainerStatuses=[{"state": {"terminated": {"reason": "Error", "exitCode": 2}}}])],
            "Error with exit code 2",
        ),
        ([pod(containerStatuses=[{"ready": True, "lastState": {"terminated": {"exitCode": 1}}}])], ""),
        ([pod(reason="Evicted", message="low on memory")], "Evicted: low on memory"),
        ([{"metadata": {"deletionTimestamp": "x"}, "status": {"containerStatuses": [WAITING]}}], ""),
        ([], ""),
    ],
)
def test_trouble_is_told_in_the_platforms_words(pods: list[dict[str, Any]], words: str) -> None:
    assert trouble_of(None, pods, []) == words


def test_long_and_unprintable_words_are_made_fit() -> None:
    waiting = {"state": {"waiting": {"reason": "ErrImagePull", "message": "a\x1b[31m" + "b" * 500}}}
    told = trouble_of(None, [pod(containerStatuses=[waiting])], [])
    assert told.isprintable() and len(told) < 200
