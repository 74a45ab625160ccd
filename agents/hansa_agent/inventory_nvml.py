"""What an accelerator is, as NVML describes it, the NVIDIA Management Library (package nvidia-ml-py)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from hansa.v1.common_pb2 import AcceleratorPool

_FAMILIES = ("nvidia", "tesla", "quadro")
_MIG_PROFILE = re.compile(r"MIG (\S+)")
Kind = tuple[str, int, str]
"""Model, memory in MiB, MIG profile."""


def pools_of(kinds: Iterable[Kind]) -> tuple[AcceleratorPool, ...]:
    """Pools of what is alike, in order of model, memory and profile."""
    return tuple(
        AcceleratorPool(vendor="nvidia", model=model, memory_mib=memory_mib, count=count, mig_profile=profile)
        for (model, memory_mib, profile), count in sorted(Counter(kinds).items())
    )


def kinds_of(nvml: Any, device: Any) -> tuple[Kind, ...]:
    """What one device adds to the pools: itself, or the slices into which it is cut."""
    return tuple(_kinds(nvml, device))


def model_of(product: str) -> str:
    """The short model of a product name: "NVIDIA H100 80GB HBM3" is "H100", "NVIDIA GeForce RTX 4090" "RTX-4090"."""
    words = [word for word in product.split() if word.lower() not in (*_FAMILIES, "geforce")]
    if not words:
        return product
    if words[0].upper() in ("RTX", "GTX", "TITAN") and len(words) > 1:
        return "-".join(words[:2])
    return words[0].split("-")[0]


def _kinds(nvml: Any, device: Any) -> Iterator[Kind]:
    model = model_of(text_of(nvml.nvmlDeviceGetName(device)))
    slices = list(_slices(nvml, device))
    if not _mig_enabled(nvml, device):
        yield model, _memory_mib(nvml, device), ""
    for part in slices:
        match = _MIG_PROFILE.search(text_of(nvml.nvmlDeviceGetName(part)))
        yield model, _memory_mib(nvml, part), match[1] if match else "unknown"


def _mig_enabled(nvml: Any, device: Any) -> bool:
    try:
        current, _ = nvml.nvmlDeviceGetMigMode(device)
    except nvml.NVMLError:
        return False
    return bool(current == nvml.NVML_DEVICE_MIG_ENABLE)


def _slices(nvml: Any, device: Any) -> Iterator[Any]:
    if not _mig_enabled(nvml, device):
        return
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(device)):
        try:
            yield nvml.nvmlDeviceGetMigDeviceHandleByIndex(device, index)
        except nvml.NVMLError_NotFound:
            continue


def _memory_mib(nvml: Any, device: Any) -> int:
    return int(nvml.nvmlDeviceGetMemoryInfo(device).total) >> 20


def text_of(name: str | bytes) -> str:
    """A name; some versions of the library give bytes."""
    return name.decode() if isinstance(name, bytes) else name
