"""The scenario file, version 1: every key, its unit and what leaving it out means. Unknown keys are errors.

Words are those of the live system: zones, access points, facts of law, accelerators and residency as in the workload
file. ``reference`` lists the keys for docs/simulation.md, which a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from hansa.names import hint
from hansa_sim.latency.scenario_faults import CablePart, FaultPart, RecoveryPart
from hansa_sim.latency.scenario_moves import MovingPart
from hansa_sim.latency.scenario_run import RunPart
from hansa_sim.latency.scenario_service import ArrivalsPart, ServicePart
from hansa_sim.latency.scenario_words import (
    Country,
    Day,
    Milliseconds,
    Moment,
    Name,
    Part,
    Percent,
    Rate,
    Seconds,
    known_country,
)

VERSION = 1
UNKNOWN = "unknown"


class PolicyName(StrEnum):
    """Ways to say which zone serves whom."""

    NEAREST = "nearest"
    CHEAPEST = "cheapest"
    GREENEST = "greenest"
    LEAST_LOADED = "least-loaded"
    LEAST_LATENCY = "least-latency"
    HANSA = "hansa"
    OPTIMUM = "optimum"


def _policy(value: object) -> object:
    names = [name.value for name in PolicyName]
    if isinstance(value, str) and value not in names:
        raise ValueError(f"no policy {value!r}{hint(value, names)}")
    return PolicyName(value) if isinstance(value, str) else value


def _version(value: object) -> object:
    """Only the whole number itself: ``true`` and ``1.0`` are equal to it and yet nothing that anybody means."""
    if type(value) is not int or value != VERSION:
        raise ValueError(f"{value!r} is no version of this schema; write version: {VERSION}")
    return value


SOURCES = ("topohub", "graph", "round_trips", "snapshot")
"""Where a network may come from."""


class NetworkPart(Part):
    """Where the nodes and links come from: exactly one of topohub, graph, round_trips and snapshot."""

    topohub: str | None = Field(default=None, description="name of a topology of topohub, such as `backbone/europe`")
    graph: str | None = Field(
        default=None, description="a GraphML or GML file beside the scenario; nodes have `lat`, `lon`, `country`"
    )
    round_trips: str | None = Field(
        default=None, description="a CSV file beside the scenario: `a,b,rtt_ms` and, if known, `countries,carrier`"
    )
    snapshot: str | None = Field(
        default=None,
        description="a world beside the scenario that `hansa simulate snapshot` wrote; its zones, workloads and where "
        "they run are there, too, and `apps` and `users` may be left out",
    )
    node_countries: dict[str, Country] = Field(
        default={}, description="countries of nodes for which the source tells none; a node without one is unknown"
    )
    other_carrier: Name | None = Field(
        default=None,
        description="who carries what no operator does; left out: such nodes and links are not there",
    )
    cables: list[CablePart] = Field(default=[], description="links that are one cable and fall together")
    loss_percent: dict[str, Annotated[float, Field(ge=0, lt=100)]] = Field(
        default={}, description="packets that a link loses, each way, by the link's name; only `twin` imposes it"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            one_of = " and ".join((", ".join(SOURCES[:-1]), SOURCES[-1]))
            raise ValueError(f"give exactly one of {one_of}; given: {', '.join(given) or 'none'}")
        return self


class LegalPart(Part):
    """What an operator declares of itself; what is left out is unknown, and a rule that asks for it refuses."""

    headquarters: Country | None = Field(default=None, description="country of its headquarters")
    ultimate_parents: list[Country] = Field(default=[], description="countries of its ultimate parents")
    laws: list[str] | None = Field(
        default=None, description="laws of third countries that reach it; `[none]` says that there is none"
    )
    foreign_share_percent: Percent | None = Field(default=None, description="share of foreign holders")


class AcceleratorsPart(Part):
    vendor: Name = Field(default="nvidia", description="vendor of the accelerators")
    model: str = Field(min_length=1, max_length=63, description="model, such as `L40S`")
    count: int = Field(ge=1, le=100_000, description="how many devices the zone has")
    memory_gib: int = Field(default=48, ge=1, le=4_096, description="memory of each device")


FactName = Literal[
    "OPERATION_COUNTRY", "SUPPORT_COUNTRY", "PERSONNEL_CLEARANCE", "ATTESTATION", "CERTIFICATION"
]  # fmt: skip


class FactPart(Part):
    """A fact beyond the site, the owner and the electricity, as an agent's configuration has it."""

    kind: FactName = Field(description=f"one of {', '.join(get_args(FactName))}")
    value: str = Field(min_length=1, max_length=255, description="country, clearance, technology or scheme")
    version: str = Field(default="", max_length=63, description="of a certification")
    level: str = Field(default="", max_length=63, description="of a certification")

    @model_validator(mode="after")
    def _is_of_its_kind(self) -> Self:
        if self.kind in ("OPERATION_COUNTRY", "SUPPORT_COUNTRY"):
            known_country(self.value)
        if self.kind != "CERTIFICATION" and (self.version or self.level):
            raise ValueError(f"version and level are of a CERTIFICATION; kind is {self.kind}")
        return self


