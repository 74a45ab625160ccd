"""What kind of accelerator a platform's words stand for: names in resource classes and traits, PCI numbers. Pure.

Memory is what NVIDIA's library reports for a whole device (``nvidia-smi --query-gpu=memory.total``), and the least of
it where a model is sold with several sizes and the words do not say which: capacity is never rounded up.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

MEMORY_MIB: Mapping[str, tuple[int, ...]] = {
    "T4": (15_360,),
    "V100": (16_384, 32_768),
    "A10": (23_028,),
    "A16": (15_356,),
    "A30": (24_576,),
    "A40": (46_068,),
    "A100": (40_960, 81_920),
    "L4": (23_034,),
    "L40": (46_068,),
    "L40S": (46_068,),
    "H100": (81_559, 95_830),
    "H200": (143_771,),
    "B200": (183_359,),
    "GB200": (189_471,),
}
"""Memory of a whole device by model, MiB, the smallest first."""

PCI_DEVICES: Mapping[str, str] = {
    "10DE_1EB8": "T4",
    "10DE_1DB4": "V100",
    "10DE_1DB6": "V100_32GB",
    "10DE_2236": "A10",
    "10DE_20B7": "A30",
    "10DE_2235": "A40",
    "10DE_20B0": "A100_40GB",
    "10DE_20F1": "A100_40GB",
    "10DE_20B2": "A100_80GB",
    "10DE_20B5": "A100_80GB",
    "10DE_27B8": "L4",
    "10DE_26B5": "L40",
    "10DE_26B9": "L40S",
    "10DE_2330": "H100",
    "10DE_2331": "H100",
    "10DE_2321": "H100_94GB",
    "10DE_2335": "H200",
    "10DE_233B": "H200",
    "10DE_2901": "B200",
}
"""Vendor and product number (pci-ids.ucw.cz) as Nova spells them in CUSTOM_PCI_<vendor>_<product>."""

_WORDS = re.compile(
    r"CUSTOM_(?:PCI_)?(?:GPU_)?(?:NVIDIA_)?(?P<model>[A-Z]{1,2}\d{1,3}[A-Z]?)(?:_(?P<size>\d{1,3})GB?)?"
    r"(?:_MIG_(?P<slices>[1-7])G_(?P<slice_size>\d{1,3})GB)?"
)


class Kind(NamedTuple):
    """One kind of accelerator: what a pool has in common."""

    vendor: str
    model: str
    memory_mib: int
    mig_profile: str = ""

    @property
    def pool(self) -> str:
        """The name of its pool in capacities."""
        whole = f"{self.vendor}/{self.model}"
        return f"{whole}/mig-{self.mig_profile}" if self.mig_profile else whole


def kind_of(resource_class: str, traits: Collection[str]) -> Kind | None:
    """The kind of the units of a resource class of a provider with these traits; None if the words do not say it.

    A class that is a device says so itself. PGPU does not: exactly one kind among the traits says it then. What VGPU
    units are is never guessed, because a share of a device has a name and a size of the operator's own.
    """
    if resource_class == "PGPU":
        kinds = {kind for trait in sorted(traits) if (kind := kind_in(trait)) is not None}
        return kinds.pop() if len(kinds) == 1 else None
    return kind_in(resource_class)


def kind_in(words: str) -> Kind | None:
    """The kind that a resource class or trait names, such as CUSTOM_GPU_A100_40G, CUSTOM_PCI_10DE_2330; else None."""
    numbers = words.removeprefix("CUSTOM_PCI_")
    match = _WORDS.fullmatch("CUSTOM_" + PCI_DEVICES[numbers] if numbers in PCI_DEVICES else words)
    if match is None or match["model"] not in MEMORY_MIB:
        return None
    if match["slices"]:
        profile = f"{match['slices']}g.{match['slice_size']}gb"
        return Kind("nvidia", match["model"], int(match["slice_size"]) * 1_000_000_000 >> 20, profile)
    return Kind("nvidia", match["model"], _memory_mib(match["model"], match["size"]))


def is_accelerator(resource_class: str) -> bool:
    """Whether the class stands for accelerators, known ones or not."""
    return resource_class in ("PGPU", "VGPU") or "_GPU" in resource_class or "_PCI_10DE_" in resource_class


def _memory_mib(model: str, size_gb: str | None) -> int:
    """The size that is meant, where the words name one: the device's own that is next to it."""
    sizes = MEMORY_MIB[model]
    return min(sizes, key=lambda mib: (abs(mib - (int(size_gb) << 10)), mib)) if size_gb else sizes[0]
