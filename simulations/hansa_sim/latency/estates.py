"""A scenario as an estate: the workloads of its snapshot where they are, or its app where production places it."""

from __future__ import annotations

from dataclasses import replace

from hansa_control.domain.model import WorkloadId, WorkloadState
from hansa_control.domain.world_record import StandingWorkload

from hansa_sim.latency.views import ViewName, view_of
from hansa_sim.latency.world import World
from hansa_sim.what_if.estate import Estate, estate_of
from hansa_sim.what_if.settling import settle

TENANT = "scenario"


def estate_in(world: World) -> Estate:
    """The estate of a scenario. An app is a workload of the operator that it names as its home, for those of its users
    whom any zone may serve, which is what the policy ``hansa`` plans for.
    """
    record = world.loaded.record
    if record is not None:
        return estate_of(record)
    return settle(Estate(world.snapshot, (_asked(world),), world.loaded.now_ms)).at_rest()


def _asked(world: World) -> StandingWorkload:
    app, served = world.loaded.scenario.app, view_of(world, ViewName.TOGETHER).served
    access = tuple(at for at, is_served in zip(world.spec.access, served, strict=True) if is_served)
    spec = replace(world.spec, access=access) if access else world.spec
    name = str(WorkloadId(TENANT, app.name))
    return StandingWorkload(name, app.home, WorkloadState.PENDING, 1, spec, spec.residency, ())
