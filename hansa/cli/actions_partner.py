"""What ``partners`` does."""

from __future__ import annotations

from hansa.cli import exits
from hansa.cli.session import Session
from hansa.cli.view_partner import partner_table


async def partners(session: Session) -> int:
    """The federations of the operator; HansaError PERMISSION_DENIED for anybody but the operator itself."""
    found = await session.client.partners()
    session.emit(found, partner_table(found.partnerships, session.now_ms, wide=session.wide))
    return exits.OK
