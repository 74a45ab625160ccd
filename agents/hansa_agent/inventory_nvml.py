"""Accelerators through NVML, the NVIDIA Management Library (package nvidia-ml-py)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import structlog

from hansa.v1.common_pb2 import AcceleratorPool

_log = structlog.get_logger(__name__)
_FAMILIES = ("nvidia", "tesla", "quadro")
_MIG_PROFILE = re.compile(r"MIG (\S+)")
Kind = tuple[str, int, str]
"""Model, memory in MiB, MIG profile."""


def nvml_pools() -> tuple[AcceleratorPool, ...]:
    """Pools of whole devices and MIG slices; empty, with a line in the log, where library or driver is missing."""
    try:
        import pynvml
    except ImportError:
        _log.info("no accelerators: the NVML library is not installed")
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        _log.info("no accelerators", message=str(error))
        return ()
    try:
        return pools_from(pynvml)
    except pynvml.NVMLError as error:
        _log.warning("accelerators unknown", message=str(error))
        return ()
    finally:
        pynvml.nvmlShutdown()


def pools_from(nvml: ModuleType) -> tuple[AcceleratorPool, ...]:
    """Pools by kind, from an initialised NVML."""
    kinds = Counter(kind for device in _devices(nvml) for kind in _kinds(nvml, device))
    return tuple(
        AcceleratorPool(vendor="nvidia", model=model, memory_mib=memory_mib, count=count, mig_profile=profile)
        for (model, memory_mib, profile), count in sorted(kinds.items())
    )


def model_of(product: str) -> str:
    """The short model of a product name: "NVIDIA H100 80GB HBM3" is "H100", "NVIDIA GeForce RTX 4090" "RTX-4090"."""
    words = [word for word in product.split() if word.lower() not in (*_FAMILIES, "geforce")]
    if not words:
        return product
    if words[0].upper() in ("RTX", "GTX", "TITAN") and len(words) > 1:
        return "-".join(words[:2])
    return words[0].split("-")[0]


def _devices(nvml: Any) -> Iterator[Any]:
    for index in range(nvml.nvmlDeviceGetCount()):
        yield nvml.nvmlDeviceGetHandleByIndex(index)


def _kinds(nvml: Any, device: Any) -> Iterator[Kind]:
    model = model_of(_text(nvml.nvmlDeviceGetName(device)))
    slices = list(_slices(nvml, device))
    if not _mig_enabled(nvml, device):
        yield model, _memory_mib(nvml, device), ""
    for part in slices:
        match = _MIG_PROFILE.search(_text(nvml.nvmlDeviceGetName(part)))
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


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