class ZonePart(Part):
    name: Name = Field(description="the zone's name within its operator")
    node: str = Field(min_length=1, description="the network node that it stands at")
    country: Country | None = Field(
        default=None, description="country of the site; left out: that of the node, unknown where it has none"
    )
    accelerators: AcceleratorsPart = Field(description="what it serves with")
    price_eur_per_hour: float = Field(default=0.0, ge=0, le=100_000, description="price of one device")
    device_watts: int = Field(default=0, ge=0, le=100_000, description="power of one device under load; 0 is unknown")
    carbon_gco2_per_kwh: int | None = Field(default=None, ge=0, le=2_000, description="of its electricity")
    renewable_percent: Percent | None = Field(default=None, description="of its electricity")
    facts: list[FactPart] = Field(default=[], description="what is declared of the zone besides")


class OperatorPart(Part):
    name: Name = Field(description="the operator's name")
    countries: list[Country] = Field(default=[], description="countries whose nodes and links it has and carries")
    nodes: list[str] = Field(default=[], description="single nodes that it has besides")
    legal: LegalPart = Field(default=LegalPart(), description="what it declares of itself")
    zones: list[ZonePart] = Field(default=[], description="its zones")


class AppAcceleratorsPart(Part):
    any_of: list[str] = Field(default=[], description="models that will do; left out: every model")
    count: int = Field(default=1, ge=1, le=1_024, description="devices of each replica")
    memory_gib_min: int = Field(default=0, ge=0, le=4_096, description="least memory of a device")


class LatencyPart(Part):
    percentile: Literal[50, 95, 99] = Field(default=95, description="percentile that the bounds are read at")
    rtt_ms_max: Milliseconds = Field(description="bound on the round trip to the zone")
    response_ms_max: Milliseconds = Field(description="bound on round trip, wait and service together: the SLO")


class ZonesPart(Part):
    min: int = Field(default=1, ge=1, le=1_000, description="least zones of a plan")
    max: int = Field(default=1_000, ge=1, le=1_000, description="most zones of a plan")

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class ObjectivePart(Part):
    latency: float = Field(default=1.0, ge=0, le=1_000, description="weight of latency as a share of the budget")
    price: float = Field(default=0.05, ge=0, le=1_000, description="weight of a euro an hour")
    carbon: float = Field(default=0.0, ge=0, le=1_000, description="weight of 100 gCO2 an hour")


