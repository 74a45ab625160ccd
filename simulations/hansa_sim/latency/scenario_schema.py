"""The scenario file, version 1: every key, its unit and what leaving it out means. Unknown keys are errors.

Words are those of the live system: zones, access points, facts of law, accelerators and residency as in the workload
file. ``reference`` lists the keys for docs/simulation.md, which a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hansa.countries import COUNTRIES, country_hint
from hansa.names import hint

VERSION = 1
REQUESTS_MAX = 100_000_000
REPLICATIONS_MAX = 100
UNKNOWN = "unknown"


def _country(code: str) -> str:
    if code not in COUNTRIES:
        raise ValueError(f"{code!r} is not an ISO 3166-1 alpha-2 country code such as NO{country_hint(code)}")
    return code


def _day(value: object) -> object:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"{value!r} is not a day such as 2026-11-01") from None


Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]+(-+[a-z0-9]+)*$")]
Country = Annotated[str, AfterValidator(_country)]
Day = Annotated[date, BeforeValidator(_day)]
Rate = Annotated[float, Field(ge=0.001, le=10_000_000, allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(ge=0.001, le=3_600_000, allow_inf_nan=False)]
Percent = Annotated[int, Field(ge=0, le=100)]


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


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NetworkPart(_Part):
    """Where the nodes and links come from: exactly one of topohub, graph and round_trips."""

    topohub: str | None = Field(default=None, description="name of a topology of topohub, such as `backbone/europe`")
    graph: str | None = Field(
        default=None, description="a GraphML or GML file beside the scenario; nodes have `lat`, `lon`, `country`"
    )
    round_trips: str | None = Field(
        default=None, description="a CSV file beside the scenario: `a,b,rtt_ms` and, if known, `countries,carrier`"
    )
    node_countries: dict[str, Country] = Field(
        default={}, description="countries of nodes for which the source tells none; a node without one is unknown"
    )
    other_carrier: Name | None = Field(
        default=None,
        description="who carries what no operator does; left out: such nodes and links are not there",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in ("topohub", "graph", "round_trips") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of topohub, graph and round_trips; given: {', '.join(given) or 'none'}")
        return self


class LegalPart(_Part):
    """What an operator declares of itself; what is left out is unknown, and a rule that asks for it refuses."""

    headquarters: Country | None = Field(default=None, description="country of its headquarters")
    ultimate_parents: list[Country] = Field(default=[], description="countries of its ultimate parents")
    laws: list[str] | None = Field(
        default=None, description="laws of third countries that reach it; `[none]` says that there is none"
    )
    foreign_share_percent: Percent | None = Field(default=None, description="share of foreign holders")


class AcceleratorsPart(_Part):
    vendor: Name = Field(default="nvidia", description="vendor of the accelerators")
    model: str = Field(min_length=1, max_length=63, description="model, such as `L40S`")
    count: int = Field(ge=1, le=100_000, description="how many devices the zone has")
    memory_gib: int = Field(default=48, ge=1, le=4_096, description="memory of each device")


FactName = Literal[
    "OPERATION_COUNTRY", "SUPPORT_COUNTRY", "PERSONNEL_CLEARANCE", "ATTESTATION", "CERTIFICATION"
]  # fmt: skip


class FactPart(_Part):
    """A fact beyond the site, the owner and the electricity, as an agent's configuration has it."""

    kind: FactName = Field(description=f"one of {', '.join(get_args(FactName))}")
    value: str = Field(min_length=1, max_length=255, description="country, clearance, technology or scheme")
    version: str = Field(default="", max_length=63, description="of a certification")
    level: str = Field(default="", max_length=63, description="of a certification")

    @model_validator(mode="after")
    def _is_of_its_kind(self) -> Self:
        if self.kind in ("OPERATION_COUNTRY", "SUPPORT_COUNTRY"):
            _country(self.value)
        if self.kind != "CERTIFICATION" and (self.version or self.level):
            raise ValueError(f"version and level are of a CERTIFICATION; kind is {self.kind}")
        return self


class ZonePart(_Part):
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


class OperatorPart(_Part):
    name: Name = Field(description="the operator's name")
    countries: list[Country] = Field(default=[], description="countries whose nodes and links it has and carries")
    nodes: list[str] = Field(default=[], description="single nodes that it has besides")
    legal: LegalPart = Field(default=LegalPart(), description="what it declares of itself")
    zones: list[ZonePart] = Field(default=[], description="its zones")


