"""After any sequence of changes to a machine's accelerators the inventory equals what a fresh look at it finds."""

from __future__ import annotations

import random  # noqa: TID251
import sys
from pathlib import Path

import pynvml
import pytest
from hansa_agent.nvml_eyes import REOPEN_MS, NvmlEyes
from hansa_agent.nvml_health import XIDS_OF_WORKLOADS

sys.path.insert(0, str(Path(__file__).parents[1] / "unit/agent"))

from nvml_machine import FakeNvml, Gpu, nvml_error

CHANGES = 1_000
ERRORS = (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED, pynvml.NVML_ERROR_UNKNOWN)


class Machine:
    """Eight devices, and which of them ought to be counted with."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.all = [Gpu(f"GPU-{index:02}") for index in range(8)]
        self.nvml = FakeNvml(list(self.all))
        self.condemned: set[str] = set()

    def change(self) -> None:
        gpu = self.chance.choice(self.all)
        getattr(self, self.chance.choice(["lose", "heal", "miscount", "take_out", "put_back", "report", "unload"]))(gpu)

    def lose(self, gpu: Gpu) -> None:
        gpu.error = nvml_error(self.chance.choice(ERRORS))

    def heal(self, gpu: Gpu) -> None:
        gpu.error, gpu.uncorrectable, gpu.rows = None, 0, (0, 0, 0, 0)

    def miscount(self, gpu: Gpu) -> None:
        gpu.uncorrectable, gpu.rows = self.chance.choice([(2, (0, 0, 0, 0)), (0, (0, 1, 0, 1)), (None, None)])

    def take_out(self, gpu: Gpu) -> None:
        if gpu in self.nvml.gpus:
            self.nvml.gpus.remove(gpu)

    def put_back(self, gpu: Gpu) -> None:
        if gpu not in self.nvml.gpus:
            self.nvml.gpus.append(gpu)

    def report(self, gpu: Gpu) -> None:
        if gpu not in (self.nvml.at_init or []) or gpu.error is not None or self.chance.random() > 0.05:
            return
        xid = self.chance.choice([13, 31, 48, 79])
        self.nvml.events.append((gpu, xid))
        if xid not in XIDS_OF_WORKLOADS:
            self.condemned.add(gpu.uuid)

    def unload(self, gpu: Gpu) -> None:
        self.nvml.at_init = None

    def truth(self) -> int:
        return sum(
            gpu.error is None and not gpu.uncorrectable and not (gpu.rows or (0,) * 4)[3]
            and gpu.uuid not in self.condemned
            for gpu in self.nvml.gpus
        )  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_inventory_equals_the_machine_after_a_thousand_changes(seed: int) -> None:
    machine = Machine(seed)
    eyes, now_ms = NvmlEyes(machine.nvml), 0
    for number in range(CHANGES):
        machine.change()
        now_ms += 500
        eyes.look(now_ms)
        if number % 10 == 9:
            now_ms += REOPEN_MS
            sight = eyes.look(now_ms)
            assert sum(pool.count for pool in sight.pools) == machine.truth(), f"seed {seed}, change {number}"
            assert bool(sight.trouble) == (machine.truth() < 8 or len(machine.nvml.gpus) < 8)