class AppPart(Part):
    """What runs, in the words of the workload file."""

    name: Name = Field(description="the app's name")
    home: Name = Field(description="the operator that the app team talks to")
    priority: int = Field(
        default=0, ge=-1_000, le=1_000, description="who is placed first where apps share zones; equals as they stand"
    )
    accelerators: AppAcceleratorsPart = Field(default=AppAcceleratorsPart(), description="what a replica needs")
    latency: LatencyPart = Field(description="the budget")
    residency: Any = Field(description="the law, as in the workload file; or the word `none`, which must be written")
    service: ServicePart = Field(description="how long requests take")
    zones: ZonesPart = Field(default=ZonesPart(), description="over how many zones `hansa` may spread it")
    objective: ObjectivePart = Field(default=ObjectivePart(), description="what `hansa` weighs")


class SurgePart(Part):
    """More of the same users' requests for a while: a flash crowd."""

    at_s: Moment = Field(description="when it begins, counted from the beginning of a replication")
    for_s: Seconds = Field(description="how long it lasts")
    times: float = Field(gt=1, le=1_000, description="their requests are so many times as many as usual")


class UsersPart(MovingPart):
    """Users at one access point, or spread evenly over those of some countries; or where a trace has them."""

    app: Name | None = Field(default=None, description="the app that they use; may be left out where there is one")
    access_point: str | None = Field(default=None, description="the node where their requests come in")
    countries: list[Country] = Field(
        default=[], description="or: every access point of these countries, in equal parts"
    )
    at_most: int = Field(
        default=1_000,
        ge=1,
        le=1_000,
        description="with countries: so many access points at most, spread over their names",
    )
    requests_per_s: Rate = Field(description="their requests, all together")
    surges: list[SurgePart] = Field(default=[], description="when they ask more than usual")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        places = (self.access_point is not None) + bool(self.countries)
        if self.trace is not None and places:
            raise ValueError("a trace says where its users are; give neither access_point nor countries")
        if self.trace is None and places != 1:
            raise ValueError("give access_point or countries, one of the two")
        if self.moves and self.access_point is None:
            raise ValueError("a route begins at an access_point")
        return self


class ComparePart(Part):
    """Rows of the table besides the policies."""

    law: bool = Field(default=True, description="the price of law: the same policy without residency")
    federation: bool = Field(default=True, description="the price of not federating: each operator alone")
    faults: bool = Field(default=True, description="with faults, what they cost: the same policy without them")
    notice: bool = Field(
        default=True, description="with faults that give notice, what it is worth: the same without it"
    )
    policy: Annotated[PolicyName | None, BeforeValidator(_policy)] = Field(
        default=None, description="the policy of these rows; left out: hansa if it is compared, else the first"
    )


class Scenario(Part):
    """A whole scenario file."""

    version: Annotated[Literal[1], BeforeValidator(_version)] = Field(description="version of this schema")
    name: Name = Field(description="short name, for file names")
    title: str = Field(min_length=1, max_length=200, description="one line for people")
    as_of: Day = Field(description="day on which facts and groups of countries are read")
    network: NetworkPart = Field(description="nodes and links")
    operators: list[OperatorPart] = Field(min_length=1, description="who has which part, and zones")
    apps: list[AppPart] = Field(
        default=[],
        max_length=100,
        description="what runs, on accelerators that apps share; needed unless network.snapshot is given",
    )
    users: list[UsersPart] = Field(
        default=[], description="who asks, from where, how often; needed where there are apps"
    )
    arrivals: ArrivalsPart = Field(default=ArrivalsPart(), description="when requests come")
    faults: list[FaultPart] = Field(default=[], description="what falls, and when")
    recovery: RecoveryPart = Field(default=RecoveryPart(), description="what is done then")
    policies: list[Annotated[PolicyName, BeforeValidator(_policy)]] = Field(
        default=list(PolicyName), min_length=1, description="what is compared, in the order of the table"
    )
    compare: ComparePart = Field(default=ComparePart(), description="rows besides the policies")
    run: RunPart = Field(default=RunPart(), description="how long, how often, which seed")

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        operators = [operator.name for operator in self.operators]
        _once(operators, "operators: operator")
        _once([policy.value for policy in self.policies], "policies: policy")
        for operator in self.operators:
            _once([zone.name for zone in operator.zones], f"operators: zone of {operator.name}")
        _once([app.name for app in self.apps], "apps: app")
        for app in self.apps:
            if app.home not in operators:
                raise ValueError(f"apps: home {app.home!r} is no operator here{hint(app.home, operators)}")
        if self.network.snapshot is None and not any(operator.zones for operator in self.operators):
            raise ValueError("operators: no operator has a zone")
        _both_or_neither(self)
        _check_tokens(self)
        if self.run.warm_up == "mser-5" and self.arrivals.kind != "poisson":
            raise ValueError(
                f"run: warm_up mser-5 finds the end of a beginning, and {self.arrivals.kind} arrivals change all the "
                "time; give warm_up_percent"
            )
        return self

    @property
    def app(self) -> AppPart:
        """The one app; ValueError where there are several, each of which is to be looked at by itself."""
        if len(self.apps) > 1:
            raise ValueError(f"scenario {self.name!r} has {len(self.apps)} apps; look at each by itself")
        return self.apps[0]


