"""Virtual time and processes."""

from __future__ import annotations

import asyncio
import time

import pytest
from hansa_sim.kernel import Deadlock, Process, StepLimit, VirtualLoop, run


def test_an_hour_passes_in_no_time() -> None:
    async def main(loop: VirtualLoop) -> int:
        await asyncio.sleep(3_600)
        return loop.now_us

    began = time.monotonic()  # noqa: TID251 - that nothing waits for real can only be seen on the real clock
    assert run(main) == 3_600_000_000
    assert time.monotonic() - began < 1  # noqa: TID251


def test_timers_of_the_same_moment_fire_in_the_order_in_which_they_were_set() -> None:
    async def main(loop: VirtualLoop) -> list[int]:
        fired: list[int] = []
        for number in range(50):
            loop.call_later(1.0, fired.append, number)
        await asyncio.sleep(2)
        return fired

    assert run(main) == list(range(50))


def test_waiting_for_what_never_comes_is_a_deadlock() -> None:
    async def main(loop: VirtualLoop) -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run(main)


def test_circles_that_take_no_time_meet_the_step_limit() -> None:
    async def main(loop: VirtualLoop) -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(StepLimit):
        run(main, steps_max=1_000)


def test_a_killed_process_takes_no_further_step_not_even_a_finally() -> None:
    async def main(loop: VirtualLoop) -> list[str]:
        told: list[str] = []

        async def work() -> None:
            try:
                told.append("began")
                await asyncio.sleep(1)
                told.append("went on")
            finally:
                told.append("tidied up")

        process = Process(loop, "victim")
        process.spawn(work())
        await asyncio.sleep(0.5)
        process.kill()
        await asyncio.sleep(5)
        return list(told)

    assert run(main) == ["began"]


def test_what_a_process_starts_dies_with_it() -> None:
    async def main(loop: VirtualLoop) -> list[int]:
        ticks: list[int] = []

        async def child() -> None:
            while True:
                await asyncio.sleep(1)
                ticks.append(loop.now_us)

        async def parent() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(child())

        process = Process(loop, "family")
        process.spawn(parent())
        await asyncio.sleep(2.5)
        process.kill()
        await asyncio.sleep(5)
        return list(ticks)

    assert run(main) == [1_000_000, 2_000_000]


@pytest.mark.parametrize(("number", "told"), [(1, []), (2, ["one"]), (3, ["one", "two"]), (9, ["one", "two", "three"])])
def test_a_process_dies_at_the_await_that_was_chosen(number: int, told: list[str]) -> None:
    async def main(loop: VirtualLoop) -> list[str]:
        said: list[str] = []

        async def work() -> None:
            for word in ("one", "two", "three"):
                said.append(word)
                await asyncio.sleep(0)

        process = Process(loop, "victim")
        process.spawn(work())
        process.at_step(number, process.kill)
        await asyncio.sleep(1)
        return said

    assert run(main) == told


def test_a_process_that_was_defused_lives_on() -> None:
    async def main(loop: VirtualLoop) -> bool:
        process = Process(loop, "spared")
        process.at_step(1, process.kill)
        process.defuse()
        process.spawn(asyncio.sleep(0))
        await asyncio.sleep(1)
        return process.alive

    assert run(main)


def test_a_frozen_process_catches_up_when_it_thaws() -> None:
    async def main(loop: VirtualLoop) -> list[int]:
        ticks: list[int] = []

        async def work() -> None:
            for _ in range(3):
                await asyncio.sleep(1)
                ticks.append(loop.now_us)

        process = Process(loop, "suspended")
        process.spawn(work())
        await asyncio.sleep(1.5)
        process.freeze()
        await asyncio.sleep(5)
        process.thaw()
        await asyncio.sleep(5)
        return list(ticks)

    assert run(main) == [1_000_000, 6_500_000, 7_500_000]


def test_a_dead_process_starts_nothing() -> None:
    async def main(loop: VirtualLoop) -> None:
        process = Process(loop, "dead")
        process.kill()
        work = asyncio.sleep(1)
        with pytest.raises(RuntimeError, match="dead"):
            process.spawn(work)
        work.close()

    run(main)


def test_threads_are_functions_that_run_at_once() -> None:
    async def main(loop: VirtualLoop) -> tuple[int, int]:
        return await asyncio.to_thread(lambda: 42), loop.now_us

    assert run(main) == (42, 0)
