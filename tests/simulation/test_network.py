"""The simulated network breaks as real ones do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hansa_sim.kernel import Process, VirtualLoop, run
from hansa_sim.network import ConnectionBroken, End, Network, Unreachable, Weather
from hansa_sim.streams import Streams

Play = Callable[[VirtualLoop, Network, Process], Awaitable[None]]


def play(work: Play) -> None:
    async def main(loop: VirtualLoop) -> None:
        network = Network(loop, Streams(1).stream("network"))
        await work(loop, network, Process(loop, "a"))

    run(main)


def listen(loop: VirtualLoop, network: Network) -> tuple[Process, list[object]]:
    """A host "b" that keeps what it receives."""
    process, got = Process(loop, "b"), list[object]()

    async def accept(end: End) -> None:
        try:
            while True:
                got.append(await end.receive())
        except ConnectionBroken as broken:
            got.append(str(broken))

    network.listen("b:echo", process, accept)
    return process, got


def test_messages_arrive_in_order_after_some_time() -> None:
    async def work(loop: VirtualLoop, network: Network, process: Process) -> None:
        _, got = listen(loop, network)
        end = network.connect("a", process, "b:echo")
        for number in range(100):
            end.send(number)
        await asyncio.sleep(0)
        assert got == []
        await asyncio.sleep(1)
        assert got == list(range(100))

    play(work)


def test_what_a_short_cut_stops_arrives_late_and_in_order() -> None:
    async def work(loop: VirtualLoop, network: Network, process: Process) -> None:
        _, got = listen(loop, network)
        end = network.connect("a", process, "b:echo")
        end.send(1)
        await asyncio.sleep(1)
        network.cut("a", "b")
        end.send(2)
        end.send(3)
        await asyncio.sleep(1)
        assert got == [1]
        network.heal("a", "b")
        await asyncio.sleep(1)
        assert got == [1, 2, 3]

    play(work)


def test_a_long_cut_breaks_the_connection_at_both_ends() -> None:
    async def work(loop: VirtualLoop, network: Network, process: Process) -> None:
        _, got = listen(loop, network)
        end = network.connect("a", process, "b:echo")
        end.send(1)
        await asyncio.sleep(1)
        network.cut("a", "b")
        await asyncio.sleep(10)
        assert got == [1, "timed out"]
        with pytest.raises(ConnectionBroken, match="timed out"):
            await end.receive()
        with pytest.raises(ConnectionBroken):
            end.send(2)

    play(work)


def test_a_killed_peer_resets_the_connection_but_a_dark_one_does_not() -> None:
    async def work(loop: VirtualLoop, network: Network, process: Process) -> None:
        peer, _ = listen(loop, network)
        end = network.connect("a", process, "b:echo")
        await asyncio.sleep(1)
        peer.kill()
        network.drop_process(peer)
        await asyncio.sleep(0.1)
        assert end.broken == "reset by peer"
        listen(loop, network)
        other = network.connect("a", process, "b:echo")
        await asyncio.sleep(1)
        network.darken("b")
        await asyncio.sleep(1)
        assert not other.broken
        await asyncio.sleep(6)
        assert other.broken == "timed out"

    play(work)


def test_nobody_listening_refuses_and_a_cut_times_out() -> None:
    async def work(loop: VirtualLoop, network: Network, process: Process) -> None:
        refused = network.connect("a", process, "b:echo")
        await asyncio.sleep(0.1)
        assert refused.broken == "connection refused"
        network.cut("b", "a")
        timed_out = network.connect("a", process, "b:echo")
        await asyncio.sleep(3)
        assert timed_out.broken == "connect timed out"

    play(work)


def test_a_call_is_answered_or_unreachable_and_may_have_been_carried_out() -> None:
    async def work(loop: VirtualLoop, network: Network, process: Process) -> None:
        done: list[str] = []

        async def serve(service: object) -> str:
            done.append(str(service))
            return "answer"

        with pytest.raises(Unreachable, match="refuses"):
            await network.call(("a", "b"), serve)
        network.offer("b", Process(loop, "b"), "service")
        assert await network.call(("a", "b"), serve) == "answer"
        network.cut("b", "a")
        with pytest.raises(Unreachable, match="did not answer"):
            await network.call(("a", "b"), serve)
        assert done == ["service", "service"]

    play(work)


def test_what_the_callee_raises_is_raised_at_the_caller() -> None:
    async def work(loop: VirtualLoop, network: Network, process: Process) -> None:
        async def serve(service: object) -> None:
            raise KeyError("nothing there")

        network.offer("b", Process(loop, "b"), "service")
        with pytest.raises(KeyError):
            await network.call(("a", "b"), serve)

    play(work)


# --- foul weather ---------------------------------------------------------------------------------------------------


async def asked(network: Network, count: int) -> tuple[list[int], int]:
    """What arrived, in its order, of that many calls made at once; how many were answered."""
    arrived: list[int] = []

    def serve(number: int) -> Callable[[object], Awaitable[int]]:
        async def work(service: object) -> int:
            arrived.append(number)
            return number

        return work

    calls = [network.call(("a", "b"), serve(number)) for number in range(count)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    return arrived, sum(isinstance(answer, int) for answer in answers)


def in_weather(weather: Weather) -> tuple[list[int], int]:
    told: list[tuple[list[int], int]] = []

    async def work(loop: VirtualLoop, network: Network, process: Process) -> None:
        network.offer("b", Process(loop, "b"), "service")
        network.set_weather("a", "b", weather)
        told.append(await asked(network, 200))

    play(work)
    return told[0]


def test_in_fair_weather_every_call_arrives_once_and_is_answered() -> None:
    arrived, answered = in_weather(Weather())
    assert (sorted(arrived), answered) == (list(range(200)), 200)


def test_calls_are_lost_there_and_back() -> None:
    arrived, answered = in_weather(Weather(loss_share=0.3))
    assert 100 < len(arrived) < 180
    assert 70 < answered < len(arrived)


def test_calls_arrive_twice_and_are_answered_once() -> None:
    arrived, answered = in_weather(Weather(double_share=0.5))
    assert 250 < len(arrived) < 350
    assert answered == 200


def test_calls_overtake_each_other() -> None:
    arrived, answered = in_weather(Weather(straggler_share=0.2, straggler_us=500_000))
    assert arrived != sorted(arrived)
    assert answered == 200


def test_what_is_lost_on_a_connection_comes_late_and_in_order() -> None:
    async def work(loop: VirtualLoop, network: Network, process: Process) -> None:
        _, got = listen(loop, network)
        network.set_weather("a", "b", Weather(loss_share=0.3))
        end = network.connect("a", process, "b:echo")
        for number in range(100):
            end.send(number)
        await asyncio.sleep(0.1)
        assert len(got) < 100
        await asyncio.sleep(5)
        assert got == list(range(100))

    play(work)


def test_the_weather_is_local_and_passes() -> None:
    async def work(loop: VirtualLoop, network: Network, process: Process) -> None:
        foul = Weather(loss_share=1.0)
        network.set_weather("a", "b", foul)
        assert (network.weather_on(("b", "a")), network.weather_on(("a", "c"))) == (foul, network.weather)
        network.repair()
        assert network.weather_on(("a", "b")) == network.weather

    play(work)
