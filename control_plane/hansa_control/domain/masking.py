"""What a partner asks from places that it is not shown, judged so that no answer tells whether they are there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hansa_control.domain.model import ConstraintResult, Reason, Rejection, WorkloadSpec
from hansa_control.domain.near_names import NearNames


@dataclass(frozen=True, slots=True)
class Masked:
    """What a partner asks, as it is judged: with other names for access points that it is not shown.

    names holds them by the other name; near are the access points that it may be told of.
    """

    spec: WorkloadSpec
    names: Mapping[str, str] = field(default_factory=dict)
    near: tuple[str, ...] = ()

    def told(self, rejections: tuple[Rejection, ...]) -> tuple[Rejection, ...]:
        """Refusals with the names that the partner gave."""
        return tuple(self._told(one) for one in rejections) if self.names else rejections

    def _told(self, rejection: Rejection) -> Rejection:
        constraint, measured, bound, evidence = rejection.result
        if rejection.reason is Reason.ACCESS_POINT_UNKNOWN and measured in self.names:
            bound += NearNames(self.near).hint(self.names[measured])
        words = (_MASK.sub(lambda mask: self.names.get(mask[0], mask[0]), text) for text in (measured, bound, evidence))
        return rejection._replace(result=ConstraintResult(constraint, *words))


_MASK = re.compile(r"\?[0-9]+")


def masked(spec: WorkloadSpec, unseen: frozenset[str], near: tuple[str, ...]) -> Masked:
    """A request in which the access points that a partner does not see have names that no node can have.

    Whether such a name is hidden or is nobody's makes no difference to anything that is said of it.
    """
    masks = {one.access_point: f"?{at}" for at, one in enumerate(spec.access) if one.access_point in unseen}
    if not masks:
        return Masked(spec)
    access = tuple(replace(one, access_point=masks.get(one.access_point, one.access_point)) for one in spec.access)
    return Masked(replace(spec, access=access), {mask: name for name, mask in masks.items()}, near)
