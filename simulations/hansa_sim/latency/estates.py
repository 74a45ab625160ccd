"""A scenario as an estate: the workloads of its snapshot where they are, or its apps where production places them."""

from __future__ import annotations

from dataclasses import replace

from hansa_control.domain.model import WorkloadId, WorkloadState
from hansa_control.domain.world_record import StandingWorkload

from hansa_sim.latency.fault_schedule import cables_of
from hansa_sim.latency.views import ViewName, view_of
from hansa_sim.latency.world import World
from hansa_sim.what_if.estate import Estate, estate_of
from hansa_sim.what_if.settling import settle

TENANT = "scenario"


def estate_in(world: World) -> Estate:
    """The estate of a scenario. An app is a workload of the operator that it names as its home, for those of its users
    whom any zone may serve, which is what the policy ``hansa`` plans for.
    """
    cables, record = cables_of(world.loaded, world.ground), world.loaded.record
    if record is not None:
        return replace(estate_of(record), cables=cables)
    # Who is placed first where apps share zones is decided as the policies decide it.
    parts = sorted(world.parts, key=lambda part: -part.loaded.scenario.app.priority)
    asked = Estate(world.snapshot_of(None), tuple(map(_asked, parts)), world.loaded.now_ms, cables=cables)
    return settle(asked).at_rest()


def _asked(part: World) -> StandingWorkload:
    app, served = part.loaded.scenario.app, view_of(part, ViewName.TOGETHER).served
    access = tuple(at for at, is_served in zip(part.spec.access, served, strict=True) if is_served)
    spec = replace(part.spec, access=access or part.spec.access, priority=app.priority)
    return StandingWorkload(
        str(WorkloadId(TENANT, app.name)), app.home, WorkloadState.PENDING, 1, spec, spec.residency, ()
    )
