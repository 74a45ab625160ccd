"""What re-packing a fleet is asked and what it answers, as values: moves in order, what they gain, what they risk."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hansa_control.domain.model import Rejection, ScoreTerm, WorkloadSpec, ZoneId


@dataclass(frozen=True, slots=True)
class Holding:
    """What a workload occupies now: replicas in a zone, on the devices of a pool (empty where it needs none)."""

    zone: ZoneId
    replicas: int
    pool: str


@dataclass(frozen=True, slots=True)
class Member:
    """A workload to be re-packed, in one zone or none yet.

    spec is under the law that applies to it anywhere, own_spec under what the home operator demands in its own zones.
    """

    name: str
    spec: WorkloadSpec
    own_spec: WorkloadSpec
    holding: Holding | None = None


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to search: workloads put anew (0 is the default), and time for HiGHS, 0 where no proof is asked for.

    With exact_time_ms_max the answer may depend on how fast the machine is; without, it never does.
    """

    work_max: int = 0
    exact_time_ms_max: int = 0


class MoveKind(StrEnum):
    """MOVE goes where it is to stay, STOPOVER makes room for others on the way, PLACEMENT had no zone before."""

    MOVE = "MOVE"
    STOPOVER = "STOPOVER"
    PLACEMENT = "PLACEMENT"


class Hazard(StrEnum):
    """What may go wrong with a move, or is worse after it.

    TARGET_SILENT: the agent of the zone is not heard. PARTNER: another operator owns it and may refuse.
    FALLBACK_LOST, NO_FALLBACK: no other lawful zone has room for it afterwards, although one had before, or as before.
    THIN_HEADROOM: less than a tenth of the latency budget is left. DETOUR: users are moved twice.
    """

    TARGET_SILENT = "TARGET_SILENT"
    PARTNER = "PARTNER"
    FALLBACK_LOST = "FALLBACK_LOST"
    NO_FALLBACK = "NO_FALLBACK"
    THIN_HEADROOM = "THIN_HEADROOM"
    DETOUR = "DETOUR"


@dataclass(frozen=True, slots=True)
class Felt:
    """What the slowest users feel in a zone: response at the 95th percentile, and what the latency budget leaves at
    its own percentile (negative where it is broken), microseconds.
    """

    p95_us: int
    headroom_us: int


@dataclass(frozen=True, slots=True)
class Move:
    """One step: a new instance is ready in ``target`` before traffic goes there, then the old one stops.

    gain is by how much the score rises, terms by which terms; both are nothing where it ran in no zone that is seen.
    mends are the constraints that its present zone fails. before is None where it cannot be said.
    """

    workload: str
    kind: MoveKind
    origin: ZoneId | None
    target: ZoneId
    replicas: int
    pool: str
    gain: float
    terms: tuple[ScoreTerm, ...]
    mends: tuple[Rejection, ...]
    hazards: tuple[Hazard, ...]
    before: Felt | None
    after: Felt | None
    fallback: ZoneId | None


@dataclass(frozen=True, slots=True)
class Unhoused:
    """A workload that has no lawful zone with room: it stays in ``zone``, or nowhere. proven says that it is so however
    the others are packed.
    """

    workload: str
    zone: ZoneId | None
    proven: bool
    message: str


@dataclass(frozen=True, slots=True)
class Unmoved:
    """A workload that stays where it is, although it might gain, and why."""

    workload: str
    message: str


@dataclass(frozen=True, slots=True)
class Totals:
    """Of all workloads that were re-packed and have a zone.

    latency_permille is the mean round trip as a share of the budget. carbon is milligrams an hour, None if unknown of
    any. violations are workloads in a zone that they may not be in.
    """

    placed: int
    latency_permille: int
    price_millieur_per_hour: int
    carbon_mg_per_hour: int | None
    zones: int
    violations: int


@dataclass(frozen=True, slots=True)
class OptimizationPlan:
    """What would move, in an order that can be executed, what it gains and risks. Nothing of it has been done.

    gain is the sum over moves. gap is by how much, at most, the best packing's objective is better; None is unknown.
    """

    moves: tuple[Move, ...]
    gain: float
    before: Totals
    after: Totals
    unhoused: tuple[Unhoused, ...]
    unmoved: tuple[Unmoved, ...]
    workloads: int
    snapshot_generation: int
    work: int
    gap: float | None = None
