"""What this machine has: CPUs and memory as the kernel grants them, accelerators as the NVIDIA driver lists them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from hansa.v1.common_pb2 import Capacity
from hansa_agent.check import Finding, ok, unknown
from hansa_agent.nvml_eyes import NvmlEyes, Sight
from hansa_agent.nvml_health import Reading
from hansa_agent.ports import Clock, Machine
from hansa_agent.side_thread import SideThread

_log = structlog.get_logger(__name__)
_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")
LOOK_S = 0.5
FIRST_LOOK_S = 20.0
HANGS_S = 2.0
READINGS_MS = 60_000


class MachineSource:
    """Looks at the machine twice a second. ``source`` is "nvml" where accelerators were found, else "machine"."""

    def __init__(
        self, clock: Clock, meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP, eyes: NvmlEyes | None = None
    ) -> None:
        self._clock = clock
        self._meminfo = meminfo
        self._cgroup = cgroup
        self._eyes = eyes or NvmlEyes()
        self._thread = SideThread("nvml", self._look)
        self._last = Machine(Capacity(), (), "machine", "the machine was not looked at yet", unsound=True)
        self._read_at_ms: int | None = None

    async def read(self) -> Machine:
        return await self._found_in(FIRST_LOOK_S)

    async def watch(self, found: Callable[[Machine], None]) -> None:
        """Tells of a device that is lost, and of one that is back, within a second. A driver that hangs is told, too:
        nothing new is taken until it answers again.
        """
        try:
            while True:
                await self._clock.sleep(LOOK_S)
                before = self._last
                if await self._found_in(HANGS_S) != before:
                    found(self._last)
        finally:
            self._thread.stop()

    def look(self) -> Machine:
        """What there is now."""
        return self._look()[0]

    async def check(self) -> list[Finding]:
        """What ``hansa-agent check`` says of the accelerators, after a ``read``."""
        if self._eyes.problem:
            remedy = "right on a machine without a GPU; else install the driver, and let its unit see /dev/nvidia*"
            return [unknown("accelerators", f"none are seen: {self._eyes.problem}", remedy)]
        return [
            ok("accelerators", f"the driver answers; {len(self._last.pools)} kinds of device are sound"),
            ok("confidential computing", self._eyes.confidential()),
        ]

    async def _found_in(self, seconds: float) -> Machine:
        try:
            self._last, readings = await self._thread.call(seconds)
        except TimeoutError:
            message = f"the NVIDIA driver has not answered for {seconds:.0f} s"
            self._last = replace(self._last, trouble=message, unsound=True)
            return self._last
        for each in readings:
            _log.info("accelerator reading", **_plain(each))
        return self._last

    def _look(self) -> tuple[Machine, tuple[Reading, ...]]:
        now_ms = self._clock.now().monotonic_ms
        sight = self._eyes.look(now_ms)
        return self._machine(sight), self._readings(now_ms)

    def _readings(self, now_ms: int) -> tuple[Reading, ...]:
        if self._read_at_ms is not None and now_ms - self._read_at_ms < READINGS_MS:
            return ()
        self._read_at_ms = now_ms
        return self._eyes.readings()

    def _machine(self, sight: Sight) -> Machine:
        capacity = Capacity(cpu_millis=self._cpu_millis(), memory_mib=self._memory_mib())
        return Machine(capacity, sight.pools, "nvml" if sight.pools else "machine", sight.trouble)

    def _cpu_millis(self) -> int:
        """The CPUs that this process may use, bounded by the quota of its control group (cgroup v2, cpu.max)."""
        usable = len(os.sched_getaffinity(0)) * 1_000
        words = _words(self._cgroup / "cpu.max")
        if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal():
            return min(usable, int(words[0]) * 1_000 // int(words[1]))
        return usable

    def _memory_mib(self) -> int:
        """All memory (MemTotal), bounded by the limit of the control group (cgroup v2, memory.max)."""
        lines = (line.split() for line in self._meminfo.read_text().splitlines())
        total_mib = next((int(words[1]) // 1_024 for words in lines if words[0] == "MemTotal:"), 0)
        words = _words(self._cgroup / "memory.max")
        return min(total_mib, int(words[0]) >> 20) if words and words[0].isdecimal() else total_mib


def _plain(reading: Reading) -> dict[str, object]:
    return {
        "accelerator": reading.name,
        "utilisation_percent": reading.utilisation_percent,
        "power_watts": reading.power_watts,
        "temperature_c": reading.temperature_c,
        "memory_used_mib": reading.memory_used_mib,
        "slowed_by": ",".join(reading.slowed_by),
    }


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
