"""What ``hansa simulate check`` finds: how large the world of a scenario is, and who has no lawful zone in it."""

from __future__ import annotations

from typing import Any

from hansa_control.domain.world_record import WorldRecord

from hansa_sim.latency.results import FORMAT_VERSION
from hansa_sim.latency.views import ViewName, view_of
from hansa_sim.latency.world import World


def check_document(world: World) -> dict[str, Any]:
    """Plain values: sizes, for each app who has a lawful zone and why others have none, and the snapshot if any."""
    loaded = world.loaded
    return {
        "version": FORMAT_VERSION,
        "scenario": loaded.scenario.name,
        "title": loaded.scenario.title,
        "nodes": len(world.ground.nodes),
        "links": len(world.ground.links),
        "operators": len(loaded.scenario.operators),
        "zones": len(world.zones),
        "apps": [_app(part) for part in world.parts] if loaded.scenario.apps else [],
        "snapshot": None if loaded.record is None else _snapshot(loaded.record),
    }


def _app(part: World) -> dict[str, Any]:
    view = view_of(part, ViewName.TOGETHER)
    return {
        "app": part.loaded.scenario.app.name,
        "access_points": len(part.users),
        "lawful": int(view.served.sum()),
        "why_not": {part.users[at].access_point: reason for at, reason in sorted(view.why_not.items())},
    }


def _snapshot(record: WorldRecord) -> dict[str, Any]:
    parts = record.snapshot
    return {
        "home": record.home,
        "nodes": len(parts.nodes),
        "links": len(parts.links),
        "zones": len(parts.zones),
        "workloads": len(record.workloads),
        "placed": sum(bool(one.placements) for one in record.workloads),
    }
