"""What nobody wants any more and is not gone yet is not told as room."""

from __future__ import annotations

import pytest
from hansa_agent.ports import Machine
from hansa_agent.strays import Strays, capacity_of, ordered_in, ordered_text

from hansa.v1.common_pb2 import AcceleratorPool, Capacity

L4 = AcceleratorPool(vendor="nvidia", model="L4", memory_mib=24_576, count=3)
H100 = AcceleratorPool(vendor="nvidia", model="H100", memory_mib=81_920, count=1)
MACHINE = Machine(Capacity(cpu_millis=8_000, memory_mib=4_096), (L4, H100), "machine")


def test_strays_are_subtracted_until_they_are_gone_and_each_change_is_told_once() -> None:
    told: list[int] = []
    strays = Strays(lambda: told.append(1))
    assert strays.less(MACHINE) is MACHINE
    for _ in range(2):
        strays.tell([capacity_of(1_500, 1_024, {"nvidia/L4": 1}), capacity_of(500, 0, {"nvidia/H100": 1})])
    less = strays.less(MACHINE)
    assert (less.capacity.cpu_millis, less.capacity.memory_mib) == (6_000, 3_072)
    assert [(pool.model, pool.count, pool.memory_mib) for pool in less.pools] == [("L4", 2, 24_576)]
    assert less.trouble == "instances left over and not gone yet: 2" and not less.unsound
    assert (L4.count, H100.count) == (3, 1), "what the source found is left as it was"
    strays.tell([])
    assert strays.less(MACHINE) == MACHINE and len(told) == 2


def test_strays_take_no_more_than_there_is_and_each_device_once() -> None:
    machine = Machine(Capacity(cpu_millis=100, memory_mib=10), (L4, L4), "file", "a node is down")
    strays = Strays()
    strays.tell([capacity_of(500, 500, {"nvidia/L4": 4, "nvidia/A100": 2})])
    less = strays.less(machine)
    assert less.capacity == Capacity() and [pool.count for pool in less.pools] == [2]
    assert less.trouble == "a node is down"


def test_label_says_what_was_ordered() -> None:
    ordered = capacity_of(250, 64, {"nvidia/L4": 2})
    assert ordered_in(ordered_text(ordered)) == ordered
    assert len(ordered_text(ordered)) < 63


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        "[1,2,3]",
        '["a",2,{}]',
        "null",
        '[1,2,{"a":"b"}]',
        "[1e400,2,{}]",
        "[" * 9_000,
        f"[1{'0' * 30},2,{{}}]",
    ],
)
def test_label_that_is_not_ours_counts_as_nothing(text: str) -> None:
    assert ordered_in(text) == Capacity()
