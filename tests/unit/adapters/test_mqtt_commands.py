"""``hansa-control mqtt`` and the file that it reads."""

from __future__ import annotations

import json
from pathlib import Path

from hansa_control.adapters.mqtt_commands import app
from hansa_control.adapters.telemetry_store import SpoolPart, Taken, TelemetryLine, TelemetryStore
from typer.testing import CliRunner

from hansa.v1.mqtt_pb2 import TelemetryRecord
from hansa.v1.network_pb2 import ProbeResult


def line(sequence: int) -> TelemetryLine:
    record = TelemetryRecord(sequence=sequence, recorded_at_ms=1_000 + sequence, probe=ProbeResult(min_us=sequence))
    return TelemetryLine(sequence, record.recorded_at_ms, "probe", record.SerializeToString())


def part(*sequences: int, spool: str = "boot-1", lost: int = 0, zone: str = "oslo-1") -> SpoolPart:
    return SpoolPart(zone, spool, max(sequences), lost, [line(sequence) for sequence in sequences])


def sequences(store: TelemetryStore, zone: str = "oslo-1") -> list[tuple[str, int]]:
    return [(spool, one.sequence) for spool, one in store.lines(zone)]


def test_what_comes_twice_is_there_once(tmp_path: Path) -> None:
    store = TelemetryStore(tmp_path / "t.db")
    assert store.take([part(1, 2), part(2, 3), part(1, 2)], 5) == [Taken(2, 0), Taken(1, 0), Taken(0, 0)]
    assert sequences(store) == [("boot-1", 1), ("boot-1", 2), ("boot-1", 3)]


def test_the_same_number_of_another_spool_or_zone_is_another_record(tmp_path: Path) -> None:
    store = TelemetryStore(tmp_path / "t.db")
    store.take([part(1), part(1, spool="boot-2"), part(1, zone="bergen-1")], 5)
    assert sequences(store) == [("boot-1", 1), ("boot-2", 1)]
    assert sequences(store, "bergen-1") == [("boot-1", 1)]


def test_what_was_taken_over_is_known_after_a_restart(tmp_path: Path) -> None:
    store = TelemetryStore(tmp_path / "t.db")
    store.take([part(1, 2)], 5)
    store.close()
    assert TelemetryStore(tmp_path / "t.db").take([part(1, 2, 3)], 6) == [Taken(1, 0)]


def test_losses_are_counted_once_and_anew_for_a_state_folder_that_was_begun_anew(tmp_path: Path) -> None:
    store = TelemetryStore(tmp_path / "t.db")
    told = [store.take([part(number, lost=lost)], 5)[0].newly_lost for number, lost in enumerate([0, 7, 7, 9, 2], 1)]
    assert told == [0, 7, 0, 2, 2] and store.lost_count("oslo-1") == 2


def test_what_is_older_than_it_is_kept_goes(tmp_path: Path) -> None:
    store = TelemetryStore(tmp_path / "t.db")
    store.take([part(1)], 100)
    store.take([part(2)], 200)
    assert store.forget_before(150) == 1
    assert sequences(store) == [("boot-1", 2)]


def test_telemetry_is_printed_as_json_lines_with_what_was_lost(tmp_path: Path) -> None:
    store = TelemetryStore(tmp_path / "t.db")
    store.take([part(1, 2, lost=4)], 5)
    store.close()
    words = ["telemetry", "--file", str(tmp_path / "t.db"), "--zone", "oslo-1", "--since-ms", "1002"]
    done = CliRunner().invoke(app, words)
    assert [json.loads(each)["probe"]["min_us"] for each in done.stdout.splitlines()] == ["2"]
    assert "4 records were lost" in done.stderr and done.exit_code == 0


def test_a_file_that_is_not_there_is_said_and_not_made(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["telemetry", "--file", str(tmp_path / "none.db"), "--zone", "oslo-1"])
    assert done.exit_code == 2 and "no such file" in done.stderr and not (tmp_path / "none.db").exists()


def test_access_rules_are_printed(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["acl", "--operator", "nordavind", "--zone", "oslo-1"])
    assert "user agent oslo-1\ntopic write hansa/v1/nordavind/oslo-1/up" in done.stdout
    assert CliRunner().invoke(app, ["acl", "--operator", "nordavind", "--zone", "+"]).exit_code == 2
