"""Estates for the tests of what-if: workloads that production places in a row of zones, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from deciding_world import LINKS, NODES, NOW_MS, spec, zone
from hansa_control.domain.model import AccessDemand, Capacity, LatencyBudget, WorkloadSpec, WorkloadState, Zone
from hansa_control.domain.snapshot import build_snapshot
from hansa_control.domain.world_record import StandingWorkload
from hansa_sim.what_if.answer import Answer, answer
from hansa_sim.what_if.changes import Changes
from hansa_sim.what_if.estate import Estate
from hansa_sim.what_if.settling import settle

HOME = "nordavind"
OSLO, BODO, GOTEBORG, HELSINKI = (
    zone("nordavind/oslo-1", "oslo"),
    zone("nordavind/bodo-1", "bodo"),
    zone("skargard/goteborg-1", "goteborg"),
    zone("skargard/helsinki-1", "helsinki"),
)


def cores(count: int, at: Zone) -> Zone:
    """The zone with so many cores and nothing that is scarce besides."""
    room = Capacity(count * 1_000, 262_144, at.free.accelerators)
    return replace(at, free=room, inventory=replace(at.inventory, capacity=room))


def asks(count: int, access: str = "oslo", rtt_ms_max: int = 60, **changes: Any) -> WorkloadSpec:
    """A workload of one replica that takes so many cores."""
    budget = LatencyBudget(95, rtt_ms_max * 1_000)
    plain = spec(accelerator=None, cpu_millis=count * 1_000, replicas=1, latency=budget)
    return replace(plain, access=(AccessDemand(access, 1_000),), **changes)


def workload(name: str, asked: WorkloadSpec, home: str = HOME) -> StandingWorkload:
    """One that has no place yet."""
    full = f"tenants/havneby/workloads/{name}"
    return StandingWorkload(full, home, WorkloadState.PENDING, 1, asked, asked.residency, ())


def estate(zones: Sequence[Zone], **asked: WorkloadSpec) -> Estate:
    """An estate in which production has placed workloads, in their order."""
    snapshot = replace(build_snapshot(1, zones, NODES, LINKS, NOW_MS), own=HOME)
    named = tuple(workload(name.replace("_", "-"), one) for name, one in asked.items())
    return settle(Estate(snapshot, named, NOW_MS)).at_rest()


def ask(present: Estate, **changes: Any) -> Answer:
    """What would come of cut, fail, drain, accept (tuples of words) or law (a file)."""
    return answer(present, Changes(**changes))


def where(found: Answer) -> dict[str, str]:
    """The zones of every workload afterwards, by its short name."""
    return {
        change.workload.rsplit("/", 1)[1]: ", ".join(str(at) for at, _ in change.after.zones)
        for change in found.changes
    }


def outcomes(found: Answer) -> dict[str, str]:
    """What becomes of every workload, by its short name."""
    return {change.workload.rsplit("/", 1)[1]: change.outcome.name for change in found.changes}
