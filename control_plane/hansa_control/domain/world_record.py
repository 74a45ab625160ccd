"""World records: what an operator sees at one moment and where its app teams' workloads run, as one value.

Whoever has the record can decide on it with the same code, and on worlds that are other than it. It has no secrets:
what a placement says of endpoints, certificates and fencing is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from hansa_control.domain.model import (
    AccessLatency,
    Placement,
    PlacementState,
    ResidencyPolicy,
    Workload,
    WorkloadSpec,
    WorkloadState,
    ZoneId,
)
from hansa_control.domain.record import SnapshotParts

FORMAT = 1
"""Of the record; grows whenever its fields change."""


@dataclass(frozen=True, slots=True)
class StandingPlacement:
    """A placement without what is nobody else's business: its endpoints, who vouches for them, its fencing token."""

    claim: str
    zone: ZoneId
    replicas: int
    state: PlacementState
    latencies: tuple[AccessLatency, ...]
    pool: str = ""
    generation: int = 1
    batch: int = 0
    share_permille: tuple[int, ...] = ()
    batch_parts: int = 1
    has_answered: bool = False

    @classmethod
    def of(cls, placement: Placement) -> StandingPlacement:
        """What is kept of a placement."""
        return cls(*(getattr(placement, name) for name in _KEPT))

    def placement(self) -> Placement:
        """The placement as deciding reads it."""
        return Placement(**{name: getattr(self, name) for name in _KEPT})


_KEPT = tuple(StandingPlacement.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class StandingWorkload:
    """A workload as it stands: asked for by the app team of ``home``, and where it runs.

    spec is under the law that applies, explicit and merged. owned_residency is the policy that it is judged by in zones
    of its home operator, which may demand more there. generation is that of the spec.
    """

    name: str
    home: str
    state: WorkloadState
    generation: int
    spec: WorkloadSpec
    owned_residency: ResidencyPolicy
    placements: tuple[StandingPlacement, ...]


@dataclass(frozen=True, slots=True)
class PartnerStanding:
    """A federation in one direction: with whom, who uses whose zones, and how it and its agreement stand now.

    federation and agreement are states, empty where there is none; times are ms since the Unix epoch, UTC, 0 for none.
    """

    partner: str
    uses_ours: bool
    federation: str
    agreement: str
    reference: str
    deadline_ms: int
    valid_until_ms: int


@dataclass(frozen=True, slots=True)
class WorldRecord:
    """The world of ``home``. choices_tried_max is how many zones it asks for one placement.

    workloads are in the order in which the control plane looks at them where nothing else decides.
    """

    format: int
    home: str
    taken_at_ms: int
    choices_tried_max: int
    snapshot: SnapshotParts
    workloads: tuple[StandingWorkload, ...]
    partners: tuple[PartnerStanding, ...] = ()


def standing_of(held: Workload, home: str, spec: WorkloadSpec, owned_residency: ResidencyPolicy) -> StandingWorkload:
    """A workload as it stands, of the app teams of ``home``."""
    placements = tuple(map(StandingPlacement.of, held.placements))
    return StandingWorkload(str(held.id), home, held.state, held.generation, spec, owned_residency, placements)
