"""Orders, moments and chance for the agent's unit tests."""

from __future__ import annotations

from typing import Any

from hansa_agent.ports import Instant

from hansa.delta import etag_of
from hansa.v1.agent_service_pb2 import Order
from hansa.v1.common_pb2 import ArtefactRef, Capacity
from hansa.v1.instance_pb2 import DesiredInstance

DIGEST = "sha256:" + "a" * 64
CA_PEM = b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"


class Middle:
    """Chance that always takes the middle."""

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2

    def integer(self, low: int, high: int) -> int:
        return (low + high) // 2


def at(monotonic_ms: int) -> Instant:
    return Instant(monotonic_ms, 1_800_000_000_000 + monotonic_ms)


def desired(instance: str = "c1-0", **changes: Any) -> DesiredInstance:
    content: dict[str, Any] = {
        "instance": instance,
        "claim": instance.rpartition("-")[0],
        "workload": "workloads/shop",
        "artefact": ArtefactRef(name="echo", digest=DIGEST),
        "limits": Capacity(cpu_millis=500, memory_mib=256),
        "fencing_token": 7,
        "client_ca_pem": CA_PEM,
        "client_ids": ["spiffe://nordfjell/app/shop"],
    }
    return DesiredInstance(**(content | changes))


def order(instance: str = "c1-0", **changes: Any) -> Order:
    body = desired(instance, **changes)
    return Order(name=f"instances/{instance}", etag=etag_of(body), instance=body)
