"""One side of a change: where a workload is, what its users feel, what it costs, and who would take over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hansa_control.domain.feasibility import Verdicts, judge_zones
from hansa_control.domain.joint_problem import SHARE_UNITS
from hansa_control.domain.model import Placement, Rejection, WorkloadSpec, ZoneId
from hansa_control.domain.prediction import Site, plan_of
from hansa_control.domain.reach import CUT_OFF
from hansa_control.domain.scoring import devices_per_replica

from hansa_sim.what_if.estate import Resident, given_back, keeps_silence
from hansa_sim.what_if.placing import Room
from hansa_sim.what_if.settling import Settled


@dataclass(frozen=True, slots=True)
class AccessFelt:
    """What users of an access point feel: round trip and response at the budget's percentile, us; None where no lawful
    way leads to their zone. response is round trip, wait and service, None where the spec says nothing of service.
    """

    access_point: str
    rtt_us: int | None
    response_us: int | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """A workload on one side of the change. zones are (zone, replicas), sorted. Prices are thousandths of a euro an
    hour, carbon milligrams of CO2 equivalent an hour, None if unknown. fallback is the lawful zone with room that
    would take over.
    """

    zones: tuple[tuple[ZoneId, int], ...] = ()
    felt: tuple[AccessFelt, ...] = ()
    price_millieur_per_hour: int = 0
    carbon_mg_per_hour: int | None = None
    fallback: ZoneId | None = None
    broken: tuple[Rejection, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The zones with their replicas, in words."""
        return tuple(f"{zone} x {replicas}" for zone, replicas in self.zones)

    @property
    def slowest_rtt_us(self) -> int | None:
        """The longest round trip of any of its users; None where some have no way, or nothing runs."""
        rtts = [at.rtt_us for at in self.felt]
        return None if not rtts or None in rtts else max(rtt for rtt in rtts if rtt is not None)


class Sides:
    """Workloads as they are in a settled estate. Zones are judged as if nothing ran in them, so that what a workload
    takes itself is not held against it.
    """

    def __init__(self, settled: Settled) -> None:
        self._settled = settled
        self._room = Room(settled.estate, settled.snapshot, dict(settled.residents))
        self._emptied = settled.snapshot
        for resident in settled.residents.values():
            for placement in resident.live:
                self._emptied = given_back(self._emptied, placement.zone, resident.amount(placement))

    def of(self, name: str) -> Side:
        """How a workload is; nothing but zones where it is in none."""
        resident = self._settled.residents[name]
        workload, estate = resident.workload, self._settled.estate
        serving = [
            at for at in resident.live if not (at.zone in estate.lost and keeps_silence(estate, workload, at.zone))
        ]
        if not serving:
            return Side()
        verdicts = judge_zones(workload.spec, self._emptied, estate.now_ms, workload.home)
        rows = {at.zone: verdicts.question.snapshot.index.get(at.zone, -1) for at in serving}
        sites = [Site(rows[at.zone], at.replicas, shares_of(at, workload.spec)) for at in serving if rows[at.zone] >= 0]
        felt = tuple(_felt(verdicts, sites))
        price, carbon = _cost(verdicts, sites, felt)
        return Side(
            zones=tuple(sorted((at.zone, at.replicas) for at in serving)),
            felt=felt,
            price_millieur_per_hour=price,
            carbon_mg_per_hour=carbon,
            fallback=self._fallback(resident),
            broken=tuple(found for at in serving for found in self._settled.broken.get(at.claim, ())),
        )

    def _fallback(self, resident: Resident) -> ZoneId | None:
        """The best zone besides its own whose owner would take it now."""
        workload, own = resident.workload, {at.zone for at in resident.placements}
        judgement = self._room.judged(workload, own, frozenset())
        parts = self._room.find(workload, judgement)
        return parts[0].zone if parts else None


def shares_of(placement: Placement, spec: WorkloadSpec) -> tuple[int, ...]:
    """What a placement gets of each access point, thousandths; all of it where it is alone."""
    return placement.share_permille or (SHARE_UNITS,) * len(spec.access)


def _felt(verdicts: Verdicts, sites: Sequence[Site]) -> list[AccessFelt]:
    spec, ways = verdicts.question.spec, verdicts.reach.rtt_us
    rtts: list[int | None] = []
    for point in range(len(spec.access)):
        found = [int(ways[point, site.row]) for site in sites if site.share_permille[point]]
        rtts.append(None if not found or CUT_OFF in found else max(found))
    if None in rtts or spec.service is None:
        return [AccessFelt(at.access_point, rtt) for at, rtt in zip(spec.access, rtts, strict=True)]
    predicted = plan_of(verdicts, sites, [None] * len(sites), 0.0).predicted
    return [
        AccessFelt(at.access_point, rtt, at.rtt_us + at.wait_us + at.service_us)
        for at, rtt in zip(predicted, rtts, strict=True)
    ]


def _cost(verdicts: Verdicts, sites: Sequence[Site], felt: Sequence[AccessFelt]) -> tuple[int, int | None]:
    """Price and carbon of an hour; what cannot be reached costs as much."""
    if any(at.rtt_us is None for at in felt):
        standing, devices = verdicts.columns.standing, devices_per_replica(verdicts.question.spec)
        return sum(int(standing.price_millieur_per_hour[site.row]) * devices * site.replicas for site in sites), None
    plan = plan_of(verdicts, sites, [None] * len(sites), 0.0)
    return plan.price_millieur_per_hour, plan.carbon_mg_per_hour
