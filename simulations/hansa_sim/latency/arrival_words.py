"""What is to be known of arrivals that are recorded, or go with the time of day, before their figures are read."""

from __future__ import annotations

from collections.abc import Iterator

from hansa_sim.latency.results import Effort, Results

SAME_SHARE = 0.01
"""So much more or less than the mean rate of a day needs no words."""


def arrival_words(results: Results) -> Iterator[str]:
    """What was played instead of a constant rate."""
    kind, effort = results.scenario["arrivals"]["kind"], results.effort
    if kind == "trace":
        yield from _recorded_words(results)
        if effort is not None and effort.shared_share:
            yield _shared_words(effort)
    if effort is not None and effort.rate_share is not None and abs(effort.rate_share - 1) > SAME_SHARE:
        period_s, length_s = results.scenario["arrivals"]["period_s"], results.simulated_s / effort.replications
        yield (
            f"Arrivals go with the time of day, {period_s:g} s long and quietest when it begins: what is measured of "
            f"a replication of {length_s:.6g} s has {100 * effort.rate_share:.0f} % of requests_per_s, a day's mean. "
            "Whole days without a warm-up have all of it: run.duration_s, run.warm_up_percent: 0."
        )


def _recorded_words(results: Results) -> Iterator[str]:
    arrivals, run = results.scenario["arrivals"], results.scenario["run"]
    speed = "as fast as" if arrivals["speed"] == 1 else f"{arrivals['speed']:g} times as fast as"
    count = run["replications"]
    yield (
        f"Arrivals are those of {arrivals['file']}, {speed} recorded, from {count} places of it on; after its end it "
        "begins again. Who sends each is drawn, in the proportions of the users' requests_per_s."
    )


def _shared_words(effort: Effort) -> str:
    share = 100 * (effort.shared_share or 0)
    return (
        f"{share:.0f} % of these requests were played more than once, so that replications are not independent: "
        "intervals say what chance does in who sends them, and not what another record would. Shorter replications, or "
        "fewer, share less."
    )
