"""A machine with accelerators as NVML shows it. Errors and constants are the real library's; so are names and
parameters of every call, which a test compares.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml


@dataclass
class Gpu:
    """One device, or one slice of a device; ``error`` is what every question about it is answered with."""

    uuid: str
    name: str | bytes = "NVIDIA L4"
    memory_mib: int = 23_034
    slices: list[Gpu | None] | None = None
    error: Exception | None = None
    uncorrectable: int | None = 0
    rows: tuple[int, int, int, int] | None = (0, 0, 0, 0)
    throttle: int = 0

    @property
    def bus(self) -> bytes:
        return f"00000000:{self.uuid[-2:]}:00.0".encode()


def nvml_error(code: int) -> Exception:
    """The library's error of that code."""
    error: Exception = pynvml.NVMLError(code)
    return error


LOST = nvml_error(pynvml.NVML_ERROR_GPU_IS_LOST)
NOT_SUPPORTED = nvml_error(pynvml.NVML_ERROR_NOT_SUPPORTED)


@dataclass
class FakeNvml:
    """``at_init`` is what the driver knows once the library is initialised; ``init_error`` why it cannot be."""

    gpus: list[Gpu] = field(default_factory=list)
    init_error: Exception | None = None
    count_error: Exception | None = None
    events: list[tuple[Gpu, int]] = field(default_factory=list)
    confidential: int | None = 0
    at_init: list[Gpu] | None = None
    registered: list[str] = field(default_factory=list)
    inits: int = 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("nvmlDevice", "nvmlSystem", "nvmlEventSet")):
            raise AttributeError(f"the fake has no {name}")
        return getattr(pynvml, name)

    def nvmlInit(self) -> None:
        if self.init_error:
            raise self.init_error
        self.inits += 1
        self.at_init = list(self.gpus)

    def nvmlShutdown(self) -> None:
        self.at_init = None

    def nvmlDeviceGetCount(self) -> int:
        if self.count_error:
            raise self.count_error
        return len(self._all())

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Gpu:
        return self._all()[index]

    def nvmlDeviceGetUUID(self, handle: Gpu) -> str:
        return asked(handle).uuid

    def nvmlDeviceGetPciInfo(self, handle: Gpu) -> SimpleNamespace:
        return SimpleNamespace(busId=asked(handle).bus)

    def nvmlDeviceGetName(self, handle: Gpu) -> str | bytes:
        return asked(handle).name

    def nvmlDeviceGetMemoryInfo(self, handle: Gpu) -> SimpleNamespace:
        return SimpleNamespace(total=asked(handle).memory_mib << 20, used=1_024 << 20)

    def nvmlDeviceGetMigMode(self, device: Gpu) -> tuple[int, int]:
        if asked(device).slices is None:
            raise NOT_SUPPORTED
        return pynvml.NVML_DEVICE_MIG_ENABLE, pynvml.NVML_DEVICE_MIG_ENABLE

    def nvmlDeviceGetMaxMigDeviceCount(self, device: Gpu) -> int:
        return len(asked(device).slices or [])

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: Gpu, index: int) -> Gpu:
        found = (asked(device).slices or [])[index]
        if found is None:
            raise nvml_error(pynvml.NVML_ERROR_NOT_FOUND)
        return found

    def nvmlDeviceGetTemperature(self, handle: Gpu, sensor: int) -> int:
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        asked(handle)
        return 41

    def nvmlDeviceGetPowerUsage(self, handle: Gpu) -> int:
        asked(handle)
        return 72_400

    def nvmlDeviceGetUtilizationRates(self, handle: Gpu) -> SimpleNamespace:
        asked(handle)
        return SimpleNamespace(gpu=37, memory=12)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: Gpu) -> int:
        return asked(handle).throttle

    def nvmlDeviceGetTotalEccErrors(self, handle: Gpu, errorType: int, counterType: int) -> int:
        assert (errorType, counterType) == (pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC)
        found = asked(handle).uncorrectable
        if found is None:
            raise NOT_SUPPORTED
        return found

    def nvmlDeviceGetRemappedRows(self, device: Gpu) -> tuple[int, int, int, int]:
        found = asked(device).rows
        if found is None:
            raise NOT_SUPPORTED
        return found

    def nvmlSystemGetConfComputeState(self) -> SimpleNamespace:
        if self.confidential is None:
            raise nvml_error(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        return SimpleNamespace(environment=2, ccFeature=self.confidential, devToolsMode=0)

    def nvmlEventSetCreate(self) -> object:
        return self

    def nvmlEventSetFree(self, eventSet: object) -> None:
        assert eventSet is self

    def nvmlDeviceRegisterEvents(self, handle: Gpu, eventTypes: int, eventSet: object) -> None:
        assert eventTypes == pynvml.nvmlEventTypeXidCriticalError and eventSet is self
        self.registered.append(asked(handle).uuid)

    def nvmlEventSetWait_v2(self, eventSet: object, timeoutms: int) -> SimpleNamespace:
        assert eventSet is self and timeoutms == 0, "nobody may wait in the thread that looks"
        if not self.events:
            raise nvml_error(pynvml.NVML_ERROR_TIMEOUT)
        gpu, xid = self.events.pop(0)
        return SimpleNamespace(device=gpu, eventType=pynvml.nvmlEventTypeXidCriticalError, eventData=xid)

    def _all(self) -> list[Gpu]:
        if self.at_init is None:
            raise nvml_error(pynvml.NVML_ERROR_UNINITIALIZED)
        return self.at_init


def asked(gpu: Gpu) -> Gpu:
    """What a device answers with, if it answers."""
    if gpu.error is not None:
        raise gpu.error
    return gpu
