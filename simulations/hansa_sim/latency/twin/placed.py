"""What the real control planes have decided, as a plan of the simulation, and where the two differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hansa_sim.latency.policies import PERMILLE, Plan
from hansa_sim.latency.world import World


def placed_plan(world: World, answers: Mapping[str, Mapping[str, Any]]) -> Plan:
    """The plan of ``hansa endpoint`` answers, by the access point where each was asked: users go as their own answer
    says, zones run as many replicas as any answer says.
    """
    share, replicas = np.zeros((len(world.users), len(world.zones))), np.zeros(len(world.zones), dtype=np.int64)
    row_of = {user.access_point: row for row, user in enumerate(world.users)}
    column_of = {str(zone.id): column for column, zone in enumerate(world.zones)}
    for point, answer in answers.items():
        for zone in answer["zones"]:
            column = column_of[zone["zone"]]
            replicas[column] = max(int(replicas[column]), len(zone["endpoint_urls"]))
            shares = {one["access_point"]: int(one.get("share_permille", 0)) for one in zone["shares"]}
            share[row_of[point], column] = shares.get(point, 0) / PERMILLE
    return Plan(share, replicas)


def differences(world: World, planned: Plan, placed: Plan) -> Iterator[str]:
    """In words, where what runs is not what was planned: replicas of a zone, and zones of an access point."""
    for column, zone in enumerate(world.zones):
        if planned.replicas[column] != placed.replicas[column]:
            yield f"{zone.id} runs {placed.replicas[column]} replicas, planned were {planned.replicas[column]}"
    if planned.share is None or placed.share is None:
        return
    for row, user in enumerate(world.users):
        if np.abs(planned.share[row] - placed.share[row]).max() > 1 / PERMILLE:
            told, meant = (_shares(world, share[row]) for share in (placed.share, planned.share))
            yield f"users at {user.access_point} go to {told}, planned was {meant}"


def _shares(world: World, shares: np.typing.NDArray[np.float64]) -> str:
    used = [(zone, float(share)) for zone, share in zip(world.zones, shares, strict=True) if share]
    return ", ".join(f"{zone.id} {share:.0%}" for zone, share in used) or "no zone"
