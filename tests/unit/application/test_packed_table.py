"""Records that are packed come back equal; those put last are the very same; order and count are those of a dict."""

from __future__ import annotations

import pytest
from hansa_control.application.packed_table import UNPACKED_MAX, PackedTable, Packing

PACKING = Packing[int](lambda number: str(number).encode(), lambda packed: int(packed))


def table(**packed: bytes) -> PackedTable[int]:
    return PackedTable(PACKING, dict(packed))


def test_what_was_packed_is_read_each_time() -> None:
    assert dict(table(a=b"1", b=b"2")) == {"a": 1, "b": 2}
    with pytest.raises(KeyError):
        table(a=b"1")["b"]


def test_the_last_ones_are_the_very_objects_and_the_others_come_back_equal() -> None:
    made = [10**20 + n for n in range(UNPACKED_MAX + 5)]
    kept = table()
    for n, record in enumerate(made):
        kept[f"k{n}"] = record
    assert list(kept.values()) == made
    assert len(kept) == len(made)
    assert kept["k4"] is not made[4]
    assert all(kept[f"k{n}"] is made[n] for n in range(5, len(made)))
    assert len(kept._unpacked) == UNPACKED_MAX


def test_a_record_that_is_put_again_is_the_new_one_and_keeps_its_place() -> None:
    kept = table(a=b"1", b=b"2")
    kept["a"] = 3
    assert list(kept.items()) == [("a", 3), ("b", 2)]


def test_what_is_deleted_is_gone_packed_or_not() -> None:
    kept = table(a=b"1")
    kept["b"] = 2
    del kept["a"], kept["b"]
    assert not kept
    assert "a" not in kept
    assert kept.pop("b", None) is None
    with pytest.raises(KeyError):
        del kept["b"]
