"""What a watcher judges by: worked out from the records alone, and not with the code that is being watched."""

from __future__ import annotations

from hansa_control.domain.model import (
    Capacity,
    Fact,
    FactKind,
    Placement,
    PlacementState,
    ResidencyPolicy,
    Workload,
)


def within(amounts: list[Capacity], total: Capacity) -> bool:
    """Worked out here and not with the ledger's code, which is what is being watched."""
    devices: dict[str, int] = {}
    for amount in amounts:
        for pool, count in amount.accelerators:
            devices[pool] = devices.get(pool, 0) + count
    has = dict(total.accelerators)
    return (
        sum(amount.cpu_millis for amount in amounts) <= total.cpu_millis
        and sum(amount.memory_mib for amount in amounts) <= total.memory_mib
        and all(count <= has.get(pool, 0) for pool, count in devices.items())
    )


def batches(workload: Workload) -> dict[int, list[Placement]]:
    """Placements by batch; like law and capacity it is worked out here."""
    batches: dict[int, list[Placement]] = {}
    for placement in workload.placements:
        batches.setdefault(placement.batch, []).append(placement)
    return batches


def answers_in_part(workload: Workload) -> bool:
    return not all(answers_wholly(parts) for parts in batches(workload).values())


def answers_wholly(parts: list[Placement]) -> bool:
    ready = [part for part in parts if part.state is PlacementState.READY]
    return len(ready) == parts[0].batch_parts


def is_lawful(policy: ResidencyPolicy, told: tuple[Fact, ...]) -> bool:
    facts: dict[FactKind, set[str]] = {}
    for fact in told:
        facts.setdefault(fact.kind, set()).add(fact.value)
    site = facts.get(FactKind.SITE_COUNTRY, set())
    control = facts.get(FactKind.HEADQUARTERS_COUNTRY, set()) | facts.get(FactKind.ULTIMATE_PARENT_COUNTRY, set())
    site_holds = policy.site is None or (bool(site) and not policy.site.countries.refused(site))
    return site_holds and (policy.legal is None or (bool(control) and not policy.legal.countries.refused(control)))


def shown(workload: Workload) -> str:
    return " ".join(f"{p.claim.rpartition('-')[2]}:{p.zone}={p.state}" for p in workload.placements) or "nowhere"
