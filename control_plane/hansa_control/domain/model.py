"""The words of hansa as values: zones, facts, network, workloads, claims, decisions.

Everything here is immutable. Times are integers: ``*_ms`` is milliseconds (wall-clock times are since the Unix epoch,
UTC), ``*_us`` is microseconds. Round-trip times are always called ``rtt``. Money is thousandths of a euro.
Countries are ISO 3166-1 alpha-2 codes that were validated before they came here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from hansa_control.domain.reason import Reason as Reason


class ZoneId(NamedTuple):
    """Identity of a zone. Two operators may each have a zone of the same name."""

    operator: str
    zone: str

    def __str__(self) -> str:
        return f"{self.operator}/{self.zone}"

    @classmethod
    def parse(cls, text: str) -> ZoneId:
        """Reads ``operator/zone``; raises ValueError on anything else."""
        operator, slash, zone = text.partition("/")
        if not (operator and slash and zone) or "/" in zone:
            raise ValueError(f"not a zone: {text!r}; expected operator/zone")
        return cls(operator, zone)


class FactKind(StrEnum):
    SITE_COUNTRY = "SITE_COUNTRY"
    HEADQUARTERS_COUNTRY = "HEADQUARTERS_COUNTRY"
    ULTIMATE_PARENT_COUNTRY = "ULTIMATE_PARENT_COUNTRY"
    FOREIGN_SHARE_PERCENT = "FOREIGN_SHARE_PERCENT"
    EXTRATERRITORIAL_LAW = "EXTRATERRITORIAL_LAW"


class EvidenceKind(StrEnum):
    DECLARATION = "DECLARATION"
    REGISTER = "REGISTER"
    CERTIFICATE = "CERTIFICATE"
    MEASUREMENT = "MEASUREMENT"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The proof of a fact. Validity is half open: valid_from_ms <= now < valid_until_ms; 0 is unknown and rejects."""

    kind: EvidenceKind
    issuer: str
    scheme: str
    valid_from_ms: int
    valid_until_ms: int
    digest: str

    def is_valid(self, now_ms: int) -> bool:
        return 0 < self.valid_from_ms <= now_ms < self.valid_until_ms


@dataclass(frozen=True, slots=True)
class Fact:
    """A claim about a zone or its owner. EXTRATERRITORIAL_LAW "none" declares that no such law applies."""

    kind: FactKind
    value: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class AcceleratorPool:
    """A kind of accelerator in a zone; memory_mib is that of one device or slice."""

    vendor: str
    model: str
    memory_mib: int
    count: int
    mig_profile: str = ""

    @property
    def key(self) -> str:
        base = f"{self.vendor}/{self.model}"
        return f"{base}/mig-{self.mig_profile}" if self.mig_profile else base


@dataclass(frozen=True, slots=True)
class AcceleratorNeed:
    """What each replica needs; an empty any_of accepts every model."""

    any_of: tuple[str, ...]
    count: int
    memory_mib_min: int


@dataclass(frozen=True, slots=True)
class Capacity:
    """An amount of capacity; accelerators is sorted by pool key and has no zero counts."""

    cpu_millis: int = 0
    memory_mib: int = 0
    accelerators: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class ArtefactRef:
    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a zone has: the owner's truth, used or not."""

    node: str
    title: str
    capacity: Capacity
    pools: tuple[AcceleratorPool, ...]
    artefacts: tuple[ArtefactRef, ...]
    probe_address: str
    price_millieur_per_hour: int
    source: str
    cordoned: bool


class ZoneState(StrEnum):
    AVAILABLE = "AVAILABLE"
    SILENT = "SILENT"
    LOST = "LOST"
    STALE = "STALE"


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone as deciding sees it: inventory, what is free after holds and allocations, facts, state."""

    id: ZoneId
    inventory: Inventory
    free: Capacity
    facts: tuple[Fact, ...]
    state: ZoneState
    generation: int
    heard_at_ms: int


class LatencyBasis(StrEnum):
    MODELLED = "MODELLED"
    PHYSICAL = "PHYSICAL"
    MEASURED = "MEASURED"


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A distribution of round-trip times in microseconds."""

    p50_us: int
    p95_us: int
    p99_us: int
    basis: LatencyBasis
    sample_count: int = 0
    observed_at_ms: int = 0

    def at(self, percentile: int) -> int:
        """The round-trip time at percentile 50, 95 or 99, microseconds; KeyError on any other."""
        return {50: self.p50_us, 95: self.p95_us, 99: self.p99_us}[percentile]


