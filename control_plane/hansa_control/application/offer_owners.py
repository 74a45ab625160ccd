"""Whose is what a partner offers: what another has signed does not become the partner's by leaving that out."""

from __future__ import annotations

from hansa_control.application.chain_checks import ChainChecks
from hansa_control.application.ports import StoredOffer
from hansa_control.application.settings import Settings
from hansa_control.application.world import World
from hansa_control.domain.model import NetworkNode, Zone
from hansa_control.domain.origin import aliased, is_passed_on, owned_by

Wrong = tuple[str, str]


def owner_of(offer: StoredOffer) -> str:
    """Who owns what a partner offers: whoever signed the first link, or the partner itself."""
    return owned_by(offer.chain) if offer.chain else offer.operator


def of_another(offer: StoredOffer, settings: Settings, seen: tuple[World, ChainChecks]) -> Wrong | None:
    """Why a zone, node or link of the network is taken for another operator's than its chain says: a field, and why;
    None if it is not. Its chain, if there is one, has been checked.
    """
    world, chains = seen
    known = (settings.partners | settings.known_operators | {settings.operator}) - {offer.operator}
    held = world.offered.of(offer.operator).get(offer.name)
    if held is not None and is_passed_on(held.chain) and owner_of(held) != owner_of(offer):
        return _unsigned(offer, owner_of(held))
    if isinstance(offer.body, Zone):
        return _wrong_zone(offer, offer.body, known, world)
    node = offer.body.name if isinstance(offer.body, NetworkNode) else None
    for owner in sorted(known - {owner_of(offer)}):
        if chains.is_still_signed(offer, owner, node):
            return _unsigned(offer, owner)
    return _wrong_ground(offer, node, world) if node else None


def _unsigned(offer: StoredOffer, owner: str) -> Wrong:
    return (
        "chain",
        f"{owner} has signed {offer.name}, and what comes in its place has no chain that begins with {owner}",
    )


def _wrong_zone(offer: StoredOffer, zone: Zone, known: frozenset[str], world: World) -> Wrong | None:
    if not is_passed_on(offer.chain):
        owner = aliased(zone.id.zone, known)
        said = f"is not set, and {zone.id.zone} names a zone of {owner} that is offered on"
        return None if owner is None else ("zone.origin", said)
    owner, node = owner_of(offer), zone.inventory.node
    found = (world.offered.of(one).get(f"nodes/{node}") for one in sorted(known | {offer.operator}))
    others = [owner_of(one) for one in found if one is not None and owner_of(one) != owner]
    return ("zone.inventory.node", f"{node} is a node of {others[0]}, not of {owner}") if others else None


def _wrong_ground(offer: StoredOffer, node: str, world: World) -> Wrong | None:
    """The ground on which a zone stands is its owner's: who passes the zone on does not say where that is."""
    there = (one for one in world.offered.passed_on_at(node) if isinstance(one.body, Zone))
    owners = sorted({owner_of(one) for one in there} - {owner_of(offer)})
    return (
        ("chain", f"a zone of {owners[0]} stands at {node}, which needs a chain from {owners[0]}") if owners else None
    )
