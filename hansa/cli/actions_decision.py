"""What ``why``, ``why-not`` and ``explain`` do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from hansa.cli import exits
from hansa.cli.documents import Document, Line, Styled, Table, line
from hansa.cli.options import OutputFormat
from hansa.cli.output import formatted, message_data
from hansa.cli.session import Session, keep_grants, keep_record, new_screen, note
from hansa.cli.view_decision import (
    choice_table,
    decided_line,
    event_table,
    grant_table,
    latency_table,
    passed_table,
    score_line,
    section,
    segment_table,
    why_not_document,
)
from hansa.cli.view_plan import joined, plan_blocks, planned_zones
from hansa.constraints import REASONS_OF, canonical_constraint, letters
from hansa.errors import HansaError, grpc_code
from hansa.names import hint, nearest, parse_zone, short_workload, short_zone
from hansa.reasons import EXPLANATIONS, canonical_reason
from hansa.v1 import common_pb2, workload_pb2, workload_service_pb2


async def why(session: Session, name: str, record: Path | None = None, grants: Path | None = None) -> int:
    """Why the workload is where it is; ``record`` is the file for all that it was decided on, ``grants`` the one for
    the signed grants that it runs under.
    """
    explained, workload, events = await asyncio.gather(
        session.client.explain(name, with_record=bool(record)), session.client.get(name), session.client.events(name)
    )
    await keep_record(record, explained)
    await keep_grants(grants, explained)
    data = {**message_data(explained), "events": [message_data(event) for event in events]}
    session.emit(data, why_document(workload, explained, events, wide=session.wide))
    if explained.record_missing:
        raise HansaError("UNAVAILABLE", f"{record} was not written: {explained.record_missing}")
    return exits.OK


def why_document(
    workload: workload_pb2.Workload,
    explained: workload_service_pb2.ExplainWorkloadResponse,
    events: Sequence[common_pb2.Event],
    *,
    wide: bool,
) -> Document:
    """The chosen zone, its score, its paths, what it was tested for, and the history."""
    name, decision = short_workload(workload.name), explained.decision
    choice = _choice_of(decision, explained.current_zone)
    document: list[Line | Table] = []
    if choice is None:
        where = f"is in {explained.current_zone}" if explained.current_zone else "is nowhere"
        document += [line(Styled(f"{name} {where}", "bold")), *why_not_document(_newest(explained), name, wide=wide)]
    else:
        document += _chosen(name, explained, choice, workload.spec, wide=wide)
    return [*document, *section("History", event_table(events))]


def _chosen(
    name: str,
    explained: workload_service_pb2.ExplainWorkloadResponse,
    choice: workload_pb2.Choice,
    spec: workload_pb2.WorkloadSpec,
    *,
    wide: bool,
) -> list[Line | Table]:
    decision = explained.decision
    rank = list(decision.choices).index(choice) + 1
    pool = f", on {choice.pool}" if choice.pool else ""
    where = joined(explained.current_zones) or choice.zone
    place = f"{f'{choice.zone}: ' if where != choice.zone else ''}choice {rank} of {len(decision.choices)}"
    return [
        line(Styled(f"{name} is in ", "bold"), Styled(where, "bold green"), f" ({place}{pool})"),
        decided_line(decision, explained.decided_at_ms),
        score_line(choice),
        *plan_blocks(decision, spec),
        *section("Paths", latency_table(choice.latencies, spec.latency)),
        *section("Segments as they are now", segment_table(explained.paths, wide=wide)),
        *section("Constraints that hold", passed_table(choice.passed)),
        *section("Signed grants", grant_table(explained.grants)),
        *section("Feasible zones", choice_table(decision.choices, [*explained.current_zones, choice.zone])),
        line(),
        _now_line(explained, choice.zone),
    ]


def _now_line(explained: workload_service_pb2.ExplainWorkloadResponse, zone: str) -> Line:
    now = explained.now
    if not now.zones_evaluated:
        return line(Styled("the same question was not asked again", "dim"))
    if not now.choices:
        return line("asked again now: ", Styled("no zone is feasible", "bold red"))
    best = now.choices[0].zone
    if len(explained.current_zones) > 1:
        return _together_line(explained)
    if best == zone:
        return line("asked again now: ", Styled(f"{zone} is still the best", "green"))
    stays = "is feasible still" if _choice_of(now, zone) else "is not feasible any more"
    return line("asked again now: ", Styled(f"{best} would be the best; {zone} {stays}", "yellow"))


def _together_line(explained: workload_service_pb2.ExplainWorkloadResponse) -> Line:
    """The same for several zones: they are judged together."""
    if not explained.now.HasField("plan"):
        return line("asked again now: ", Styled("no plan is feasible", "bold red"), f": {explained.now.nearest_fix}")
    best = planned_zones(explained.now)
    if best == list(explained.current_zones):
        return line("asked again now: ", Styled(f"{joined(best)} are still the best", "green"))
    return line("asked again now: ", Styled(f"{joined(best)} would be the best", "yellow"))


def _choice_of(decision: workload_pb2.Decision, zone: str) -> workload_pb2.Choice | None:
    return next((choice for choice in decision.choices if choice.zone == zone), None)


def _newest(explained: workload_service_pb2.ExplainWorkloadResponse) -> workload_pb2.Decision:
    return explained.now if explained.now.zones_evaluated else explained.decision


async def why_not(session: Session, name: str, *, zone: str, as_decided: bool) -> int:
    """Every failing constraint of every other zone, or of one zone; on the world of now unless asked otherwise."""
    wanted = parse_zone(zone).short if zone else ""
    explained = await session.client.explain(name, zone=wanted)
    decision = explained.decision if as_decided else _newest(explained)
    shown = _only(decision, wanted)
    if wanted and not shown.rejections and not shown.choices:
        await _require_zone(session, wanted)
    data = {"workload": name, "current_zone": explained.current_zone, "decision": message_data(shown)}
    session.emit(data, _why_not(session, name, explained.current_zone, (decision, shown, wanted)))
    moment = "as it was decided" if decision is explained.decision else "as the world is now"
    note(f"{moment}, network generation {decision.snapshot_generation}")
    return exits.OK


def _only(decision: workload_pb2.Decision, zone: str) -> workload_pb2.Decision:
    """The decision reduced to one zone; as it is if none is given."""
    shown = workload_pb2.Decision()
    shown.CopyFrom(decision)
    if zone:
        del shown.rejections[:]
        shown.rejections.extend(r for r in decision.rejections if r.zone == zone)
        del shown.choices[:]
        shown.choices.extend(c for c in decision.choices if c.zone == zone)
        shown.nearest_fix = decision.nearest_fix if decision.nearest_fix.endswith(f"-> {zone}") else ""
    return shown


def _why_not(
    session: Session, name: str, current: str, asked: tuple[workload_pb2.Decision, workload_pb2.Decision, str]
) -> Document:
    decision, shown, zone = asked
    label = short_workload(name)
    if zone and shown.choices:
        return _feasible_zone(label, current, decision, zone)
    if zone:
        failing = why_not_document(shown, label, wide=session.wide)[1:]
        return [line(Styled(f"{zone} is not feasible for {label}", "bold")), *failing]
    document = [*why_not_document(shown, label, wide=session.wide)]
    if current:
        document.insert(1, line(Styled(f"it is in {current}", "dim")))
    return document


def _feasible_zone(label: str, current: str, decision: workload_pb2.Decision, zone: str) -> Document:
    if zone == current:
        return [line(f"{label} is in {zone}")]
    choice, best = _choice_of(decision, zone), decision.choices[0]
    rank = [other.zone for other in decision.choices].index(zone) + 1
    head = line(Styled(f"{zone} is feasible for {label}", "bold"), f", choice {rank} of {len(decision.choices)}")
    if choice is None or best.zone == zone:
        return [head]
    return [head, line(f"{best.zone}: ", *score_line(best).cells), line(f"{zone}: ", *score_line(choice).cells)]


async def _require_zone(session: Session, zone: str) -> None:
    known = [short_zone(item.name) async for item in session.client.zones()]
    if zone not in known:
        raise HansaError("NOT_FOUND", f"there is no zone {zone}{hint(zone, known)}", field="zone")


def explain_reason(text: str, output: OutputFormat) -> int:
    """What a reason means and what to do about it, or each reason of a constraint; needs no server."""
    reason = canonical_reason(text)
    if constraint := canonical_constraint(text):
        return _explain_constraint(constraint, output)
    if reason not in EXPLANATIONS:
        names = {letters(name): name for name in (*EXPLANATIONS, *REASONS_OF)}
        meant = names.get(nearest(letters(text), names))
        tail = f"; did you mean {meant}?" if meant else "; hansa explain lists all reasons"
        raise HansaError("NOT_FOUND", f"there is no reason and no constraint {text!r}{tail}", field="reason")
    meaning, advice = EXPLANATIONS[reason]
    code = grpc_code(reason).name
    if output.for_programs:
        print(formatted({"reason": reason, "meaning": meaning, "advice": advice, "grpc_code": code}, output))
        return exits.OK
    new_screen(output).show(
        [
            line(Styled(reason, "bold"), Styled(f"  (gRPC {code})", "dim")),
            line(meaning),
            line(Styled("what to do: ", "bold"), advice),
        ]
    )
    return exits.OK


def _explain_constraint(constraint: str, output: OutputFormat) -> int:
    """The reasons with which a constraint refuses."""
    reasons = REASONS_OF[constraint]
    if output.for_programs:
        rows = [{"reason": reason, **EXPLANATIONS[reason]._asdict()} for reason in reasons]
        print(formatted({"constraint": constraint, "reasons": rows}, output))
        return exits.OK
    table = tuple((reason, *EXPLANATIONS[reason]) for reason in reasons)
    told = line(Styled(constraint, "bold"), f" refuses a zone with {' or '.join(reasons)}")
    new_screen(output).show([told, Table(("REASON", "MEANING", "WHAT TO DO"), table)])
    return exits.OK


def list_reasons(output: OutputFormat) -> int:
    """Every reason with its meaning."""
    if output.for_programs:
        rows = [{"reason": reason, **explanation._asdict()} for reason, explanation in EXPLANATIONS.items()]
        print(formatted({"reasons": rows}, output))
        return exits.OK
    table = tuple((reason, explanation.meaning) for reason, explanation in EXPLANATIONS.items())
    new_screen(output).show([Table(("REASON", "MEANING"), table)])
    return exits.OK
