"""Plays written in a test, run as scenarios: the watcher looks on, and the run must be sound."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from hansa_control.domain.model import WorkloadId
from hansa_sim.geography import TWO_OPERATORS, OperatorProfile
from hansa_sim.scenario import Outcome, Scenario, Stage, run_scenario

OCR = WorkloadId("acme", "ocr")


def outcome_of(
    play: Callable[[Stage], Awaitable[None]], seed: int = 1, profiles: tuple[OperatorProfile, ...] = TWO_OPERATORS
) -> Outcome:
    """What comes of a play; the test judges."""
    return run_scenario(Scenario("test", "a test's play", profiles, play), seed)


def play_soundly(
    play: Callable[[Stage], Awaitable[None]], seed: int = 1, profiles: tuple[OperatorProfile, ...] = TWO_OPERATORS
) -> Outcome:
    """Runs a play and insists that nothing broke; errors of the play are the test's."""
    outcome = outcome_of(play, seed, profiles)
    assert not outcome.broken, "\n".join((*outcome.lines[-40:], *outcome.broken))
    return outcome
