"""Quantities, requests of pods, and which accelerators a node's labels tell of."""

from __future__ import annotations

import pytest
from hansa_agent.kubernetes.accelerators import SHARED, UNLABELLED, Kind, kind_of, labelled
from hansa_agent.kubernetes.pods import requested
from hansa_agent.kubernetes.quantity import rounded_down, rounded_up


@pytest.mark.parametrize(
    ("quantity", "down", "up"),
    [
        ("1", 1_000, 1_000),
        ("500m", 500, 500),
        ("1.5", 1_500, 1_500),
        ("100u", 0, 1),
        ("3999999n", 3, 4),
        ("1e3", 1_000_000, 1_000_000),
        ("1E", 10**21, 10**21),
        ("2Ki", 2_048_000, 2_048_000),
        (4, 4_000, 4_000),
    ],
)
def test_quantities_are_exact_and_rounded_the_safe_way(quantity: object, down: int, up: int) -> None:
    assert (rounded_down(quantity, 1_000), rounded_up(quantity, 1_000)) == (down, up)


@pytest.mark.parametrize("quantity", ["", "-1", "1Zi", "1e9999", "m", None, "1 2", "NaN"])
def test_what_is_no_amount_is_nothing(quantity: object) -> None:
    assert rounded_down(quantity) == rounded_up(quantity) == 0


def container(cpu: str, **more: object) -> dict[str, object]:
    return {"resources": {"requests": {"cpu": cpu}}, **more}


@pytest.mark.parametrize(
    ("spec", "cpu_millis"),
    [
        ({"containers": [container("1"), container("250m")]}, 1_250),
        ({"containers": [container("1")], "initContainers": [container("3"), container("2")]}, 3_000),
        ({"containers": [container("1")], "initContainers": [container("2", restartPolicy="Always")]}, 3_000),
        (
            {
                "containers": [container("1")],
                "initContainers": [container("2", restartPolicy="Always"), container("4")],
            },
            6_000,
        ),
        (
            {
                "containers": [container("1")],
                "initContainers": [container("4"), container("2", restartPolicy="Always")],
            },
            4_000,
        ),
        ({"containers": [container("1")], "overhead": {"cpu": "100m"}}, 1_100),
        ({"containers": [container("1")], "resources": {"requests": {"cpu": "5"}}}, 5_000),
        ({"containers": [{"resources": {"limits": {"cpu": "2"}}}]}, 2_000),
        ({"containers": [{"resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}}]}, 1_000),
        ({"containers": [{}]}, 0),
    ],
)
def test_pod_requests_what_the_scheduler_reserves(spec: dict[str, object], cpu_millis: int) -> None:
    assert requested(spec).get("cpu", 0) == cpu_millis


def test_devices_are_requested_by_their_limits() -> None:
    devices = {"nvidia.com/gpu": "2", "nvidia.com/mig-1g.10gb": 1, "example.com/dongle": "9"}
    assert requested({"containers": [{"resources": {"limits": devices}}]}) == {
        "nvidia.com/gpu": 2,
        "nvidia.com/mig-1g.10gb": 1,
    }


def nvidia(product: str, memory: str = "81559", **more: str) -> dict[str, str]:
    labels = {"product": product, "memory": memory, **{key.replace("_", "-"): value for key, value in more.items()}}
    return {f"nvidia.com/gpu.{key}": value for key, value in labels.items()}


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (nvidia("NVIDIA-H100-80GB-HBM3"), Kind("nvidia", "H100", 81_559)),
        (nvidia("NVIDIA-A100-SXM4-40GB"), Kind("nvidia", "A100", 81_559)),
        (nvidia("Tesla-T4", "15360"), Kind("nvidia", "T4", 15_360)),
        (nvidia("NVIDIA-GeForce-RTX-4090"), Kind("nvidia", "RTX-4090", 81_559)),
        (nvidia("NVIDIA-H100-80GB-HBM3", replicas="1", sharing_strategy="none"), Kind("nvidia", "H100", 81_559)),
        (nvidia("NVIDIA-H200-MIG-1g.18gb", "16384"), Kind("nvidia", "H200", 16_384, "1g.18gb")),
        (nvidia("NVIDIA-L4-SHARED"), SHARED),
        (nvidia("NVIDIA-L4", replicas="4"), SHARED),
        (nvidia("NVIDIA-L4", sharing_strategy="time-slicing"), SHARED),
        (nvidia("NVIDIA-L4", sharing_strategy="mps"), SHARED),
        (nvidia("NVIDIA-L4", "lots"), UNLABELLED),
        (nvidia(""), UNLABELLED),
        ({}, UNLABELLED),
    ],
)
def test_labels_tell_what_a_device_is(labels: dict[str, str], kind: object) -> None:
    assert kind_of("nvidia.com/gpu", labels) == kind


def test_resources_that_are_made_of_shared_devices_are_known_by_their_names() -> None:
    labels = nvidia("NVIDIA-L4")
    assert kind_of("nvidia.com/gpu.shared", labels) is SHARED
    assert kind_of("nvidia.com/mig-1g.10gb.shared", labels) is SHARED


def test_devices_of_other_vendors_are_known_by_their_labels_or_left_out() -> None:
    labels = {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM", "amd.com/gpu.vram": "192G"}
    assert kind_of("amd.com/gpu", labels) == Kind("amd", "MI300X", 196_608)
    assert kind_of("gpu.intel.com/i915", labels) is UNLABELLED


def test_node_with_whole_devices_and_slices_speaks_of_both() -> None:
    profile = "nvidia.com/mig-1g.10gb"
    labels = nvidia("NVIDIA-H100-80GB-HBM3") | {f"{profile}.product": "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb"}
    labels |= {f"{profile}.memory": "9856"}
    assert dict(labelled(labels)) == {
        "nvidia.com/gpu": Kind("nvidia", "H100", 81_559),
        profile: Kind("nvidia", "H100", 9_856, "1g.10gb"),
    }
