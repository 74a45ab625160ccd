"""Usage for people: what was used, and two operators' books side by side with every line in which they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hansa.cli.documents import Cell, Document, Line, Styled, Table, line
from hansa.cli.figures import plural, seconds, timestamp
from hansa.cli.view_charges import charges_document, has_same_bill
from hansa.cli.view_decision import section
from hansa.names import short_workload
from hansa.v1 import usage_pb2, usage_service_pb2

_WHAT: Mapping[int, str] = {
    usage_pb2.USAGE_DIFFERENCE_KIND_HOME_LACKS: "not in the home's book",
    usage_pb2.USAGE_DIFFERENCE_KIND_OWNER_LACKS: "not in the owner's book",
    usage_pb2.USAGE_DIFFERENCE_KIND_OTHER_AMOUNT: "other amounts",
    usage_pb2.USAGE_DIFFERENCE_KIND_OTHER_STAMPS: "other times",
    usage_pb2.USAGE_DIFFERENCE_KIND_BEYOND_CLOCKS: "beyond the home's clock",
}


def usage_document(used: usage_service_pb2.GetUsageResponse, *, wide: bool) -> Document:
    """What was used in a period, one row a home operator, tenant, owner and pool."""
    rows = tuple(_usage_row(total, wide=wide) for total in used.totals)
    more = ("GIB-HOURS", "RUNS", "USED BY") if wide else ()
    headers = ("TENANT", "OPERATOR", "POOL", "ACCELERATOR-HOURS", "CORE-HOURS", *more)
    return [
        line(Styled(_between(used.since_ms, used.until_ms), "dim")),
        Table(headers, rows, right=frozenset({3, 4, 5, 6} if wide else {3, 4})),
    ]


def _usage_row(total: usage_pb2.UsageTotal, *, wide: bool) -> tuple[Cell, ...]:
    accelerators, cores = hours(total.accelerator_ms), hours(total.cpu_milli_ms // 1000)
    row: tuple[Cell, ...] = (total.tenant, total.owner_operator, total.pool or "-", accelerators, cores)
    more = (hours(total.memory_mib_ms // 1024), str(total.lines), total.home_operator)
    return (*row, *more) if wide else row


def settlements_document(settlements: Sequence[usage_pb2.UsageSettlement], *, wide: bool) -> Document:
    """Every direction with both sides' totals, and below it what differs."""
    document: list[Line | Table] = []
    for settlement in settlements:
        document += [line()] if document else []
        document += _settlement(settlement, wide=wide)
    return document


def _settlement(settlement: usage_pb2.UsageSettlement, *, wide: bool) -> list[Line | Table]:
    home, owner = settlement.home_operator, settlement.owner_operator
    document: list[Line | Table] = [
        line(Styled(f"what {home} used of {owner}", "bold")),
        line(Styled(_between(settlement.since_ms, settlement.until_ms), "dim")),
    ]
    if not (settlement.home_totals or settlement.owner_totals or settlement.differences):
        return [*document, line("nothing, by both books")]
    document.append(_totals_table(settlement))
    count = settlement.difference_count
    document += charges_document(settlement, wide=wide)
    if not count:
        same = has_same_bill(settlement)
        return [*document, line(Styled("no difference" if same else "the amounts differ", "green" if same else "red"))]
    document.append(line(Styled(f"{plural(count, 'difference')}", "red")))
    document += section("Differences", _difference_table(settlement.differences, wide=wide))
    if count > len(settlement.differences):
        document.append(line(f"and {count - len(settlement.differences)} more; take a shorter period"))
    return document


def _totals_table(settlement: usage_pb2.UsageSettlement) -> Table:
    home = {(total.tenant, total.pool): total for total in settlement.home_totals}
    owner = {(total.tenant, total.pool): total for total in settlement.owner_totals}
    rows = []
    for tenant, pool in sorted({*home, *owner}):
        by_home = home.get((tenant, pool), usage_pb2.UsageTotal())
        by_owner = owner.get((tenant, pool), usage_pb2.UsageTotal())
        for unit, field, divisor in (("accelerator-s", "accelerator_ms", 1), ("core-s", "cpu_milli_ms", 1000)):
            if pool or unit == "core-s":
                less, more = getattr(by_home, field), getattr(by_owner, field)
                rows.append((tenant, pool or "-", unit, *(seconds(n, divisor) for n in (less, more, more - less))))
    headers = ("TENANT", "POOL", "UNIT", settlement.home_operator, settlement.owner_operator, "DIFFERENCE")
    return Table(headers, tuple(rows), right=frozenset({3, 4, 5}), fixed=frozenset({2}))


def _difference_table(differences: Sequence[usage_pb2.UsageDifference], *, wide: bool) -> Table:
    more = ("RUN", "ZONE", "BY HOME", "BY OWNER") if wide else ()
    headers = ("CLAIM", "WORKLOAD", "WHAT", "ACCELERATOR-S", "CORE-S", *more)
    rows = tuple(_difference_row(one, wide=wide) for one in differences)
    return Table(headers, rows, right=frozenset({3, 4}), fixed=frozenset({0}), spare=(4,))


def _difference_row(difference: usage_pb2.UsageDifference, *, wide: bool) -> tuple[Cell, ...]:
    known = difference.owner if difference.HasField("owner") else difference.home
    what = _WHAT.get(difference.kind, f"difference {difference.kind}")
    amounts = (seconds(difference.accelerator_ms, 1, signed=True), seconds(difference.cpu_milli_ms, 1000, signed=True))
    row: tuple[Cell, ...] = (known.claim, short_workload(known.workload), Styled(what, "red"), *amounts)
    if not wide:
        return row
    sides = (_run(difference, "home"), _run(difference, "owner"))
    return (*row, f"{known.fencing_token}.{known.span}", f"{known.owner_operator}/{known.zone}", *sides)


def _run(difference: usage_pb2.UsageDifference, side: str) -> str:
    """From when until when, and how much at a time."""
    if not difference.HasField(side):  # type: ignore[arg-type]
        return "-"
    told: usage_pb2.UsageLine = getattr(difference, side)
    until = timestamp(told.until_ms) if told.until_ms else "now"
    return f"{timestamp(told.from_ms)} - {until}, {told.accelerators} x {told.pool or 'no accelerator'}"


def hours(amount_ms: int) -> str:
    """Milliseconds as hours, for example "1,204.50"."""
    return f"{amount_ms / 3_600_000:,.2f}"


def _between(since_ms: int, until_ms: int) -> str:
    return f"{timestamp(since_ms)} until {timestamp(until_ms)}"
