"""Which authority vouches for the endpoints in a zone, as it is now: authorities are changed while instances run."""

from __future__ import annotations

from collections.abc import Callable

from hansa_control.application.settings import Settings
from hansa_control.domain.model import Federation, Origin, ZoneId
from hansa_control.domain.origin import aliased


class Vouching:
    """Answers for own zones, partners' zones and zones that a partner offers on."""

    def __init__(
        self,
        settings: Settings,
        context: Callable[[str], Federation | None],
        origin_of: Callable[[ZoneId], Origin | None],
    ) -> None:
        self._settings = settings
        self._authorities = dict(settings.authority_pems)
        self._context = context
        self._origin_of = origin_of

    def authority_of(self, zone: ZoneId) -> bytes:
        """The authority of the zone's owner, whoever offers the zone; PEM, empty if it is not known."""
        if zone.operator == self._settings.operator:
            return self._settings.endpoint_ca_pem
        owner = self._owner_of(zone)
        if owner != zone.operator:
            return self._authorities.get(owner, b"")
        federation = self._context(owner)
        return federation.endpoint_ca_pem if federation else b""

    def _owner_of(self, zone: ZoneId) -> str:
        """The offer says it. Who has withdrawn it vouches for what still runs there no more than before: the name says
        it then, as no partner may offer a zone of its own under the alias of another's.
        """
        origin = self._origin_of(zone)
        if origin is not None:
            return origin.zone.operator
        return aliased(zone.zone, self._authorities.keys() - {zone.operator}) or zone.operator
