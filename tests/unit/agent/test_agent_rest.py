"""An agent at rest: ticks that would change nothing are passed over, and nothing is late for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agent_orders import Middle, at, order
from hansa_agent.instance_store import InstanceRecord
from hansa_agent.reconciliation import RestartPolicy
from hansa_agent.session import AgentSession, Identity
from hansa_agent.supervisor import Supervisor
from hansa_sim.clock import VirtualClock
from hansa_sim.kernel import VirtualLoop
from hansa_sim.runtime import Machine, MachineRuntime, Manners, MemoryInstanceStore
from hansa_sim.streams import Stream

from hansa.v1.agent_service_pb2 import AgentWelcome, Heartbeat, SessionResponse

POLICY = RestartPolicy(ready_timeout_ms=5_000, backoff_ms_min=1_000, quick_ms=100)


class TakesAll:
    def refusal(self, order: Any, held: Any) -> None:
        return None


def synced(interval_ms: int = 1_000) -> AgentSession:
    """A session that was welcomed at 100 ms."""
    session = AgentSession(Identity("a/b", "boot"), TakesAll())
    session.on_connected(at(0))
    session.on_message(SessionResponse(welcome=AgentWelcome(heartbeat_interval_ms=interval_ms)), at(100))
    return session


# --- the session ---


def test_session_that_is_not_synced_wants_every_tick() -> None:
    session = AgentSession(Identity("a/b", "boot"), TakesAll())
    assert session.rest_ms(at(0)) == 0
    session.on_connected(at(0))
    assert session.rest_ms(at(50)) == 0


def test_session_rests_until_its_next_beat() -> None:
    session = synced()
    assert session.rest_ms(at(100)) == 1_000
    assert session.rest_ms(at(850)) == 250
    assert session.rest_ms(at(1_200)) == 0


def test_session_rests_no_longer_than_until_the_operator_counts_as_silent() -> None:
    """With long intervals three of them; a beat that is sent does not put that off, one that is heard does."""
    session = synced(10_000)
    assert session.rest_ms(at(100)) == 10_000
    session.on_tick(at(10_100))
    session.on_tick(at(20_100))
    assert session.rest_ms(at(20_100)) == 10_000
    assert session.rest_ms(at(29_000)) == 1_100
    session.on_message(SessionResponse(heartbeat=Heartbeat()), at(29_000))
    session.on_tick(at(30_100))
    assert session.rest_ms(at(30_100)) == 10_000


@pytest.mark.parametrize("interval_ms", [100, 700, 1_000, 2_500])
def test_ticks_during_a_rest_change_nothing(interval_ms: int) -> None:
    """What is passed over would have sent nothing and closed nothing."""
    session, now_ms = synced(interval_ms), 100
    for _ in range(30):
        rest_ms = session.rest_ms(at(now_ms))
        for step_ms in range(0, rest_ms, 50):
            output = session.on_tick(at(now_ms + step_ms))
            assert (output.send, output.close) == ((), "")
        now_ms += rest_ms or 50
        output = session.on_tick(at(now_ms))
        assert output.send or output.close or not rest_ms
        session.on_message(SessionResponse(heartbeat=Heartbeat()), at(now_ms))


# --- the supervisor ---


class CountingClock(VirtualClock):
    """Counts how often somebody slept."""

    naps = 0

    async def sleep(self, seconds: float) -> None:
        type(self).naps += 1
        await super().sleep(seconds)


class Bench:
    """A supervisor on a simulated machine."""

    def __init__(self, loop: VirtualLoop, manners: Manners) -> None:
        CountingClock.naps = 0
        self.clock = CountingClock(loop)
        self.events: list[str] = []
        records: dict[str, InstanceRecord] = {}
        self.machine = Machine(loop, "a/b", Stream(1, "machine"), self.events.append)
        self.machine.manners = manners
        store = MemoryInstanceStore(records)
        self.supervisor = Supervisor(MachineRuntime(self.machine, store), store, self.clock, lambda: None)

    async def begin(self) -> asyncio.Task[None]:
        await self.supervisor.adopt(POLICY, Middle())
        return asyncio.ensure_future(self.supervisor.run())


QUICK = Manners((500, 500), (200, 200), 0.0, 0.0)


def on_bench(play: Any, manners: Manners = QUICK) -> None:
    loop = VirtualLoop()

    async def main() -> None:
        bench = Bench(loop, manners)
        running = await bench.begin()
        await asyncio.sleep(0.01)
        await play(bench)
        running.cancel()

    loop.run_main(main())


def test_supervisor_with_nothing_to_wait_for_sleeps_through() -> None:
    async def play(bench: Bench) -> None:
        await asyncio.sleep(3_600)
        # What is left is a look at the platform's leavings every ten seconds.
        assert CountingClock.naps <= 3_600 / 10 + 10

    on_bench(play)


def test_supervisor_that_slept_starts_what_is_ordered_at_once() -> None:
    async def play(bench: Bench) -> None:
        await asyncio.sleep(100)
        bench.supervisor.desire({"instances/c1-0": order()})
        await asyncio.sleep(0.7)
        assert bench.events == ["starts c1-0", "answers c1-0"]
        before = CountingClock.naps
        await asyncio.sleep(1_000)
        assert CountingClock.naps - before <= 110

    on_bench(play)


def test_supervisor_that_slept_starts_an_instance_again_that_ended() -> None:
    async def play(bench: Bench) -> None:
        bench.supervisor.desire({"instances/c1-0": order()})
        await asyncio.sleep(100)
        bench.machine.end(bench.machine.instances["c1-0"], 1)
        await asyncio.sleep(2)
        assert bench.events[-2:] == ["starts c1-0", "answers c1-0"]

    on_bench(play)


def test_supervisor_that_slept_gives_up_what_does_not_become_ready_in_time() -> None:
    async def play(bench: Bench) -> None:
        await asyncio.sleep(100)
        bench.supervisor.desire({"instances/c1-0": order()})
        await asyncio.sleep(5.3)
        assert bench.events[:2] == ["starts c1-0", "ends c1-0 with -9"]

    on_bench(play, Manners((60_000, 60_000), (200, 200), 0.0, 0.0))


def test_supervisor_that_slept_kills_what_does_not_end_when_asked() -> None:
    async def play(bench: Bench) -> None:
        bench.supervisor.desire({"instances/c1-0": order()})
        await asyncio.sleep(100)
        bench.supervisor.desire({})
        await asyncio.sleep(POLICY.stop_grace_ms / 1_000 + 0.5)
        assert bench.machine.running() == []
        assert bench.events[-1].startswith("ends c1-0 with -9")

    on_bench(play, Manners((500, 500), (200, 200), 0.0, 1.0))
