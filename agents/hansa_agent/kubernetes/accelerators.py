"""Which accelerators a node's extended resources are, from the labels that discovery put on it. Pure.

NVIDIA GPU Feature Discovery writes ``nvidia.com/gpu.product``, ``.memory`` (MiB), ``.replicas`` and the like; AMD's
node labeller ``amd.com/gpu.product-name`` and ``amd.com/gpu.vram``. A device that is shared by time-slicing or MPS is
advertised several times, and who gets one of them gets no whole device: it is left out. What has no labels is unknown
and so left out, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hansa_agent.inventory_nvml import model_of
from hansa_agent.kubernetes.quantity import rounded_down

NVIDIA, AMD = "nvidia.com/gpu", "amd.com/gpu"
_PREFIXES = (NVIDIA, "nvidia.com/mig-", AMD, "gpu.intel.com/")
_MIG = re.compile(r"nvidia\.com/mig-([0-9a-z.+]+?)(\.shared)?")
_MIG_PRODUCT = re.compile(r"-MIG-([0-9a-z.+]+)")
_AMD_NOISE = ("amd", "instinct", "radeon", "pro", "oam")
MEMORY_MIB_MAX = 1 << 30


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of device or slice."""

    vendor: str
    model: str
    memory_mib: int
    mig_profile: str = ""

    @property
    def pool(self) -> str:
        """As capacities name it."""
        whole = f"{self.vendor}/{self.model}"
        return f"{whole}/mig-{self.mig_profile}" if self.mig_profile else whole


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Accelerators that are there and do not count; ``why`` continues "3 devices "."""

    why: str


SHARED = LeftOut("shared by time-slicing or MPS")
UNLABELLED = LeftOut("without labels of GPU feature discovery")


def is_accelerator(resource: str) -> bool:
    """Whether an extended resource is made of accelerators."""
    return resource.startswith(_PREFIXES)


def kind_of(resource: str, labels: Mapping[str, str]) -> Kind | LeftOut:
    """What the devices of ``resource`` are on a node with ``labels``."""
    mig = _MIG.fullmatch(resource)
    if mig is not None:
        return SHARED if mig[2] else _nvidia(f"nvidia.com/mig-{mig[1]}", labels)
    if resource.startswith(NVIDIA):
        return _nvidia(NVIDIA, labels) if resource == NVIDIA else SHARED
    return _amd(labels) if resource == AMD else UNLABELLED


def selection(resource: str) -> str:
    """The label whose value tells kinds of ``resource`` apart."""
    return "amd.com/gpu.product-name" if resource == AMD else f"{resource}.product"


def labelled(labels: Mapping[str, str]) -> Iterator[tuple[str, Kind]]:
    """The resources that a node's labels speak of, with their kinds."""
    slices = {key.removesuffix(".product") for key in labels if _MIG.fullmatch(key.removesuffix(".product"))}
    for resource in sorted({*slices, NVIDIA, AMD}):
        kind = kind_of(resource, labels)
        if isinstance(kind, Kind):
            yield resource, kind


def _nvidia(prefix: str, labels: Mapping[str, str]) -> Kind | LeftOut:
    product, memory = labels.get(f"{prefix}.product", ""), labels.get(f"{prefix}.memory", "")
    replicas = labels.get(f"{prefix}.replicas", "1")
    strategy = labels.get(f"{prefix}.sharing-strategy", "none")
    if product.endswith("-SHARED") or replicas not in ("", "0", "1") or strategy not in ("", "none"):
        return SHARED
    memory_mib = rounded_down(memory)
    if not product or not 0 < memory_mib < MEMORY_MIB_MAX:
        return UNLABELLED
    profile = _MIG_PRODUCT.search(product)
    whole = product[: profile.start()] if profile else product
    return Kind("nvidia", model_of(whole.replace("-", " ")), memory_mib, profile[1] if profile else "")


def _amd(labels: Mapping[str, str]) -> Kind | LeftOut:
    words = re.split(r"[_\s-]+", labels.get("amd.com/gpu.product-name", ""))
    model = next((word for word in words if word and word.lower() not in _AMD_NOISE), "")
    memory_mib = rounded_down(labels.get("amd.com/gpu.vram", "").replace("G", "Gi")) >> 20
    return Kind("amd", model, memory_mib) if model and 0 < memory_mib < MEMORY_MIB_MAX else UNLABELLED
