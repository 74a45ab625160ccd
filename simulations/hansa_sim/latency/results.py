"""What came of a scenario, in one form for every engine: rows of policies with intervals, and what they rest on.

``as_json`` is the format of ``results.json``; its ``version`` grows with every change of meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

import numpy as np

from hansa_sim.engines.confidence import interval
from hansa_sim.latency.transients import Transients

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over replications and half the width of its confidence interval; None where nothing was measured."""

    mean: float | None
    half_width: float | None

    @classmethod
    def of(cls, values: Sequence[float], confidence_percent: int) -> Interval:
        """Student's interval of independent replications; none where one of them measured nothing."""
        found = interval(values, confidence_percent / 100)
        if not isfinite(found.mean):
            return cls(None, None)
        return cls(found.mean, found.half_width if isfinite(found.half_width) else None)


@dataclass(frozen=True, slots=True)
class ZoneResult:
    """A zone under a policy: replicas of the app, share of all requests, utilisation and mean wait."""

    zone: str
    replicas: int
    servers: int
    request_share: float
    utilisation: float
    wait_ms: float | None
    stability: str


@dataclass(frozen=True, slots=True)
class PointResult:
    """Users at an access point under a policy: where most of their requests go, what they feel, or why nobody serves
    them."""

    access_point: str
    requests_per_s: float
    zone: str
    mean_ms: float | None
    why_not: str
    lost_share: float = 0.0
    """Share of their requests that nobody served."""


@dataclass(frozen=True, slots=True)
class Series:
    """Over the time of a replication, in bins of ``bin_s``, of all replications: requests sent in a bin, how many of
    them were not served, and the latencies of the others, ms; None where there are none."""

    bin_s: float
    requests: tuple[int, ...]
    lost: tuple[int, ...]
    p50_ms: tuple[float | None, ...]
    p99_ms: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """A new plan: replicas that come (above 0) and go by zone, the share of the demand that goes elsewhere, and the
    share that is served nowhere from then on."""

    at_s: float
    app: str
    replicas: dict[str, int]
    moved_share: float
    unserved_share: float