class AppAcceleratorsPart(_Part):
    any_of: list[str] = Field(default=[], description="models that will do; left out: every model")
    count: int = Field(default=1, ge=1, le=1_024, description="devices of each replica")
    memory_gib_min: int = Field(default=0, ge=0, le=4_096, description="least memory of a device")


class LatencyPart(_Part):
    percentile: Literal[50, 95, 99] = Field(default=95, description="percentile that the bounds are read at")
    rtt_ms_max: Milliseconds = Field(description="bound on the round trip to the zone")
    response_ms_max: Milliseconds = Field(description="bound on round trip, wait and service together: the SLO")


class ServiceTimePart(_Part):
    accelerator: str = Field(default="", description="model that it is for; left out: all others, and it comes last")
    mean_ms: Milliseconds = Field(description="mean time that one request takes")
    scv: float = Field(default=1.0, ge=0, le=100, description="squared coefficient of variation: variance / mean^2")


class ServicePart(_Part):
    times: list[ServiceTimePart] = Field(min_length=1, description="time for one request, by accelerator")
    distribution: Literal["fixed", "exponential", "lognormal", "gamma"] = Field(
        default="exponential", description="how times scatter around the mean"
    )
    concurrency: int = Field(default=1, ge=1, le=4_096, description="requests that one replica serves at once")

    @model_validator(mode="after")
    def _scatters_as_said(self) -> Self:
        scatter = {"fixed": 0.0, "exponential": 1.0}.get(self.distribution)
        for time in self.times:
            given = "scv" in time.model_fields_set
            if scatter is not None and given and time.scv != scatter:
                raise ValueError(f"scv is {time.scv}, but {self.distribution} times have {scatter:g}")
            if self.distribution in ("lognormal", "gamma") and time.scv == 0:
                raise ValueError(f"scv is 0, which {self.distribution} times cannot have; write distribution: fixed")
        if len({time.scv for time in self.times}) > 1:
            raise ValueError("every accelerator's time needs the same scv")
        return self

    @property
    def scv(self) -> float:
        """The squared coefficient of variation of all times."""
        return {"fixed": 0.0, "exponential": 1.0}.get(self.distribution, self.times[0].scv)


class ZonesPart(_Part):
    min: int = Field(default=1, ge=1, le=1_000, description="least zones of a plan")
    max: int = Field(default=1_000, ge=1, le=1_000, description="most zones of a plan")

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class ObjectivePart(_Part):
    latency: float = Field(default=1.0, ge=0, le=1_000, description="weight of latency as a share of the budget")
    price: float = Field(default=0.05, ge=0, le=1_000, description="weight of a euro an hour")
    carbon: float = Field(default=0.0, ge=0, le=1_000, description="weight of 100 gCO2 an hour")


class AppPart(_Part):
    """What runs, in the words of the workload file."""

    name: Name = Field(description="the app's name")
    home: Name = Field(description="the operator that the app team talks to")
    accelerators: AppAcceleratorsPart = Field(default=AppAcceleratorsPart(), description="what a replica needs")
    latency: LatencyPart = Field(description="the budget")
    residency: Any = Field(description="the law, as in the workload file; or the word `none`, which must be written")
    service: ServicePart = Field(description="how long requests take")
    zones: ZonesPart = Field(default=ZonesPart(), description="over how many zones `hansa` may spread it")
    objective: ObjectivePart = Field(default=ObjectivePart(), description="what `hansa` weighs")


class UsersPart(_Part):
    """Users at one access point, or spread evenly over those of some countries."""

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

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.access_point is None) == (not self.countries):
            raise ValueError("give access_point or countries, one of the two")
        return self


class ArrivalsPart(_Part):
    kind: Literal["poisson", "diurnal"] = Field(default="poisson", description="a constant rate, or one over the day")
    swing: float = Field(
        default=0.5, ge=0, le=1, description="diurnal: the peak lies so much above the mean, as a share"
    )
    period_s: float = Field(default=86_400.0, gt=0, le=31_536_000, description="diurnal: length of a day")


class ComparePart(_Part):
    """Rows of the table besides the policies."""

    law: bool = Field(default=True, description="the price of law: the same policy without residency")
    federation: bool = Field(default=True, description="the price of not federating: each operator alone")
    policy: Annotated[PolicyName | None, BeforeValidator(_policy)] = Field(
        default=None, description="the policy of these rows; left out: hansa if it is compared, else the first"
    )


