"""What an own pod holds beyond what was ordered is nobody's room: the operator subtracts the order alone."""

from __future__ import annotations

from typing import Any

from hansa_agent.kubernetes.pods import pod_row


def body(**spec: Any) -> dict[str, Any]:
    ordered = {"name": "instance", "resources": {"requests": {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "1"}}}
    return {"spec": {"nodeName": "n", "containers": [ordered, *spec.pop("sidecars", [])], **spec}}


def test_overhead_and_sidecars_are_others() -> None:
    sidecar = {"name": "mesh", "resources": {"requests": {"cpu": "100m"}}}
    row = pod_row(body(sidecars=[sidecar], overhead={"cpu": "250m", "memory": "160Mi"}), own=True)
    assert row is not None
    assert dict(row.amounts) == {"cpu": 2_000, "memory": 1 << 30, "nvidia.com/gpu": 1}
    assert dict(row.beyond) == {"cpu": 350, "memory": 160 << 20, "nvidia.com/gpu": 0}


def test_a_strangers_pod_is_whole() -> None:
    row = pod_row(body(overhead={"cpu": "250m"}), own=False)
    assert row is not None and dict(row.amounts)["cpu"] == 2_250 and row.beyond == ()
