"""What a fresh cloud needs before a server can be made in it: hosts that have reported, an image, flavors."""

from __future__ import annotations

from typing import Any

from openstack_cloud import Cloud

FLAVORS: dict[str, tuple[int, int, dict[str, str]]] = {
    "SCS-1V-0.5": (1, 512, {}),
    "SCS-2V-4": (2, 4_096, {}),
    "g1.l40s": (1, 512, {"resources:PGPU": "1", "trait:CUSTOM_GPU_NVIDIA_L40S": "required"}),
    "g1.a100": (1, 512, {"resources:CUSTOM_GPU_A100_40G": "1", "trait:CUSTOM_GPU_A100": "required"}),
    "g1.h100": (1, 512, {"pci_passthrough:alias": "h100:1"}),
}


def furnish(cloud: Cloud) -> None:
    """Waits for the hosts and makes image and flavors."""
    cloud.until(lambda: _hosts_up(cloud) == set(cloud.hosts), within_s=90)
    cloud.until(lambda: _inventories(cloud) >= {"PGPU", "CUSTOM_PCI_GPU_H100", "CUSTOM_GPU_A100_40G"}, within_s=90)
    image = {"name": "tiny", "disk_format": "raw", "container_format": "bare", "visibility": "public"}
    made = cloud.ask("POST", "image", "/v2/images", image)
    cloud.upload(f"/v2/images/{made['id']}/file", b"\0" * 1_024)
    for name, (cpus, memory_mib, specs) in FLAVORS.items():
        flavor: dict[str, Any] = {"name": name, "vcpus": cpus, "ram": memory_mib, "disk": 1}
        uuid = cloud.ask("POST", "compute", "/flavors", {"flavor": flavor})["flavor"]["id"]
        if specs:
            cloud.ask("POST", "compute", f"/flavors/{uuid}/os-extra_specs", {"extra_specs": specs})


def _hosts_up(cloud: Cloud) -> set[str]:
    services = cloud.ask("GET", "compute", "/os-services?binary=nova-compute")["services"]
    hypervisors = len(cloud.ask("GET", "compute", "/os-hypervisors")["hypervisors"])
    return {one["host"] for one in services if one["state"] == "up"} if hypervisors >= len(cloud.hosts) else set()


def _inventories(cloud: Cloud) -> set[str]:
    found: set[str] = set()
    for one in cloud.ask("GET", "placement", "/resource_providers")["resource_providers"]:
        found |= set(cloud.ask("GET", "placement", f"/resource_providers/{one['uuid']}/inventories")["inventories"])
    return found
