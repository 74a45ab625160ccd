"""Plays policies: each on the same requests, in independent replications, by the static or the event engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hansa_sim.engines import event, static, tokens
from hansa_sim.engines.confidence import warm_up_of_runs
from hansa_sim.engines.measured import Measured
from hansa_sim.engines.model import SECOND_NS, Block, Window, Zones
from hansa_sim.engines.recorder import Run
from hansa_sim.engines.router import LeastLatency, LeastLoaded, Table
from hansa_sim.engines.token_model import TokenModel
from hansa_sim.engines.tokens import Fleet
from hansa_sim.latency.fault_course import Faulted
from hansa_sim.latency.over_time import OverTime, bin_ns_of
from hansa_sim.latency.paired import MS_NS
from hansa_sim.latency.policies import Plan
from hansa_sim.latency.results import VIEW_WORDS, Effort
from hansa_sim.latency.scenario_run import RunPart
from hansa_sim.latency.scenario_schema import PolicyName
from hansa_sim.latency.stopping import StoppingRule, Width
from hansa_sim.latency.traffic import Traffic, paths_of, zones_of
from hansa_sim.latency.views import View

PILOTS = 3
"""Runs in which the warm-up is looked for."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: the row, its requests so far and in all, simulated seconds, p99 of the last replication."""

    row: str
    done: int
    total: int
    simulated_s: float
    p99_ms: float | None


Watch = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """A policy in a view with its plan, and what has been measured of it, a result for each replication; ``app`` where
    there are several."""

    policy: PolicyName
    view: View
    plan: Plan
    measured: list[Measured]
    app: str = ""
    faulted: Faulted | None = None
    """Where something falls."""
    over_time: OverTime = field(default_factory=OverTime)

    def keep(self, measured: Measured) -> None:
        """One replication more."""
        if measured.timeline is not None:
            self.over_time.add(measured.timeline)
        self.measured.append(measured.without_details())

    @property
    def name(self) -> str:
        """As it is called in tables."""
        of = f" of {self.app}" if self.app else ""
        return f"{self.policy.value}{VIEW_WORDS[self.view.name.value]}{of}"


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """One app: its requests, and who is to serve them. ``base`` is the contender that differences are taken from.

    Apps have replicas of their own, so that none waits for another once it is known which replicas there are.
    """

    traffic: Traffic
    rows: tuple[Contender, ...]
    base: Contender

    def requests(self, run: RunPart) -> int:
        """About how many requests there will be of each row in all replications."""
        return round(self.traffic.rate_rps * self.traffic.horizon_ns / SECOND_NS * run.replications)

    def widest(self, rule: StoppingRule) -> Width | None:
        """The widest interval that counts of its rows."""
        measured = {row.name: row.measured for row in self.rows}
        return rule.widest(measured, self.base.name, self.traffic.groups)


