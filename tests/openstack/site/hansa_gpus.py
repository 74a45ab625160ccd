"""Nova's fake hypervisor with accelerators, loaded by `hansa_compute`. Runs in OpenStack's own Python.

Whole devices (PGPU) and shared ones (VGPU) are a provider below the host's; PCI devices are reported as a hypervisor
reports them, so that Nova puts them into Placement itself.
"""

import json

from nova.virt import fake

PGPUS, VGPUS, PCI_DEVICES = 4, 16, 2
TRAITS = ["HW_GPU_API_VULKAN", "CUSTOM_GPU_NVIDIA_L40S"]


class GpuDriver(fake.FakeDriverWithoutFakeNodes):
    """Keeps its node's identity in the state path (its base class), so that nova-compute can be started again."""

    vcpus, memory_mb, local_gb = 64, 512 * 1024, 4096

    def update_provider_tree(self, provider_tree, nodename, allocations=None):
        super().update_provider_tree(provider_tree, nodename, allocations=allocations)
        below = f"{nodename}_gpus"
        if not provider_tree.exists(below):
            provider_tree.new_child(name=below, parent=nodename)
        provider_tree.update_inventory(below, {"PGPU": _inventory(PGPUS), "VGPU": _inventory(VGPUS)})
        provider_tree.update_traits(below, TRAITS)

    def get_available_resource(self, nodename):
        found = super().get_available_resource(nodename)
        found["pci_passthrough_devices"] = json.dumps([_device(0x81 + index) for index in range(PCI_DEVICES)])
        return found

    def get_host_uptime(self):
        return " 00:00:00 up 1 day,  1 user,  load average: 0.00, 0.00, 0.00"


def _inventory(total):
    return {
        "total": total,
        "min_unit": 1,
        "max_unit": total,
        "step_size": 1,
        "allocation_ratio": 1.0,
        "reserved": 0,
    }


def _device(bus):
    return {
        "address": f"0000:{bus:02x}:00.0",
        "vendor_id": "10de",
        "product_id": "2330",
        "status": "available",
        "dev_type": "type-PCI",
        "parent_addr": None,
        "numa_node": 0,
        "label": "label_10de_2330",
    }
