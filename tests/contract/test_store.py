"""What every store promises, whatever it is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.adapters.store_postgres import Leadership, PostgresStore
from hansa_control.adapters.store_sqlite import SqliteStore
from hansa_control.adapters.system import SystemClock
from hansa_control.application.ports import (
    READ_ONE_BY_ONE,
    Counter,
    Delete,
    Put,
    Record,
    Relay,
    Store,
    StoredAdvert,
    StoredDecision,
    StoredGrant,
    StoredOffer,
    StoredRequest,
    StoreFailed,
    Table,
)
from hansa_control.application.usage_ports import Enter, LineQuery, Strike
from hansa_control.domain.model import (
    ArtefactRef,
    Capacity,
    Claim,
    ClaimState,
    ClaimStatus,
    ConstraintResult,
    Decision,
    Event,
    EventLevel,
    Evidence,
    EvidenceKind,
    Fact,
    FactKind,
    Federation,
    FederationState,
    HoldGrant,
    LatencyBudget,
    Reason,
    Rejection,
    ResidencyPolicy,
    SiteRule,
    Workload,
    WorkloadId,
    WorkloadSpec,
    WorkloadState,
    ZoneId,
)
from hansa_control.domain.reputation import Breach, Reputation
from hansa_control.domain.seals import GrantTerms, Seal, Signed
from hansa_control.domain.two_books import Asked
from hansa_control.domain.upkeep import UpkeepAsked
from hansa_control.domain.usage import Period, UsageLine
from hansa_control.domain.zones import Window
from hansa_sim.disks import Disk, DiskStore

SPEC = WorkloadSpec(
    ArtefactRef("asr", "sha256:0"),
    None,
    1000,
    2048,
    1,
    (),
    LatencyBudget(95, 20_000),
    ResidencyPolicy(site=SiteRule(frozenset({"NO", "SE"}))),
)
EVIDENCE = Evidence(EvidenceKind.REGISTER, "Brønnøysundregistrene", "register", 1, 2, "sha256:1")
REJECTION = Rejection(
    ZoneId("rheinkraft", "köln-1"), Reason.SITE_COUNTRY_DENIED, ConstraintResult("Site", "DE", "NO, SE", "")
)
LINE = UsageLine("rheinkraft", "nordavind", "c-1", 7, 1, "köln-1", "tenants/t/workloads/w", "", 2, 1000, 2048, 5)
DIGESTS = ("sha256:3", "sha256:4", "sha256:5")
TERMS = GrantTerms("rheinkraft", "nordavind", "ctx", "c-1", "köln-1", "", 7, 10_000, *DIGESTS, 1)
SIGNED = Signed("ES256", b"\x00\xff", b"PEM")
ONE_OF_EACH: dict[Table, Record] = {
    Table.ADVERT: StoredAdvert("oslo-1", "facts/country", "e1", Fact(FactKind.SITE_COUNTRY, "NO", EVIDENCE)),
    Table.OFFER: StoredOffer("rheinkraft", "claims/c-1", "e2", ClaimStatus("c-1", ClaimState.SERVING, 1, (), "", 7)),
    Table.CLAIM: Claim("c-1", "nordavind", "oslo-1", SPEC, Capacity(1000, 2048), "", ClaimState.HELD, 7, 5000),
    Table.WORKLOAD: Workload(WorkloadId("t", "w"), "u", SPEC, 1, 1, WorkloadState.PENDING, (), (), 1, "client"),
    Table.DECISION: StoredDecision(Decision((), (REJECTION,), 1, 8812), 1),
    Table.REQUEST: StoredRequest("sha256:2", "tenants/t/workloads/w", 1),
    Table.FEDERATION: Federation("nordavind", "rheinkraft", "ctx", FederationState.ACTIVE, 6000, b"\x00\xffPEM"),
    Table.EVENT: Event(1, 1, "tenants/t/workloads/w", "Placed", "in oslo-1", EventLevel.NORMAL),
    Table.COUNTER: Counter(1),
    Table.ASKED: Asked("rheinkraft", "c-1", "köln-1", "tenants/t/workloads/w", 2, 1000, 2048, 1, 2, (LINE,)),
    Table.GRANT: StoredGrant("tenants/t/workloads/w", SPEC, 10_000, Seal(TERMS, SIGNED, SPEC.residency), 1),
    Table.REPUTATION: Reputation("rheinkraft", 350, 1, ((Breach.CLAIM_LOST, 1), (Breach.REFUSED_AFTER_OFFER, 1))),
    Table.RELAY: Relay("nordavind", "c1", "waldnetz", "r1", "berlin-1", SPEC, 10_000, HoldGrant("r1", 7, 9_000, "")),
    Table.UPKEEP: UpkeepAsked("oslo-1", is_drained=True, note="fans", due_ms=9, windows=(Window(1, 2, 3, "x"),)),
}


LOADED = [table for table in Table if table not in READ_ONE_BY_ONE]


class Medium(Protocol):
    """Where records outlive a process: each ``restart`` is the store of a new process on the same records."""

    async def restart(self) -> Store: ...


class MemoryMedium:
    def __init__(self) -> None:
        self._store = MemoryStore()

    async def restart(self) -> Store:
        self._store = self._store.reopen()
        return self._store


class DiskMedium:
    """The simulation's store, on a disk that does not fail: it must promise the same."""

    def __init__(self) -> None:
        self._store = DiskStore(MemoryStore(), Disk())

    async def restart(self) -> Store:
        self._store = self._store.reopen()
        return self._store