def warmed_up(contests: Sequence[Contest], run: RunPart, watch: Watch) -> tuple[list[Contest], bool]:
    """The same requests with the window after the longest warm-up of any row, if the scenario wants it found, and
    whether replications are too short for it. One window for all, so that policies stay on the same requests.
    """
    if run.warm_up == "percent":
        return list(contests), False
    begins, short = zip(*(_piloted(contest, run, watch) for contest in contests), strict=True)
    horizon_ns = contests[0].traffic.horizon_ns
    window = Window(horizon_ns, min(max(begins), horizon_ns // 2))
    return [replace(one, traffic=replace(one.traffic, window=window)) for one in contests], any(short)


def _piloted(contest: Contest, run: RunPart, watch: Watch) -> tuple[int, bool]:
    """When the longest warm-up of a contest's rows ends, ns, and whether replications are too short for it."""
    traffic, count = contest.traffic, len(contest.rows) * PILOTS
    played: list[Measured] = []
    tell = _teller("warm-up", (count * contest.requests(run) // run.replications, count), played, watch)
    found = []
    for row in contest.rows:
        play = _player(traffic, row, run)
        pilots = []
        for number in range(PILOTS):
            pilots.append(play(_watched(traffic.pilot(number), tell), None))
            played.append(pilots[-1].without_details())
        found.append(warm_up_of_runs(pilots))
    begin_ns = max(traffic.pilot_ns(number, max(one.requests for one in found)) for number in range(PILOTS))
    return begin_ns, any(one.is_short for one in found)


def replicate(contests: Sequence[Contest], rule: StoppingRule, watch: Watch) -> Effort:
    """Plays replications of all rows until the rule is content, and says how many that took."""
    run, count, until = rule.run, 0, rule.first
    while True:
        for contest in contests:
            for row in contest.rows:
                _play(contest, row, range(count, until), (run, watch))
        count = until
        widths = [width for contest in contests if (width := contest.widest(rule)) is not None]
        width = max(widths, key=lambda one: one.percent, default=None)
        if rule.is_content(width, count):
            break
        until += 1
    wanted, traffic = run.half_width_percent, contests[0].traffic
    return Effort(
        replications=count,
        replications_max=run.replications,
        warm_up_s=traffic.window.begin_ns / SECOND_NS,
        half_width_percent=wanted,
        reached=None if wanted is None else width is not None and width.percent <= wanted,
        widest=width.whose if width else "",
        widest_percent=width.percent if width else None,
        rate_share=traffic.rate_share,
        shared_share=None if traffic.record is None else traffic.record.shared_share(count, traffic.horizon_ns),
    )


def _play(contest: Contest, row: Contender, numbers: range, how: tuple[RunPart, Watch]) -> None:
    """Some replications of a row."""
    (run, watch), traffic = how, contest.traffic
    tell = _teller(row.name, (contest.requests(run), run.replications), row.measured, watch)
    play = _player(traffic, row, run)
    for number in numbers:
        row.keep(play(_watched(traffic.requests(number), tell), number))


def _player(traffic: Traffic, row: Contender, run: RunPart) -> Callable[[Iterable[Block], int | None], Measured]:
    """Serves requests of a replication as the row does; of none, nothing falls."""
    plan = row.plan
    if traffic.models is not None:
        return _token_player(traffic, row, traffic.models)
    zones = Zones.of(np.maximum(plan.replicas * traffic.stations.concurrency, 1), traffic.speed_permille)
    prepared = Run.of(traffic.classes, paths_of(row.view, plan, traffic.places), zones, traffic.window)
    prepared = replace(prepared, bound_ns=traffic.bound_ns)
    if traffic.is_eventful:
        prepared = replace(prepared, bin_ns=bin_ns_of(traffic.horizon_ns))
    zone_of = None if plan.share is None else zones_of(row.view, plan, traffic.places)
    router = _router(row.policy, traffic, run.router_stale_ms) if zone_of is None else Table(zone_of)

    def play(requests: Iterable[Block], number: int | None) -> Measured:
        if number is not None and row.faulted is not None:
            down = replace(prepared, spells=row.faulted.down(number))
            return event.serve(requests, router, down, row.faulted.faults(number))
        if zone_of is None or traffic.is_eventful:
            return event.serve(requests, router, prepared)
        return static.serve(requests, zone_of, prepared)

    return play


def _token_player(
    traffic: Traffic, row: Contender, models: tuple[TokenModel | None, ...]
) -> Callable[[Iterable[Block], int | None], Measured]:
    """The same where tokens are served in batches; the scenario has no router then."""
    plan = row.plan
    if plan.share is None:
        raise ValueError(f"{row.policy.value} routes by request, which an app that serves tokens cannot have")
    fleet, zone_of = Fleet(models, tuple(plan.replicas.tolist())), zones_of(row.view, plan, traffic.places)
    paths = paths_of(row.view, plan, traffic.places)
    prepared = Run.of(traffic.classes, paths, Zones.of(fleet.servers()), traffic.window)
    prepared = replace(prepared, bound_ns=traffic.bound_ns)
    return lambda requests, _: tokens.serve(requests, zone_of, prepared, fleet)


def _router(policy: PolicyName, traffic: Traffic, stale_ms: float) -> LeastLatency | LeastLoaded:
    stale_ns = round(stale_ms * MS_NS)
    if policy is PolicyName.LEAST_LOADED:
        return LeastLoaded(stale_ns)
    return LeastLatency(np.full(traffic.rows, round(traffic.demand.mean_ns), dtype=np.int64), stale_ns)


def _watched(requests: Iterable[Block], tell: Callable[[int, int], None]) -> Iterator[Block]:
    done = 0
    for block in requests:
        yield block
        done += len(block)
        tell(done, int(block.at_ns[-1]))


def _teller(row: str, size: tuple[int, int], measured: list[Measured], watch: Watch) -> Callable[[int, int], None]:
    total, replications = size

    def tell(done: int, at_ns: int) -> None:
        p99 = float(measured[-1].latency_percentiles_ns([99])[0]) / MS_NS if measured else None
        so_far = len(measured) * total // replications + done
        seconds = sum(one.window.end_ns for one in measured) + at_ns
        watch(Progress(row, min(so_far, total), total, seconds / SECOND_NS, p99))

    return tell
