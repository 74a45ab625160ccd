"""Who waits for an answer goes first; the work that gives way gets on all the same."""

from __future__ import annotations

import asyncio

from adapter_doubles import ClockByHand
from hansa_control.adapters.precedence import TURN_EVERY_MS, Precedence


async def let_run() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_turns_follow_one_another_while_nobody_waits() -> None:
    precedence = Precedence(ClockByHand())
    for _ in range(3):
        await asyncio.wait_for(precedence.turn(), 1)


async def test_a_second_turn_waits_while_a_call_does_and_comes_when_it_is_answered() -> None:
    precedence = Precedence(ClockByHand())
    with precedence.answering():
        await precedence.turn()
        second = asyncio.create_task(precedence.turn())
        await let_run()
        assert not second.done()
    await asyncio.wait_for(second, 1)


async def test_turns_come_in_the_end_however_long_calls_wait() -> None:
    clock = ClockByHand()
    precedence = Precedence(clock)
    with precedence.answering():
        await precedence.turn()
        clock.now_ms += TURN_EVERY_MS
        await asyncio.wait_for(precedence.turn(), 1)


async def test_the_last_of_several_calls_makes_way() -> None:
    precedence = Precedence(ClockByHand())
    await precedence.turn()
    with precedence.answering():
        with precedence.answering():
            waiting = asyncio.create_task(precedence.turn())
            await let_run()
        await let_run()
        assert not waiting.done()
    await asyncio.wait_for(waiting, 1)
