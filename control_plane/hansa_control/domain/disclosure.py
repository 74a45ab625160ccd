"""What a partner is shown of an owner's zones, and what it may take of them: an agreement applied to the owner's truth.

What is shown is never more than there is: room is rounded down, and bounded by what the quotas leave. So a home
operator that decides on it may miss a place, and never counts on one that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from math import floor
from typing import NamedTuple

from hansa_control.domain import refusals
from hansa_control.domain.agreement import (
    Agreement,
    AgreementState,
    Amounts,
    Disclosure,
    PlaceShown,
    PriceList,
    Quota,
    RoomShown,
    names,
)
from hansa_control.domain.capacity import NOTHING, capacity_of
from hansa_control.domain.model import (
    Capacity,
    ConstraintResult,
    Inventory,
    NetworkNode,
    Rejection,
    Standing,
    Zone,
    ZoneState,
)

CURRENCY = "EUR"
"""The currency of offers. A price list in another one is for settlement, and offers keep the zone's own price."""

UNDISCLOSED = "inside of a network that is not shown"
"""What a refusal says where it would name what a partner is not shown."""

_STATES: Mapping[AgreementState, ZoneState] = {
    AgreementState.PROPOSED: ZoneState.AGREEMENT_SUSPENDED,
    AgreementState.SUSPENDED: ZoneState.AGREEMENT_SUSPENDED,
    AgreementState.EXPIRED: ZoneState.AGREEMENT_ENDING,
    AgreementState.DRAINING: ZoneState.AGREEMENT_ENDING,
    AgreementState.TERMINATED: ZoneState.AGREEMENT_ENDING,
}


def state_under(standing: Standing | None, state: ZoneState) -> ZoneState:
    """What a partner's zone is to the home operator, in this state by itself: an agreement that takes nothing new, or
    of which nothing is known, comes before it.
    """
    return ZoneState.AGREEMENT_UNKNOWN if standing is None else _STATES.get(standing.state, state)


class Excess(NamedTuple):
    """A quota that a claim would exceed: what of, how much is taken and asked, and how much there may be."""

    what: str
    taken: int
    asked: int
    most: int
    where: str


