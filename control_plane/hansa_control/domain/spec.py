"""What an app team asks for, as values: capacity is per replica, demand thousandths of a request a second."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

from hansa_control.domain.canonical import LATER
from hansa_control.domain.hashed import Hashed
from hansa_control.domain.policy import DataClass, ResidencyPolicy
from hansa_control.domain.zones import AcceleratorNeed, ArtefactRef, Handler, ZoneId


@dataclass(frozen=True, slots=True)
class AccessDemand:
    access_point: str
    demand_millirps: int


@dataclass(frozen=True, slots=True)
class LatencyBudget:
    """Bounds at percentile 50, 95 or 99, from every access point.

    rtt_us_max bounds the round-trip time to the zone. response_us_max bounds round trip, queueing and service together
    and needs a service profile; 0 is no such bound.
    """

    percentile: int
    rtt_us_max: int
    response_us_max: int = 0


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """How long a replica takes for one request on an accelerator.

    model is a model or pool key as in AcceleratorNeed; empty stands for every zone. scv_permille is the squared
    coefficient of variation of the service time in thousandths: 0 is deterministic, 1000 exponential.
    """

    model: str
    mean_us: int
    p95_us: int
    p99_us: int
    scv_permille: int


@dataclass(frozen=True, slots=True)
class ServiceProfile(Hashed):
    """Requests as they load replicas and links; concurrency is how many requests one replica serves at once."""

    times: tuple[ServiceTime, ...]
    concurrency: int = 1
    request_bytes: int = 0
    response_bytes: int = 0

    __hash__ = Hashed.__hash__


class SpreadLevel(StrEnum):
    """What counts as a domain of its own when replicas are spread."""

    ZONE = "ZONE"
    FAILURE_DOMAIN = "FAILURE_DOMAIN"
    OPERATOR = "OPERATOR"
    COUNTRY = "COUNTRY"


@dataclass(frozen=True, slots=True)
class SpreadRule:
    """Replicas stand in at least domains_min domains, at most replicas_per_domain_max in each (0 is no bound)."""

    level: SpreadLevel
    domains_min: int = 1
    replicas_per_domain_max: int = 0


@dataclass(frozen=True, slots=True)
class ZoneBounds:
    """Over how many zones a workload's replicas may be spread."""

    minimum: int = 1
    maximum: int = 1


@dataclass(frozen=True, slots=True)
class Selector:
    """Zones by operator, site country, zone or CEL predicate; what is empty restricts nothing, all must match."""

    operators: frozenset[str] = frozenset()
    countries: frozenset[str] = frozenset()
    zones: tuple[ZoneId, ...] = ()
    predicate: str = ""


@dataclass(frozen=True, slots=True)
class SoftConstraint:
    """A wish: a zone that the selector does not match loses weight_permille / 1000 of score."""

    selector: Selector
    weight_permille: int


@dataclass(frozen=True, slots=True)
class Preferences:
    """Ordered tiers, of which the first that has a lawful place wins and is gone back to, and wishes.

    Over several zones every zone outside the first tier counts against the plan, however little it serves.
    """

    ordered: tuple[Selector, ...] = ()
    soft: tuple[SoftConstraint, ...] = ()


@dataclass(frozen=True, slots=True)
class Objective:
    """What the score weighs, thousandths: latency as a share of the budget, euro an hour, 100 gCO2 an hour."""

    latency_permille: int = 1_000
    price_permille: int = 50
    carbon_permille: int = 0


@dataclass(frozen=True, slots=True)
class DataSource:
    """Where a workload reads data from or sends data to, besides its users: a network node and its country.

    The path between it and the zone falls under the transit rule if the policy applies to that kind of data; its
    country falls under the site rule. None is an unknown country.
    """

    name: str
    node: str
    country: str | None
    data: DataClass


@dataclass(frozen=True, slots=True)
class Disruption:
    """What workloads of a higher priority may do to one: never leave fewer than min_available replicas answering."""

    min_available: int = 0
    preemptible: bool = True


class OnPartition(StrEnum):
    """Which side goes on when the network splits: KEEP where the instance is, REPLACE where the app team is."""

    KEEP = "KEEP"
    REPLACE = "REPLACE"


@dataclass(frozen=True, slots=True)
class PartitionRule:
    """after_ms is how long the split must last for REPLACE."""

    action: OnPartition = OnPartition.KEEP
    after_ms: int = 30_000


@dataclass(frozen=True, slots=True)
class OnBehalf:
    """For whom an operator holds a zone that it re-offers: the home operator, its claim at the operator that it asked,
    and the handlers, from the owner's partner to that operator.
    """

    home: str
    claim: str
    handlers: tuple[Handler, ...]


@dataclass(frozen=True, slots=True)
class WorkloadSpec(Hashed):
    """What an app team wants to run. Capacity figures are per replica.

    replicas is the least; replicas_max the most, 0 the same. artefact_forms are the artefact in other forms, for zones
    that run something else; any will do. asker is whose workload it is ("operator/tenant"), said by whoever decides
    where that matters; it never crosses the wire with a spec. on_behalf is no wish of an app team's: an operator that
    re-offers a zone says there for whom it asks the zone's owner.
    """

    artefact: ArtefactRef
    accelerator: AcceleratorNeed | None
    cpu_millis: int
    memory_mib: int
    replicas: int
    access: tuple[AccessDemand, ...]
    latency: LatencyBudget
    residency: ResidencyPolicy
    replicas_max: int = 0
    zones: ZoneBounds = ZoneBounds()
    spread: tuple[SpreadRule, ...] = ()
    service: ServiceProfile | None = None
    preferences: Preferences = Preferences()
    objective: Objective = Objective()
    data_sources: tuple[DataSource, ...] = ()
    price_millieur_per_hour_max: int = 0
    priority: int = 0
    disruption: Disruption = Disruption()
    on_partition: PartitionRule = PartitionRule()
    on_behalf: OnBehalf | None = field(default=None, metadata=LATER)
    artefact_forms: tuple[ArtefactRef, ...] = field(default=(), metadata=LATER)
    asker: str = field(default="", metadata=LATER)

    __hash__ = Hashed.__hash__

    @property
    def forms(self) -> tuple[ArtefactRef, ...]:
        """Everything that may run as it, the artefact itself first."""
        return (self.artefact, *self.artefact_forms)

    def form_in(self, allowed: Collection[ArtefactRef]) -> ArtefactRef | None:
        """Which of the other forms runs where these are allowed; None where the artefact itself does."""
        if self.artefact in allowed:
            return None
        return next((form for form in self.artefact_forms if form in allowed), None)