@dataclass(frozen=True, slots=True)
class NetworkNode:
    """A node of the network graph. country is None when unknown; at_sea says that there is none."""

    name: str
    title: str
    country: str | None
    latitude_deg: float
    longitude_deg: float
    access_point: bool
    at_sea: bool = False


class LinkKind(StrEnum):
    TERRESTRIAL = "TERRESTRIAL"
    SEA_CABLE = "SEA_CABLE"
    ATTACHMENT = "ATTACHMENT"


@dataclass(frozen=True, slots=True)
class NetworkLink:
    """A link, the same in both directions. countries are those crossed besides the ends'; None is unknown."""

    name: str
    node_a: str
    node_b: str
    length_m: int
    rtt: RoundTrip
    countries: tuple[str, ...] | None
    carrier: str
    kind: LinkKind


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Round-trip time that one zone's agent measured to another's."""

    source_zone: ZoneId
    target_zone: ZoneId
    rtt: RoundTrip
    min_us: int
    jitter_us: int
    loss_permille: int


@dataclass(frozen=True, slots=True)
class SiteRule:
    countries_allowed: frozenset[str]


@dataclass(frozen=True, slots=True)
class LegalRule:
    countries_allowed: frozenset[str]
    laws_denied: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TransitRule:
    countries_allowed: frozenset[str]
    carriers_denied: frozenset[str] = frozenset()


class OnChange(StrEnum):
    KEEP_AND_ALERT = "KEEP_AND_ALERT"
    DRAIN = "DRAIN"
    TERMINATE = "TERMINATE"


@dataclass(frozen=True, slots=True)
class ResidencyPolicy:
    """The rule about law and place. An absent part restricts nothing; a present one rejects the unknown."""

    site: SiteRule | None = None
    legal: LegalRule | None = None
    transit: TransitRule | None = None
    on_change: OnChange = OnChange.DRAIN


@dataclass(frozen=True, slots=True)
class AccessDemand:
    access_point: str
    demand_millirps: int


@dataclass(frozen=True, slots=True)
class LatencyBudget:
    """A bound on the round-trip time between every access point and the zone, at percentile 50, 95 or 99."""

    percentile: int
    rtt_us_max: int


@dataclass(frozen=True, slots=True)
class WorkloadSpec:
    """What an app team wants to run. Capacity figures are per replica."""

    artefact: ArtefactRef
    accelerator: AcceleratorNeed | None
    cpu_millis: int
    memory_mib: int
    replicas: int
    access: tuple[AccessDemand, ...]
    latency: LatencyBudget
    residency: ResidencyPolicy


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
    """The path from an access point to a zone and its round-trip time at the budget's percentile."""

    access_point: str
    rtt_us: int
    path: tuple[str, ...]
    countries: tuple[str, ...]
    bases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConstraintResult:
    """A constraint as evaluated: what was found, what was asked, on what the finding rests."""

    constraint: str
    measured: str
    bound: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Rejection:
    zone: ZoneId
    reason: Reason
    result: ConstraintResult


@dataclass(frozen=True, slots=True)
class ScoreTerm:
    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Choice:
    """A zone that satisfies every constraint; greater scores are better."""

    zone: ZoneId
    score: float
    terms: tuple[ScoreTerm, ...]
    latencies: tuple[AccessLatency, ...]
    pool: str
    passed: tuple[ConstraintResult, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """Choices, best first, and every failing constraint of every other zone, on one snapshot."""

    choices: tuple[Choice, ...]
    rejections: tuple[Rejection, ...]
    zones_evaluated: int
    snapshot_generation: int
    nearest_fix: str = ""
    elapsed_us: int = 0


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
    """Capacity promised to a home operator. lease_until_ms is monotonic and counts in state HELD only."""

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
    claim: str
    fencing_token: int
    lease_ms: int
    pool: str


# --- instances: agent and owner -------------------------------------------------------------------------------------


class InstanceState(StrEnum):
    STARTING = "STARTING"
    READY = "READY"
    STOPPING = "STOPPING"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class DesiredInstance:
    """An order to an agent; what is not ordered is to be stopped."""

    instance: str
    claim: str
    workload: str
    artefact: ArtefactRef
    limits: Capacity
    fencing_token: int
    client_ca_pem: bytes
    client_ids: tuple[str, ...]


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

    generation is that of the spec that it was placed for.
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
    """A directed federation seen from one side: home uses zones of owner under context_id."""

    home: str
    owner: str
    context_id: str
    state: FederationState
    offer_ttl_ms: int
    endpoint_ca_pem: bytes = b""