class SqliteMedium:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._store: SqliteStore | None = None

    async def restart(self) -> Store:
        if self._store is not None:
            await self._store.close()
        self._store = SqliteStore(self._path)
        return self._store


class PostgresMedium:
    def __init__(self, url: str) -> None:
        self._url = url
        self._store: PostgresStore | None = None

    async def restart(self) -> Store:
        if self._store is not None:
            await self._store.close()
        self._store = PostgresStore(self._url, Leadership("op-0"), SystemClock())
        return self._store


@pytest.fixture(params=["memory", "disk", "sqlite", "postgres"])
async def medium(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Medium]:
    yield (medium := _medium(request, tmp_path))
    await (await medium.restart()).close()


def _medium(request: pytest.FixtureRequest, folder: Path) -> Medium:
    if request.param == "memory":
        return MemoryMedium()
    if request.param == "disk":
        return DiskMedium()
    if request.param == "sqlite":
        return SqliteMedium(folder / "control.sqlite")
    return PostgresMedium(request.getfixturevalue("postgres").new_database())


def count(key: str, value: int) -> Put:
    return Put(Table.COUNTER, key, Counter(value))


async def counters(store: Store) -> dict[str, int]:
    return {
        key: record.value for key, record in (await store.load())[Table.COUNTER].items() if isinstance(record, Counter)
    }


async def test_a_new_store_has_every_table_and_no_record(medium: Medium) -> None:
    store = await medium.restart()
    assert await store.load() == {table: {} for table in LOADED}
    assert [await store.read(table, "k") for table in READ_ONE_BY_ONE] == [None]


async def test_records_of_every_table_survive_a_restart(medium: Medium) -> None:
    assert set(ONE_OF_EACH) == set(Table)
    await (await medium.restart()).commit([Put(table, "k", record) for table, record in ONE_OF_EACH.items()])
    store = await medium.restart()
    assert await store.load() == {table: {"k": ONE_OF_EACH[table]} for table in LOADED}
    for table in READ_ONE_BY_ONE:
        assert await store.read(table, "k") == ONE_OF_EACH[table]
        assert await store.read(table, "k2") is None


async def test_any_durable_record_can_be_read_alone_and_a_deleted_one_cannot(medium: Medium) -> None:
    store = await medium.restart()
    await store.commit([Put(table, "k", record) for table, record in ONE_OF_EACH.items()])
    assert {table: await store.read(table, "k") for table in Table} == ONE_OF_EACH
    await store.commit([Delete(table, "k") for table in Table])
    assert [await store.read(table, "k") for table in Table] == [None] * len(Table)


async def test_records_of_many_specifications_come_back_as_they_were(medium: Medium) -> None:
    """Those of one specification share it; that is nobody's business but memory's."""
    specs = [replace(SPEC, cpu_millis=1000 + at % 3) for at in range(20)]
    claim, workload = ONE_OF_EACH[Table.CLAIM], ONE_OF_EACH[Table.WORKLOAD]
    assert isinstance(claim, Claim) and isinstance(workload, Workload)
    claims = {f"c{at:02}": replace(claim, name=f'"spec":{{{at}', spec=spec) for at, spec in enumerate(specs)}
    workloads = {f"w{at:02}": replace(workload, spec=spec, revision=at) for at, spec in enumerate(specs)}
    store = await medium.restart()
    await store.commit([Put(Table.CLAIM, key, one) for key, one in claims.items()])
    await store.commit([Put(Table.WORKLOAD, key, one) for key, one in workloads.items()])
    loaded = await (await medium.restart()).load()
    assert (loaded[Table.CLAIM], loaded[Table.WORKLOAD]) == (claims, workloads)


