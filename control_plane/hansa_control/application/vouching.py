"""Which authority vouches for the endpoints in a zone, as it is now: authorities are changed while instances run."""

from __future__ import annotations

from collections.abc import Callable

from hansa_control.application.settings import Settings
from hansa_control.domain.model import Federation, Origin, ZoneId


class Vouching:
    """Answers for own zones, partners' zones and zones that a partner offers on."""

    def __init__(
        self,
        settings: Settings,
        context: Callable[[str], Federation | None],
        origin_of: Callable[[ZoneId], Origin | None],
    ) -> None:
        self._settings = settings
        self._context = context
        self._origin_of = origin_of

    def authority_of(self, zone: ZoneId) -> bytes:
        """The authority of the zone's owner, whoever offers the zone; PEM, empty if it is not known."""
        operator, origin = zone.operator, self._origin_of(zone)
        if origin is not None:
            return dict(self._settings.authority_pems).get(origin.zone.operator, b"")
        if operator == self._settings.operator:
            return self._settings.endpoint_ca_pem
        federation = self._context(operator)
        return federation.endpoint_ca_pem if federation else b""
