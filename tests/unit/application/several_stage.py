"""A workload in two zones of two partners, and a third partner's zone that may take over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hansa_control.domain.model import ClaimState, OnChange, WorkloadSpec, ZoneBounds
from home_operator import OWNER
from home_stage import OTHER, Stage, home_stage, norwegian, site_fact

FIRST, SECOND, SPARE = f"{OWNER}/oslo-9", f"{OTHER}/oslo-5", f"{OTHER}/oslo-7"


def in_two(on_change: OnChange = OnChange.DRAIN, cpu_millis: int = 1_000, zones: int = 2) -> WorkloadSpec:
    """Two replicas in so many zones, in Norway."""
    wanted = replace(norwegian(on_change), cpu_millis=cpu_millis)
    return replace(wanted, replicas=zones, zones=ZoneBounds(zones, zones))


async def tell(stage: Stage, zone: str, state: ClaimState, message: str = "") -> None:
    """The owner of a zone tells what became of the newest claim there."""
    zones = [str(placement.zone) for placement in stage.workload.placements]
    await stage.tell(state, message, at=max(n for n, name in enumerate(zones) if name == zone))


async def offers(stage: Stage, prices: Mapping[str, int], until_ms: Mapping[str, int] | None = None) -> None:
    """Zones of partners by price, in Norway as far as is believed until some time of the hand clock."""
    for name, price in prices.items():
        owner, zone = name.split("/")
        facts = (site_fact("NO", (until_ms or {}).get(name, 600_000)),)
        await stage.offer(owner, zone, price_millieur_per_hour=price, facts=facts)


async def started_stage(
    wanted: WorkloadSpec | None = None, until_ms: Mapping[str, int] | None = None, **settings: Any
) -> Stage:
    """The workload starts in two zones; a spare one is dearer."""
    stage = await home_stage(**settings)
    await offers(stage, {FIRST: 100, SECOND: 110}, until_ms)
    await stage.submit(wanted or in_two())
    await stage.look()
    return stage


async def answering_stage(
    wanted: WorkloadSpec | None = None, until_ms: Mapping[str, int] | None = None, *, spare: bool = True
) -> Stage:
    """The workload answers in two zones."""
    stage = await started_stage(wanted, until_ms)
    for zone in (FIRST, SECOND):
        await tell(stage, zone, ClaimState.SERVING)
    if spare:
        await offers(stage, {SPARE: 200})
    await stage.look()
    return stage