class Taken(NamedTuple):
    """What several claims take: devices, thousandths of a CPU, MiB, and how many claims they are."""

    accelerators: int = 0
    cpu_millis: int = 0
    memory_mib: int = 0
    claims: int = 0

    def plus(self, other: Taken) -> Taken:
        return Taken(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class Held:
    """What a partner's claims take by zone, summed up once, since every zone that is shown asks for it."""

    def __init__(self, amounts: Mapping[str, Sequence[Capacity]]) -> None:
        self.by_zone = {zone: reduce(Taken.plus, map(_one, amounts[zone]), Taken()) for zone in sorted(amounts)}
        self._together: dict[tuple[str, ...], Taken] = {}

    def counted(self, quota: Quota, zone: str) -> Taken:
        """What a quota counts, of which something is asked in this zone."""
        if quota.each:
            return self.by_zone.get(zone, Taken())
        known = self._together.get(quota.zones)
        if known is None:
            named = (taken for at, taken in self.by_zone.items() if names(quota.zones, at))
            known = self._together[quota.zones] = reduce(Taken.plus, named, Taken())
        return known


def _one(amount: Capacity) -> Taken:
    return Taken(sum(count for _, count in amount.accelerators), amount.cpu_millis, amount.memory_mib, 1)


def exceeded(agreement: Agreement, zone: str, held: Held, asked: Capacity) -> tuple[Excess, ...]:
    """Every bound of a quota that another claim of this amount would break."""
    found: list[Excess] = []
    for quota in agreement.quotas:
        if names(quota.zones, zone):
            where = f"in {zone}" if quota.each else f"in {', '.join(quota.zones)}"
            found += [
                Excess(what, used, more, most, where)
                for what, used, more, most in _bounds(quota, held.counted(quota, zone), _one(asked))
                if used + more > most
            ]
    return tuple(found)


def uses(agreement: Agreement, held: Held) -> tuple[Excess, ...]:
    """How far every bound of every quota is used, without anything being asked; of each zone where any is used."""
    found: list[Excess] = []
    for quota in agreement.quotas:
        zones = [zone for zone in held.by_zone if names(quota.zones, zone)] if quota.each else [""]
        for zone in zones:
            where = f"in {zone}" if quota.each else f"in {', '.join(quota.zones)}"
            counted = _bounds(quota, held.counted(quota, zone), Taken())
            found += [Excess(what, used, 0, most, where) for what, used, _, most in counted]
    return tuple(found)


def _bounds(quota: Quota, used: Taken, asked: Taken) -> Iterator[tuple[str, int, int, int]]:
    """What a quota bounds, how much of it is taken and asked, and how much there may be."""
    for what, taken, more, most in zip(Taken._fields, used, asked, quota.bounds(), strict=True):
        if most is not None:
            yield what, taken, more, most


def left(agreement: Agreement, zone: str, held: Held) -> Amounts:
    """What the quotas leave of a zone to a partner; None where they bound nothing."""
    least: dict[str, int] = {}
    for quota in agreement.quotas:
        if names(quota.zones, zone):
            for what, used, _, most in _bounds(quota, held.counted(quota, zone), Taken()):
                rest = max(0, most - used)
                # Where no claim is left, nothing is left; where one is, it may be of any size.
                bounded = (what,) if what != "claims" else Taken._fields if not rest else ()
                least |= {name: min(rest, least.get(name, rest)) for name in bounded}
    return Amounts(*(least.get(name) for name in Taken._fields[:3]))


def outward(zone: Zone) -> Zone:
    """A zone without what its agent tells its operator alone."""
    inventory = zone.inventory
    refused = refusals.shown(inventory.refusals)
    if not inventory.trouble and inventory.wish is None and refused is inventory.refusals:
        return zone
    return replace(zone, inventory=replace(inventory, trouble="", wish=None, refusals=refused))


def shown(agreement: Agreement, zone: Zone, held: Held, now_ms: int) -> Zone | None:
    """A zone as its owner shows it to a partner; None if it shows nothing of it.

    One that is not offered any more, but where the partner still has claims, is shown as taking nothing new, so that
    its law goes on being watched.
    """
    name = zone.id.zone
    is_offered = agreement.offers(name)
    if not is_offered and name not in held.by_zone:
        return None
    disclosure = agreement.disclosure(name)
    zone = priced(agreement, outward(zone), now_ms)
    if disclosure.place is PlaceShown.COARSE:
        zone = replace(zone, inventory=replace(zone.inventory, title="", failure_domain=""))
    if not is_offered:
        zone = _in_bands(zone) if disclosure.room is RoomShown.BANDS else zone
        return replace(zone, inventory=replace(zone.inventory, cordoned=True), free=NOTHING)
    return _with_room(agreement, disclosure, zone, held)


def passed_on(agreement: Agreement, zone: Zone, held: Held, now_ms: int) -> Zone:
    """Another operator's zone as it is offered on to a partner. Where it stands is its owner's word and stays."""
    return _with_room(agreement, agreement.disclosure(zone.id.zone), priced(agreement, zone, now_ms), held)


def _with_room(agreement: Agreement, disclosure: Disclosure, zone: Zone, held: Held) -> Zone:
    """A zone with no more room than disclosure and quotas leave."""
    name = zone.id.zone
    if disclosure.room is RoomShown.BANDS:
        zone = _in_bands(zone)
    free = zone.free
    for most in (disclosure.most, left(agreement, name, held)):
        free = _at_most(free, most)
    free = _banded(free) if disclosure.room is RoomShown.BANDS else free
    return zone if free == zone.free else replace(zone, free=free)


def shown_node(agreement: Agreement, node: NetworkNode, zones: Iterable[Zone]) -> NetworkNode:
    """A node of the owner's network as it shows it: to one degree, and without title, where a zone's place is coarse.

    The country stays, and so do the links with their latencies: paths and what the law says of them are exact.
    """
    coarse = any(
        zone.inventory.node == node.name and agreement.disclosure(zone.id.zone).place is PlaceShown.COARSE
        for zone in zones
    )
    if not coarse:
        return node
    latitude_deg, longitude_deg = _middle(node.latitude_deg, 90), _middle(node.longitude_deg, 180)
    return replace(node, title="", latitude_deg=latitude_deg, longitude_deg=longitude_deg, coarse=True)


def _middle(degrees: float, most: int) -> float:
    """The middle of the cell of one degree that an angle lies in."""
    return min(floor(degrees), most - 1) + 0.5


_WORD = re.compile(r"[a-z0-9]+(?:-+[a-z0-9]+)*")


def without_names(rejection: Rejection, hidden: frozenset[str]) -> Rejection:
    """A refusal without the words in which any of these names of nodes and links occurs.

    The reason and the constraint stay, and so does every word on what was measured that names none of them.
    """
    constraint, *words = rejection.result
    told = [UNDISCLOSED if hidden.intersection(_WORD.findall(text)) else text for text in words]
    return rejection._replace(result=ConstraintResult(constraint, *told))


def priced(agreement: Agreement, zone: Zone, now_ms: int) -> Zone:
    """The zone at the agreement's price, for whoever judges what a partner asks."""
    price = _price_milli(agreement.prices, zone.inventory, now_ms)
    if price is None or price == zone.inventory.price_millieur_per_hour:
        return zone
    return replace(zone, inventory=replace(zone.inventory, price_millieur_per_hour=price))


def _price_milli(prices: PriceList | None, inventory: Inventory, now_ms: int) -> int | None:
    """The price of a device for an hour; of several models the dearest, and None unless every one has a price."""
    if prices is None or prices.currency != CURRENCY or not prices.is_valid(now_ms) or not inventory.pools:
        return None
    listed = dict(prices.accelerator_milli)
    found = [listed.get(pool.key, listed.get(pool.model)) for pool in inventory.pools]
    known = [price for price in found if price is not None]
    return max(known) if len(known) == len(found) else None


# --- room -----------------------------------------------------------------------------------------------------------


def band(amount: int) -> int:
    """The greatest power of two that an amount reaches; 0 for nothing."""
    return 1 << (amount.bit_length() - 1) if amount > 0 else 0


def _in_bands(zone: Zone) -> Zone:
    """The zone with what it has, too, rounded down: the difference to what is free would tell it otherwise."""
    inventory = zone.inventory
    pools = tuple(
        replace(pool, count=band(pool.count), node_count_max=band(pool.node_count_max)) for pool in inventory.pools
    )
    inventory = replace(inventory, capacity=_banded(inventory.capacity), pools=pools)
    return replace(zone, inventory=inventory, free=_banded(zone.free))


def _banded(amount: Capacity) -> Capacity:
    """CPU in bands of cores and memory in bands of GiB, below which nothing is shown."""
    accelerators = {key: band(count) for key, count in amount.accelerators}
    return capacity_of(band(amount.cpu_millis // 1_000) * 1_000, band(amount.memory_mib // 1_024) * 1_024, accelerators)


def _at_most(amount: Capacity, most: Amounts) -> Capacity:
    """The amount cut down to bounds; of devices each pool on its own, as a claim takes them from one pool."""
    devices = most.accelerators
    accelerators = {key: count if devices is None else min(count, devices) for key, count in amount.accelerators}
    cpu, memory = (
        value if bound is None else min(value, bound)
        for value, bound in ((amount.cpu_millis, most.cpu_millis), (amount.memory_mib, most.memory_mib))
    )
    return capacity_of(cpu, memory, accelerators)
