"""Decisions for people: why this zone, and why not the others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence

from hansa.cli.documents import Cell, Document, Line, Styled, Table, heading, line
from hansa.cli.figures import bound_ms, clock_time, plural, rtt_ms, timestamp
from hansa.cli.output import enum_label
from hansa.v1 import common_pb2, reason_pb2, workload_pb2, workload_service_pb2

_TEXT_STYLE = {"measured": "green", "modelled": "yellow", "physical": "yellow"}


def histogram(decision: workload_pb2.Decision, workload: str) -> Line:
    """How many zones fit, and how many fail each constraint, most first."""
    failing = failing_by_zone(decision.rejections)
    zones_by_constraint = Counter(name for names in failing.values() for name in names)
    ordered = sorted(zones_by_constraint.items(), key=lambda item: (-item[1], item[0]))
    counts = ", ".join(f"{count} {name}" for name, count in ordered)
    several = Counter(len(names) for names in failing.values() if len(names) > 1)
    more = ", ".join(f"{plural(several[n], 'zone')} fail{'s' if several[n] == 1 else ''} {n}" for n in sorted(several))
    feasible = len(decision.choices)
    return line(
        Styled(f"{feasible}/{decision.zones_evaluated} zones feasible for {workload}", "bold"),
        f":  {counts}" if counts else "",
        Styled(f" ({more})" if more else "", "dim"),
    )


def failing_by_zone(rejections: Iterable[workload_pb2.Rejection]) -> dict[str, set[str]]:
    """Constraints that each zone fails; what was not evaluated does not count."""
    failing: dict[str, set[str]] = defaultdict(set)
    for rejection in rejections:
        if rejection.reason != reason_pb2.REASON_NOT_EVALUATED:
            failing[rejection.zone].add(rejection.result.constraint)
    return failing


def rejection_table(rejections: Sequence[workload_pb2.Rejection], *, wide: bool) -> Table:
    """One row per zone and constraint: what was measured, what was asked, on which evidence.

    Wide, it has every row and the reason for programs; else what could not be evaluated is only counted below it.
    """
    shown = [rejection for rejection in rejections if wide or not _is_skipped(rejection)]
    rows = tuple(_rejection_row(rejection, wide=wide) for rejection in shown)
    headers = ("ZONE", "CONSTRAINT", "MEASURED", "BOUND", "EVIDENCE")
    return Table((*headers, "REASON") if wide else headers, rows, fixed=frozenset({0, 1}))


def _rejection_row(rejection: workload_pb2.Rejection, *, wide: bool) -> tuple[Cell, ...]:
    result = rejection.result
    skipped = _is_skipped(rejection)
    row: tuple[Cell, ...] = (
        rejection.zone,
        Styled(result.constraint, "dim" if skipped else "red"),
        result.measured or ("not evaluated" if skipped else "-"),
        result.bound or "-",
        Styled(result.evidence or "-", "dim"),
    )
    return (*row, enum_label(rejection, "reason")) if wide else row


def _is_skipped(rejection: workload_pb2.Rejection) -> bool:
    return rejection.reason == reason_pb2.REASON_NOT_EVALUATED


def _skipped_note(rejections: Sequence[workload_pb2.Rejection]) -> list[Line]:
    count = sum(map(_is_skipped, rejections))
    if not count:
        return []
    verb = "was" if count == 1 else "were"
    return [line(Styled(f"{plural(count, 'constraint')} {verb} not evaluated, for an earlier one (-o wide)", "dim"))]


def nearest_fix(decision: workload_pb2.Decision) -> list[Line]:
    """The smallest change that makes one more zone feasible; nothing if there is none."""
    if not decision.nearest_fix:
        return []
    return [line(Styled("nearest fix: ", "bold"), Styled(decision.nearest_fix, "cyan"))]


def why_not_document(decision: workload_pb2.Decision, workload: str, *, wide: bool) -> Document:
    """The rejection answer: histogram, rows, nearest fix."""
    rejections = decision.rejections
    table = [rejection_table(rejections, wide=wide)] if rejections else []
    note = [] if wide else _skipped_note(rejections)
    return [histogram(decision, workload), *table, *note, *nearest_fix(decision)]


def choice_table(choices: Sequence[workload_pb2.Choice], current: Collection[str]) -> Table:
    """Zones that fit, best first, with the slowest access point of each; those where it is now are marked."""
    rows = tuple(_choice_row(rank, choice, current) for rank, choice in enumerate(choices, start=1))
    headers = ("RANK", "ZONE", "SCORE", "SLOWEST RTT", "FROM", "COUNTRIES", "BASIS", "ACCELERATOR")
    return Table(headers, rows, right=frozenset({0, 2, 3}), fixed=frozenset({1, 4}), spare=(7,))


def _choice_row(rank: int, choice: workload_pb2.Choice, current: Collection[str]) -> tuple[Cell, ...]:
    slowest = max(choice.latencies, key=lambda latency: latency.rtt_us, default=workload_pb2.AccessLatency())
    countries = sorted({country for latency in choice.latencies for country in latency.countries})
    bases = sorted({basis for latency in choice.latencies for basis in latency.bases})
    here = Styled(f"{choice.zone} *", "green") if choice.zone in current else choice.zone
    return (
        str(rank),
        here,
        f"{choice.score:.3f}",
        rtt_ms(slowest.rtt_us),
        slowest.access_point or "-",
        ",".join(countries) or "-",
        basis_cell(bases),
        choice.pool or "-",
    )


def latency_table(latencies: Sequence[workload_pb2.AccessLatency], budget: workload_pb2.LatencyBudget) -> Table:
    """The path from each access point, with the countries it crosses and whether it was measured or modelled."""
    bound = bound_ms(budget.rtt_us_max) if budget.rtt_us_max else "-"
    rows = tuple(
        (
            latency.access_point,
            rtt_ms(latency.rtt_us),
            bound,
            ",".join(latency.countries) or "-",
            basis_cell(latency.bases),
            " > ".join(latency.path),
        )
        for latency in latencies
    )
    percentile = f"RTT p{budget.percentile}" if budget.percentile else "RTT"
    headers = ("ACCESS POINT", percentile, "BOUND", "COUNTRIES", "BASIS", "PATH")
    return Table(headers, rows, right=frozenset({1}), fixed=frozenset({0, 2, 3}))


def segment_table(paths: Sequence[workload_service_pb2.UsedPath], *, wide: bool) -> Table:
    """The paths of users as they are now, link by link: whose link it is and what countries it crosses."""
    several = len({path.zone for path in paths}) > 1
    rows = []
    for path in paths:
        first = f"{path.access_point} to {path.zone}" if several else path.access_point
        for segment in path.segments:
            rows.append(_segment_row(first, segment, wide=wide))
        for segment in path.return_segments:
            rows.append(_segment_row(f"back to {first}", segment, wide=wide))
    headers = ("USERS AT", "FROM", "TO", "CARRIER", "COUNTRIES")
    return Table((*headers, "LINK") if wide else headers, tuple(rows), fixed=frozenset({4}))


def _segment_row(first: str, segment: workload_service_pb2.PathSegment, *, wide: bool) -> tuple[Cell, ...]:
    known = list(segment.countries)
    countries = ",".join([*known, "unknown"] if segment.countries_unknown else known) or "none"
    told = Styled(countries, "yellow") if segment.countries_unknown else countries
    row: tuple[Cell, ...] = (first, segment.from_node, segment.to_node, segment.carrier or "unknown", told)
    return (*row, segment.link) if wide else row


def basis_cell(bases: Iterable[str]) -> Cell:
    """ "measured", "modelled", or both; green only if everything was measured."""
    names = list(bases)
    if not names:
        return "-"
    return Styled("+".join(names), _TEXT_STYLE.get(names[0], "") if len(names) == 1 else "yellow")


def passed_table(passed: Sequence[workload_pb2.ConstraintResult]) -> Table:
    """Constraints that hold, with their evidence."""
    rows = tuple(
        (Styled(result.constraint, "green"), result.measured, result.bound, Styled(result.evidence, "dim"))
        for result in passed
    )
    return Table(("CONSTRAINT", "MEASURED", "BOUND", "EVIDENCE"), rows)


def score_line(choice: workload_pb2.Choice) -> Line:
    """The score as the sum of its terms."""
    terms = "".join(
        f"{' - ' if term.value < 0 else ' + ' if index else ''}{abs(term.value):.3f} {term.name}"
        for index, term in enumerate(choice.terms)
    )
    return line(Styled(f"score {choice.score:.3f}", "bold"), f" = {terms}" if terms else "")


def grant_table(grants: Iterable[workload_service_pb2.GrantProof]) -> Table:
    """What partners have signed, and whether they have judged by more than was asked."""
    rows = tuple(
        (
            grant.zone,
            clock_time(grant.granted_at_ms),
            str(grant.fencing_token),
            "with demands of the owner" if grant.owner_demands_more else "as asked",
            grant.claim,
        )
        for grant in grants
    )
    return Table(("ZONE", "SIGNED UTC", "TOKEN", "POLICY", "CLAIM"), rows, fixed=frozenset({1, 2}))


def event_table(events: Sequence[common_pb2.Event]) -> Table:
    """What happened, oldest first."""
    rows = tuple((clock_time(event.at_ms), Styled(event.reason, event_style(event)), event.message) for event in events)
    return Table(("TIME UTC", "EVENT", "WHAT HAPPENED"), rows, fixed=frozenset({0, 1}))


def event_style(event: common_pb2.Event) -> str:
    """Yellow if somebody should look."""
    return "yellow" if event.level == common_pb2.EVENT_LEVEL_WARNING else ""


def decided_line(decision: workload_pb2.Decision, decided_at_ms: int) -> Line:
    """When and on what the decision was made."""
    return line(
        Styled(
            f"decided {timestamp(decided_at_ms)} on network generation {decision.snapshot_generation}: "
            f"{plural(decision.zones_evaluated, 'zone')} in {decision.elapsed_us / 1000:.2f} ms, "
            f"{len(decision.choices)} feasible",
            "dim",
        )
    )


def section(title: str, block: Table) -> list[Line | Table]:
    """A table under a heading, after a blank line; nothing if it has no rows."""
    return [line(), heading(title), block] if block.rows else []
