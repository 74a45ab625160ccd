"""Joint plans for people: which zone serves whom, how long users will wait and why, what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hansa.cli.documents import Line, Styled, Table, line
from hansa.cli.figures import carbon_per_hour, euro_per_hour, percent, power, rtt_ms
from hansa.cli.view_decision import section
from hansa.names import short_workload
from hansa.v1 import workload_pb2, workload_service_pb2


def plan_blocks(decision: workload_pb2.Decision, spec: workload_pb2.WorkloadSpec) -> list[Line | Table]:
    """All about the plan of a decision: zones if there are several, latency, how clearly it won, what it costs."""
    if not decision.HasField("plan"):
        return [*won_line(decision)]
    plan = decision.plan
    zones: list[Line | Table] = [_fallback_line(one) for one in plan.assignments]
    if len(plan.assignments) > 1:
        zones = section("Zones together", assignment_table(plan, spec))
    served = any(one.service_us for one in plan.predicted)
    title = "Predicted response time" if served else "Predicted round trip (the request gives no service times)"
    predicted = section(title, predicted_table(plan.predicted, spec.latency))
    return [*zones, *predicted, *won_line(decision), cost_line(plan)]


def _fallback_line(assignment: workload_pb2.Assignment) -> Line:
    takes_over = assignment.fallback or Styled("no lawful zone takes over", "yellow")
    return line(f"if {assignment.zone} fails: ", takes_over)


def assignment_table(plan: workload_pb2.Plan, spec: workload_pb2.WorkloadSpec) -> Table:
    """One row per zone and access point that it serves; what is the zone's own stands in its first row."""
    rows: list[tuple[str, ...]] = []
    for assignment in plan.assignments:
        own = (assignment.zone, str(assignment.replicas))
        fallback = assignment.fallback or "none"
        for index, served in enumerate(_served(assignment, spec) or [("-", "-", "-")]):
            rows.append((*own, *served, fallback) if not index else ("", "", *served, ""))
    percentile = f"RTT p{spec.latency.percentile}" if spec.latency.percentile else "RTT"
    headers = ("ZONE", "REPLICAS", "USERS AT", "SHARE", percentile, "FALLBACK")
    return Table(headers, tuple(rows), right=frozenset({1, 3, 4}), fixed=frozenset({0, 2}))


def _served(assignment: workload_pb2.Assignment, spec: workload_pb2.WorkloadSpec) -> list[tuple[str, str, str]]:
    rtt = {latency.access_point: rtt_ms(latency.rtt_us) for latency in assignment.latencies}
    return [(name, percent(share), rtt.get(name, "-")) for name, share in _shares(assignment, spec) if share]


def _shares(assignment: workload_pb2.Assignment, spec: workload_pb2.WorkloadSpec) -> Iterator[tuple[str, int]]:
    """Shares by name. A spec that was changed since has other access points; theirs are numbered then."""
    known = len(spec.access) == len(assignment.share_permille)
    for index, share in enumerate(assignment.share_permille):
        yield spec.access[index].access_point if known else f"#{index + 1}", share


def predicted_table(predicted: Sequence[workload_pb2.PredictedLatency], budget: workload_pb2.LatencyBudget) -> Table:
    """Response time per access point, and its parts at the budget's percentile if there are any but the way."""
    rows = tuple(
        (
            one.access_point,
            *(rtt_ms(figure_us) for figure_us in (one.p50_us, one.p95_us, one.p99_us)),
            f"{rtt_ms(one.rtt_us)} + {rtt_ms(one.wait_us)} + {rtt_ms(one.service_us)}",
        )
        for one in predicted
    )
    at = f" AT p{budget.percentile}" if budget.percentile else ""
    headers = ("ACCESS POINT", "p50", "p95", "p99", f"RTT + WAIT + SERVICE{at}")
    if not any(one.service_us for one in predicted):
        return Table(headers[:4], tuple(row[:4] for row in rows), right=frozenset({1, 2, 3}))
    return Table(headers, rows, right=frozenset({1, 2, 3, 4}))


def won_line(decision: workload_pb2.Decision) -> list[Line]:
    """By how much the best choice beats the second, and through what; nothing if there is no second."""
    second = f" over {decision.choices[1].zone}" if len(decision.choices) > 1 else ""
    won = line(f"won by {decision.margin:.3f}{second}, decided by ", Styled(decision.pivotal, "bold"))
    return [won] if decision.pivotal else []


def cost_line(plan: workload_pb2.Plan) -> Line:
    """Price, power and carbon of all replicas; what is not known is said to be so."""
    watts = power(plan.power_watts) if plan.HasField("power_watts") else "unknown"
    carbon = carbon_per_hour(plan.carbon_mg_per_hour) if plan.HasField("carbon_mg_per_hour") else "unknown"
    return line(f"price {euro_per_hour(plan.price_millieur_per_hour)}, power {watts}, carbon {carbon}")


def planned_zones(decision: workload_pb2.Decision) -> list[str]:
    """Where a decision puts a workload: the zones of its plan, sorted, or the best choice; there must be one."""
    zones = sorted(assignment.zone for assignment in decision.plan.assignments)
    return zones or [decision.choices[0].zone]


def joined(zones: Sequence[str]) -> str:
    """Zones in a sentence."""
    return f"{', '.join(zones[:-1])} and {zones[-1]}" if len(zones) > 1 else "".join(zones)


def preemption_lines(name: str, victims: Sequence[workload_service_pb2.Preemption]) -> list[Line]:
    """Who would give way to a workload that finds no room; nothing if nobody would."""
    told = [f"{short_workload(one.workload)} (priority {one.priority})" for one in victims]
    zones = list(dict.fromkeys(one.zone for one in victims))
    if not told:
        return []
    return [line(Styled(f"change: {name} would preempt ", "bold"), f"{joined(told)} in {joined(zones)}")]