async def test_a_later_put_replaces_an_earlier(medium: Medium) -> None:
    store = await medium.restart()
    await store.commit([count("fence|oslo-1", 1)])
    await store.commit([count("fence|oslo-1", 2)])
    assert await counters(await medium.restart()) == {"fence|oslo-1": 2}


async def test_what_was_deleted_stays_away(medium: Medium) -> None:
    store = await medium.restart()
    await store.commit([count("a", 1), count("b", 2)])
    await store.commit([Delete(Table.COUNTER, "a")])
    assert await counters(await medium.restart()) == {"b": 2}


async def test_deleting_what_is_not_there_is_harmless(medium: Medium) -> None:
    store = await medium.restart()
    await store.commit([Delete(Table.COUNTER, "a"), count("b", 2)])
    assert await counters(store) == {"b": 2}


async def test_the_changes_of_a_commit_are_made_in_order(medium: Medium) -> None:
    store = await medium.restart()
    await store.commit(
        [count("a", 1), Delete(Table.COUNTER, "a"), count("a", 2), count("b", 1), Delete(Table.COUNTER, "b")]
    )
    assert await counters(await medium.restart()) == {"a": 2}


async def test_one_key_in_two_tables_is_two_records(medium: Medium) -> None:
    store = await medium.restart()
    await store.commit([count("k", 1), Put(Table.REQUEST, "k", ONE_OF_EACH[Table.REQUEST])])
    await store.commit([Delete(Table.REQUEST, "k")])
    assert await counters(await medium.restart()) == {"k": 1}


async def test_records_come_ordered_by_key(medium: Medium) -> None:
    store = await medium.restart()
    await store.commit([count(key, 0) for key in ("b|ø", "a", "b|z", "B", "")])
    assert list(await counters(await medium.restart())) == ["", "B", "a", "b|z", "b|ø"]


async def test_an_empty_commit_is_harmless(medium: Medium) -> None:
    store = await medium.restart()
    await store.commit([])
    assert await counters(store) == {}


async def test_what_was_loaded_does_not_change_with_later_commits(medium: Medium) -> None:
    store = await medium.restart()
    before = await store.load()
    await store.commit([count("a", 1)])
    assert before[Table.COUNTER] == {}


async def test_concurrent_commits_take_effect_in_the_order_of_the_calls(medium: Medium) -> None:
    store = await medium.restart()
    await asyncio.gather(*(store.commit([count("last", n), count(f"n{n}", n)]) for n in range(100)))
    assert await counters(await medium.restart()) == {"last": 99} | {f"n{n}": n for n in range(100)}


