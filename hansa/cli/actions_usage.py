"""What ``usage`` and ``settle`` do."""

from __future__ import annotations

from hansa.cli import exits
from hansa.cli.output import message_data
from hansa.cli.periods import moment_ms, month_began_ms
from hansa.cli.session import Session, note
from hansa.cli.view_charges import has_same_bill
from hansa.cli.view_usage import settlements_document, usage_document
from hansa.errors import HansaError
from hansa.v1 import usage_pb2


async def usage(session: Session, since: str, until: str) -> int:
    """Usage of a period."""
    used = await session.client.usage(*_period(session, since, until))
    session.emit(used, usage_document(used, wide=session.wide))
    return exits.OK


async def settle(session: Session, partner: str, since: str, until: str) -> int:
    """Both books of each partner side by side; partners that do not answer are told at the end, as an error."""
    since_ms, until_ms = _period(session, since, until)
    found: list[usage_pb2.UsageSettlement] = []
    failures: list[HansaError] = []
    for name in [partner] if partner else await _partners(session):
        try:
            found.extend((await session.client.settle(name, since_ms, until_ms)).settlements)
        except HansaError as error:
            if partner or error.reason != "PARTNER_UNREACHABLE":
                raise
            note(f"not compared: {error.message}")
            failures.append(error)
    if found:
        data = {"settlements": [message_data(one) for one in found]}
        session.emit(data, settlements_document(found, wide=session.wide))
    if failures:
        raise failures[0]
    return exits.CHANGE if any(_differs(one) for one in found) else exits.OK


def _differs(settlement: usage_pb2.UsageSettlement) -> bool:
    """In use or in money."""
    return bool(settlement.difference_count) or not has_same_bill(settlement)


async def _partners(session: Session) -> list[str]:
    partners = list((await session.client.settle("", 0)).partners)
    if not partners:
        note("there are no partners to settle with")
    return partners


def _period(session: Session, since: str, until: str) -> tuple[int, int]:
    since_ms = moment_ms(since, "--since") if since else month_began_ms(session.now_ms)
    return since_ms, moment_ms(until, "--until") if until else 0
