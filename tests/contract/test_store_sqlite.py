"""What the SQLite store promises beyond the port: to survive kill -9, and to say clearly why it cannot be opened."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hansa_control.adapters import store_sqlite
from hansa_control.adapters.store_sqlite import SqliteStore
from hansa_control.application.ports import Counter, Put, StoredDecision, StoreFailed, Table
from hansa_control.domain.model import (
    ArtefactRef,
    Capacity,
    Claim,
    ClaimState,
    ConstraintResult,
    Decision,
    LatencyBudget,
    Reason,
    Rejection,
    ResidencyPolicy,
    WorkloadSpec,
    ZoneId,
)
from sqlalchemy import Engine, event

COMMITTER = """
import asyncio, resource, sys
from pathlib import Path
from hansa_control.adapters.store_sqlite import SqliteStore
from hansa_control.application.ports import Counter, Put, StoredRequest, StoreFailed, Table

async def write(store, writer):
    n = 0
    while True:
        n += 1
        padding = StoredRequest("x" * int(sys.argv[2]), "", n)
        await store.commit([Put(Table.REQUEST, f"{writer}-{n}", padding), Put(Table.COUNTER, writer, Counter(n))])
        print(writer, n, flush=True)

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.load()
    print("open", 0, flush=True)
    if sys.argv[3] != "unlimited":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
    try:
        await asyncio.gather(*(write(store, f"w{n}") for n in range(4)))
    except StoreFailed as error:
        print("failed", error, flush=True)
    try:
        await store.commit([Put(Table.COUNTER, "after", Counter(1))])
    except StoreFailed as error:
        print("refused", error, flush=True)

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sqlite"


@pytest.fixture
def filled(path: Path) -> Path:
    """A file with 50 records, closed in good order."""
    asyncio.run(fill(path))
    return path


async def fill(path: Path) -> None:
    store = SqliteStore(path)
    await store.commit([Put(Table.COUNTER, f"n{n:02}", Counter(1000 + n)) for n in range(50)])
    await store.close()


ZONES = [ZoneId("nordavind", f"oslo-{number}") for number in range(20)]
REJECTIONS = [Rejection(zone, Reason.SITE_COUNTRY_DENIED, ConstraintResult("Site", "NO", "SE", "")) for zone in ZONES]
DECISION = StoredDecision(Decision((), tuple(REJECTIONS), 20, 8812), 1)
SPEC = WorkloadSpec(
    ArtefactRef("asr", "sha256:0"), None, 1000, 2048, 1, (), LatencyBudget(95, 20_000), ResidencyPolicy()
)
CLAIM = Claim("c-1", "nordavind", "oslo-1", SPEC, Capacity(1000, 2048), "", ClaimState.HELD, 7, 5000)


async def decide(path: Path, count: int) -> None:
    """A file with so many decisions, closed in good order."""
    store = SqliteStore(path)
    await store.commit([Put(Table.DECISION, f"d{number:03}", DECISION) for number in range(count)])
    await store.close()


async def claim_many(path: Path) -> None:
    store = SqliteStore(path)
    await store.commit([Put(Table.CLAIM, f"c{number:03}", CLAIM) for number in range(30)])
    await store.close()


async def refusal(path: Path) -> str:
    """Why the file cannot be loaded."""
    store = SqliteStore(path, busy_timeout_ms=50)
    with pytest.raises(StoreFailed) as caught:
        await store.load()
    await store.close()
    return str(caught.value)


async def numbers(path: Path) -> dict[str, int]:
    store = SqliteStore(path)
    records = (await store.load())[Table.COUNTER]
    await store.close()
    return {key: record.value for key, record in records.items() if isinstance(record, Counter)}


def change(path: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(path)
    with connection:
        assert connection.execute(statement, values).rowcount != 0
    connection.close()


def start_committer(path: Path, padding_bytes: int = 10, limit: str = "unlimited") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COMMITTER, str(path), str(padding_bytes), limit]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def committer(path: Path) -> Iterator[subprocess.Popen[str]]:
    process = start_committer(path)
    assert process.stdout is not None and process.stdout.readline() == "open 0\n"
    yield process
    process.kill()
    process.wait()


