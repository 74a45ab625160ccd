"""Accelerators that come, fail and go, as one who looks every half second sees them."""

from __future__ import annotations

import ast
import asyncio
import inspect
import threading
from pathlib import Path
from typing import Any

import hansa_agent
import pynvml
import pytest
from hansa_agent.inventory_machine import HANGS_S, LOOK_S, MachineSource
from hansa_agent.nvml_eyes import REOPEN_MS, TROUBLE_CHARS_MAX, NvmlEyes
from hansa_agent.nvml_health import confidential_of, fault_from_xid, reading_of
from hansa_agent.ports import Instant, Machine
from nvml_machine import LOST, NOT_SUPPORTED, FakeNvml, Gpu, nvml_error

MODULES = ("inventory_nvml", "nvml_eyes", "nvml_health")
USED = {"nvml", "self.nvml"}


def four() -> FakeNvml:
    return FakeNvml([Gpu(f"GPU-{index:02}") for index in range(4)])


def counts(pools: Any) -> dict[str, int]:
    return {f"{pool.model}/{pool.mig_profile}".rstrip("/"): pool.count for pool in pools}


class Eyes:
    """Looks at a fake machine, half a second later each time."""

    def __init__(self, nvml: FakeNvml) -> None:
        self.eyes = NvmlEyes(nvml)
        self.now_ms = 0

    def look(self, after_ms: int = 500) -> tuple[dict[str, int], str]:
        self.now_ms += after_ms
        sight = self.eyes.look(self.now_ms)
        assert len(sight.trouble) <= 200 and sight.trouble.isprintable()
        return counts(sight.pools), sight.trouble


def used_names() -> set[str]:
    found = set()
    for module in MODULES:
        tree = ast.parse((Path(hansa_agent.__file__).parent / f"{module}.py").read_text())
        found |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) in USED}
    return found


def test_every_name_that_is_used_is_one_of_the_real_library() -> None:
    names = used_names()
    assert len(names) > 30 and "nvmlDeviceGetCount" in names
    assert [name for name in sorted(names) if not hasattr(pynvml, name)] == []


def test_the_fake_has_the_parameters_of_the_real_library_and_every_call_that_is_used() -> None:
    fakes = {name: each for name, each in vars(FakeNvml).items() if name.startswith("nvml")}
    assert {name for name in used_names() if inspect.isfunction(getattr(pynvml, name))} <= fakes.keys()
    for name, fake in fakes.items():
        real = list(inspect.signature(getattr(pynvml, name)).parameters.values())
        needed = [each.name for each in real if each.default is inspect.Parameter.empty]
        assert list(inspect.signature(fake).parameters)[1:] == needed, name


def test_devices_and_slices_are_pooled_by_kind() -> None:
    part, half = Gpu("MIG-1", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", 9_856), Gpu("MIG-2", "H100 MIG 3g.40gb", 40_448)
    cut = Gpu("GPU-09", "NVIDIA H100 80GB HBM3", 81_559, [part, part, None, half])
    sight = NvmlEyes(FakeNvml([Gpu("GPU-00", b"NVIDIA L4"), Gpu("GPU-01"), cut])).look(0)
    pools = [(pool.model, pool.memory_mib, pool.count, pool.mig_profile) for pool in sight.pools]
    assert pools == [("H100", 9_856, 2, "1g.10gb"), ("H100", 40_448, 1, "3g.40gb"), ("L4", 23_034, 2, "")]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"error": LOST}, "it has fallen off the bus"),
        ({"error": nvml_error(pynvml.NVML_ERROR_RESET_REQUIRED)}, "it needs a reset"),
        ({"error": nvml_error(pynvml.NVML_ERROR_UNKNOWN)}, "the driver says Unknown Error"),
        ({"uncorrectable": 3}, "3 uncorrectable memory errors since its last reset"),
        ({"rows": (1, 1, 0, 1)}, "its memory has no spare rows left"),
    ],
)
def test_device_at_fault_is_left_out_at_the_next_look_with_its_reason(change: dict[str, Any], why: str) -> None:
    nvml = four()
    eyes = Eyes(nvml)
    assert eyes.look() == ({"L4": 4}, "")
    for name, value in change.items():
        setattr(nvml.gpus[2], name, value)
    assert eyes.look() == ({"L4": 3}, f"GPU 00000000:02:00.0 is left out: {why}")
    for name in change:
        setattr(nvml.gpus[2], name, getattr(Gpu("x"), name))
    assert eyes.look() == ({"L4": 4}, ""), "sound again"


