"""The words of hansa as values: zones, facts, network, workloads, claims, decisions.

Everything here is immutable. Times are integers: ``*_ms`` is milliseconds (wall-clock times are since the Unix epoch,
UTC), ``*_us`` is microseconds. Round-trip times are always called ``rtt``. Money is thousandths of a euro.
Countries are ISO 3166-1 alpha-2 codes that were validated before they came here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from hansa_control.domain.agreement import PriceVersion as PriceVersion
from hansa_control.domain.agreement import Standing as Standing
from hansa_control.domain.policy import (
    ALL_DATA as ALL_DATA,
)
from hansa_control.domain.policy import (
    AttestationRule as AttestationRule,
)
from hansa_control.domain.policy import (
    CertificationNeed as CertificationNeed,
)
from hansa_control.domain.policy import (
    CertificationRule as CertificationRule,
)
from hansa_control.domain.policy import (
    Countries as Countries,
)
from hansa_control.domain.policy import (
    DataClass as DataClass,
)
from hansa_control.domain.policy import (
    EnergyRule as EnergyRule,
)
from hansa_control.domain.policy import (
    LegalRule as LegalRule,
)
from hansa_control.domain.policy import (
    OnChange as OnChange,
)
from hansa_control.domain.policy import (
    PersonnelRule as PersonnelRule,
)
from hansa_control.domain.policy import (
    ResidencyPolicy as ResidencyPolicy,
)
from hansa_control.domain.policy import (
    SiteRule as SiteRule,
)
from hansa_control.domain.policy import (
    TransitRule as TransitRule,
)
from hansa_control.domain.policy import (
    UnknownPaths as UnknownPaths,
)
from hansa_control.domain.reason import Reason as Reason
from hansa_control.domain.seals import Seal
from hansa_control.domain.spec import (
    AccessDemand as AccessDemand,
)
from hansa_control.domain.spec import (
    DataSource as DataSource,
)
from hansa_control.domain.spec import (
    Disruption as Disruption,
)
from hansa_control.domain.spec import (
    LatencyBudget as LatencyBudget,
)
from hansa_control.domain.spec import (
    Objective as Objective,
)
from hansa_control.domain.spec import (
    OnBehalf as OnBehalf,
)
from hansa_control.domain.spec import (
    OnPartition as OnPartition,
)
from hansa_control.domain.spec import (
    PartitionRule as PartitionRule,
)
from hansa_control.domain.spec import (
    Preferences as Preferences,
)
from hansa_control.domain.spec import (
    Selector as Selector,
)
from hansa_control.domain.spec import (
    ServiceProfile as ServiceProfile,
)
from hansa_control.domain.spec import (
    ServiceTime as ServiceTime,
)
from hansa_control.domain.spec import (
    SoftConstraint as SoftConstraint,
)
from hansa_control.domain.spec import (
    SpreadLevel as SpreadLevel,
)
from hansa_control.domain.spec import (
    SpreadRule as SpreadRule,
)
from hansa_control.domain.spec import (
    WorkloadSpec as WorkloadSpec,
)
from hansa_control.domain.spec import (
    ZoneBounds as ZoneBounds,
)
from hansa_control.domain.zones import (
    AcceleratorNeed as AcceleratorNeed,
)
from hansa_control.domain.zones import (
    AcceleratorPool as AcceleratorPool,
)
from hansa_control.domain.zones import (
    ArtefactRef as ArtefactRef,
)
from hansa_control.domain.zones import (
    Capacity as Capacity,
)
from hansa_control.domain.zones import (
    Evidence as Evidence,
)
from hansa_control.domain.zones import (
    EvidenceKind as EvidenceKind,
)
from hansa_control.domain.zones import (
    Fact as Fact,
)
from hansa_control.domain.zones import (
    FactKind as FactKind,
)
from hansa_control.domain.zones import (
    Handler as Handler,
)
from hansa_control.domain.zones import (
    Intake as Intake,
)
from hansa_control.domain.zones import (
    Inventory as Inventory,
)
from hansa_control.domain.zones import (
    LatencyBasis as LatencyBasis,
)
from hansa_control.domain.zones import (
    LinkEncryption as LinkEncryption,
)
from hansa_control.domain.zones import (
    LinkKind as LinkKind,
)
from hansa_control.domain.zones import (
    NetworkLink as NetworkLink,
)
from hansa_control.domain.zones import (
    NetworkNode as NetworkNode,
)
from hansa_control.domain.zones import (
    NodeProbe as NodeProbe,
)
from hansa_control.domain.zones import (
    OneWayDelay as OneWayDelay,
)
from hansa_control.domain.zones import (
    Origin as Origin,
)
from hansa_control.domain.zones import (
    ProbedKind as ProbedKind,
)
from hansa_control.domain.zones import (
    ProbeResult as ProbeResult,
)
from hansa_control.domain.zones import (
    Refusals as Refusals,
)
from hansa_control.domain.zones import (
    RoundTrip as RoundTrip,
)
from hansa_control.domain.zones import (
    SiteWish as SiteWish,
)
from hansa_control.domain.zones import (
    Upkeep as Upkeep,
)
from hansa_control.domain.zones import (
    Window as Window,
)
from hansa_control.domain.zones import (
    Zone as Zone,
)
from hansa_control.domain.zones import (
    ZoneId as ZoneId,
)
from hansa_control.domain.zones import (
    ZoneSide as ZoneSide,
)
from hansa_control.domain.zones import (
    ZoneState as ZoneState,
)


class WorkloadId(NamedTuple):
    """Identity of a workload at its home operator."""

    tenant: str
    workload: str

    def __str__(self) -> str:
        return f"tenants/{self.tenant}/workloads/{self.workload}"

    @classmethod
    def parse(cls, text: str) -> WorkloadId:
        """Reads ``tenants/T/workloads/W``; raises ValueError on anything else."""
        parts = text.split("/")
        if len(parts) != 4 or parts[0] != "tenants" or parts[2] != "workloads" or not (parts[1] and parts[3]):
            raise ValueError(f"not a workload name: {text!r}; expected tenants/TENANT/workloads/WORKLOAD")
        return cls(parts[1], parts[3])


# --- deciding -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AccessLatency:
    """The path from an access point to a zone and its round-trip time at the budget's percentile.

    return_path is the way back, zone's node first; empty where it is the same way.
    """

    access_point: str
    rtt_us: int
    path: tuple[str, ...]
    countries: tuple[str, ...]
    bases: tuple[str, ...]
    return_path: tuple[str, ...] = ()


class ConstraintResult(NamedTuple):
    """A constraint as evaluated: what was found, what was asked, on what the finding rests."""

    constraint: str
    measured: str
    bound: str
    evidence: str


class Rejection(NamedTuple):
    """Why a zone is refused."""

    zone: ZoneId
    reason: Reason
    result: ConstraintResult


class ScoreTerm(NamedTuple):
    """A contribution to a score."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Choice:
    """A zone that satisfies every constraint; greater scores are better.

    replicas is how many would run there if it took the workload alone; 0 is what the request asks for.
    """

    zone: ZoneId
    score: float
    terms: tuple[ScoreTerm, ...]
    latencies: tuple[AccessLatency, ...]
    pool: str
    passed: tuple[ConstraintResult, ...]
    replicas: int = 0


