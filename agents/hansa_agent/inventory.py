"""What the zone has, from the configuration or from the machine, as it is advertised."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from hansa.v1.common_pb2 import (
    AcceleratorPool,
    ArtefactRef,
    Capacity,
    Evidence,
    EvidenceKind,
    Fact,
    FactKind,
    PoolAmount,
)
from hansa.v1.zone_pb2 import Inventory
from hansa_agent.config import AgentConfig
from hansa_agent.config_sections import FactSection, InventorySection
from hansa_agent.fact_evidence import valid_until_ms
from hansa_agent.ports import Machine
from hansa_agent.refusals import message_of
from hansa_agent.site_wish import NOTHING, Wish


class FileSource:
    """The zone's owner wrote it down."""

    def __init__(self, section: InventorySection) -> None:
        self._section = section

    async def read(self) -> Machine:
        return self.look()

    def look(self) -> Machine:
        """What is written down."""
        capacity = Capacity()
        if self._section.capacity is not None:
            capacity.cpu_millis = self._section.capacity.cpu_millis
            capacity.memory_mib = self._section.capacity.memory_mib
        pools = tuple(AcceleratorPool(**pool.model_dump()) for pool in self._section.pools)
        return Machine(capacity, pools, "file")

    async def watch(self, found: Callable[[Machine], None]) -> None:
        """What is written down changes with the configuration alone."""
        await asyncio.get_running_loop().create_future()


def pool_key(pool: AcceleratorPool) -> str:
    """The name of a pool in capacities: "vendor/MODEL", or "vendor/MODEL/mig-PROFILE" for slices."""
    whole = f"{pool.vendor}/{pool.model}"
    return f"{whole}/mig-{pool.mig_profile}" if pool.mig_profile else whole


def full_capacity(machine: Machine) -> Capacity:
    """The capacity with its accelerators by pool."""
    capacity = Capacity(cpu_millis=machine.capacity.cpu_millis, memory_mib=machine.capacity.memory_mib)
    counts: dict[str, int] = {}
    for pool in machine.pools:
        counts[pool_key(pool)] = counts.get(pool_key(pool), 0) + pool.count
    capacity.accelerators.extend(PoolAmount(pool=key, count=count) for key, count in sorted(counts.items()))
    return capacity


def inventory_of(
    config: AgentConfig, machine: Machine, digests: Mapping[str, str], probe_address: str, wish: Wish = NOTHING
) -> Inventory:
    """The advert "inventory". ``digests`` maps allowed artefacts to their digests.

    What the site asks to be closed is told as cordoned, too, to an operator that does not know wishes.
    """
    section = config.inventory
    return Inventory(
        node=section.node,
        title=section.title,
        capacity=full_capacity(machine),
        pools=machine.pools,
        artefacts=[ArtefactRef(name=name, digest=digest) for name, digest in sorted(digests.items())],
        probe_address=probe_address,
        price_millieur_per_hour=section.price_millieur_per_hour,
        source=machine.source,
        cordoned=section.cordoned or machine.unsound or bool(wish.closed),
        wish=wish.message(),
        refusals=message_of(config.refusals),
        trouble=machine.trouble,
        failure_domain=section.failure_domain,
        device_watts=section.device_watts,
    )


def facts_of(sections: Iterable[FactSection], now_ms: int | None = None) -> dict[str, Fact]:
    """The adverts "facts/{kind}/{n}", n from 0 within a kind; those that have ended at ``now_ms`` are left out."""
    facts: dict[str, Fact] = {}
    counts: dict[str, int] = {}
    for section in sections:
        number = counts.get(section.kind, 0)
        counts[section.kind] = number + 1
        if now_ms is None or valid_until_ms(section) > now_ms:
            facts[f"facts/{section.kind}/{number}"] = _fact(section)
    return facts


def _fact(section: FactSection) -> Fact:
    evidence = Evidence(
        kind=EvidenceKind.Value(f"EVIDENCE_KIND_{section.evidence.kind}"),
        issuer=section.evidence.issuer,
        scheme=section.evidence.scheme,
        valid_from_ms=_ms(section.evidence.valid_from),
        valid_until_ms=_ms(section.evidence.valid_until),
        digest=section.evidence.digest,
    )
    return Fact(
        kind=FactKind.Value(f"FACT_KIND_{section.kind}"),
        value=section.value,
        evidence=evidence,
        version=section.version,
        level=section.level,
    )


def _ms(moment: datetime | None) -> int:
    return 0 if moment is None else int(moment.timestamp() * 1_000)
