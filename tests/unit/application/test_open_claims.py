"""Settling looks at what changed, however much is open, and finds what it found when it looked at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.open_claims import OpenClaims
from hansa_control.application.ports import Table
from hansa_control.application.state import State
from hansa_control.domain.model import ClaimState, WorkloadId
from hansa_control.domain.two_books import Asked
from hypothesis import given, settings
from hypothesis import strategies as st
from two_operators import OWNER, SPEC, YARD, ZONE, Side, claim, two_sides, workload


class Unwalked(dict[str, Any]):
    """Counts what is looked up, and is not to be walked through."""

    looked_up = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.looked_up += 1
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self.looked_up += 1
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("walked through")

    items = values = keys = __iter__  # type: ignore[assignment]


def unwalked(side: Side, table: Table) -> Unwalked:
    side.state._tables[table] = found = Unwalked(side.state._tables[table].items())
    return found


async def many_open(count: int) -> tuple[Side, Side]:
    home, owner = await two_sides()
    for number in range(count):
        name = WorkloadId("harbour", f"w{number}")
        held = replace(workload(f"c{number}"), id=name)
        home.settlement.asked(held, f"c{number}", ZONE, SPEC)
        home.state.put(Table.WORKLOAD, str(name), held)
    await home.state.commit()
    await home.settlement.take_over(OWNER)
    return home, owner


async def test_a_look_at_the_books_costs_what_changed_and_not_what_is_open() -> None:
    home, _ = await many_open(300)
    asked, workloads = unwalked(home, Table.ASKED), unwalked(home, Table.WORKLOAD)
    await home.settlement.take_over(OWNER)
    assert (asked.looked_up, workloads.looked_up) == (0, 0)
    gone = WorkloadId("harbour", "w7")
    home.state.delete(Table.WORKLOAD, str(gone))
    await home.settlement.take_over(OWNER)
    assert workloads.looked_up == 1
    assert asked.looked_up < 10
    assert len(asked) == 299, "given back, and the owner has never metered it"


async def test_a_line_that_ends_a_claim_settles_it_without_a_look_at_the_others() -> None:
    home, owner = await two_sides()
    for name in ("c1", "c2"):
        home.settlement.asked(workload(), name, ZONE, SPEC)
    home.state.put(Table.WORKLOAD, str(YARD), workload("c1", "c2"))
    for state in (ClaimState.ALLOCATED, ClaimState.RELEASING):
        owner.meter.observe(claim("c1", state))
    await owner.state.commit()
    await home.settlement.take_over(OWNER)
    assert len(home.state.asked) == 2, "it is still named"
    home.state.put(Table.WORKLOAD, str(YARD), workload("c2"))
    await home.settlement.take_over(OWNER)
    assert [asked.claim for asked in home.state.asked.values()] == ["c2"]


async def test_what_was_open_before_a_restart_is_looked_at_after_it() -> None:
    home, _ = await many_open(3)
    home.state.delete(Table.WORKLOAD, str(WorkloadId("harbour", "w1")))
    await home.state.commit()
    await home.start()
    await home.settlement.take_over(OWNER)
    assert sorted(asked.claim for asked in home.state.asked.values()) == ["c0", "c2"]


NAMES = st.sampled_from(("c1", "c2", "c3"))
STEPS = st.lists(
    st.tuples(st.sampled_from(("ask", "give back", "write", "delete")), NAMES, st.sampled_from(("w1", "w2"))),
    max_size=20,
)


@settings(max_examples=80, deadline=None)
@given(STEPS)
def test_what_is_due_is_what_a_walk_through_everything_finds(steps: list[tuple[str, str, str]]) -> None:
    state = State(MemoryStore())
    claims = OpenClaims(state)
    for step, name, of in steps:
        held = state.asked.get(f"{OWNER}|{name}")
        if step == "ask" and held is None:
            claims.put(Asked(OWNER, name, "z", f"tenants/t/workloads/{of}", 0, 1, 1, 1))
        elif step == "give back" and held is not None:
            claims.put(replace(held, given_back_at_ms=5))
        elif step == "delete" and held is not None:
            claims.delete(f"{OWNER}|{name}")
        elif step == "write":
            list(claims.take_touched(OWNER))
            state.put(Table.WORKLOAD, f"tenants/t/workloads/{of}", workload())
            touched = {asked.claim for asked in claims.take_touched(OWNER)}
            assert touched == {one.claim for one in state.asked.values() if one.workload.endswith(of)}
        walked = [key for key, one in sorted(state.asked.items()) if one.given_back_at_ms and not one.lines]
        assert list(claims.unmetered(OWNER)) == walked
        assert claims.has_any(OWNER) == bool(state.asked)
        assert claims.settled(OWNER) == []


async def test_a_claim_behind_a_partners_is_given_back_when_its_record_goes_and_no_workload_tells_of_it() -> None:
    home, _ = await two_sides()
    kept = {"c1"}
    home.settlement.is_relayed = lambda owner, name: name in kept
    home.settlement.asked_for("tenants/harbour/workloads/elsewhere", "c1", ZONE, SPEC)
    await home.settlement.take_over(OWNER)
    assert len(home.state.asked) == 1
    kept.clear()
    home.state._watchers[Table.RELAY](f"{OWNER}|c1")
    await home.settlement.take_over(OWNER)
    assert home.state.asked == {}
