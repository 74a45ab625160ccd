"""A zone and the network it stands in, as values: identity, facts, accelerators, inventory, nodes, links, probes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from hansa_control.domain.canonical import LATER
from hansa_control.domain.hashed import Hashed
from hansa_control.domain.intake import OPEN
from hansa_control.domain.intake import Intake as Intake
from hansa_control.domain.intake import SiteWish as SiteWish
from hansa_control.domain.intake import Upkeep as Upkeep
from hansa_control.domain.intake import Window as Window
from hansa_control.domain.intake import ZoneSide as ZoneSide
from hansa_control.domain.refusals import Refusals as Refusals


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
    OPERATION_COUNTRY = "OPERATION_COUNTRY"
    SUPPORT_COUNTRY = "SUPPORT_COUNTRY"
    PERSONNEL_CLEARANCE = "PERSONNEL_CLEARANCE"
    ATTESTATION = "ATTESTATION"
    CERTIFICATION = "CERTIFICATION"
    CARBON_GCO2_PER_KWH = "CARBON_GCO2_PER_KWH"
    RENEWABLE_PERCENT = "RENEWABLE_PERCENT"


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
    """A claim about a zone or its owner. "none" as EXTRATERRITORIAL_LAW declares that no such law applies.

    version and level are of a CERTIFICATION, whose value is the scheme; empty otherwise.
    """

    kind: FactKind
    value: str
    evidence: Evidence
    version: str = ""
    level: str = ""


@dataclass(frozen=True, slots=True)
class Handler:
    """An operator through whose hands a re-offered zone, and every claim in it, goes.

    facts are on its own legal control, as it declares and signs them; those of the zone's owner are with the zone.
    """

    operator: str
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a zone comes from that the operator which offers it does not own.

    zone is its owner's; handlers are from the owner's partner to the operator that offers it, at least that one.
    """

    zone: ZoneId
    handlers: tuple[Handler, ...]


@dataclass(frozen=True, slots=True)
class AcceleratorPool:
    """A kind of accelerator in a zone; memory_mib is that of one device or slice.

    node_count_max is the most that one machine of the zone has of them, used or not; 0 where that is not known.
    """

    vendor: str
    model: str
    memory_mib: int
    count: int
    mig_profile: str = ""
    node_count_max: int = field(default=0, metadata=LATER)

    @property
    def replica_count_max(self) -> int:
        """No replica gets more of them, because it runs on one machine."""
        return self.node_count_max or self.count

    @property
    def key(self) -> str:
        base = f"{self.vendor}/{self.model}"
        return f"{base}/mig-{self.mig_profile}" if self.mig_profile else base


@dataclass(frozen=True, slots=True)
class AcceleratorNeed(Hashed):
    """What each replica needs; an empty any_of accepts every model."""

    any_of: tuple[str, ...]
    count: int
    memory_mib_min: int

    __hash__ = Hashed.__hash__


