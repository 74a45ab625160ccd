"""Conditions of a workload: one per type, each with the time at which its status last changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hansa_control.domain.model import Condition


def set_condition(conditions: Iterable[Condition], condition: Condition) -> tuple[Condition, ...]:
    """The conditions, sorted by type, with this one in place of its type's former one.

    Where the status stays what it was, so does changed_at_ms; reason, message and observed generation are the new ones.
    """
    by_type = {other.type: other for other in conditions}
    former = by_type.get(condition.type)
    if former is not None and former.status is condition.status:
        condition = replace(condition, changed_at_ms=former.changed_at_ms)
    by_type[condition.type] = condition
    return tuple(by_type[name] for name in sorted(by_type))