def test_critical_xid_takes_its_device_out_for_good_and_that_of_a_program_does_not() -> None:
    nvml = four()
    eyes = Eyes(nvml)
    eyes.look()
    assert nvml.registered == ["GPU-00", "GPU-01", "GPU-02", "GPU-03"]
    nvml.events += [(nvml.gpus[0], 31), (nvml.gpus[1], 79), (nvml.gpus[1], 13)]
    expected = ({"L4": 3}, "GPU 00000000:01:00.0 is left out: Xid 79")
    assert eyes.look() == expected
    nvml.gpus[3].error = LOST
    assert eyes.look(REOPEN_MS)[0] == {"L4": 2} and nvml.inits == 1
    nvml.gpus[3].error = None
    assert eyes.look(REOPEN_MS) == expected, "opening the library again heals no device"
    assert fault_from_xid(63) == "" and fault_from_xid(48) == "Xid 48"


def test_device_that_the_driver_no_longer_lists_is_gone_and_said_to_be_so() -> None:
    nvml = four()
    eyes = Eyes(nvml)
    eyes.look()
    taken = nvml.gpus.pop(1)
    assert nvml.at_init is not None
    nvml.at_init.remove(taken)
    assert eyes.look() == ({"L4": 3}, "GPU 00000000:01:00.0 is gone")
    nvml.gpus.insert(1, taken)
    assert eyes.look() == ({"L4": 3}, "GPU 00000000:01:00.0 is gone")
    assert eyes.look(REOPEN_MS) == ({"L4": 4}, ""), "one that is back is found within a minute"


def test_lost_device_that_is_replaced_is_found_within_a_minute() -> None:
    nvml = four()
    eyes = Eyes(nvml)
    eyes.look()
    nvml.gpus[0].error = LOST
    assert eyes.look()[0] == {"L4": 3} and nvml.inits == 1
    nvml.gpus[0] = Gpu("GPU-00")
    assert eyes.look()[0] == {"L4": 3} and nvml.inits == 1, "not opened again at every look"
    assert eyes.look(REOPEN_MS) == ({"L4": 4}, "") and nvml.inits == 2


