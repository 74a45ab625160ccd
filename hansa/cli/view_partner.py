"""Partners for people: who uses whose zones, how the agreement stands, and how far its quotas are used."""

from __future__ import annotations

from collections.abc import Iterable

from hansa.cli.documents import Cell, Document, Styled, Table, line
from hansa.cli.figures import age, date
from hansa.cli.output import enum_label
from hansa.v1 import federation_service_pb2, partner_service_pb2

_DIRECTIONS = {
    partner_service_pb2.PARTNER_DIRECTION_USES_OURS: "uses ours",
    partner_service_pb2.PARTNER_DIRECTION_USED_BY_US: "used by us",
}
_STYLES = {"IN_FORCE": "green", "SUSPENDED": "yellow", "PROPOSED": "yellow"}
_HOUR_MS = 3_600_000


def partner_table(partnerships: Iterable[partner_service_pb2.Partnership], now_ms: int, *, wide: bool) -> Document:
    """One row for each partner and direction."""
    rows = tuple(_row(one, now_ms, wide=wide) for one in partnerships)
    if not rows:
        return [line("no partners")]
    headers = ("PARTNER", "ZONES", "AGREEMENT", "VERSION", "CLAIMS", "QUOTA USED", "ENDS", "FEDERATION", "HEARD")
    more = ("REFERENCE", "DIGEST")
    right, fixed = frozenset({3, 4}), frozenset({0, 1, 2, 6})
    return [Table((*headers, *more) if wide else headers, rows, right=right, fixed=fixed, spare=(7, 8, 3))]


def _row(one: partner_service_pb2.Partnership, now_ms: int, *, wide: bool) -> tuple[Cell, ...]:
    state = enum_label(one.standing, "state") if one.HasField("standing") else "UNKNOWN"
    row: tuple[Cell, ...] = (
        one.partner,
        _DIRECTIONS.get(one.direction, "unknown"),
        Styled(state, _STYLES.get(state, "red")),
        str(one.standing.version) if one.HasField("standing") else "-",
        str(one.claims),
        _quotas(one),
        _end(one, now_ms),
        _federation(one),
        age(one.heard_at_ms, now_ms) if one.heard_at_ms else "-",
    )
    return (*row, one.reference or "-", one.standing.digest or "-") if wide else row


def _federation(one: partner_service_pb2.Partnership) -> Cell:
    """Its state, and what the partner would have to be able to do."""
    state = enum_label(one, "federation") if one.federation else "NONE"
    lacking = ", ".join(one.capabilities_lacking)
    return Styled(f"{state}, lacks {lacking}", "red") if lacking else state


def _quotas(one: partner_service_pb2.Partnership) -> str:
    return "; ".join(f"{use.used}/{use.most} {use.what} {use.where}" for use in one.quotas) or "-"


def _end(one: partner_service_pb2.Partnership, now_ms: int) -> str:
    """By when it must be left, or until when it holds."""
    if one.standing.state == federation_service_pb2.AGREEMENT_STATE_TERMINATED:
        return "is over"
    if one.standing.drain_deadline_ms:
        left_ms = max(0, one.standing.drain_deadline_ms - now_ms)
        return f"in {left_ms / _HOUR_MS:.1f} h"
    return date(one.standing.valid_until_ms) if one.standing.valid_until_ms else "-"
