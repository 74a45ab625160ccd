"""A scenario as operators with control planes, zones with agents, and app teams that submit workloads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hansa_agent.reconciliation import RestartPolicy
from hansa_control.application.settings import Settings
from hansa_control.config import Timings
from hansa_control.domain.model import AccessDemand, NetworkNode, WorkloadId, WorkloadSpec

from hansa_sim.clock import EPOCH_MS
from hansa_sim.geography import OperatorProfile, ZoneProfile
from hansa_sim.kernel import VirtualLoop
from hansa_sim.latency.world import World
from hansa_sim.network import Weather
from hansa_sim.runtime import Manners
from hansa_sim.world import World as Platform

STEPS_MAX = 1_000_000_000
STOP_MS = 1_000
APART_DEG = 1e-4
DISK_US = 1_000
USAGE_INTERVAL_MS = 3_600_000
"""How often books are compared while nothing changes; after every change they are compared at once."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A workload that an app team submits to ``home``: of which part of the world it is, and the rows of that part's
    users that it serves.
    """

    id: WorkloadId
    home: str
    spec: WorkloadSpec
    part: int
    points: tuple[int, ...]


def platform_of(world: World, loop: VirtualLoop) -> Platform:
    """The operators of a scenario, none of them started yet, on the morning of its day.

    Messages, disks and instances take as long as the scenario says, always the same: what happens by chance here would
    hide what faults do.
    """
    run = world.loaded.scenario.run
    loop.wall_ahead_ms = world.loaded.now_ms - EPOCH_MS
    platform = Platform(loop, run.seed, profiles_of(world))
    platform.network.weather = Weather(round(run.system.message_ms * 1_000), jitter_us=0)
    ready_ms, policy = round(run.system.start_s * 1_000), RestartPolicy()
    for operator in platform.operators.values():
        operator.pause_us, operator.tuned = (DISK_US, DISK_US), _tuned
    for zone in platform.zones.values():
        zone.machine.manners = Manners((ready_ms, ready_ms), (STOP_MS, STOP_MS), crash_share=0.0, deaf_share=0.0)
        zone.policy = replace(policy, ready_timeout_ms=ready_ms + policy.ready_timeout_ms)
    return platform


def profiles_of(world: World) -> tuple[OperatorProfile, ...]:
    """Operators with their network and zones, each a partner of all others. What no operator has and carries is in the
    network of the operator that the first app team talks to.
    """
    names = tuple(operator.name for operator in world.loaded.scenario.operators)
    home, owners = world.loaded.scenario.apps[0].home, world.ground.owners

    def whose(owner: str) -> str:
        return owner if owner in names else home

    return tuple(
        OperatorProfile(
            name,
            (
                tuple(node for node in _placed(world.ground.nodes) if whose(owners[node.name]) == name),
                tuple(link for link in world.ground.links if whose(link.carrier) == name),
            ),
            tuple(ZoneProfile(z.id, z.inventory, z.facts) for z in world.zones if z.id.operator == name),
            tuple(partner for partner in names if partner != name),
        )
        for name in names
    )


def _placed(nodes: Sequence[NetworkNode]) -> Iterator[NetworkNode]:
    """Partners refuse nodes of which nobody says where they are, as in a table of round trips: these lie side by side.
    Nothing is measured here, so nothing is held against the place.
    """
    for number, node in enumerate(nodes, 1):
        is_nowhere = node.latitude_deg == node.longitude_deg == 0
        yield replace(node, latitude_deg=number * APART_DEG) if is_nowhere else node


def workloads_of(world: World) -> tuple[Asked, ...]:
    """The users in so many workloads: an access point of an app is one, or several of equal parts, or one is of several
    points. Each app has its share of them by the number of its access points, and one at least.
    """
    rows = sum(len(part.users) for part in world.parts)
    wanted, found, passed = world.loaded.scenario.run.system.workloads or rows, list[Asked](), 0
    for at, part in enumerate(world.parts):
        before, passed = passed, passed + len(part.users)
        count = max(1, passed * wanted // rows - before * wanted // rows)
        found += _workloads_of_part(at, part, count)
    return tuple(found)


def _workloads_of_part(at: int, part: World, count: int) -> Iterator[Asked]:
    app = part.loaded.scenario.app
    for number, demand in enumerate(_parts([user.millirps for user in part.users], count)):
        access = tuple(AccessDemand(part.users[row].access_point, millirps) for row, millirps in demand.items())
        workload = WorkloadId(app.name, f"w-{number}")
        yield Asked(workload, app.home, replace(part.spec, access=access), at, tuple(demand))


def _parts(demands: list[int], wanted: int) -> Iterator[dict[int, int]]:
    """Millirequests a second by row of users, of each workload."""
    count = len(demands)
    if wanted <= count:
        for number in range(wanted):
            rows = range(number * count // wanted, (number + 1) * count // wanted)
            yield {row: demands[row] for row in rows}
        return
    for row, demand in enumerate(demands):
        pieces = wanted // count + (row < wanted % count)
        for piece in range(pieces):
            yield {row: max(1, demand // pieces + (piece < demand % pieces))}


def _tuned(settings: Settings) -> Settings:
    """As a product that was just installed, but for the pace of comparing books."""
    return Settings(
        operator=settings.operator,
        endpoint_ca_pem=settings.endpoint_ca_pem,
        client_ca_pem=settings.client_ca_pem,
        partners=settings.partners,
        linger_ms=Timings().linger_ms,
        usage_interval_ms=USAGE_INTERVAL_MS,
    )
