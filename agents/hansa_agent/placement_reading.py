"""Reads Placement's resource providers with as few calls as can be.

One call lists all providers with their generations; inventories and traits are read again only where the generation is
another. What is held is read every time, because a deletion of allocations changes no generation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from hansa_agent.openstack_api import CloudRefused, OpenStackApi, Pace
from hansa_agent.placement_truth import Provider, Stock, in_aggregates

_NOT_FOUND = 404


class PlacementReader:
    """Placement as it was read last; ``aggregates`` bound the zone, or everything belongs to it."""

    def __init__(self, api: OpenStackApi, pace: Pace, aggregates: Iterable[str]) -> None:
        self._api = api
        self._pace = pace
        self._aggregates = tuple(aggregates)
        self._known: dict[str, tuple[int, Provider]] = {}

    async def read(self) -> tuple[Provider, ...]:
        """Everything of the zone, now; raises what ``OpenStackApi.get`` raises."""
        listed = await self._list("")
        found: dict[str, tuple[int, Provider]] = {}
        for generation, bare in await self._of_zone(listed):
            read = await self._provider(generation, bare)
            if read is not None:
                found[bare.uuid] = read
        self._known = found
        return tuple(provider for _, provider in found.values())

    async def _of_zone(self, listed: list[tuple[int, Provider]]) -> list[tuple[int, Provider]]:
        if not self._aggregates:
            return listed
        members = await self._list(f"?member_of=in:{','.join(self._aggregates)}")
        kept = {one.uuid for one in in_aggregates((bare for _, bare in listed), (bare.uuid for _, bare in members))}
        return [(generation, bare) for generation, bare in listed if bare.uuid in kept]

    async def _list(self, query: str) -> list[tuple[int, Provider]]:
        body = await self._get(f"/resource_providers{query}")
        return [(int(one["generation"]), _bare(one)) for one in body.get("resource_providers", ())]

    async def _provider(self, generation: int, bare: Provider) -> tuple[int, Provider] | None:
        """None if it has gone since it was listed."""
        path = f"/resource_providers/{bare.uuid}"
        known = self._known.get(bare.uuid)
        try:
            if known is None or known[0] != generation:
                stocks = _stocks(await self._get(f"{path}/inventories"))
                traits = frozenset(map(str, (await self._get(f"{path}/traits")).get("traits", ())))
                known = generation, replace(bare, stocks=stocks, traits=traits)
            held = _held(await self._get(f"{path}/allocations")) if known[1].stocks else {}
            return known[0], replace(known[1], held=held)
        except CloudRefused as refused:
            if refused.status == _NOT_FOUND:
                return None
            raise

    async def _get(self, path: str) -> Mapping[str, Any]:
        await self._pace.turn()
        return await self._api.get("placement", path)


def _bare(one: Mapping[str, Any]) -> Provider:
    return Provider(str(one["uuid"]), str(one["name"]), str(one["root_provider_uuid"]))


def _stocks(body: Mapping[str, Any]) -> dict[str, Stock]:
    return {
        str(name): Stock(int(one["total"]), int(one["reserved"]), float(one["allocation_ratio"]))
        for name, one in sorted(body.get("inventories", {}).items())
    }


def _held(body: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    return {
        str(consumer): {str(name): int(amount) for name, amount in one["resources"].items()}
        for consumer, one in sorted(body.get("allocations", {}).items())
    }