def test_library_that_loses_its_driver_is_opened_again_and_else_nothing_is_left() -> None:
    nvml = four()
    eyes = Eyes(nvml)
    eyes.look()
    nvml.at_init = None
    assert eyes.look() == ({"L4": 4}, "") and nvml.inits == 2
    nvml.count_error = nvml.init_error = nvml_error(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    assert eyes.look() == ({}, "accelerators are gone: Driver Not Loaded")
    nvml.count_error = nvml.init_error = None
    assert eyes.look(REOPEN_MS) == ({"L4": 4}, "")


def test_machine_without_a_driver_has_no_accelerators_and_says_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    eyes = Eyes(FakeNvml(init_error=nvml_error(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)))
    assert [eyes.look(), eyes.look(), eyes.look(REOPEN_MS)] == [({}, "")] * 3
    assert eyes.eyes.problem == "NVML Shared Library Not Found"
    told = capsys.readouterr()
    assert (told.out + told.err).count("no accelerators") == 1


def test_absent_library_means_no_accelerators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    eyes = NvmlEyes()
    assert eyes.look(0).pools == () and "nvidia-ml-py" in eyes.problem


def test_device_without_error_counters_is_sound() -> None:
    plain = Gpu("GPU-00", "NVIDIA GeForce RTX 4090", 24_564, uncorrectable=None, rows=None)
    assert Eyes(FakeNvml([plain])).look() == ({"RTX-4090": 1}, "")


def test_device_that_fails_from_the_start_is_left_out() -> None:
    nvml = four()
    nvml.gpus[3].error = LOST
    pools, trouble = Eyes(nvml).look()
    assert pools == {"L4": 3} and trouble == "GPU 3 is left out: it has fallen off the bus"


def test_many_faults_are_told_in_one_bounded_sentence() -> None:
    nvml = FakeNvml([Gpu(f"GPU-{index:02}", uncorrectable=1) for index in range(16)])
    pools, trouble = Eyes(nvml).look()
    assert pools == {} and trouble.endswith("and 15 more") and len(trouble) <= TROUBLE_CHARS_MAX


def test_slices_made_while_the_agent_runs_are_seen_within_ten_seconds() -> None:
    nvml = FakeNvml([Gpu("GPU-00", "NVIDIA H100 80GB HBM3", 81_559)])
    eyes = Eyes(nvml)
    assert eyes.look()[0] == {"H100": 1}
    nvml.gpus[0].slices = [Gpu("MIG-1", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", 9_856)]
    assert [eyes.look()[0] for _ in range(20)][-1] == {"H100/1g.10gb": 1}


def test_readings_say_how_a_device_fares() -> None:
    nvml = four()
    nvml.nvmlInit()
    nvml.gpus[0].throttle = pynvml.nvmlClocksThrottleReasonSwPowerCap | pynvml.nvmlClocksThrottleReasonHwThermalSlowdown
    told = reading_of(nvml, "GPU 0", nvml.gpus[0])
    assert (told.utilisation_percent, told.power_watts, told.temperature_c, told.memory_used_mib) == (37, 72, 41, 1_024)
    assert told.slowed_by == ("heat", "power")


@pytest.mark.parametrize(("state", "mode"), [(1, "on"), (0, "off"), (None, "unknown")])
def test_confidential_computing_is_told_where_the_driver_knows(state: int | None, mode: str) -> None:
    assert confidential_of(FakeNvml(confidential=state)) == mode


class Ticks:
    """A clock that is moved by those who sleep; real waiting is left to the event loop."""

    def __init__(self) -> None:
        self.ms = 0

    def now(self) -> Instant:
        return Instant(self.ms, self.ms)

    def monotonic_ns(self) -> int:
        return self.ms * 1_000_000

    async def sleep(self, seconds: float) -> None:
        self.ms += int(seconds * 1_000)
        await asyncio.sleep(0)


async def test_lost_device_is_told_within_a_second_and_nothing_is_told_without_a_change() -> None:
    nvml, clock = four(), Ticks()
    source = MachineSource(clock, eyes=NvmlEyes(nvml))
    assert counts((await source.read()).pools) == {"L4": 4}
    told: list[tuple[int, Machine]] = []
    watching = asyncio.create_task(source.watch(lambda machine: told.append((clock.ms, machine))))
    while clock.ms < 5_000:
        await asyncio.sleep(0)
    assert told == []
    nvml.gpus[1].error, lost_at = LOST, clock.ms
    while not told:
        await asyncio.sleep(0)
    watching.cancel()
    at, machine = told[0]
    assert at - lost_at <= 1_000 and LOOK_S < 1
    assert counts(machine.pools) == {"L4": 3} and not machine.unsound and "fallen off the bus" in machine.trouble


async def test_driver_that_hangs_cordons_the_zone_and_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hansa_agent.inventory_machine.HANGS_S", 0.05)
    nvml, hanging = four(), threading.Event()
    source = MachineSource(Ticks(), eyes=NvmlEyes(nvml))
    before = await source.read()
    monkeypatch.setattr(nvml, "nvmlDeviceGetCount", lambda: hanging.wait() and 4)
    told: asyncio.Queue[Machine] = asyncio.Queue()
    watching = asyncio.create_task(source.watch(told.put_nowait))
    machine = await told.get()
    assert machine.unsound and machine.pools == before.pools and "has not answered" in machine.trouble
    assert HANGS_S == 2.0
    hanging.set()
    while machine.unsound:
        machine = await told.get()
    watching.cancel()
    assert machine == before


def test_not_supported_is_no_fault() -> None:
    assert isinstance(NOT_SUPPORTED, pynvml.NVMLError_NotSupported)
