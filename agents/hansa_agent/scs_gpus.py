"""Which device the GPU part of an SCS-0100 flavor name stands for, and back. Pure.

The table is from "SCS Flavor Naming Standard: Implementation and Testing Notes" (scs-0100-w1, docs.scs.community).
Where two devices share a name, as L40 and RTX 6000 Ada do, it stands for the one in data centres.
"""

from __future__ import annotations

from collections.abc import Mapping

from hansa_agent.accelerator_kinds import MEMORY_MIB, Kind
from hansa_agent.scs_flavor import Gpu, gpu_part

_MIB_PER_GB = 1_000_000_000 // (1 << 20)

DEVICES: Mapping[str, tuple[str, str]] = {
    "GNa-72-24": ("A10", ""),
    "GNa-84-48": ("A40", ""),
    "GNa-56-24": ("A30", ""),
    "GNa-28-12": ("A30", "2g.12gb"),
    "GNa-14-6": ("A30", "1g.6gb"),
    "GNa-108h-80h": ("A100", ""),
    "GNa-54h-40h": ("A100", "3g.40gb"),
    "GNa-27h-20h": ("A100", "2g.20gb"),
    "GNa-15h-10h": ("A100", "1g.10gb"),
    "GNl-58-24": ("L4", ""),
    "GNl-142-48": ("L40", ""),
    "GNl-142h-48": ("L40G", ""),
    "GNl-142hh-48": ("L40S", ""),
    "GNg-132-80h": ("H100", ""),
    "GNg-66-40h": ("H100", "3g.40gb"),
    "GNg-33-20h": ("H100", "2g.20gb"),
    "GNg-18-10h": ("H100", "1g.10gb"),
    "GNg-132-141h": ("H200", ""),
    "GNg-66-70h": ("H200", "3g.71gb"),
    "GNb-160-192h": ("GB200", ""),
    "GNb-160-288h": ("GB300", ""),
    "GA2-104-64h": ("MI210", ""),
    "GA2-208-128h": ("MI250", ""),
    "GA2-220-128h": ("MI250X", ""),
    "GA3-304-192h": ("MI300X", ""),
    "GA3-304-288h": ("MI325X", ""),
    "GA4-256-288h": ("MI350X", ""),
    "GA4-256h-288h": ("MI355X", ""),
    "GI3-56-48h": ("Max-1100", ""),
    "GI3-128-128h": ("Max-1550", ""),
}
"""Model and MIG profile by part of the name."""

_VENDORS = {"N": "nvidia", "A": "amd", "I": "intel"}
_PARTS = {device: part for part, device in reversed(list(DEVICES.items()))}


def kind_of_gpu(gpu: Gpu) -> Kind | None:
    """The device, or the slice of one, that a flavor passes through; None for a share or one that the table lacks."""
    device = DEVICES.get(gpu_part(gpu))
    if device is None:
        return None
    model, profile = device
    return Kind(_VENDORS[gpu.vendor], model, _memory_mib(model, profile, gpu.memory_gib), profile)


def part_of(model: str, mig_profile: str = "") -> str | None:
    """The part of the name that stands for a device, such as ``GNg-132-141h`` for an H200; None if it has none."""
    return _PARTS.get((model, mig_profile))


def _memory_mib(model: str, profile: str, memory_gib: int) -> int:
    """What the device itself reports where that is known, else what its name says, in its maker's gigabytes."""
    sizes = () if profile else MEMORY_MIB.get(model, ())
    nominal = memory_gib * _MIB_PER_GB
    return min(sizes, key=lambda mib: (abs(mib - nominal), mib)) if sizes else nominal
