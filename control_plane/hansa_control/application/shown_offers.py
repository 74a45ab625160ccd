"""What one partner is shown of this operator, kept up to date by what has changed."""

from __future__ import annotations

from collections.abc import Mapping

from hansa_control.application.agreements import AgreementDesk
from hansa_control.application.changes import Changes
from hansa_control.application.origins import OriginDesk
from hansa_control.application.ports import ShownBody
from hansa_control.application.shown_network import Drawn
from hansa_control.application.world import World, status_of
from hansa_control.domain.model import ClaimState
from hansa_control.domain.origin import Offered


class ShownOffers:
    """Zones, the network, what is offered on of others, and the partner's own claims, as was agreed, by offer name.

    There may be many claims, so that only those that changed are looked at; of zones and network there are few.
    """

    def __init__(self, world: World, rules: tuple[AgreementDesk, OriginDesk], home: str) -> None:
        self._world, self._home = world, home
        self._agreements, self._origins = rules
        self._bodies: dict[str, ShownBody] = {}
        self._network: Drawn | None = None
        self._terms: object = None
        self._network_drawn: Mapping[str, ShownBody] = {}
        self._zones_drawn: Mapping[str, ShownBody] = {}
        self._passed_on: Mapping[str, ShownBody] = {}
        self._changes = Changes()
        self._claims_seen = -1

    def current(self) -> Mapping[str, ShownBody] | None:
        """Everything as it is now; the same mapping each time. None while it is not known what may be shown now."""
        network = self._agreements.shown_network(self._home)
        if network is None:
            return None
        terms = self._origins.terms(self._home)
        # The pair is put together anew each time, of the same nodes and links while nothing changes.
        if network != self._network or terms != self._terms:
            self._network, self._terms = network, terms
            nodes, links = network
            drawn: dict[str, Offered] = {f"nodes/{node.name}": node for node in nodes}
            drawn |= {f"links/{link.name}": link for link in links}
            self._network_drawn = self._draw(self._network_drawn, self._permitted(drawn))
        zones = self._agreements.shown_zones(self._home, self._world.own_zones())
        self._zones_drawn = self._draw(
            self._zones_drawn, self._permitted({f"zones/{zone.id.zone}": zone for zone in zones})
        )
        self._passed_on = self._draw(self._passed_on, self._origins.passed_on(self._home))
        self._look_at_claims()
        return self._bodies

    def _permitted(self, drawn: Mapping[str, Offered]) -> dict[str, ShownBody]:
        """This operator's own, with the permission to offer it on where that is agreed."""
        if not self._origins.lets_go_on(self._home):
            return dict(drawn)
        return {name: self._origins.permitted(self._home, name, body) for name, body in drawn.items()}

    def changed(self, version: int) -> tuple[int, list[str] | None]:
        """The version of ``current`` as it last was, and which names differ from a former one; None: any may."""
        return self._changes.version, self._changes.since(version)

    def _draw(self, former: Mapping[str, ShownBody], drawn: Mapping[str, ShownBody]) -> Mapping[str, ShownBody]:
        """Takes over some offers in place of the former ones of their kind."""
        for name in former.keys() - drawn.keys():
            self._put(name, None)
        for name, body in drawn.items():
            if self._bodies.get(name) is not body:
                self._put(name, body)
        return drawn

    def _look_at_claims(self) -> None:
        claims, changes = self._world.claims_of(self._home), self._world.claim_changes(self._home)
        names = changes.since(self._claims_seen) if self._claims_seen >= 0 else None
        if names is None:
            shown = (name.partition("/")[2] for name in self._bodies if name.startswith("claims/"))
            names = sorted({*claims, *shown})
        self._claims_seen = changes.version
        for name in names:
            claim = claims.get(name)
            is_shown = claim is not None and claim.state is not ClaimState.HELD
            self._put(f"claims/{name}", status_of(claim) if claim is not None and is_shown else None)

    def _put(self, name: str, body: ShownBody | None) -> None:
        if self._bodies.get(name) == body:
            return
        if body is None:
            del self._bodies[name]
        else:
            self._bodies[name] = body
        self._changes.note(name)