async def test_a_commit_whose_caller_went_away_is_made_whole_or_not_at_all(medium: Medium) -> None:
    store = await medium.restart()
    await store.commit([count("a", 1), count("b", 1)])
    commit = asyncio.ensure_future(store.commit([count("a", 2), count("b", 2)]))
    await asyncio.sleep(0)
    commit.cancel()
    await asyncio.gather(commit, return_exceptions=True)
    await store.commit([count("c", 1)])
    assert await counters(await medium.restart()) in ({"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 2, "c": 1})


async def test_a_record_of_another_table_is_refused_with_all_that_came_with_it(medium: Medium) -> None:
    store = await medium.restart()
    await store.commit([count("a", 1)])
    with pytest.raises(StoreFailed, match="record 'k' cannot be stored"):
        await store.commit([count("a", 2), Put(Table.CLAIM, "k", Counter(1))])
    assert await counters(await medium.restart()) == {"a": 1}


async def test_after_a_failure_nothing_more_is_accepted(medium: Medium) -> None:
    store = await medium.restart()
    with pytest.raises(StoreFailed):
        await store.commit([Put(Table.CLAIM, "k", Counter(1))])
    with pytest.raises(StoreFailed, match="record 'k' cannot be stored"):
        await store.commit([count("a", 1)])
    assert await counters(await medium.restart()) == {}


async def test_a_closed_store_refuses(medium: Medium) -> None:
    store = await medium.restart()
    await store.close()
    await store.close()
    with pytest.raises(StoreFailed, match="closed"):
        await store.commit([count("a", 1)])
    with pytest.raises(StoreFailed, match="closed"):
        await store.load()


async def test_closing_waits_for_the_commits_before_it(medium: Medium) -> None:
    store = await medium.restart()
    commits = [asyncio.ensure_future(store.commit([count(f"n{n}", n)])) for n in range(20)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*commits)
    assert len(await counters(await medium.restart())) == 20


# --- the book of usage ----------------------------------------------------------------------------------------------


def line(sequence: int, from_ms: int = 5, until_ms: int = 0, **other: str | int) -> UsageLine:
    """A line of a claim of its own, final once it has ended."""
    own = replace(LINE, claim=f"c-{sequence}", sequence=sequence, from_ms=from_ms, until_ms=until_ms)
    return replace(own, is_final=bool(until_ms), **other)  # type: ignore[arg-type]


async def sequences(store: Store, query: LineQuery) -> list[int]:
    return [found.sequence for found in await store.lines(query)]


async def test_a_line_survives_a_restart_with_all_that_it_says(medium: Medium) -> None:
    full = replace(LINE, until_ms=9, is_final=True, sequence=2**40, asked_at_ms=4, given_back_at_ms=10)
    await (await medium.restart()).commit([Enter(full)])
    assert list(await (await medium.restart()).lines(LineQuery("rheinkraft", "nordavind"))) == [full]


async def test_a_line_is_in_one_transaction_with_the_records_beside_it(medium: Medium) -> None:
    store = await medium.restart()
    with pytest.raises(StoreFailed):
        await store.commit([Enter(line(1)), Put(Table.CLAIM, "k", Counter(1))])
    store = await medium.restart()
    assert await sequences(store, LineQuery("rheinkraft")) == []
    await store.commit([count("usage", 1), Enter(line(1)), count("usage", 2), Enter(line(2))])
    store = await medium.restart()
    assert (await counters(store), await sequences(store, LineQuery("rheinkraft"))) == ({"usage": 2}, [1, 2])


async def test_a_line_that_is_written_again_moves_to_its_new_sequence(medium: Medium) -> None:
    store = await medium.restart()
    began = line(1)
    await store.commit([Enter(began), Enter(line(2))])
    ended = replace(began, until_ms=9, is_final=True, sequence=3)
    await store.commit([Enter(replace(began, sequence=99)), Enter(ended)])
    assert list(await store.lines(LineQuery("rheinkraft"))) == [line(2), ended]


async def test_lines_come_by_page_and_by_what_is_asked_for(medium: Medium) -> None:
    store = await medium.restart()
    lines = [
        line(1, 10, 20),
        line(2, 15),
        line(3, 30, 40, home="skargard"),
        line(4, 30, 50),
        line(5, owner="nordavind"),
    ]
    mine = line(6, 60, 70, workload="tenants/mine/workloads/w")
    await store.commit([Enter(one) for one in reversed([*lines, mine])])
    everything = LineQuery("rheinkraft")
    assert await sequences(store, everything) == [1, 2, 3, 4, 6]
    assert await sequences(store, replace(everything, after=2, limit=2)) == [3, 4]
    assert await sequences(store, replace(everything, home="skargard")) == [3]
    assert await sequences(store, replace(everything, tenant="mine")) == [6]
    assert await sequences(store, replace(everything, unfinished=True)) == [2]
    assert await sequences(store, replace(everything, period=Period(20, 30))) == [2]
    assert await sequences(store, replace(everything, period=Period(19, 31))) == [1, 2, 3, 4]


async def test_only_what_is_final_old_and_told_is_struck_out(medium: Medium) -> None:
    store = await medium.restart()
    lines = [
        line(1, 5, 20),
        line(2, 5),
        line(3, 5, 30),
        line(4, 5, 20, home="skargard"),
        line(5, 5, 20),
        line(6, 5, 20),
    ]
    lines[5] = replace(lines[5], is_final=False)
    await store.commit([Enter(one) for one in lines])
    await store.commit([Strike("rheinkraft", "nordavind", before_ms=30, upto_sequence=4)])
    assert await sequences(await medium.restart(), LineQuery("rheinkraft")) == [2, 3, 4, 5, 6]
