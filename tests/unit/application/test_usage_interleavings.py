"""Whatever gets lost, whoever dies and whichever clock jumps: both books come out equal, and equal to a plain count of
the changes that were durable.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from hansa_control.application.ports import OwnerUnreachable, Table
from hansa_control.application.usage_ports import UsageCall
from hansa_control.domain.model import ClaimState
from hypothesis import given
from hypothesis import strategies as st
from two_operators import OWNER, SPEC, YARD, ZONE, Side, books_of, claim, two_sides, workload

S = ClaimState
NAMES = ("c0", "c1", "c2")
NEXT: dict[ClaimState, tuple[ClaimState, ...]] = {
    S.HELD: (S.ALLOCATED, S.RELEASED),
    S.ALLOCATED: (S.SERVING, S.LOST, S.FAILED, S.RELEASING),
    S.SERVING: (S.ALLOCATED, S.LOST, S.FAILED, S.RELEASING),
    S.LOST: (S.ALLOCATED, S.RELEASING),
    S.FAILED: (S.LOST, S.RELEASING),
    S.RELEASING: (S.RELEASED,),
    S.RELEASED: (),
}
RUNS = {S.ALLOCATED, S.SERVING}

steps = st.one_of(
    st.tuples(st.just("change"), st.sampled_from(NAMES), st.integers(0, 3)),
    st.tuples(st.just("change and die"), st.sampled_from(NAMES), st.integers(0, 3)),
    st.tuples(st.just("pull"), st.just(""), st.just(0)),
    st.tuples(st.just("half a pull"), st.just(""), st.integers(0, 1)),
    st.tuples(st.just("cut"), st.just(""), st.integers(0, 1)),
    st.tuples(st.just("restart"), st.sampled_from(("home", "owner")), st.just(0)),
    st.tuples(st.just("clock"), st.sampled_from(("home", "owner")), st.integers(-3_000, 9_000)),
)


class Play:
    """Two operators, what the owner has on disk of each claim, and a count of its running time that shares no code."""

    def __init__(self, home: Side, owner: Side) -> None:
        self.home, self.owner = home, owner
        self.states = dict.fromkeys(NAMES, S.HELD)
        self.ran_ms: dict[str, int] = defaultdict(int)
        self.latest_ms: dict[str, int] = {}

    async def begin(self) -> None:
        for name in NAMES:
            self.home.settlement.asked(workload(), name, ZONE, SPEC)
        self.home.state.put(Table.WORKLOAD, str(YARD), workload(*NAMES))
        await self.home.state.commit()

    async def step(self, kind: str, which: str, number: int) -> None:
        if kind.startswith("change"):
            await self._change(which, number, dies=kind != "change")
        elif kind == "pull":
            await self._pull()
        elif kind == "half a pull":
            await self._half_a_pull(number)
        elif kind == "cut":
            self.home.way.is_cut = bool(number)
        elif kind == "restart":
            await (self.home if which == "home" else self.owner).start()
        else:
            side = self.home if which == "home" else self.owner
            side.clock.now_ms = max(0, side.clock.now_ms + number)

    async def _change(self, name: str, number: int, *, dies: bool) -> None:
        possible = NEXT[self.states[name]]
        if not possible:
            return
        state = possible[number % len(possible)]
        self.owner.meter.observe(claim(name, state))
        if dies:
            await self.owner.start()
            return
        await self.owner.state.commit()
        now_ms = max(self.owner.clock.now_ms, self.latest_ms.get(name, 0))
        if self.states[name] in RUNS and state not in RUNS:
            self.ran_ms[name] += now_ms - self.latest_ms[name]
        if (self.states[name] in RUNS) != (state in RUNS):
            self.latest_ms[name] = now_ms
        self.states[name] = state

    async def _pull(self) -> None:
        try:
            await self.home.settlement.take_over(OWNER)
        except OwnerUnreachable:
            assert self.home.way.is_cut

    async def _half_a_pull(self, kept: int) -> None:
        """Lines arrive, and the home dies before or after they are durable, and before it is done."""
        after = self.home.state.count(f"usage-known|{OWNER}")
        page = await self.owner.settlement.tell("nordavind", UsageCall(OWNER, after, after, 2))
        self.home.settlement._take_page(OWNER, after, page)
        if kept:
            await self.home.state.commit()
        await self.home.start()

    async def end(self) -> None:
        """All is healed and every claim is given back."""
        self.home.way.is_cut = False
        for name in NAMES:
            while self.states[name] is not S.RELEASED:
                await self._change(name, len(NEXT[self.states[name]]) - 1, dies=False)
        self.home.state.put(Table.WORKLOAD, str(YARD), workload())
        await self._pull()


@given(st.lists(steps, max_size=40))
def test_books_come_out_equal_and_right(history: list[tuple[str, str, int]]) -> None:
    async def play() -> None:
        run = Play(*await two_sides())
        await run.begin()
        for step in history:
            await run.step(*step)
        await run.end()
        by_home, by_owner = books_of(run.home, run.owner)
        assert by_home == by_owner
        assert run.home.state.asked == {}
        counted: dict[str, int] = defaultdict(int)
        for (name, _, _), (from_ms, until_ms) in by_owner.items():
            assert until_ms >= from_ms > 0
            counted[name] += until_ms - from_ms
        assert {name: counted[name] for name in NAMES} == {name: run.ran_ms[name] for name in NAMES}

    asyncio.run(play())
