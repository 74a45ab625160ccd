"""Re-packing for people: what it would gain in all, each move with its gain and risk, and who stays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from hansa.cli.documents import Cell, Document, Line, Styled, Table, line
from hansa.cli.figures import carbon_per_hour, euro_per_hour, percent, plural, rtt_ms
from hansa.cli.output import enum_label
from hansa.cli.view_decision import section
from hansa.names import short_workload
from hansa.v1 import optimization_pb2

_SENTENCES: dict[int, str] = {
    optimization_pb2.MOVE_HAZARD_TARGET_SILENT: "the agent of the zone is silent",
    optimization_pb2.MOVE_HAZARD_PARTNER: "a partner owns the zone and may refuse",
    optimization_pb2.MOVE_HAZARD_FALLBACK_LOST: "no zone is left to take over",
    optimization_pb2.MOVE_HAZARD_NO_FALLBACK: "no zone can take over, as before",
    optimization_pb2.MOVE_HAZARD_THIN_HEADROOM: "less than a tenth of the latency budget is left",
    optimization_pb2.MOVE_HAZARD_DETOUR: "its users are moved twice",
}


def optimization_document(found: optimization_pb2.Optimization, *, wide: bool) -> Document:
    """All about a plan: verdict, totals, moves in order, risks, and workloads that stay for a reason."""
    document: list[Line | Table] = [line(Styled(_verdict(found), "bold")), *_proof(found)]
    document += [line(), totals_table(found.before, found.after)]
    if found.moves:
        document += section("Moves, in this order", move_table(found.moves, wide=wide))
        document += [
            line(Styled("each move: the new instance is ready, then traffic moves, then the old one stops", "dim"))
        ]
        document += section("Risks", risk_table(found.moves))
    if found.unhoused:
        document += section("Without a lawful zone", _reason_table((at.workload, at.message) for at in found.unhoused))
    if found.unmoved:
        document += section("Left where they are", _reason_table((at.workload, at.message) for at in found.unmoved))
    return document


def _verdict(found: optimization_pb2.Optimization) -> str:
    considered = plural(found.workloads, "workload")
    if not found.moves:
        return f"nothing to gain: {considered} packed anew, none would move"
    mended = sum(bool(move.mends) for move in found.moves)
    mends = f", {plural(mended, 'violation')} mended" if mended else ""
    moves = plural(len(found.moves), "move")
    return f"{moves} for {considered}: score {found.gain:+.3f} ({_by_term(found.moves)}){mends}"


def _by_term(moves: Sequence[optimization_pb2.WorkloadMove]) -> str:
    total: dict[str, float] = defaultdict(float)
    for move in moves:
        for term in move.terms:
            total[term.name] += term.value
    return _terms(total.items()) or "no term changes"


def _terms(terms: Iterable[tuple[str, float]]) -> str:
    shown = sorted(
        ((name, value) for name, value in terms if abs(value) >= 0.0005), key=lambda at: (-abs(at[1]), at[0])
    )
    return ", ".join(f"{name} {value:+.3f}" for name, value in shown)


def _proof(found: optimization_pb2.Optimization) -> list[Line]:
    if not found.HasField("gap"):
        return []
    if found.gap < 0.0005:
        return [line(Styled("proven: no packing is better", "green"))]
    return [line(Styled(f"proven: no packing is better by more than {found.gap:.3f}", "yellow"))]


def totals_table(before: optimization_pb2.FleetTotals, after: optimization_pb2.FleetTotals) -> Table:
    """The whole fleet as it is and as it would be."""
    rows = (
        ("workloads placed", str(before.placed), str(after.placed)),
        ("latency, mean share of budget", percent(before.latency_permille), percent(after.latency_permille)),
        ("price", euro_per_hour(before.price_millieur_per_hour), euro_per_hour(after.price_millieur_per_hour)),
        ("carbon", _carbon(before), _carbon(after)),
        ("zones used", str(before.zones), str(after.zones)),
        ("in a zone they may not be in", str(before.violations), str(after.violations)),
    )
    return Table(("ALL TOGETHER", "NOW", "AFTERWARDS"), rows, right=frozenset({1, 2}))


def _carbon(totals: optimization_pb2.FleetTotals) -> str:
    return carbon_per_hour(totals.carbon_mg_per_hour) if totals.HasField("carbon_mg_per_hour") else "unknown"


def move_table(moves: Sequence[optimization_pb2.WorkloadMove], *, wide: bool) -> Table:
    """One row per move; wide adds the gain by term, replicas and who takes over."""
    headers = ("#", "WORKLOAD", "FROM", "TO", "GAIN", "p95", "MENDS")
    more = ("BY", "REPLICAS", "POOL", "HEADROOM", "FALLBACK") if wide else ()
    rows = tuple((str(n), *_move_row(move, wide=wide)) for n, move in enumerate(moves, 1))
    return Table((*headers, *more), rows, right=frozenset({0, 4}), fixed=frozenset({0, 2, 3, 4}), spare=(5,))


def _move_row(move: optimization_pb2.WorkloadMove, *, wide: bool) -> tuple[Cell, ...]:
    stop = " (stopover)" if move.kind == optimization_pb2.MOVE_KIND_STOPOVER else ""
    mends = ", ".join(dict.fromkeys(enum_label(at, "reason") for at in move.mends))
    row: tuple[Cell, ...] = (
        short_workload(move.workload),
        move.origin or "nowhere",
        f"{move.target}{stop}",
        f"{move.gain:+.3f}",
        f"{_p95(move, 'before')} > {_p95(move, 'after')}",
        Styled(mends, "green") if mends else "-",
    )
    if not wide:
        return row
    headroom = rtt_ms(move.after.headroom_us) if move.HasField("after") else "-"
    terms = _terms((term.name, term.value) for term in move.terms) or "-"
    return (*row, terms, str(move.replicas), move.pool or "-", headroom, move.fallback or "none")


def _p95(move: optimization_pb2.WorkloadMove, moment: str) -> str:
    return rtt_ms(getattr(move, moment).p95_us) if move.HasField(moment) else "-"  # type: ignore[arg-type]


def risk_table(moves: Sequence[optimization_pb2.WorkloadMove]) -> Table:
    """What may go wrong, by hazard, with the moves that it is about, by their numbers."""
    numbers: dict[int, list[int]] = defaultdict(list)
    for n, move in enumerate(moves, 1):
        for hazard in move.hazards:
            numbers[hazard].append(n)
    rows = tuple((_SENTENCES.get(hazard, f"hazard {hazard}"), _ranges(at)) for hazard, at in sorted(numbers.items()))
    return Table(("WHAT", "MOVES"), rows or (("none that is known", "-"),), fixed=frozenset())


def _ranges(numbers: Sequence[int]) -> str:
    """Numbers as people write them, for example "1-3, 7"."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def _reason_table(rows: Iterable[tuple[str, str]]) -> Table:
    return Table(("WORKLOAD", "WHY"), tuple((short_workload(name), message) for name, message in rows))
