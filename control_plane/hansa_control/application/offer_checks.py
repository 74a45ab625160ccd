"""What an operator does not believe of what a partner offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from hansa_control.application.chain_checks import ChainChecks
from hansa_control.application.offer_owners import of_another, owner_of
from hansa_control.application.ports import StoredOffer
from hansa_control.application.settings import Settings
from hansa_control.application.world import World
from hansa_control.domain.model import ClaimStatus, NetworkLink, NetworkNode, Zone
from hansa_control.domain.origin import is_passed_on, owned_by

KIND_OF_PREFIX: Mapping[str, type] = {
    "zones": Zone,
    "nodes": NetworkNode,
    "links": NetworkLink,
    "claims": ClaimStatus,
}


Wrong: TypeAlias = tuple[str, str, str]
"""The name of an offer, a field of it, and what is wrong with it."""


def wrong_offer(offer: StoredOffer, settings: Settings, chains: ChainChecks) -> Wrong | None:
    """What is wrong with an offer by itself, whatever else is offered: the costly part, with signatures; None if
    nothing.
    """
    owner, body = offer.operator, offer.body
    prefix, _, rest = offer.name.partition("/")
    if KIND_OF_PREFIX.get(prefix) is not type(body):
        return offer.name, "name", f"does not fit a {type(body).__name__}"
    if isinstance(body, Zone) and (body.id.operator, body.id.zone) != (owner, rest):
        return offer.name, "zone.name", f"{body.id} is not a zone of {owner} named {rest}"
    if isinstance(body, ClaimStatus) and body.claim != rest:
        return offer.name, "claim.claim", f"{body.claim} is not {rest}"
    if (fault := chains.fault(offer)) is not None:
        return offer.name, *fault
    if isinstance(body, NetworkNode) and settings.places_checked and _is_nowhere(body):
        why = "0, 0 is no place, so that nothing measured could refute it; say where it is"
        return offer.name, "node.latitude_deg", why
    return None


def wrong_beside(
    offer: StoredOffer, settings: Settings, seen: tuple[World, ChainChecks], leaving_count: int
) -> Wrong | None:
    """What is wrong with an offer beside all that is held now, of which so many of its partner are going; None if
    nothing.
    """
    world, chains = seen
    owner, body = offer.operator, offer.body
    if (fault := chains.superseded(offer)) is not None:
        return offer.name, *fault
    if not isinstance(body, ClaimStatus) and (mistaken := of_another(offer, settings, seen)) is not None:
        return offer.name, *mistaken
    if isinstance(body, NetworkNode | NetworkLink) and (wrong := _wrong_network(offer, body, settings, world)):
        return offer.name, *wrong
    held = world.offered.of(owner)
    if offer.name not in held and len(held) - leaving_count >= settings.offers_per_partner_max:
        return offer.name, "name", f"more than {settings.offers_per_partner_max} offers"
    return None


def _wrong_network(
    offer: StoredOffer, body: NetworkNode | NetworkLink, settings: Settings, world: World
) -> tuple[str, str] | None:
    """Nobody redraws the network of another: a name is his who had it first, and nobody carries in others' names.

    Otherwise one partner could move another's node into a country that a policy allows. What is passed on is its
    owner's, who has signed it, and gives way to the same from its owner itself.
    """
    owner, name = owner_of(offer), offer.name
    if body.name != name.partition("/")[2]:
        return "name", f"does not name {body.name}"
    others = (settings.partners | settings.known_operators) - {owner}
    if world.owns(name):
        return "name", f"{body.name} is of {settings.operator}'s own network"
    former = {other: world.offered.of(other).get(name) for other in sorted(settings.partners - {offer.operator})}
    for other, held in former.items():
        if held is not None and not (_is_passed_on_from(held, owner) and not is_passed_on(offer.chain)):
            return "name", f"{body.name} is offered by {other}"
    if isinstance(body, NetworkLink) and body.carrier in {settings.operator, *others}:
        return "link.carrier", f"{owner} cannot offer what {body.carrier} carries"
    return None


def _is_passed_on_from(held: StoredOffer, owner: str) -> bool:
    return is_passed_on(held.chain) and owned_by(held.chain) == owner


def _is_nowhere(node: NetworkNode) -> bool:
    """Whether a node has no coordinates: distances to it are 0, and no round trip is too short."""
    return (node.latitude_deg, node.longitude_deg) == (0.0, 0.0)