@dataclass(frozen=True, slots=True)
class Capacity:
    """An amount of capacity; accelerators is sorted by pool key and has no zero counts."""

    cpu_millis: int = 0
    memory_mib: int = 0
    accelerators: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class ArtefactRef(Hashed):
    name: str
    digest: str

    __hash__ = Hashed.__hash__


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a zone has: the owner's truth, used or not.

    trouble is what the zone's agent cannot vouch for at present, for a person, and wish what those ask who keep its
    machines; no partner is told either, but for what follows from a wish. refusals is what these never take.
    """

    node: str
    title: str
    capacity: Capacity
    pools: tuple[AcceleratorPool, ...]
    artefacts: tuple[ArtefactRef, ...]
    probe_address: str
    price_millieur_per_hour: int
    source: str
    cordoned: bool
    failure_domain: str = ""
    device_watts: int = 0
    trouble: str = field(default="", metadata=LATER)
    wish: SiteWish | None = field(default=None, metadata=LATER)
    refusals: Refusals | None = field(default=None, metadata=LATER)


class ZoneState(StrEnum):
    AVAILABLE = "AVAILABLE"
    SILENT = "SILENT"
    LOST = "LOST"
    STALE = "STALE"
    AGREEMENT_SUSPENDED = "AGREEMENT_SUSPENDED"
    AGREEMENT_ENDING = "AGREEMENT_ENDING"
    AGREEMENT_UNKNOWN = "AGREEMENT_UNKNOWN"


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone as deciding sees it: inventory, what is free after holds and allocations, facts, state, upkeep.

    origin is set where the operator that offers it does not own it; the facts are the owner's.
    """

    id: ZoneId
    inventory: Inventory
    free: Capacity
    facts: tuple[Fact, ...]
    state: ZoneState
    generation: int
    heard_at_ms: int
    upkeep: Upkeep = OPEN
    origin: Origin | None = field(default=None, metadata=LATER)

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """Operators besides the owner through whose hands claims in the zone go; mostly none."""
        return self.origin.handlers if self.origin is not None else ()

    @property
    def all_facts(self) -> tuple[Fact, ...]:
        """The facts on the zone and its owner, and those on every handler: all that the law is read against."""
        if self.origin is None:
            return self.facts
        return self.facts + tuple(fact for handler in self.origin.handlers for fact in handler.facts)


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
    """A node of the network graph. country is None when unknown; at_sea says that there is none.

    coarse says that its owner shows the middle of a cell of one degree instead of the place.
    """

    name: str
    title: str
    country: str | None
    latitude_deg: float
    longitude_deg: float
    access_point: bool
    at_sea: bool = False
    coarse: bool = False


class LinkEncryption(StrEnum):
    """Whether a link is encrypted by itself, below the mutual TLS that hansa always uses end to end."""

    UNKNOWN = "UNKNOWN"
    NONE = "NONE"
    ENCRYPTED = "ENCRYPTED"


class LinkKind(StrEnum):
    TERRESTRIAL = "TERRESTRIAL"
    SEA_CABLE = "SEA_CABLE"
    ATTACHMENT = "ATTACHMENT"


@dataclass(frozen=True, slots=True)
class NetworkLink:
    """A link. countries are those crossed besides the ends'; None is unknown.

    rtt is there and back over this link alone; forward_permille is the share of it spent from node_a to node_b.
    one_way links carry traffic from node_a to node_b only. bandwidth_kbps is what each direction carries; 0 is unknown.
    """

    name: str
    node_a: str
    node_b: str
    length_m: int
    rtt: RoundTrip
    countries: tuple[str, ...] | None
    carrier: str
    kind: LinkKind
    forward_permille: int = 500
    one_way: bool = False
    bandwidth_kbps: int = 0
    encryption: LinkEncryption = LinkEncryption.UNKNOWN


@dataclass(frozen=True, slots=True)
class OneWayDelay:
    """One-way delays by the clocks of both ends, microseconds; each may be off by error_us. Nothing is decided by them,
    for whoever answers may claim any split.
    """

    there_p50_us: int
    there_p95_us: int
    back_p50_us: int
    back_p95_us: int
    error_us: int
    sample_count: int


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Round-trip time that one zone's agent measured to another's, and one-way delays where clocks allow."""

    source_zone: ZoneId
    target_zone: ZoneId
    rtt: RoundTrip
    min_us: int
    jitter_us: int
    loss_permille: int
    one_way: OneWayDelay | None = field(default=None, metadata=LATER)


class ProbedKind(StrEnum):
    """What a node is that a probe went to."""

    GATEWAY = "GATEWAY"
    ACCESS_POINT = "ACCESS_POINT"


@dataclass(frozen=True, slots=True)
class NodeProbe:
    """Round-trip time that a zone's agent measured to a node of the network. It is shown beside the model; nothing is
    decided by it, since whoever answers there proves no place.
    """

    source_zone: ZoneId
    kind: ProbedKind
    probed_node: str
    rtt: RoundTrip
    min_us: int
    jitter_us: int
    loss_permille: int
    one_way: OneWayDelay | None = None
