"""Keeps an eye on the accelerators of this machine: NVML stays initialised, and every look says what is sound now.

Not for several threads: one looks, again and again.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

import structlog

from hansa.v1.common_pb2 import AcceleratorPool
from hansa_agent.inventory_nvml import Kind, kinds_of, pools_of, text_of
from hansa_agent.nvml_health import Reading, confidential_of, fault_from, fault_from_xid, fault_of, reading_of

_log = structlog.get_logger(__name__)
REOPEN_MS = 60_000
KINDS_EVERY = 20
"""Slices change seldom: they are looked at with every so many looks."""
EVENTS_MAX = 64
TROUBLE_CHARS_MAX = 190


@dataclass(frozen=True, slots=True)
class Sight:
    """One look. ``trouble`` says which devices are left out and why, or why there are none; empty if all is well."""

    pools: tuple[AcceleratorPool, ...] = ()
    trouble: str = ""


@dataclass(slots=True)
class _Device:
    name: str
    uuid: str
    handle: Any
    kinds: tuple[Kind, ...] = ()
    fault: str = ""
    is_lost: bool = False


@dataclass
class NvmlEyes:
    """``nvml`` is the library; the real one is loaded at the first look if None is given."""

    nvml: Any = None
    _devices: list[_Device] = field(default_factory=list)
    _known: dict[str, str] = field(default_factory=dict)
    _xid_faults: dict[str, str] = field(default_factory=dict)
    _events: Any = None
    _open: bool = False
    _problem: str = ""
    _try_at_ms: int = 0
    _looks: int = 0

    def look(self, now_ms: int) -> Sight:
        """What there is. A machine without a device, a driver or the library has nothing, and that is no trouble."""
        if now_ms >= self._try_at_ms and (not self._open or self._is_incomplete()):
            self._try_at_ms = now_ms + REOPEN_MS
            self._reopen()
        if self._open and not self._is_consistent():
            self._reopen()
        if self._open:
            for device in self._devices:
                self._look_at(device)
            self._looks += 1
        return self._sight()

    def readings(self) -> tuple[Reading, ...]:
        """How the sound devices fare."""
        found = []
        for device in self._devices if self._open else ():
            try:
                found.append(reading_of(self.nvml, device.name, device.handle))
            except self.nvml.NVMLError:
                continue
        return tuple(found)

    def confidential(self) -> str:
        """The confidential-computing mode: "on", "developer tools", "off" or "unknown"."""
        try:
            return confidential_of(self.nvml) if self._open else "unknown"
        except self.nvml.NVMLError:
            return "unknown"

    @property
    def problem(self) -> str:
        """Why there is no answer from the library; empty while there is one."""
        return self._problem

    def close(self) -> None:
        """Lets the library go."""
        if not self._open:
            return
        self._open = False
        self._devices = []
        try:
            if self._events is not None:
                self.nvml.nvmlEventSetFree(self._events)
            self.nvml.nvmlShutdown()
        except self.nvml.NVMLError as error:
            _log.info("NVML not closed", message=str(error))
        self._events = None

    def _reopen(self) -> None:
        self.close()
        before, self._problem = self._problem, self._opened()
        if self._problem and self._problem != before:
            _log.info("no accelerators", message=self._problem)

    def _opened(self) -> str:
        try:
            self.nvml = self.nvml or importlib.import_module("pynvml")
        except ImportError:
            return "the NVML library (nvidia-ml-py) is not installed"
        try:
            self.nvml.nvmlInit()
            self._open = True
            self._enumerate()
        except self.nvml.NVMLError as error:
            self.close()
            return str(error)
        return ""

    def _enumerate(self) -> None:
        nvml = self.nvml
        self._devices = [_described(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
        self._known.update({device.uuid: device.name for device in self._devices if device.uuid})
        self._looks = 0
        self._events = None
        try:
            self._events = nvml.nvmlEventSetCreate()
        except nvml.NVMLError as error:
            _log.info("no events of accelerators", message=str(error))
            return
        for device in self._devices:
            self._subscribe(device)
        _log.info("accelerators found", count=len(self._devices), confidential_computing=self.confidential())

    def _subscribe(self, device: _Device) -> None:
        nvml = self.nvml
        try:
            if not device.fault:
                nvml.nvmlDeviceRegisterEvents(device.handle, nvml.nvmlEventTypeXidCriticalError, self._events)
        except nvml.NVMLError as error:
            _log.info("no events of this accelerator", accelerator=device.name, message=str(error))

    def _is_consistent(self) -> bool:
        """Whether the library answers and knows of no more and no fewer devices; what it reported is taken in."""
        try:
            self._take_events()
            return bool(self.nvml.nvmlDeviceGetCount() == len(self._devices))
        except self.nvml.NVMLError as error:
            _log.warning("NVML opened again", message=str(error))
            return False

    def _look_at(self, device: _Device) -> None:
        before, device.fault = device.fault, self._xid_faults.get(device.uuid, "")
        try:
            if device.handle is None:
                device.fault = before
            device.fault = device.fault or fault_of(self.nvml, device.handle)
            device.is_lost = device.handle is None
            if not device.fault and (not device.kinds or self._looks % KINDS_EVERY == 0):
                device.kinds = kinds_of(self.nvml, device.handle)
        except self.nvml.NVMLError as error:
            device.is_lost, device.fault = True, fault_from(self.nvml, error)
        if device.fault != before:
            _log.warning("accelerator", accelerator=device.name, message=device.fault or "sound again")

    def _take_events(self) -> None:
        nvml = self.nvml
        for _ in range(EVENTS_MAX if self._events is not None else 0):
            try:
                event = nvml.nvmlEventSetWait_v2(self._events, 0)
            except nvml.NVMLError_Timeout:
                return
            uuid = _uuid(nvml, event.device)
            _log.warning("accelerator reports an error", xid=int(event.eventData), uuid=uuid)
            if fault := fault_from_xid(int(event.eventData)):
                self._xid_faults.setdefault(uuid, fault)

    def _missing(self) -> list[str]:
        there = {device.uuid for device in self._devices}
        return sorted(name for uuid, name in self._known.items() if uuid not in there)

    def _is_incomplete(self) -> bool:
        return bool(self._missing()) or any(device.is_lost for device in self._devices)

    def _sight(self) -> Sight:
        if not self._open:
            return Sight((), f"accelerators are gone: {self._problem}"[:TROUBLE_CHARS_MAX] if self._known else "")
        sound = [kind for device in self._devices if not device.fault for kind in device.kinds]
        left_out = [f"{device.name} is left out: {device.fault}" for device in self._devices if device.fault]
        return Sight(pools_of(sound), _bounded([*left_out, *(f"{name} is gone" for name in self._missing())]))


def _described(nvml: Any, index: int) -> _Device:
    """A device by its number; one that cannot even be named is at fault and has no kinds."""
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        bus = text_of(nvml.nvmlDeviceGetPciInfo(handle).busId)
        return _Device(f"GPU {bus}", text_of(nvml.nvmlDeviceGetUUID(handle)), handle)
    except nvml.NVMLError as error:
        return _Device(f"GPU {index}", "", None, fault=fault_from(nvml, error), is_lost=True)


def _uuid(nvml: Any, handle: Any) -> str:
    try:
        return text_of(nvml.nvmlDeviceGetUUID(handle))
    except nvml.NVMLError:
        return ""


def _bounded(parts: list[str]) -> str:
    told = "; ".join(parts)
    if len(told) <= TROUBLE_CHARS_MAX:
        return told
    return f"{parts[0][: TROUBLE_CHARS_MAX - 40]}; and {len(parts) - 1} more"
