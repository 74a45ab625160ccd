"""Workloads for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hansa.cli.documents import Cell, Document, Line, Styled, Table, line
from hansa.cli.figures import age, bound_ms, clock_time, cpu, memory, percent, plural, rtt_ms, timestamp
from hansa.cli.output import enum_label
from hansa.cli.view_decision import event_style, event_table, latency_table, section
from hansa.names import short_workload
from hansa.v1 import common_pb2, residency_pb2, workload_pb2, workload_service_pb2

_STATE_STYLE = {
    "RUNNING": "green",
    "READY": "green",
    "TRUE": "green",
    "STARTING": "cyan",
    "PENDING": "yellow",
    "HELD": "yellow",
    "RELEASING": "yellow",
    "DELETING": "yellow",
    "UNPLACEABLE": "bold red",
    "LOST": "red",
}
ZONES_NAMED_MAX = 2
"""Zones that a row of a table names; of more it says how many there are."""

_LIVE = (
    workload_pb2.PLACEMENT_STATE_READY,
    workload_pb2.PLACEMENT_STATE_STARTING,
    workload_pb2.PLACEMENT_STATE_HELD,
)


def state_cell(label: str) -> Cell:
    """A state in its colour."""
    return Styled(label, _STATE_STYLE.get(label, ""))


def live_placements(workload: workload_pb2.Workload) -> list[workload_pb2.Placement]:
    """Placements that are or will be in use, the readiest first."""
    return sorted((p for p in workload.placements if p.state in _LIVE), key=lambda p: (_LIVE.index(p.state), p.zone))


def workload_table(workloads: Iterable[workload_pb2.Workload], now_ms: int, *, wide: bool) -> Document:
    """One row a workload."""
    rows = tuple(_row(workload, now_ms, wide=wide) for workload in workloads)
    if not rows:
        return [line("no workloads")]
    headers = ("NAME", "STATE", "ZONE", "REPLICAS", "SLOWEST RTT", "ARTEFACT", "AGE")
    more = ("ENDPOINTS", "GENERATION", "UID", "MESSAGE")
    return [
        Table(
            (*headers, *more) if wide else headers,
            rows,
            right=frozenset({3, 4}),
            fixed=frozenset({0, 1, 2, 6}),
            spare=(5,),
        )
    ]


def _row(workload: workload_pb2.Workload, now_ms: int, *, wide: bool) -> tuple[Cell, ...]:
    placements = live_placements(workload)
    zones = list(dict.fromkeys(p.zone for p in placements))
    slowest = max((latency.rtt_us for p in placements for latency in p.latencies), default=0)
    row: tuple[Cell, ...] = (
        short_workload(workload.name),
        state_cell(enum_label(workload, "state")),
        (", ".join(zones) if wide or len(zones) <= ZONES_NAMED_MAX else f"{zones[0]} +{len(zones) - 1}") or "-",
        _replicas_text(workload.spec.replicas, placements),
        rtt_ms(slowest) if slowest else "-",
        workload.spec.artefact.name,
        age(workload.created_at_ms, now_ms),
    )
    if not wide:
        return row
    endpoints = ",".join(url for p in placements for url in p.endpoint_urls) or "-"
    return (*row, endpoints, str(workload.generation), workload.uid, headline(workload) or "-")


def _replicas_text(asked: int, placements: Sequence[workload_pb2.Placement]) -> str:
    """Replicas that answer of those that are planned; while it moves, those of the batch of which most answer."""
    ready: dict[object, int] = {}
    planned: dict[object, int] = {}
    for p in placements:
        batch = p.batch or p.claim
        planned[batch] = planned.get(batch, 0) + p.replicas
        if p.state == workload_pb2.PLACEMENT_STATE_READY:
            ready[batch] = ready.get(batch, 0) + p.replicas
    most = max(ready.values(), default=0)
    return f"{most}/{max([asked, *(count for batch, count in planned.items() if ready.get(batch, 0) == most)])}"


def headline(workload: workload_pb2.Workload) -> str:
    """The message that matters most now: of a condition that is not as it should be, else of a placement."""
    for condition in workload.conditions:
        bad = (condition.status == common_pb2.CONDITION_STATUS_TRUE) == (condition.type == "Stranded")
        if bad and condition.message:
            return str(condition.message)
    return next((str(p.message) for p in live_placements(workload) if p.message), "")


def describe_document(
    workload: workload_pb2.Workload, events: Sequence[common_pb2.Event], now_ms: int
) -> list[Line | Table]:
    """Everything about a workload: spec, placements with paths, conditions, events."""
    spec = workload.spec
    document: list[Line | Table] = [
        line(Styled(short_workload(workload.name), "bold"), "  ", state_cell(enum_label(workload, "state"))),
        Table(("", ""), _facts(workload, now_ms)),
    ]
    document += section("Placements", _placement_table(workload))
    for placement in _newest_by_zone(workload):
        document += section(f"Paths to {placement.zone}", latency_table(placement.latencies, spec.latency))
    document += section("Conditions", _condition_table(workload, now_ms))
    document += section("Events", event_table(events[-20:]))
    return document


def _newest_by_zone(workload: workload_pb2.Workload) -> list[workload_pb2.Placement]:
    """Live placements without those that another one in the same zone is to replace: their paths are the same."""
    newest = {p.zone: p.claim for p in workload.placements if p.state in _LIVE}
    return [p for p in live_placements(workload) if newest[p.zone] == p.claim]


def _facts(workload: workload_pb2.Workload, now_ms: int) -> tuple[tuple[Cell, ...], ...]:
    spec = workload.spec
    users = ", ".join(f"{user.access_point} ({user.demand_millirps / 1000:g}/s)" for user in spec.access)
    facts = (
        ("name", workload.name),
        ("uid", workload.uid),
        ("created", f"{timestamp(workload.created_at_ms)} ({age(workload.created_at_ms, now_ms)} ago)"),
        ("generation", f"{workload.generation}, etag {workload.etag}"),
        ("artefact", f"{spec.artefact.name}@{spec.artefact.digest}"),
        *(("or as", f"{form.name}@{form.digest}") for form in spec.artefact_forms),
        ("resources", f"{cpu(spec.cpu_millis)} CPU, {memory(spec.memory_mib)}, {plural(spec.replicas, 'replica')}"),
        ("accelerators", accelerator_text(spec)),
        ("users", users),
        ("latency", f"p{spec.latency.percentile} {bound_ms(spec.latency.rtt_us_max)} round trip"),
        ("residency", residency_text(spec.residency)),
    )
    return tuple((Styled(name, "dim"), value) for name, value in facts)


def accelerator_text(spec: workload_pb2.WorkloadSpec) -> str:
    """What is needed of accelerators, in words."""
    if not spec.HasField("accelerator"):
        return "none"
    need = spec.accelerator
    least = f", at least {memory(need.memory_mib_min)} each" if need.memory_mib_min else ""
    return f"{need.count} x {' or '.join(need.any_of) or 'any model'}{least}"


def residency_text(policy: residency_pb2.ResidencyPolicy) -> str:
    """The rule about law and place, in words."""
    parts = []
    if policy.HasField("site"):
        parts.append(f"data in {_set(policy.site.countries_allowed)}")
    if policy.HasField("legal"):
        denied = f" and no {', '.join(policy.legal.laws_denied)}" if policy.legal.laws_denied else ""
        parts.append(f"control in {_set(policy.legal.countries_allowed)}{denied}")
    if policy.HasField("transit"):
        denied = f" and not by {', '.join(policy.transit.carriers_denied)}" if policy.transit.carriers_denied else ""
        parts.append(f"transit in {_set(policy.transit.countries_allowed)}{denied}")
    on_change = enum_label(policy, "on_change").lower().replace("_", "-").replace("unspecified", "drain")
    return f"{'; '.join(parts)}; on change {on_change}" if parts else "none"


def _set(names: Iterable[str]) -> str:
    return f"{{{','.join(names)}}}"


def _placement_table(workload: workload_pb2.Workload) -> Table:
    shared = any(p.share_permille for p in workload.placements)
    rows = tuple(
        (
            p.zone,
            state_cell(enum_label(p, "state")),
            str(p.replicas),
            *([share_text(p)] if shared else []),
            "\n".join(p.endpoint_urls) or "-",
            p.claim,
            p.message or "-",
        )
        for p in workload.placements
    )
    share = ("SHARE",) if shared else ()
    headers = ("ZONE", "STATE", "REPLICAS", *share, "ENDPOINTS", "CLAIM", "MESSAGE")
    return Table(headers, rows, right=frozenset({2}), fixed=frozenset({0, 1, *([3] if shared else [])}))


def share_text(placement: workload_pb2.Placement) -> str:
    """What a placement was planned to get of the users at each access point that it serves, one a line."""
    shares = [share for share in placement.share_permille if share]
    if not placement.share_permille:
        return "all"
    if not shares:
        return "standby"
    names = [latency.access_point for latency in placement.latencies]
    return "\n".join(f"{name} {percent(share)}" for name, share in zip(names, shares, strict=False))


def endpoint_document(found: workload_service_pb2.FindEndpointResponse) -> Document:
    """Zones that answer, one row each per access point: which share of its users is to be sent there."""
    rows: list[tuple[Cell, ...]] = []
    for zone in found.zones:
        own = (zone.zone, str(zone.replicas), "\n".join(zone.endpoint_urls))
        for index, share in enumerate(zone.shares or [None]):
            served = (share.access_point, percent(share.share_permille)) if share else ("-", "-")
            rows.append((own[0], own[1], *served, own[2]) if not index else ("", "", *served, ""))
    headers = ("ZONE", "REPLICAS", "USERS AT", "SHARE", "ENDPOINTS")
    return [Table(headers, tuple(rows), right=frozenset({1, 3}), fixed=frozenset({0, 2, 4}))]


def _condition_table(workload: workload_pb2.Workload, now_ms: int) -> Table:
    rows = tuple(
        (c.type, enum_label(c, "status"), c.reason, age(c.changed_at_ms, now_ms), c.message or "-")
        for c in workload.conditions
    )
    return Table(("CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"), rows, fixed=frozenset({0, 1, 2, 3}))


def update_document(update: workload_service_pb2.WatchWorkloadResponse, before: str, now_ms: int) -> list[Line]:
    """What is new in a watched workload: its events, and its state if that has changed from ``before``."""
    lines = [_moment(e.at_ms, Styled(e.reason, event_style(e)), e.message) for e in update.events]
    state = state_text(update)
    if state != before:
        label, _, rest = state.partition(" ")
        lines.append(_moment(now_ms, state_cell(label), rest))
    return lines


def _moment(at_ms: int, what: Cell, text: str) -> Line:
    width = len(what.text if isinstance(what, Styled) else what)
    return line(Styled(clock_time(at_ms), "dim"), "  ", what, " " * max(14 - width, 2), text)


def state_text(update: workload_service_pb2.WatchWorkloadResponse) -> str:
    """State and place of a watched workload in one line."""
    if update.deleted:
        return "GONE"
    places = ", ".join(f"{p.zone} ({enum_label(p, 'state').lower()})" for p in live_placements(update.workload))
    label = enum_label(update.workload, "state")
    if label == "UNPLACEABLE":
        return f"{label} {headline(update.workload)}".strip()
    return f"{label} {places}".strip()