@dataclass(frozen=True, slots=True)
class Assignment:
    """A zone's part in a plan.

    share_permille has one entry per access point, in the order of the spec: what this zone gets of its traffic.
    latencies are of the access points that it serves, or could serve where it stands by and has no share of any.
    fallback is the lawful zone that takes over if this one fails.
    """

    zone: ZoneId
    replicas: int
    pool: str
    share_permille: tuple[int, ...]
    latencies: tuple[AccessLatency, ...]
    fallback: ZoneId | None


@dataclass(frozen=True, slots=True)
class PredictedLatency:
    """Response time of an access point over all zones that serve it; the parts are at the budget's percentile."""

    access_point: str
    p50_us: int
    p95_us: int
    p99_us: int
    rtt_us: int
    wait_us: int
    service_us: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Zones, replicas and shares chosen together, and what comes of it.

    power_watts is what all devices draw under load, carbon_mg_per_hour its CO2 equivalent; None is unknown. Greater
    objectives are better.
    """

    assignments: tuple[Assignment, ...]
    predicted: tuple[PredictedLatency, ...]
    price_millieur_per_hour: int
    power_watts: int | None
    carbon_mg_per_hour: int | None
    objective: float


@dataclass(frozen=True, slots=True)
class Decision:
    """Choices, best first, and every failing constraint of every other zone, on one snapshot.

    margin is by how much the best choice beats the second, and pivotal the term of the score that decided between them.
    policy is the effective one, as it was applied. digest is of the inputs.
    """

    choices: tuple[Choice, ...]
    rejections: tuple[Rejection, ...]
    zones_evaluated: int
    snapshot_generation: int
    nearest_fix: str = ""
    elapsed_us: int = 0
    plan: Plan | None = None
    margin: float = 0.0
    pivotal: str = ""
    policy: ResidencyPolicy | None = None
    digest: str = ""


# --- claims: the owner's side ---------------------------------------------------------------------------------------


class ClaimState(StrEnum):
    HELD = "HELD"
    ALLOCATED = "ALLOCATED"
    SERVING = "SERVING"
    LOST = "LOST"
    FAILED = "FAILED"
    RELEASING = "RELEASING"
    RELEASED = "RELEASED"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What follows once a zone is chosen: who the workload is and who may call it."""

    workload: str
    client_ca_pem: bytes
    client_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """Capacity promised to a home operator. lease_until_ms is monotonic and counts in state HELD only.

    agreement_version is that of the agreement under which it was granted; 0 for the operator's own.
    policy_applied is the policy that the zone was judged by, None where that is the spec's. form is which of the spec's
    artefact forms the zone runs, None where that is the artefact itself.
    """

    name: str
    home: str
    zone: str
    spec: WorkloadSpec
    amount: Capacity
    pool: str
    state: ClaimState
    fencing_token: int
    lease_until_ms: int
    manifest: Manifest | None = None
    replicas_ready: int = 0
    endpoint_urls: tuple[str, ...] = ()
    message: str = ""
    agreement_version: int = 0
    policy_applied: ResidencyPolicy | None = None
    form: ArtefactRef | None = None


