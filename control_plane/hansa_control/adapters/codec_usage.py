"""Usage on the wire: lines between operators, both ways; totals and differences, outward."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from hansa.v1 import usage_pb2
from hansa.v1 import usage_service_pb2 as service_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.adapters.codec_charges import amounts_out, charges_out, prices_in, prices_out, told
from hansa_control.application.books import Settled, Totals
from hansa_control.application.usage_ports import UsageCall, UsagePage
from hansa_control.domain.two_books import Difference, DifferenceKind
from hansa_control.domain.usage import Period, UsageLine, counted_ms

PAGE_LINES_MAX = 500
DIFFERENCES_TOLD_MAX = 1_000
NUMBER_MAX = 2**63 - 1
SPAN_MAX = 2**31 - 1

KINDS = fields.EnumCodec(DifferenceKind, usage_pb2.UsageDifferenceKind, "USAGE_DIFFERENCE_KIND")


# --- between operators ----------------------------------------------------------------------------------------------


def usage_request_out(call: UsageCall) -> usage_pb2.ListUsageRequest:
    period = call.period or Period(0, 0)
    return usage_pb2.ListUsageRequest(
        owner_operator=call.owner,
        after_sequence=call.after,
        kept_sequence=call.kept,
        page_size=call.limit,
        since_ms=period.since_ms,
        until_ms=period.until_ms,
        prices_after_ms=call.prices_after_ms,
    )


def usage_request_in(wire: usage_pb2.ListUsageRequest) -> UsageCall:
    return UsageCall(
        owner=fields.name_in(wire.owner_operator, "owner_operator"),
        after=fields.range_in(wire.after_sequence, (0, NUMBER_MAX), "after_sequence"),
        kept=fields.range_in(wire.kept_sequence, (0, NUMBER_MAX), "kept_sequence"),
        limit=fields.range_in(wire.page_size, (0, PAGE_LINES_MAX), "page_size") or PAGE_LINES_MAX,
        period=_period_in(wire.since_ms, wire.until_ms) if wire.since_ms or wire.until_ms else None,
        prices_after_ms=fields.time_ms_in(wire.prices_after_ms, "prices_after_ms")
        if wire.HasField("prices_after_ms")
        else None,
    )


def usage_response_out(page: UsagePage) -> usage_pb2.ListUsageResponse:
    lines = [line_out(line) for line in page.lines]
    prices = prices_out(page.prices)
    return usage_pb2.ListUsageResponse(lines=lines, more=page.more, last_sequence=page.last_sequence, prices=prices)


def usage_response_in(wire: usage_pb2.ListUsageResponse) -> UsagePage:
    fields.bounded(wire.lines, PAGE_LINES_MAX, "lines")
    lines = tuple(line_in(line, f"lines[{i}]") for i, line in enumerate(wire.lines))
    last_sequence = fields.range_in(wire.last_sequence, (0, NUMBER_MAX), "last_sequence")
    return UsagePage(lines, wire.more, last_sequence, prices_in(wire.prices, "prices"))


def line_in(wire: usage_pb2.UsageLine, path: str) -> UsageLine:
    """One line; one that ends before it begins is refused."""
    from_ms = fields.range_in(wire.from_ms, (1, fields.TIME_MS_MAX), f"{path}.from_ms")
    until_ms = fields.time_ms_in(wire.until_ms, f"{path}.until_ms")
    if until_ms and until_ms < from_ms:
        raise fields.refused(f"{path}.until_ms", f"{until_ms} is before from_ms, {from_ms}; the nearest is {from_ms}")
    if wire.final and not until_ms:
        raise fields.refused(f"{path}.until_ms", "is missing in a line that is final")
    return UsageLine(
        owner=fields.name_in(wire.owner_operator, f"{path}.owner_operator"),
        home=fields.name_in(wire.home_operator, f"{path}.home_operator"),
        claim=fields.identity_in(wire.claim, f"{path}.claim"),
        fencing_token=fields.range_in(wire.fencing_token, (0, NUMBER_MAX), f"{path}.fencing_token"),
        span=fields.range_in(wire.span, (1, SPAN_MAX), f"{path}.span"),
        zone=fields.name_in(wire.zone, f"{path}.zone"),
        workload=str(fields.workload_id_in(wire.workload, f"{path}.workload")),
        pool=fields.text_in(wire.pool, f"{path}.pool"),
        accelerators=fields.range_in(wire.accelerators, (0, SPAN_MAX), f"{path}.accelerators"),
        cpu_millis=fields.range_in(wire.cpu_millis, (0, SPAN_MAX), f"{path}.cpu_millis"),
        memory_mib=fields.range_in(wire.memory_mib, (0, SPAN_MAX), f"{path}.memory_mib"),
        from_ms=from_ms,
        until_ms=until_ms,
        is_final=wire.final,
        sequence=fields.range_in(wire.sequence, (1, NUMBER_MAX), f"{path}.sequence"),
    )


def line_out(line: UsageLine) -> usage_pb2.UsageLine:
    return usage_pb2.UsageLine(
        owner_operator=line.owner,
        home_operator=line.home,
        claim=line.claim,
        fencing_token=line.fencing_token,
        span=line.span,
        zone=line.zone,
        workload=line.workload,
        pool=line.pool,
        accelerators=line.accelerators,
        cpu_millis=line.cpu_millis,
        memory_mib=line.memory_mib,
        from_ms=line.from_ms,
        until_ms=line.until_ms,
        final=line.is_final,
        sequence=line.sequence,
    )


# --- to app teams and to the operator itself ------------------------------------------------------------------------


def used_request_in(wire: service_pb2.GetUsageRequest) -> Period:
    return _period_in(wire.since_ms, wire.until_ms)


def used_out(totals: Totals, period: Period) -> service_pb2.GetUsageResponse:
    return service_pb2.GetUsageResponse(totals=_totals_out(totals), since_ms=period.since_ms, until_ms=period.until_ms)


def settle_request_in(wire: service_pb2.SettleUsageRequest) -> tuple[str, Period]:
    """Partner, empty if none is named, and period."""
    partner = wire.partner and fields.name_in(wire.partner, "partner")
    return partner, _period_in(wire.since_ms, wire.until_ms)


def settled_out(settled: Iterable[Settled], partners: Iterable[str]) -> service_pb2.SettleUsageResponse:
    return service_pb2.SettleUsageResponse(settlements=[_settlement_out(one) for one in settled], partners=partners)


def _settlement_out(settled: Settled) -> usage_pb2.UsageSettlement:
    shown = islice(settled.differences, DIFFERENCES_TOLD_MAX)
    return usage_pb2.UsageSettlement(
        owner_operator=settled.owner,
        home_operator=settled.home,
        since_ms=settled.period.since_ms,
        until_ms=settled.period.until_ms,
        home_totals=_totals_out(settled.home_totals, "home_totals"),
        owner_totals=_totals_out(settled.owner_totals, "owner_totals"),
        differences=[_difference_out(one, settled.period) for one in shown],
        difference_count=len(settled.differences),
        home_charges=charges_out(settled.home_charges, "home_charges"),
        owner_charges=charges_out(settled.owner_charges, "owner_charges"),
        home_amounts=amounts_out(settled.home_charges, "home_amounts"),
        owner_amounts=amounts_out(settled.owner_charges, "owner_amounts"),
    )


def _totals_out(totals: Totals, path: str = "totals") -> list[usage_pb2.UsageTotal]:
    return [
        usage_pb2.UsageTotal(
            owner_operator=key.owner,
            home_operator=key.home,
            tenant=key.tenant,
            pool=key.pool,
            lines=total.lines,
            accelerator_ms=told(total.accelerator_ms, f"{path}[{at}].accelerator_ms", f"{key.tenant}, {key.pool}"),
            cpu_milli_ms=told(total.cpu_milli_ms, f"{path}[{at}].cpu_milli_ms", f"{key.tenant}, {key.pool}"),
            memory_mib_ms=told(total.memory_mib_ms, f"{path}[{at}].memory_mib_ms", f"{key.tenant}, {key.pool}"),
        )
        for at, (key, total) in enumerate(sorted(totals.items()))
    ]


def _difference_out(difference: Difference, period: Period) -> usage_pb2.UsageDifference:
    home, owner = difference.home, difference.owner
    less, more = (counted_ms(side, period) if side is not None else 0 for side in (home, owner))
    amounts = [
        (owner.accelerators, owner.cpu_millis, owner.memory_mib) if owner is not None else (0, 0, 0),
        (home.accelerators, home.cpu_millis, home.memory_mib) if home is not None else (0, 0, 0),
    ]
    accelerator_ms, cpu_milli_ms, memory_mib_ms = (o * more - h * less for o, h in zip(*amounts, strict=True))
    return usage_pb2.UsageDifference(
        kind=KINDS.out(difference.kind),
        home=line_out(home) if home is not None else None,
        owner=line_out(owner) if owner is not None else None,
        accelerator_ms=told(accelerator_ms, "differences.accelerator_ms", difference.key.claim),
        cpu_milli_ms=told(cpu_milli_ms, "differences.cpu_milli_ms", difference.key.claim),
        memory_mib_ms=told(memory_mib_ms, "differences.memory_mib_ms", difference.key.claim),
    )


def _period_in(since_ms: int, until_ms: int) -> Period:
    """A period; without an end it has none. One that ends before it begins is refused."""
    since_ms = fields.time_ms_in(since_ms, "since_ms")
    until_ms = fields.time_ms_in(until_ms, "until_ms") or fields.TIME_MS_MAX
    if until_ms <= since_ms:
        raise fields.refused("until_ms", f"{until_ms} is not after since_ms, {since_ms}; the nearest is {since_ms + 1}")
    return Period(since_ms, until_ms)