class RunPart(_Part):
    requests: int = Field(
        default=200_000, ge=1_000, le=REQUESTS_MAX, description="requests of each policy, over all replications"
    )
    replications: int = Field(
        default=8, ge=2, le=REPLICATIONS_MAX, description="independent runs that confidence intervals rest on"
    )
    half_width_percent: float | None = Field(
        default=None,
        gt=0,
        le=50,
        description="stop when the intervals of every policy are at most so wide to each side, in percent of the mean; "
        "`replications` are the most then",
    )
    stop_on: list[Literal["mean", "p99", "difference"]] = Field(
        default=["mean"],
        min_length=1,
        description="whose intervals: mean, p99, and difference, which is paired and from the base policy",
    )
    replications_min: int = Field(
        default=10, ge=2, le=REPLICATIONS_MAX, description="with half_width_percent: none stops before so many"
    )
    warm_up: Literal["percent", "mser-5"] = Field(
        default="percent", description="what is not measured: warm_up_percent, or as long as MSER-5 finds in pilot runs"
    )
    warm_up_percent: int = Field(
        default=10, ge=0, le=90, description="of each replication, from its beginning, that is not measured"
    )
    router_stale_ms: float = Field(
        default=0.0, ge=0, le=3_600_000, description="how old what least-loaded and least-latency know of zones is"
    )
    seed: int = Field(default=1, ge=0, le=2**63 - 1, description="the same seed gives the same result to the last bit")
    confidence_percent: Literal[90, 95, 99] = Field(default=95, description="of the intervals")

    @model_validator(mode="after")
    def _stops_and_warms_up_one_way(self) -> Self:
        given = self.model_fields_set
        if self.half_width_percent is None and (idle := sorted({"stop_on", "replications_min"} & given)):
            raise ValueError(f"{idle[0]} does nothing without half_width_percent")
        if self.half_width_percent is not None and self.replications < self.replications_min:
            raise ValueError(
                f"replications is {self.replications}, the most that half_width_percent may run, and below "
                f"replications_min {self.replications_min}"
            )
        if self.warm_up == "mser-5" and "warm_up_percent" in given:
            raise ValueError("give warm_up: mser-5 or warm_up_percent, one of the two")
        return self


class Scenario(_Part):
    """A whole scenario file."""

    version: Literal[1] = Field(description="version of this schema")
    name: Name = Field(description="short name, for file names")
    title: str = Field(min_length=1, max_length=200, description="one line for people")
    as_of: Day = Field(description="day on which facts and groups of countries are read")
    network: NetworkPart = Field(description="nodes and links")
    operators: list[OperatorPart] = Field(min_length=1, description="who has which part, and zones")
    apps: list[AppPart] = Field(min_length=1, max_length=1, description="what runs; one app for now")
    users: list[UsersPart] = Field(min_length=1, description="who asks, from where, how often")
    arrivals: ArrivalsPart = Field(default=ArrivalsPart(), description="when requests come")
    policies: list[Annotated[PolicyName, BeforeValidator(_policy)]] = Field(
        default=list(PolicyName), min_length=1, description="what is compared, in the order of the table"
    )
    compare: ComparePart = Field(default=ComparePart(), description="rows besides the policies")
    run: RunPart = Field(default=RunPart(), description="how long, how often, which seed")

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        operators = [operator.name for operator in self.operators]
        _once(operators, "operator")
        _once([policy.value for policy in self.policies], "policy")
        for operator in self.operators:
            _once([zone.name for zone in operator.zones], f"zone of {operator.name}")
        for app in self.apps:
            if app.home not in operators:
                raise ValueError(f"apps: home {app.home!r} is no operator here{hint(app.home, operators)}")
        if not any(operator.zones for operator in self.operators):
            raise ValueError("no operator has a zone")
        if self.run.warm_up == "mser-5" and self.arrivals.kind != "poisson":
            raise ValueError(
                f"run: warm_up mser-5 finds the end of a beginning, and {self.arrivals.kind} arrivals change all the "
                "time; give warm_up_percent"
            )
        return self

    @property
    def app(self) -> AppPart:
        """The one app."""
        return self.apps[0]


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
