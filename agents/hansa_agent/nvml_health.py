"""Whether an accelerator may be counted with, and how it fares, as NVML says.

What is unknown counts against a device: only "not supported" is no answer at all, because consumer devices have no
error counters. Xid numbers are those of NVIDIA's catalogue, "XID Errors".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

XIDS_OF_WORKLOADS = frozenset({13, 31, 43, 45, 68, 109})
"""Errors that a program brings about (as NVIDIA's own device plugin has it); every other one takes the device out."""
XIDS_FOR_THE_RECORD = frozenset({63, 92})
"""A memory row was replaced; many errors were corrected: worth a line in the log."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a device fares: per cent of time busy, watts, degrees Celsius, MiB used, and what holds its clocks down."""

    name: str
    utilisation_percent: int = 0
    power_watts: int = 0
    temperature_c: int = 0
    memory_used_mib: int = 0
    slowed_by: tuple[str, ...] = ()


def fault_of(nvml: Any, device: Any) -> str:
    """Why a device that answers cannot be counted with; empty if it can. One that does not answer raises the
    library's error, which ``fault_from`` puts into words.
    """
    _asked(nvml, nvml.nvmlDeviceGetTemperature, device, nvml.NVML_TEMPERATURE_GPU)
    errors = _asked(
        nvml,
        nvml.nvmlDeviceGetTotalEccErrors,
        device,
        nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
        nvml.NVML_VOLATILE_ECC,
    )
    if errors:
        return f"{errors} uncorrectable memory errors since its last reset"
    rows = _asked(nvml, nvml.nvmlDeviceGetRemappedRows, device)
    return "its memory has no spare rows left" if rows is not None and rows[3] else ""


def fault_from(nvml: Any, error: Exception) -> str:
    """What an error of the library says of the device that was asked."""
    if isinstance(error, nvml.NVMLError_GpuIsLost):
        return "it has fallen off the bus"
    if isinstance(error, nvml.NVMLError_ResetRequired):
        return "it needs a reset"
    return f"the driver says {error}"


def fault_from_xid(xid: int) -> str:
    """Why a device may not be counted with after a critical error; empty for those that are no fault of its own."""
    if xid in XIDS_OF_WORKLOADS or xid in XIDS_FOR_THE_RECORD:
        return ""
    return f"Xid {xid}"


def reading_of(nvml: Any, name: str, device: Any) -> Reading:
    """How a device fares; what it does not tell is 0. Raises the library's errors when it is lost."""
    watts = _asked(nvml, nvml.nvmlDeviceGetPowerUsage, device) or 0
    rates = _asked(nvml, nvml.nvmlDeviceGetUtilizationRates, device)
    memory = _asked(nvml, nvml.nvmlDeviceGetMemoryInfo, device)
    return Reading(
        name=name,
        utilisation_percent=int(rates.gpu) if rates is not None else 0,
        power_watts=int(watts) // 1_000,
        temperature_c=int(_asked(nvml, nvml.nvmlDeviceGetTemperature, device, nvml.NVML_TEMPERATURE_GPU) or 0),
        memory_used_mib=int(memory.used) >> 20 if memory is not None else 0,
        slowed_by=_slowed_by(nvml, device),
    )


def confidential_of(nvml: Any) -> str:
    """The confidential-computing mode of the machine's devices: "on", "developer tools", "off" or "unknown"."""
    state = _asked(nvml, nvml.nvmlSystemGetConfComputeState)
    if state is None:
        return "unknown"
    if state.ccFeature != nvml.NVML_CC_SYSTEM_FEATURE_ENABLED:
        return "off"
    return "developer tools" if state.devToolsMode == nvml.NVML_CC_SYSTEM_DEVTOOLS_MODE_ON else "on"


def _slowed_by(nvml: Any, device: Any) -> tuple[str, ...]:
    reasons = _asked(nvml, nvml.nvmlDeviceGetCurrentClocksThrottleReasons, device) or 0
    names = {
        "heat": nvml.nvmlClocksThrottleReasonHwThermalSlowdown | nvml.nvmlClocksThrottleReasonSwThermalSlowdown,
        "power": nvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown | nvml.nvmlClocksThrottleReasonSwPowerCap,
        "hardware": nvml.nvmlClocksThrottleReasonHwSlowdown,
    }
    return tuple(name for name, bits in names.items() if reasons & bits)


def _asked(nvml: Any, question: Callable[..., Any], *words: Any) -> Any:
    """The answer, or None where this device or this driver has none."""
    try:
        return question(*words)
    except (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound, nvml.NVMLError_NoPermission):
        return None
