"""Small parts: rates, circuits, scopes of tasks, ids."""

from __future__ import annotations

import asyncio
import re

import pytest
from adapter_doubles import ClockByHand
from hansa_control.adapters.circuit import Circuit
from hansa_control.adapters.rates import PartnerRates, TokenBucket
from hansa_control.adapters.system import SystemClock, SystemIds
from hansa_control.adapters.task_scope import first_to_end, to_the_end
from hansa_control.application.ports import OwnerUnreachable, RefusalError
from hansa_control.domain.model import Reason

# --- rates ---


def test_a_bucket_lets_a_burst_through_and_then_the_rate() -> None:
    clock = ClockByHand()
    bucket = TokenBucket(clock, rate_per_s=10, burst=3)
    for _ in range(3):
        bucket.take()
    with pytest.raises(RefusalError) as refusal:
        bucket.take()
    assert refusal.value.reason is Reason.LIMIT_EXCEEDED
    clock.now_ms += 100
    bucket.take()
    with pytest.raises(RefusalError):
        bucket.take()


def test_a_bucket_never_holds_more_than_a_burst() -> None:
    clock = ClockByHand()
    bucket = TokenBucket(clock, rate_per_s=10, burst=2)
    clock.now_ms += 3_600_000
    bucket.take()
    bucket.take()
    with pytest.raises(RefusalError):
        bucket.take()


# --- circuits ---


def test_a_circuit_opens_after_failures_in_a_row_and_closes_after_the_pause() -> None:
    clock = ClockByHand()
    circuit = Circuit(clock, "fjordby", failures_max=2, pause_ms=100)
    circuit.failed()
    circuit.check()
    circuit.failed()
    with pytest.raises(OwnerUnreachable, match="fjordby did not answer 2 times"):
        circuit.check()
    clock.now_ms += 100
    circuit.check()
    circuit.failed()
    with pytest.raises(OwnerUnreachable):
        circuit.check()


def test_a_success_closes_a_circuit() -> None:
    circuit = Circuit(ClockByHand(), "fjordby", failures_max=1)
    circuit.failed()
    circuit.succeeded()
    circuit.check()


def test_after_the_pause_one_call_tries_for_all() -> None:
    clock = ClockByHand()
    circuit = Circuit(clock, "fjordby", failures_max=1, pause_ms=100)
    circuit.failed()
    clock.now_ms += 100
    circuit.check()
    with pytest.raises(OwnerUnreachable) as spared:
        circuit.check()
    assert not spared.value.was_asked
    assert (circuit.is_open, circuit.opened_count, circuit.spared_count) == (True, 1, 1)
    circuit.succeeded()
    circuit.check()
    assert not circuit.is_open


def test_a_trial_of_which_nothing_is_heard_is_followed_by_another_after_a_pause() -> None:
    clock = ClockByHand()
    circuit = Circuit(clock, "fjordby", failures_max=1, pause_ms=100)
    circuit.failed()
    for _ in range(3):
        clock.now_ms += 100
        circuit.check()
    assert circuit.opened_count == 1


def test_a_partner_that_calls_too_often_leaves_the_others_their_rate() -> None:
    rates = PartnerRates(ClockByHand(), rate_per_s=10, burst=2)
    for _ in range(2):
        rates.take("skargard")
    with pytest.raises(RefusalError) as refusal:
        rates.take("skargard")
    rates.take("waldnetz")
    assert refusal.value.reason is Reason.LIMIT_EXCEEDED
    assert rates.refused == {"skargard": 1}


# --- scopes ---


async def forever(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("forever")


async def fails() -> None:
    raise ValueError("first")


async def ends() -> None:
    return


async def test_the_first_to_end_ends_all() -> None:
    ended: list[str] = []
    await first_to_end(forever(ended), ends())
    assert ended == ["forever"]


async def test_the_failure_of_the_first_to_end_is_raised() -> None:
    ended: list[str] = []
    with pytest.raises(ValueError, match="first"):
        await first_to_end(forever(ended), fails())
    assert ended == ["forever"]


async def test_cancelling_the_scope_cancels_its_work() -> None:
    ended: list[str] = []
    task = asyncio.create_task(first_to_end(forever(ended)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["forever"]


async def test_what_has_begun_goes_on_when_the_caller_is_cancelled() -> None:
    gate, done = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await gate.wait()
        done.set()

    caller = asyncio.create_task(to_the_end(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    gate.set()
    await asyncio.wait_for(done.wait(), 1)


# --- system ---


def test_ids_are_names_and_do_not_repeat() -> None:
    ids = SystemIds()
    made = {ids.new_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"[a-z][a-z0-9]{19}", one) for one in made)
    assert all(0 <= ids.fraction() < 1 for _ in range(100))


def test_clocks_count_in_their_units() -> None:
    clock = SystemClock()
    assert clock.wall_ms() > 1_700_000_000_000
    assert clock.monotonic_ms() <= clock.monotonic_ms()
    assert clock.elapsed_us() <= clock.elapsed_us()
