"""What this machine has: CPUs and memory as the kernel grants them, accelerators as the NVIDIA driver lists them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from hansa.v1.common_pb2 import Capacity
from hansa_agent.inventory_nvml import nvml_pools
from hansa_agent.ports import Machine

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


class MachineSource:
    """Looks at the machine. ``source`` becomes "nvml" where accelerators were found, else "machine"."""

    def __init__(self, meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> None:
        self._meminfo = meminfo
        self._cgroup = cgroup

    async def read(self) -> Machine:
        return await asyncio.to_thread(self.look)

    async def watch(self, found: Callable[[Machine], None]) -> None:
        """A machine is looked at when its agent starts, and when it is told to read its configuration again."""
        await asyncio.get_running_loop().create_future()

    def look(self) -> Machine:
        """What there is now."""
        pools = nvml_pools()
        capacity = Capacity(cpu_millis=self._cpu_millis(), memory_mib=self._memory_mib())
        return Machine(capacity, pools, "nvml" if pools else "machine")

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


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
