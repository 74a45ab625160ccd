"""Conditions of a workload."""

from __future__ import annotations

from hansa_control.domain.conditions import set_condition
from hansa_control.domain.model import Condition, ConditionStatus


def condition(
    kind: str = "Ready", status: ConditionStatus = ConditionStatus.TRUE, changed_at_ms: int = 100, message: str = ""
) -> Condition:
    return Condition(kind, status, "Because", message, 1, changed_at_ms)


def test_conditions_are_sorted_by_type() -> None:
    conditions: tuple[Condition, ...] = ()
    for kind in ("Stranded", "Placed", "Ready"):
        conditions = set_condition(conditions, condition(kind))
    assert [one.type for one in conditions] == ["Placed", "Ready", "Stranded"]


def test_a_change_of_status_moves_the_time() -> None:
    (after,) = set_condition([condition()], condition(status=ConditionStatus.FALSE, changed_at_ms=200))
    assert (after.status, after.changed_at_ms) == (ConditionStatus.FALSE, 200)


def test_a_new_message_for_the_same_status_leaves_the_time() -> None:
    (after,) = set_condition([condition()], condition(changed_at_ms=200, message="2 of 2 replicas"))
    assert (after.message, after.changed_at_ms) == ("2 of 2 replicas", 100)


def test_one_type_leaves_the_others_alone() -> None:
    placed = condition("Placed")
    assert placed in set_condition([placed, condition()], condition(status=ConditionStatus.UNKNOWN))