def acknowledged(lines: list[str]) -> dict[str, int]:
    last: dict[str, int] = {}
    for line in lines:
        writer, _, n = line.strip().partition(" ")
        if writer.startswith("w") and n.isdigit() and line.endswith("\n"):
            last[writer] = int(n)
    return last


@pytest.mark.parametrize("after_ms", [0, 90, 400])
async def test_every_acknowledged_commit_survives_kill_9(
    path: Path, committer: subprocess.Popen[str], after_ms: int
) -> None:
    assert committer.stdout is not None
    first = committer.stdout.readline()
    await asyncio.sleep(after_ms / 1000)
    committer.send_signal(signal.SIGKILL)
    promised = acknowledged([first, *committer.communicate()[0].splitlines(keepends=True)])
    assert promised
    store = SqliteStore(path)
    records = await store.load()
    await store.close()
    for writer, n in promised.items():
        kept = records[Table.COUNTER][writer]
        assert isinstance(kept, Counter) and kept.value >= n
        # The two records of each commit are there together, and none of those before it is missing.
        assert {f"{writer}-{k}" for k in range(1, kept.value + 1)} == {
            key for key in records[Table.REQUEST] if key.startswith(f"{writer}-")
        }


async def test_a_file_in_use_is_refused_until_its_process_is_gone(path: Path, committer: subprocess.Popen[str]) -> None:
    assert "control.sqlite: in use by another process" in await refusal(path)
    committer.kill()
    committer.wait()
    await numbers(path)


async def test_two_stores_of_one_process_do_not_share_a_file(path: Path) -> None:
    first = SqliteStore(path)
    await first.load()
    assert "in use" in await refusal(path)
    await first.commit([Put(Table.COUNTER, "a", Counter(1))])
    await first.close()
    assert await numbers(path) == {"a": 1}


def test_a_full_disk_is_said_and_nothing_acknowledged_is_lost(path: Path) -> None:
    process = start_committer(path, padding_bytes=20_000, limit="1000000")
    lines = process.communicate(timeout=60)[0].splitlines(keepends=True)
    failed, refused = (next(line for line in lines if line.startswith(word)) for word in ("failed", "refused"))
    assert "control.sqlite: disk" in failed or "control.sqlite: database or disk is full" in failed
    assert refused.partition(" ")[2] == failed.partition(" ")[2]
    kept = asyncio.run(numbers(path))
    assert acknowledged(lines) and "after" not in kept
    assert all(kept[writer] >= n for writer, n in acknowledged(lines).items())


async def test_nobody_else_may_read_the_files(path: Path) -> None:
    path.touch(mode=0o644)
    store = SqliteStore(path)
    await store.commit([Put(Table.COUNTER, "a", Counter(1))])
    modes = {file.name: oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()}
    await store.close()
    assert modes == {"control.sqlite": "0o600", "control.sqlite-wal": "0o600"}


def test_each_commit_is_synced_to_the_disk(path: Path) -> None:
    # kill -9 cannot show this, only a power cut could: hence the setting itself.
    with store_sqlite._engine(path, 50).connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "journal_mode")
        }
    assert found == {"synchronous": 2, "journal_mode": "wal"}


async def test_commits_that_wait_are_written_together(path: Path) -> None:
    transactions: list[object] = []

    def note(connection: object) -> None:
        transactions.append(connection)

    event.listen(Engine, "commit", note)
    store = SqliteStore(path)
    try:
        await store.load()
        transactions.clear()
        await asyncio.gather(*(store.commit([Put(Table.COUNTER, f"n{n}", Counter(n))]) for n in range(200)))
    finally:
        event.remove(Engine, "commit", note)
        await store.close()
    assert 1 <= len(transactions) < 100
    assert len(await numbers(path)) == 200


async def test_a_commit_before_any_load_opens_the_file(path: Path) -> None:
    store = SqliteStore(path)
    await store.commit([Put(Table.COUNTER, "a", Counter(1))])
    await store.close()
    assert await numbers(path) == {"a": 1}


async def test_a_directory_that_is_missing_is_said(tmp_path: Path) -> None:
    assert "No such file or directory" in await refusal(tmp_path / "missing" / "control.sqlite")


