"""ResourceSlices: the newest generation of a pool counts once it is whole, in whatever order its slices come."""

from __future__ import annotations

from typing import Any

import pytest
from hansa_agent.kubernetes.slices import Slices
from hypothesis import given
from hypothesis import strategies as st


def piece(name: str, pool: str = "gpu-1", generation: int = 1, of: int = 1, **more: Any) -> dict[str, Any]:
    devices = [{"name": f"gpu-{number}"} for number in range(more.pop("devices", 2))]
    spec = {"driver": more.pop("driver", "gpu.nvidia.com"), "devices": devices}
    return {
        "metadata": {"name": name},
        "spec": spec | {"pool": {"name": pool, "generation": generation, "resourceSliceCount": of}},
    }


def counted(*bodies: dict[str, Any]) -> tuple[int, int]:
    slices = Slices()
    for body in bodies:
        slices.put(body)
    return slices.counted()


@pytest.mark.parametrize(
    ("bodies", "found"),
    [
        ((), (0, 0)),
        ((piece("a"),), (2, 0)),
        ((piece("a", of=2), piece("b", of=2, devices=3)), (5, 0)),
        ((piece("a", of=2),), (0, 1)),
        ((piece("a"), piece("b", generation=2, devices=7)), (7, 0)),
        ((piece("a"), piece("b", generation=2, of=2, devices=7)), (0, 1)),
        ((piece("a", of=2), piece("b", of=2), piece("c", generation=2, devices=1)), (1, 0)),
        ((piece("a", of=1), piece("b", of=2)), (0, 1)),
        ((piece("a", of=1), piece("b", of=1)), (0, 1)),
        ((piece("a"), piece("b", pool="gpu-2", of=3)), (2, 1)),
        ((piece("a"), piece("b", driver="gpu.amd.com", generation=2, devices=1)), (3, 0)),
        (({"metadata": {"name": "a"}, "spec": {}},), (0, 1)),
    ],
)
def test_newest_generation_counts_once_it_is_whole(bodies: tuple[dict[str, Any], ...], found: tuple[int, int]) -> None:
    assert counted(*bodies) == found
    assert counted(*reversed(bodies)) == found


@given(st.integers(1, 5), st.integers(1, 5), st.data())
def test_change_of_generation_shows_the_old_pool_nothing_or_the_new_one(
    before: int, after: int, data: st.DataObject
) -> None:
    slices = Slices()
    for number in range(before):
        slices.put(piece(f"old-{number}", of=before, devices=2))
    steps = [("drop", f"old-{number}") for number in range(before)] + [("put", f"new-{n}") for n in range(after)]
    for step, name in data.draw(st.permutations(steps)):
        if step == "put":
            slices.put(piece(name, generation=2, of=after, devices=3))
        else:
            slices.drop(name)
        assert slices.counted() in ((2 * before, 0), (0, 1), (0, 0), (3 * after, 0))
        if any(each.startswith("new") for each in slices.names()):
            assert slices.counted()[0] in (0, 3 * after), "what is older than the newest is not true any more"
    assert slices.counted() == (3 * after, 0)
