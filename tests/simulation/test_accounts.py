"""The watcher sees when books of usage are not what they must be: each test breaks the product to see that."""

from __future__ import annotations

import pytest
from hansa_control.application import metering
from hansa_control.application.settlement import Settlement
from hansa_control.domain.model import Claim, WorkloadId, WorkloadState
from hansa_control.domain.usage import UsageLine, metered
from hansa_sim.geography import nordic_spec
from hansa_sim.scenario import Stage
from stages import outcome_of

ABROAD = WorkloadId("acme", "abroad")


async def abroad(stage: Stage) -> None:
    """More workloads than the home operator has room for: some run at the partner's, and one of those is deleted."""
    world = stage.world
    await world.pass_s(3)
    for number in range(6):
        await world.submit("fjord", WorkloadId("acme", f"app-{number}"), nordic_spec(2, "sto"))
    await world.submit("fjord", ABROAD, nordic_spec(access="sto"))
    await world.until_state("fjord", ABROAD, WorkloadState.RUNNING, 30)
    await world.delete("fjord", ABROAD)
    await stage.calm(20)


def test_books_are_equal_when_nothing_is_broken() -> None:
    outcome = outcome_of(abroad)
    assert outcome.broken == ()


def test_a_line_that_the_home_operator_loses_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    take, seen = Settlement._take, 0

    def take_some(self: Settlement, line: UsageLine) -> None:
        nonlocal seen
        seen += 1
        if seen % 3:
            take(self, line)

    monkeypatch.setattr(Settlement, "_take", take_some)
    assert any("differ on claim" in what for what in outcome_of(abroad).broken)


def test_a_meter_that_does_not_stop_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def never_over(line: UsageLine | None, claim: Claim, owner: str, now_ms: int) -> tuple[UsageLine, ...]:
        return () if line is not None else metered(line, claim, owner, now_ms)

    monkeypatch.setattr(metering, "metered", never_over)
    assert any("runs without an allocation" in what for what in outcome_of(abroad).broken)


def test_a_claim_that_is_never_metered_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_abroad(line: UsageLine | None, claim: Claim, owner: str, now_ms: int) -> tuple[UsageLine, ...]:
        return () if claim.home != owner else metered(line, claim, owner, now_ms)

    monkeypatch.setattr(metering, "metered", not_abroad)
    assert any("has no line of it" in what for what in outcome_of(abroad).broken)
