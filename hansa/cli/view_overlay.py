"""What an overlay changes, for people and for programs: the plan in the world that is not beside the plan as it is."""

from __future__ import annotations

from collections.abc import Iterator

from hansa.cli.documents import Document, Line, Styled, Table, line
from hansa.cli.figures import carbon_per_hour, euro_per_hour, plural, power, rtt_ms
from hansa.cli.view_decision import failing_by_zone
from hansa.v1 import common_pb2, overlay_pb2, workload_pb2, workload_service_pb2

Change = tuple[str, str, str]
NONE = "-"


def is_changed(response: workload_service_pb2.PlanWorkloadResponse) -> bool:
    """Whether the workload would run elsewhere, with other replicas, or serve other shares."""
    return answer(response.decision) != answer(response.present)


def answer(decision: workload_pb2.Decision) -> list[tuple[str, int, tuple[int, ...]]]:
    """What a decision comes to: zones with replicas and shares; nothing where it is infeasible."""
    return sorted((at.zone, at.replicas, tuple(at.share_permille)) for at in decision.plan.assignments)


def changes(response: workload_service_pb2.PlanWorkloadResponse) -> list[Change]:
    """Rows of what differs: what it is, as it is, and as it would be."""
    present, supposed = response.present, response.decision
    rows = [("runs in", _zones(present), _zones(supposed)), *_latency_rows(present, supposed)]
    rows += [(what, _cost(present, what), _cost(supposed, what)) for what in ("price", "power", "carbon")]
    rows.append(("feasible zones", _feasible(present), _feasible(supposed)))
    rows += _zone_rows(present, supposed)
    return [row for row in rows if row[1] != row[2]]


def overlay_document(
    response: workload_service_pb2.PlanWorkloadResponse, overlay: overlay_pb2.Overlay, name: str
) -> Document:
    """Says plainly that it is hypothetical, what was supposed, and what would change."""
    head: list[Line | Table] = [
        line(Styled("hypothetical: ", "bold magenta"), f"{'; '.join(supposed_words(overlay))}"),
        line(Styled("nothing was changed; this is not the world as it is", "dim")),
        _verdict(response, name),
    ]
    rows = tuple(changes(response))
    if rows:
        head.append(Table(("WHAT", "AS IT IS", "AS SUPPOSED"), rows, fixed=frozenset({0})))
    return head


def supposed_words(overlay: overlay_pb2.Overlay) -> list[str]:
    """What an overlay supposes, a phrase each."""
    words = [f"link {name} cut" for name in overlay.links_removed]
    words += [f"link {link.name} ({link.node_a} to {link.node_b}) as given" for link in overlay.links]
    words += [f"without node {name}" for name in overlay.nodes_removed]
    words += [f"node {node.name} as given" for node in overlay.nodes]
    words += [f"without zone {zone}" for zone in overlay.zones_removed]
    words += ["zone {1}/{3} as given".format(*zone.name.split("/")) for zone in overlay.zones]
    words += [f"{taken.zone} without {_kind(taken.kind)} {taken.value}".rstrip() for taken in overlay.facts_removed]
    words += [f"{given.zone} with {_kind(given.fact.kind)} {given.fact.value}" for given in overlay.facts]
    if overlay.HasField("policy"):
        words.append(_policy_words(overlay))
    return words


def _policy_words(overlay: overlay_pb2.Overlay) -> str:
    site, transit = set(overlay.policy.site.countries_denied), set(overlay.policy.transit.countries_denied)
    rest = type(overlay.policy)()
    rest.CopyFrom(overlay.policy)
    del rest.site.countries_denied[:], rest.transit.countries_denied[:]
    if site == transit and not (rest.site.ByteSize() or rest.transit.ByteSize()) and len(rest.ListFields()) == 2:
        return f"no zone in and no path across {', '.join(sorted(site))}"
    return "a policy added"


def _kind(number: common_pb2.FactKind.ValueType) -> str:
    return common_pb2.FactKind.Name(number).removeprefix("FACT_KIND_")


def _verdict(response: workload_service_pb2.PlanWorkloadResponse, name: str) -> Line:
    now, then = _zones(response.present), _zones(response.decision)
    if not answer(response.decision):
        before = "as it is already" if not answer(response.present) else f"instead of running in {now}"
        return line(Styled(f"infeasible: {name} would run nowhere, {before}", "bold red"))
    if not is_changed(response):
        return line(f"no change: {name} would run in {then}, as without it")
    if not answer(response.present):
        return line(f"change: {name} would run in {then}; as it is, no zone is feasible")
    return line(f"change: {name} would run in {then} instead of {now}")


def _zones(decision: workload_pb2.Decision) -> str:
    parts = answer(decision)
    if not parts:
        return "nowhere"
    several = len(parts) > 1
    return ", ".join(f"{zone} x {replicas}{_shares(shares) if several else ''}" for zone, replicas, shares in parts)


def _shares(permille: tuple[int, ...]) -> str:
    return f" ({'/'.join(f'{share / 10:g}' for share in permille)} %)"


def _latency_rows(present: workload_pb2.Decision, supposed: workload_pb2.Decision) -> Iterator[Change]:
    now, then = ({one.access_point: one for one in decision.plan.predicted} for decision in (present, supposed))
    for point in dict.fromkeys([*now, *then]):
        yield f"p95 from {point}", _p95(now.get(point)), _p95(then.get(point))


def _p95(predicted: workload_pb2.PredictedLatency | None) -> str:
    return rtt_ms(predicted.p95_us) if predicted else NONE


def _cost(decision: workload_pb2.Decision, what: str) -> str:
    plan = decision.plan
    if not plan.assignments:
        return NONE
    if what == "price":
        return euro_per_hour(plan.price_millieur_per_hour)
    if what == "power":
        return power(plan.power_watts) if plan.HasField("power_watts") else "unknown"
    return carbon_per_hour(plan.carbon_mg_per_hour) if plan.HasField("carbon_mg_per_hour") else "unknown"


def _feasible(decision: workload_pb2.Decision) -> str:
    return f"{len(decision.choices)} of {plural(decision.zones_evaluated, 'zone')}"


def _zone_rows(present: workload_pb2.Decision, supposed: workload_pb2.Decision) -> Iterator[Change]:
    """Zones that are feasible in one of the two only, with what they fail in the other."""
    now, then = ({choice.zone for choice in decision.choices} for decision in (present, supposed))
    fails_now, fails_then = (failing_by_zone(decision.rejections) for decision in (present, supposed))
    for zone in sorted(now ^ then):
        yield zone, _standing(zone, now, fails_now), _standing(zone, then, fails_then)


def _standing(zone: str, feasible: set[str], failing: dict[str, set[str]]) -> str:
    if zone in feasible:
        return "feasible"
    return f"fails {', '.join(sorted(failing[zone]))}" if zone in failing else "is not there"
