"""What those who keep the machines refuse: drawn for random worlds, and judged by what docs/agents.md says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hansa_control.domain.model import Reason, Refusals, WorkloadSpec, Zone

TENANTS = ("z/harbour", "nordavind/harbour", "nordavind/*", "skargard/mill", "*")
KINDS = ("BACKUP", "WEIGHTS", "LOGS", "TELEMETRY", "INPUT")
SPANS = ((0, 10_080), (0, 1), (4_320, 5_760), (6_000, 7_000))


def with_refusals(chance: Any, zones: tuple[Zone, ...]) -> tuple[Zone, ...]:
    """Zones of which some refuse something."""
    return tuple(
        replace(zone, inventory=replace(zone.inventory, refusals=_refusals(chance))) if chance.one_in(3) else zone
        for zone in zones
    )


def random_asker(chance: Any) -> str:
    """Whose the request is; now and then nobody says."""
    asker: str = chance.pick(("nordavind/harbour", "skargard/mill", "z/harbour", ""))
    return asker


def _refusals(chance: Any) -> Refusals:
    return Refusals(
        tuple(chance.some(TENANTS, 0.3)) if chance.one_in(3) else (),
        tuple(chance.some(TENANTS, 0.2)) if chance.one_in(3) else (),
        tuple(sorted(chance.some(KINDS, 0.2))),
        tuple(chance.some(SPANS, 0.15)),
        tenants_withheld=chance.one_in(10),
    )


def refused_by_site(spec: WorkloadSpec, zone: Zone, now_ms: int) -> set[Reason]:
    """Every reason for which the site does not let it start now."""
    refusals, found = zone.inventory.refusals, set[Reason]()
    if refusals is None:
        return found
    if refusals.tenants_allowed or refusals.tenants_denied:
        if spec.asker == "":
            found.add(Reason.TENANT_UNKNOWN)
        elif _named(spec.asker, refusals.tenants_denied) or not (
            _named(spec.asker, refusals.tenants_allowed) or refusals.tenants_allowed == ()
        ):
            found.add(Reason.TENANT_REFUSED)
    brought = {"INPUT", "OUTPUT", "ARTEFACT", *(source.data.value for source in spec.data_sources)}
    if brought & set(refusals.data_denied):
        found.add(Reason.DATA_REFUSED)
    at = datetime.fromtimestamp(now_ms / 1_000, UTC)
    minute = (at.weekday() * 24 + at.hour) * 60 + at.minute
    if any(begin <= minute < end for begin, end in refusals.spans):
        found.add(Reason.TIME_REFUSED)
    return found


def _named(asker: str, names: tuple[str, ...]) -> bool:
    operator, tenant = asker.split("/")
    return any(name == "*" or name.split("/") in ([operator, tenant], [operator, "*"]) for name in names)