def test_a_file_of_something_else_is_refused(path: Path) -> None:
    path.write_bytes(b"operator: nordavind\n" * 400)
    assert "file is not a database" in asyncio.run(refusal(path))


def test_a_database_of_something_else_is_refused_and_left_alone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE invoice (number INTEGER)")
    connection.close()
    assert "something else than records of hansa" in asyncio.run(refusal(path))
    assert sqlite3.connect(path).execute("SELECT name FROM sqlite_master").fetchall() == [("invoice",)]


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (5, "schema version 5 is newer than version 4, which this program reads and writes"),
        (0, "schema version 0 is older than version 1, the first that was released"),
        (1, "the database says two things of its schema: version 1, revision 0004"),
    ],
)
def test_another_schema_version_is_refused(filled: Path, version: int, said: str) -> None:
    change(filled, "UPDATE hansa_schema SET version = ?", version)
    assert said in asyncio.run(refusal(filled))


def test_a_schema_without_a_version_is_refused(filled: Path) -> None:
    change(filled, "DELETE FROM hansa_schema")
    assert "does not say of which schema version" in asyncio.run(refusal(filled))


# The last page is of a table that is empty: who cuts into its zeros takes nothing away.
@pytest.mark.parametrize("kept_permille", [250, 500, 800])
def test_a_torn_file_is_refused(filled: Path, kept_permille: int) -> None:
    content = filled.read_bytes()
    filled.write_bytes(content[: len(content) * kept_permille // 1000])
    assert "control.sqlite: " in asyncio.run(refusal(filled))


@pytest.mark.parametrize("page", [1, 2, 3])
def test_a_page_of_garbage_is_refused(filled: Path, page: int) -> None:
    content = bytearray(filled.read_bytes())
    content[4096 * page - 4096 + 100 : 4096 * page] = b"\xa5" * 3996
    filled.write_bytes(content)
    assert asyncio.run(refusal(filled))


def test_a_flipped_digit_is_refused(filled: Path) -> None:
    content = filled.read_bytes()
    assert content.count(b'{"value":1033}') == 1
    filled.write_bytes(content.replace(b'{"value":1033}', b'{"value":1833}'))
    assert "counter record 'n33' is corrupt: it does not match its checksum" in asyncio.run(refusal(filled))


def test_a_body_that_has_become_text_is_refused(filled: Path) -> None:
    change(filled, "UPDATE hansa_record SET body = CAST(body AS TEXT) WHERE key = 'n33'")
    assert "counter record 'n33' is corrupt: its body is a str, not bytes" in asyncio.run(refusal(filled))


async def test_a_decision_that_has_become_text_is_the_stores_failure(path: Path) -> None:
    await decide(path, 2)
    change(path, "UPDATE hansa_record SET body = '{}' WHERE key = 'd001'")
    store = SqliteStore(path)
    await store.load()
    with pytest.raises(StoreFailed, match="decision record 'd001' is corrupt: its body is a str"):
        await store.read(Table.DECISION, "d001")
    await store.close()
    assert "decision record 'd001' is corrupt: its body is a str" in await found_by_looking_through(path)


async def found_by_looking_through(path: Path) -> str:
    store = SqliteStore(path)
    await store.load()
    with pytest.raises(StoreFailed) as failed:
        await store.look_through()
    await store.close()
    return str(failed.value)


def test_a_record_under_a_wrong_key_is_refused(filled: Path) -> None:
    change(filled, "UPDATE hansa_record SET key = 'n99' WHERE key = 'n33'")
    assert "counter record 'n99' is corrupt" in asyncio.run(refusal(filled))


def test_a_record_of_an_unknown_table_is_refused(filled: Path) -> None:
    change(filled, "UPDATE hansa_record SET kind = 'lease' WHERE key = 'n33'")
    assert "lease record 'n33' is corrupt: 'lease' is not a valid Table" in asyncio.run(refusal(filled))


@pytest.mark.parametrize("number", [0, 60, 119])
async def test_a_damaged_decision_lets_the_start_pass_and_is_found_soon_after(path: Path, number: int) -> None:
    await decide(path, 120)
    change(path, "UPDATE hansa_record SET body = substr(body, 1, 20) WHERE key = ?", f"d{number:03}")
    store = SqliteStore(path)
    await store.load()
    said = f"decision record 'd{number:03}' is corrupt: it does not match its checksum"
    async with asyncio.timeout(10):
        with pytest.raises(StoreFailed, match=said):
            await store.keep()
    with pytest.raises(StoreFailed, match=said):
        await store.commit([Put(Table.COUNTER, "a", Counter(1))])
    await store.close()


async def test_a_damaged_decision_that_is_asked_for_is_the_stores_failure(path: Path) -> None:
    await decide(path, 2)
    body = zlib.compress(b'{"decision":{},"decided_at_ms":1}')
    sealed = zlib.crc32(body, zlib.crc32(b"decision\0d001\0"))
    change(path, "UPDATE hansa_record SET body = ?, checksum = ? WHERE key = 'd001'", body, sealed)
    store = SqliteStore(path)
    await store.load()
    assert await store.read(Table.DECISION, "d000") == DECISION
    with pytest.raises(StoreFailed, match=r"decision record 'd001' is corrupt: decision: decision.choices: Field req"):
        await store.read(Table.DECISION, "d001")
    with pytest.raises(StoreFailed, match="decision record 'd001' is corrupt"):
        await store.commit([Put(Table.COUNTER, "a", Counter(1))])
    await store.close()


async def test_who_keeps_a_sound_store_waits_and_commits_go_on(path: Path) -> None:
    await decide(path, 120)
    store = SqliteStore(path)
    await store.load()
    keeping = asyncio.create_task(store.keep())
    for number in range(20):
        await store.commit([Put(Table.COUNTER, "a", Counter(number))])
    assert not keeping.done()
    keeping.cancel()
    await store.close()
    assert (await numbers(path))["a"] == 19


async def test_a_decision_takes_little_room_and_one_that_was_written_plain_is_read(path: Path) -> None:
    await decide(path, 1)
    connection = sqlite3.connect(path)
    (body,) = connection.execute("SELECT body FROM hansa_record WHERE kind = 'decision'").fetchone()
    connection.close()
    plain = zlib.decompress(body)
    assert len(body) * 5 < len(plain)
    change(
        path,
        "UPDATE hansa_record SET body = ?, checksum = ?",
        plain,
        zlib.crc32(plain, zlib.crc32(b"decision\0d000\0")),
    )
    store = SqliteStore(path)
    await store.load()
    assert await store.read(Table.DECISION, "d000") == DECISION
    await store.close()


def test_one_damaged_record_among_many_of_a_specification_is_named(path: Path) -> None:
    asyncio.run(claim_many(path))
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT key, body FROM hansa_record WHERE key = 'c017'").fetchall()
    connection.close()
    body = rows[0][1].replace(b'"fencing_token":7', b'"fencing_token":"x"')
    sealed = zlib.crc32(body, zlib.crc32(b"claim\0c017\0"))
    change(path, "UPDATE hansa_record SET body = ?, checksum = ? WHERE key = 'c017'", body, sealed)
    assert "claim record 'c017' is corrupt: claim: fencing_token: " in asyncio.run(refusal(path))


async def test_claims_of_one_specification_share_it(path: Path) -> None:
    await claim_many(path)
    store = SqliteStore(path)
    claims = [one for one in (await store.load())[Table.CLAIM].values() if isinstance(one, Claim)]
    await store.close()
    assert claims == [CLAIM] * 30
    assert all(one.spec is claims[0].spec for one in claims)


async def test_a_record_that_has_no_form_is_refused_before_anything_is_written(filled: Path) -> None:
    store = SqliteStore(filled)
    with pytest.raises(StoreFailed, match="record 'n00' cannot be stored"):
        await store.commit([Put(Table.COUNTER, "n00", Counter("seven"))])  # type: ignore[arg-type]
    with pytest.raises(StoreFailed, match="record 'n00' cannot be stored"):
        await store.commit([Put(Table.COUNTER, "n00", Counter(1))])
    await store.close()
    assert (await numbers(filled))["n00"] == 1000
