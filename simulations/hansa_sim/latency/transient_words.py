"""What the system engine saw between steady states, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hansa_sim.latency.transients import Transients

BROKEN_SHOWN = 5


def transient_words(seen: Transients) -> Iterator[str]:
    """What an operator reads first: how soon faults were seen, how long users went without, who moved."""
    leapt = f"of which {seen.leapt_s:,.0f} s were left out as quiet"
    yield f"A day of {seen.duration_s:,.0f} s with {seen.workloads} workloads, {leapt}."
    if seen.detect_s:
        yield f"Zones were known to be gone after {_spread(seen.detect_s)}."
    if seen.replace_s:
        yield f"Users whom a fault hit were served again after {_spread(seen.replace_s)}, {seen.outages} times."
    backs = sum(move.is_back for move in seen.moves)
    yield f"Workloads moved {len(seen.moves)} times, {backs} of them back; {seen.unplaced} are nowhere in the end."
    yield (
        f"Users went unserved for {seen.unavailable_s_mean:.2f} s in the mean and {seen.unavailable_s_max:.1f} s "
        f"where it was worst, which is {seen.requests_lost:,.0f} requests."
    )
    for what in seen.broken[:BROKEN_SHOWN]:
        yield f"PROMISE BROKEN {what}"


def _spread(found_s: Mapping[str, float]) -> str:
    return f"{found_s['p50']:.1f} s at p50, {found_s['p99']:.1f} s at p99, {found_s['p100']:.1f} s at most"