def _check_tokens(scenario: Scenario) -> None:
    """What serving tokens and recorded arrivals do not go together with. Raises ValueError."""
    is_recorded = scenario.arrivals.kind == "trace"
    if is_recorded and len(scenario.apps) > 1:
        raise ValueError(f"arrivals: a trace is of one app; there are {len(scenario.apps)}")
    if is_recorded and any(part.surges for part in scenario.users):
        raise ValueError("users: surges are of drawn arrivals; a trace has its own")
    if is_recorded and any(part.is_moving for part in scenario.users):
        raise ValueError("users: who sent a recorded request is not known, so that they cannot move")
    for app in scenario.apps:
        tokens = app.service.tokens
        if tokens is None:
            continue
        if not is_recorded and (tokens.prompt is None or tokens.generated is None):
            raise ValueError(f"apps: tokens of {app.name!r} need prompt and generated, or arrivals of kind trace")
        by_request = (PolicyName.LEAST_LOADED, PolicyName.LEAST_LATENCY)
        routed = [name.value for name in scenario.policies if name in by_request]
        if routed:
            fixed = ", ".join(name.value for name in PolicyName if name not in by_request)
            what = f"{routed[0]} looks at servers, and {app.name!r} serves tokens in batches"
            raise ValueError(f"policies: {what}; write policies: [{fixed}] or some of them")
        if scenario.faults:
            raise ValueError(f"faults: not simulated where an app serves tokens, as {app.name!r} does")


def _both_or_neither(scenario: Scenario) -> None:
    """Apps and users need one another; a scenario has both unless a snapshot says what runs."""
    if not scenario.apps and scenario.network.snapshot is None:
        raise ValueError("apps is missing")
    if bool(scenario.apps) != bool(scenario.users):
        raise ValueError("users is missing" if scenario.apps else "users is given without apps")


def _once(names: list[str], what: str) -> None:
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise ValueError(f"{what} {double[0]!r} is there twice")


def reference() -> Iterator[tuple[str, str, str]]:
    """Key, what leaving it out means, and what it says, of every key in the order of the schema."""
    yield from _keys(Scenario, "")


def _keys(model: type[BaseModel], path: str) -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        inner = next(models_in(field.annotation), None)
        is_list = "list[" in str(field.annotation) and inner is not None
        key = f"{path}{name}{'[]' if is_list else ''}"
        yield key, "error" if field.is_required() else _default_text(field.default), field.description or ""
        if inner is not None:
            yield from _keys(inner, f"{key}.")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a field's type names, itself among them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from models_in(each)


def _default_text(default: Any) -> str:
    if isinstance(default, BaseModel):
        return "as below"
    if isinstance(default, list):
        return ", ".join(str(each) for each in default) or "none"
    if isinstance(default, bool):
        return str(default).lower()
    return "none" if default in (None, "", {}) else str(default)