@dataclass(frozen=True, slots=True)
class ClaimStatus:
    """What the owner tells the home operator of a claim."""

    claim: str
    state: ClaimState
    replicas_ready: int
    endpoint_urls: tuple[str, ...]
    message: str
    fencing_token: int


@dataclass(frozen=True, slots=True)
class HoldGrant:
    """Capacity that its owner holds; seal is what the owner has signed of it, None where nothing crosses a border.

    In a zone that the one who grants offers on, underlying is the grant that it has for this one itself.
    """

    claim: str
    fencing_token: int
    lease_ms: int
    pool: str
    seal: Seal | None = None
    underlying: HoldGrant | None = None


# --- instances: agent and owner -------------------------------------------------------------------------------------


class InstanceState(StrEnum):
    STARTING = "STARTING"
    READY = "READY"
    STOPPING = "STOPPING"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class DesiredInstance:
    """An order to an agent; what is not ordered is to be stopped.

    asker ("operator/tenant") and data are said to an agent that refuses some.
    """

    instance: str
    claim: str
    workload: str
    artefact: ArtefactRef
    limits: Capacity
    fencing_token: int
    client_ca_pem: bytes
    client_ids: tuple[str, ...]
    asker: str = ""
    data: tuple[DataClass, ...] = ()


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    instance: str
    claim: str
    state: InstanceState
    endpoint_url: str
    restarts: int
    message: str
    fencing_token: int
    started_at_ms: int


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    zone: ZoneId
    address: str


# --- workloads: the home operator's side ----------------------------------------------------------------------------


class WorkloadState(StrEnum):
    PENDING = "PENDING"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    UNPLACEABLE = "UNPLACEABLE"
    DELETING = "DELETING"


class PlacementState(StrEnum):
    HELD = "HELD"
    STARTING = "STARTING"
    READY = "READY"
    LOST = "LOST"
    RELEASING = "RELEASING"


@dataclass(frozen=True, slots=True)
class Placement:
    """A workload's share in one zone; claim is the name of the claim on its owner.

    generation is that of the spec that it was placed for. Placements of one batch were planned together, batch_parts of
    them; share_permille is what this one gets of each access point, in the order of the spec, empty where it gets all.
    has_answered: it has been READY before, if it is not now.
    """

    claim: str
    zone: ZoneId
    replicas: int
    state: PlacementState
    latencies: tuple[AccessLatency, ...]
    endpoint_urls: tuple[str, ...] = ()
    endpoint_ca_pem: bytes = b""
    message: str = ""
    fencing_token: int = 0
    pool: str = ""
    generation: int = 1
    batch: int = 0
    share_permille: tuple[int, ...] = ()
    batch_parts: int = 1
    has_answered: bool = False


class ConditionStatus(StrEnum):
    TRUE = "TRUE"
    FALSE = "FALSE"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Condition:
    type: str
    status: ConditionStatus
    reason: str
    message: str
    observed_generation: int
    changed_at_ms: int


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload as its home operator keeps it. revision grows with every change and is the wire's etag."""

    id: WorkloadId
    uid: str
    spec: WorkloadSpec
    generation: int
    revision: int
    state: WorkloadState
    placements: tuple[Placement, ...]
    conditions: tuple[Condition, ...]
    created_at_ms: int
    client_id: str
    attempt: int = 0


class EventLevel(StrEnum):
    NORMAL = "NORMAL"
    WARNING = "WARNING"


@dataclass(frozen=True, slots=True)
class Event:
    sequence: int
    at_ms: int
    workload: str
    reason: str
    message: str
    level: EventLevel


# --- federation -----------------------------------------------------------------------------------------------------


class FederationState(StrEnum):
    PROPOSED = "PROPOSED"
    ACTIVE = "ACTIVE"
    STALE = "STALE"
    TERMINATED = "TERMINATED"


@dataclass(frozen=True, slots=True)
class Federation:
    """A directed federation seen from one side: home uses zones of owner under context_id.

    standing is the owner's agreement with home, as the owner keeps it or as home was told; None is unknown. prices are
    those of its versions, oldest first; they outlive the federation, as what was used is paid for after its end.
    capabilities are what the other side said last that it can do.
    """

    home: str
    owner: str
    context_id: str
    state: FederationState
    offer_ttl_ms: int
    endpoint_ca_pem: bytes = b""
    standing: Standing | None = None
    capabilities: tuple[str, ...] = ()
    prices: tuple[PriceVersion, ...] = ()