@dataclass(frozen=True, slots=True)
class FaultsFelt:
    """What faults did to a row. Requests that were not served, tries that were sent again, tries lost on ways that were
    no more and in zones that were down, in all replications; the share of what was sent while something was down, until
    its place was taken or its end acted upon, that missed the bound or was not served; and the moves of the first
    replication. Nothing of the warm-up is counted."""

    lost: int
    retried: int
    cut: int
    struck: int
    miss_share: float | None
    moves: tuple[Move, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens in the first replication: ``what`` is notice, begins, known, ends, or over (known too)."""

    at_s: float
    what: str
    title: str


@dataclass(frozen=True, slots=True)
class TokenRow:
    """What users see of tokens, ms: until the first is there, and the mean time between the tokens of an answer; and
    generated tokens a second of all requests measured."""

    first_mean_ms: Interval
    first_p50_ms: Interval
    first_p95_ms: Interval
    first_p99_ms: Interval
    each_mean_ms: Interval
    each_p50_ms: Interval
    each_p95_ms: Interval
    each_p99_ms: Interval
    generated_per_s: Interval


@dataclass(frozen=True, slots=True)
class Mobility:
    """What moving costs under a policy. moving_share of all requests is of users that move; the zone that serves one of
    them changes hand_overs_per_hour times, None where each request is routed by itself. stale_share of all requests
    were served by another zone than a look-up would have given, with stale_ms in the mean, against looked_up_ms of
    those at the same access points that were served as looked up. lost_share were sent between a move and the next
    look-up and got nowhere: the law or the network closes the way to the zone of the place before, or it had none.
    """

    moving_share: float
    hand_overs_per_hour: float | None
    stale_share: float
    lost_share: float
    stale_ms: float | None
    looked_up_ms: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """A policy in a view of the world. Times in ms, shares of requests from 0 to 1, cost of what runs in EUR an hour,
    power in kW under load, carbon in g an hour. miss_share counts served requests over the app's response bound and
    those that nobody serves. cdf_ms are the latencies at ``CDF_PERCENTS``. differs is this row less the base row, for
    users that both serve, as paired by replication; regret the same against the optimum.
    """

    policy: str
    view: str
    engine: str
    requests: int
    mean_ms: Interval
    p50_ms: Interval
    p95_ms: Interval
    p99_ms: Interval
    p999_ms: Interval
    miss_share: Interval
    wait_ms: Interval
    unserved_share: float
    cost_eur_per_hour: float
    power_kw: float
    carbon_g_per_hour: float
    unstable: tuple[str, ...]
    message: str
    predicted_ms: dict[str, float] | None
    zones: tuple[ZoneResult, ...]
    points: tuple[PointResult, ...]
    cdf_ms: tuple[float, ...]
    differs_ms: Interval | None = None
    regret_ms: Interval | None = None
    over_time: Series | None = None
    faults: FaultsFelt | None = None
    mobility: Mobility | None = None
    tokens: TokenRow | None = None
    """Of apps that serve tokens."""
    transients: Transients | None = None

    @property
    def name(self) -> str:
        """The row's name for people."""
        return f"{self.policy}{VIEW_WORDS[self.view]}"

    @property
    def is_sound(self) -> bool:
        """Whether the latencies mean anything: something was served and no zone was overloaded."""
        return not self.unstable and self.mean_ms.mean is not None


VIEW_WORDS = {
    "together": "",
    "lawless": ", no residency",
    "alone": ", each operator alone",
    "unharmed": ", no faults",
    "sudden": ", no notice",
}

CDF_PERCENTS = tuple(float(p) for p in (*np.arange(1, 99, 1), *np.arange(98.0, 99.9, 0.1).round(1), 99.9, 99.95, 99.99))


@dataclass(frozen=True, slots=True)
class Price:
    """What something costs, as the difference of two rows: ms and percent of the mean for users that both serve, the
    share of requests that only the other serves, and EUR an hour."""

    what: str
    row: str
    against: str
    mean_ms: Interval
    mean_percent: float | None
    unserved_share: float
    cost_eur_per_hour: float


@dataclass(frozen=True, slots=True)
class AppRows:
    """One of several apps: its bound on the response, and the rows of its users alone."""

    app: str
    response_ms_max: float
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much was run, and how sure that has made it: replications of each row and the most there could be, and what
    of each was not measured, in simulated seconds.

    Where intervals decide when to stop: ``half_width_percent`` as asked for, whether it was ``reached``, and the
    ``widest`` of the intervals that count, in percent of the mean; None where no row is sound. ``warm_up_is_short``
    says that replications were too short for MSER-5 to see the end of the beginning.

    ``rate_share`` is the mean rate in what is measured against that of a whole day, where it goes with the time of
    day; ``shared_share`` says how many of the recorded requests that were played were played more than once.
    """

    replications: int
    replications_max: int
    warm_up_s: float
    warm_up_is_short: bool = False
    half_width_percent: float | None = None
    reached: bool | None = None
    widest: str = ""
    widest_percent: float | None = None
    rate_share: float | None = None
    shared_share: float | None = None


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that came of a scenario. ``base`` is the policy that rows are compared with; ``apps`` are there where
    a scenario has several, and ``rows`` are of all of them together then.
    """

    scenario: dict[str, Any]
    seed: int
    simulated_s: float
    base: str
    rows: tuple[Row, ...]
    prices: tuple[Price, ...]
    map: dict[str, Any] = field(default_factory=dict)
    effort: Effort | None = None
    version: int = FORMAT_VERSION
    events: tuple[Event, ...] = ()
    apps: tuple[AppRows, ...] = ()

    def row(self, policy: str, view: str = "together") -> Row | None:
        """The row of a policy in a view, if it was run."""
        return next((row for row in self.rows if (row.policy, row.view) == (policy, view)), None)


def as_json(results: Results) -> dict[str, Any]:
    """Plain values, in the order of the fields; figures that were not measured are null."""
    document: dict[str, Any] = asdict(results)
    document["cdf_percents"] = list(CDF_PERCENTS)
    if not results.apps:
        del document["apps"]
    for row in [*document["rows"], *(row for app in document.get("apps", ()) for row in app["rows"])]:
        if row["mobility"] is None:
            del row["mobility"]
    return document
