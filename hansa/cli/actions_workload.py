"""What the commands about workloads do once they are connected."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

from hansa.cli import exits
from hansa.cli.documents import Document, Styled, line
from hansa.cli.options import Until
from hansa.cli.output import message_data
from hansa.cli.session import Session, keep_record, note
from hansa.cli.view_decision import choice_table, why_not_document
from hansa.cli.view_overlay import answer, is_changed, overlay_document
from hansa.cli.view_overlay import changes as changes_of
from hansa.cli.view_plan import joined, plan_blocks, planned_zones, preemption_lines
from hansa.cli.view_workload import describe_document, endpoint_document, state_text, update_document, workload_table
from hansa.errors import HansaError
from hansa.overlay_options import Supposed, overlay_of
from hansa.spec_file import WorkloadFile, load_workload
from hansa.system import utc_date
from hansa.v1 import common_pb2, overlay_pb2, residency_pb2, workload_pb2, workload_service_pb2

REFRESH_MS = 1_000


async def plan(session: Session, path: Path, supposed: Supposed, record: Path | None = None) -> int:
    """Decides without acting; the exit code says whether submitting would change anything.

    In a world that is supposed to be other than it is, it says whether the plan is another than in the world as it is.
    """
    file = load_workload(path, session.tenant, utc_date(session.now_ms))
    overlay = overlay_of(supposed, utc_date(session.now_ms)) if supposed else None
    response = await session.client.plan(str(file.name), file.spec, overlay=overlay, with_record=bool(record))
    await keep_record(record, response)
    feasible = _is_feasible(response.decision, file)
    if overlay is not None:
        return _emit_supposed(session, file, response, overlay)
    change = bool(response.would_preempt) or (feasible and not await _is_as_planned(session, file, response))
    data = {"feasible": feasible, "change": change, **message_data(response)}
    session.emit(data, _plan_document(session, file, response, change=change))
    if change and feasible:
        generation = response.decision.snapshot_generation
        note(f"planned on generation {generation}; to submit just this: hansa submit --expect-generation {generation}")
    return exits.CHANGE if change else exits.OK if feasible else exits.INFEASIBLE


def _emit_supposed(
    session: Session,
    file: WorkloadFile,
    response: workload_service_pb2.PlanWorkloadResponse,
    overlay: overlay_pb2.Overlay,
) -> int:
    feasible, change = bool(answer(response.decision)), is_changed(response)
    changes = [dict(zip(("what", "present", "supposed"), row, strict=True)) for row in changes_of(response)]
    data = {"feasible": feasible, "change": change, "changes": changes, **message_data(response)}
    rest = why_not_document(response.decision, file.name.short, wide=session.wide)
    plan = _plan_part(response.decision, file) if feasible else []
    session.emit(data, [*overlay_document(response, overlay, file.name.short), *plan, line(), *rest])
    return exits.INFEASIBLE if not feasible else exits.CHANGE if change else exits.OK


async def _is_as_planned(
    session: Session, file: WorkloadFile, response: workload_service_pb2.PlanWorkloadResponse
) -> bool:
    if _current_zones(response) != planned_zones(response.decision):
        return False
    kept = await session.client.get(str(file.name))
    return _in_full(kept.spec) == _in_full(file.spec)


def _in_full(spec: workload_pb2.WorkloadSpec) -> workload_pb2.WorkloadSpec:
    """A spec with what it leaves to the operator, who keeps it in words of his own: unknown paths are refused."""
    full = workload_pb2.WorkloadSpec()
    full.CopyFrom(spec)
    if full.residency.HasField("transit") and not full.residency.transit.unknown_paths:
        full.residency.transit.unknown_paths = residency_pb2.UNKNOWN_PATHS_REJECT
    return full


def _plan_document(
    session: Session, file: WorkloadFile, response: workload_service_pb2.PlanWorkloadResponse, *, change: bool
) -> Document:
    decision, current = response.decision, _current_zones(response)
    if decision.choices and not _is_feasible(decision, file):
        return _unplanned_document(session, file, decision)
    rejections = why_not_document(decision, file.name.short, wide=session.wide)
    if not decision.choices:
        return [*preemption_lines(file.name.short, response.would_preempt), *rejections]
    verdict = _verdict(file.name.short, joined(planned_zones(decision)), joined(current), change=change)
    return [line(verdict), choice_table(decision.choices, current), *_plan_part(decision, file), line(), *rejections]


def _is_feasible(decision: workload_pb2.Decision, file: WorkloadFile) -> bool:
    """Several zones must make up a plan together; for one, that it is feasible is enough."""
    return bool(decision.choices) and (decision.HasField("plan") or file.spec.zones.maximum <= 1)


def _unplanned_document(session: Session, file: WorkloadFile, decision: workload_pb2.Decision) -> Document:
    """Zones are feasible each for itself, but not together; then the answer says why in the place of a fix."""
    rest = workload_pb2.Decision()
    rest.CopyFrom(decision)
    rest.nearest_fix = ""
    name = file.name.short
    why = line(Styled(f"infeasible: there is no plan for {name} together", "bold"), f": {decision.nearest_fix}")
    return [why, choice_table(decision.choices, ()), line(), *why_not_document(rest, name, wide=session.wide)]


def _current_zones(response: workload_service_pb2.PlanWorkloadResponse) -> list[str]:
    """Where it runs, sorted; an operator of before there were several names one."""
    return list(response.current_zones) or ([response.current_zone] if response.current_zone else [])


def _verdict(name: str, best: str, current: str, *, change: bool) -> str:
    if not change:
        return f"no change: {name} is in {best} already, as it should be"
    if not current:
        return f"change: {name} would be placed in {best}"
    if current == best:
        return f"change: {name} stays in {best}, its spec changes"
    return f"change: {name} would move from {current} to {best}"


def _plan_part(decision: workload_pb2.Decision, file: WorkloadFile) -> Document:
    blocks = plan_blocks(decision, file.spec)
    return [line(), *blocks] if blocks and blocks[0] != line() else blocks


async def submit(session: Session, path: Path, *, wait: bool, timeout_s: float, expect_generation: int = 0) -> int:
    """Hands a workload in and, if asked, waits until it is ready or has no lawful zone."""
    file = load_workload(path, session.tenant, utc_date(session.now_ms))
    workload = await session.client.submit(str(file.name), file.spec, expect_generation=expect_generation)
    if not wait:
        session.emit(workload, workload_table([workload], session.now_ms, wide=session.wide))
        note(f"accepted; follow it with: hansa watch {file.name.short}")
        return exits.OK
    code, last = await _follow_quietly(session, str(file.name), Until.READY, timeout_s)
    session.emit(last, workload_table([last], session.now_ms, wide=session.wide))
    return code


async def delete(session: Session, name: str, *, wait: bool, timeout_s: float) -> int:
    """Stops and forgets a workload and, if asked, waits until it is gone."""
    workload = await session.client.delete(name)
    if wait:
        try:
            _, workload = await _follow_quietly(session, name, Until.GONE, timeout_s)
        except HansaError as error:
            if error.reason != "NOT_FOUND":
                raise
    session.emit(workload, [line(f"{name} {'is gone' if wait else 'is being deleted'}")])
    return exits.OK


async def _follow_quietly(
    session: Session, name: str, until: Until, timeout_s: float
) -> tuple[int, workload_pb2.Workload]:
    """Follows a workload with notes on standard error; the exit code and the workload as it was last."""
    before = ""
    try:
        async with asyncio.timeout(timeout_s or None), aclosing(session.client.watch(name)) as updates:
            async for update in updates:
                state = state_text(update)
                if state != before:
                    note(state)
                before = state
                code = outcome(update, until)
                if code is not None:
                    return code, update.workload
    except TimeoutError:
        raise _too_late(name, until, timeout_s, before) from None
    raise HansaError("UNAVAILABLE", f"the operator ended the watch of {name}")


async def watch(session: Session, name: str, *, until: Until | None, timeout_s: float) -> int:
    """Shows every change until it is as asked, has no lawful zone, or is gone."""
    before = ""
    try:
        async with asyncio.timeout(timeout_s or None), aclosing(session.client.watch(name)) as updates:
            async for update in updates:
                session.emit_next(update, update_document(update, before, session.now_ms))
                before = state_text(update)
                code = outcome(update, until)
                if code is not None:
                    return code
    except TimeoutError:
        raise _too_late(name, until, timeout_s, before) from None
    return exits.OK


def outcome(update: workload_service_pb2.WatchWorkloadResponse, until: Until | None) -> int | None:
    """The exit code that an update means; None while there is more to wait for."""
    if update.deleted:
        return exits.ERROR if until is Until.READY else exits.OK
    if until is Until.GONE:
        return None
    if update.workload.state == workload_pb2.WORKLOAD_STATE_UNPLACEABLE:
        return exits.INFEASIBLE
    return exits.OK if until is Until.READY and is_ready(update.workload) else None


def is_ready(workload: workload_pb2.Workload) -> bool:
    """Whether it runs as its newest spec wants it; a condition seen for an older spec does not count."""
    ready = next((c for c in workload.conditions if c.type == "Ready"), None)
    if workload.state != workload_pb2.WORKLOAD_STATE_RUNNING:
        return False
    if ready is None:
        return True
    newest = not ready.observed_generation or ready.observed_generation >= workload.generation
    return newest and ready.status == common_pb2.CONDITION_STATUS_TRUE


def _too_late(name: str, until: Until | None, timeout_s: float, state: str) -> HansaError:
    wanted = f"not {until.value} within" if until else "watched for"
    return HansaError("UNAVAILABLE", f"{name} was {wanted} {timeout_s:g} s; last seen: {state or 'nothing'}")


async def get(session: Session, name: str, *, watched: bool) -> int:
    """One workload, or all of the tenant; shown again at every change if watched."""
    if not watched:
        session.emit(*await _get_once(session, name))
        return exits.OK
    before = None
    while True:
        data, document = await _get_once(session, name)
        if data != before:
            if session.screen.is_terminal:
                session.screen.clear()
            session.emit_next(data, document)
        before = data
        await session.clock.sleep(REFRESH_MS)


async def _get_once(session: Session, name: str) -> tuple[dict[str, Any], Document]:
    workloads = [await session.client.get(name)] if name else [w async for w in session.client.workloads()]
    document = workload_table(workloads, session.now_ms, wide=session.wide)
    rows = [message_data(workload) for workload in workloads]
    return rows[0] if name else {"workloads": rows}, document


async def describe(session: Session, name: str) -> int:
    """Everything about one workload."""
    workload, events = await asyncio.gather(session.client.get(name), session.client.events(name))
    data = {**message_data(workload), "events": [message_data(event) for event in events]}
    session.emit(data, describe_document(workload, events, session.now_ms))
    return exits.OK


def _authorities(found: workload_service_pb2.FindEndpointResponse) -> bytes:
    """The authorities of all zones that answer, each once, as a bundle."""
    each = dict.fromkeys([found.endpoint_ca_pem, *(zone.endpoint_ca_pem for zone in found.zones)])
    return b"".join(pem if pem.endswith(b"\n") or len(each) == 1 else pem + b"\n" for pem in each)


async def endpoint(session: Session, name: str, *, ca_file: Path | None) -> int:
    """Where to send requests now; writes the certificate authorities beside it if asked."""
    found = await session.client.find_endpoint(name)
    if not found.endpoint_urls:
        raise HansaError("UNAVAILABLE", f"{name} has no endpoint that is ready; look with hansa describe {name}")
    if ca_file:
        await asyncio.to_thread(ca_file.write_bytes, _authorities(found))
    several = len(found.zones) > 1
    session.emit(found, endpoint_document(found) if several else [line(url) for url in found.endpoint_urls])
    return exits.OK
