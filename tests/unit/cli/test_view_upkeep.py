"""What is said of a zone that is cordoned, drained or held down, and of what is left in it."""

from __future__ import annotations

import pytest

from hansa.cli.documents import Line, Table
from hansa.cli.times import duration_ms, moment_ms
from hansa.cli.view_upkeep import left_text, upkeep_document, upkeep_line
from hansa.errors import HansaError
from hansa.operator_client import zone_name
from hansa.v1 import zone_pb2, zone_service_pb2

DUE_MS = 1_800_000_000_000


def words(shown: Line) -> str:
    return "".join(cell if isinstance(cell, str) else cell.text for cell in shown.cells)


def occupant(why: str, name: str = "yard-ocr") -> zone_service_pb2.ZoneOccupant:
    full = f"tenants/harbour/workloads/{name}"
    return zone_service_pb2.ZoneOccupant(claim="c1", home="nordavind", workload=full, state="SERVING", why=why)


@pytest.mark.parametrize(
    ("upkeep", "said"),
    [
        (zone_pb2.ZoneUpkeep(), "oslo-1 takes in workloads"),
        (zone_pb2.ZoneUpkeep(intake=2, note="broken fan"), "oslo-1 takes in nothing new (broken fan)"),
        (
            zone_pb2.ZoneUpkeep(intake=4, due_ms=DUE_MS),
            "oslo-1 is being emptied, to be empty by 2027-01-15 08:00:00 UTC",
        ),
        (zone_pb2.ZoneUpkeep(intake=2, sides=[2]), "oslo-1 takes in nothing new, as site asks"),
        (zone_pb2.ZoneUpkeep(intake=2, sides=[1, 2]), "oslo-1 takes in nothing new, as operator and site ask"),
    ],
)
def test_one_sentence_says_how_a_zone_stands(upkeep: zone_pb2.ZoneUpkeep, said: str) -> None:
    assert words(upkeep_line("oslo-1", upkeep)) == said


def test_what_is_left_is_counted_by_reason_the_most_frequent_first() -> None:
    left = [occupant("moves to bergen-1"), occupant("nowhere else to go"), occupant("moves to bergen-1")]
    assert left_text(left) == "3 claims left: 2 moves to bergen-1; 1 nowhere else to go"
    assert left_text([]) == "nothing is left"


def test_a_document_shows_windows_and_occupants() -> None:
    window = zone_pb2.MaintenanceWindow(from_ms=DUE_MS, until_ms=DUE_MS + 3_600_000, note="new switch")
    upkeep = zone_pb2.ZoneUpkeep(intake=3, windows=[window])
    seen = zone_service_pb2.GetZoneUpkeepResponse(upkeep=upkeep, occupants=[occupant("moves to bergen-1")])
    tables = [block for block in upkeep_document("oslo-1", seen) if isinstance(block, Table)]
    assert [table.rows[0][-1] for table in tables] == ["new switch", "moves to bergen-1"]


def test_durations_and_moments_are_read_as_people_type_them() -> None:
    assert [duration_ms(text, "x") for text in ("90s", "10m", "2h", "1d")] == [90_000, 600_000, 7_200_000, 86_400_000]
    assert moment_ms("2027-01-15T08:00", "x") == moment_ms("2027-01-15T09:00+01:00", "x") == DUE_MS


@pytest.mark.parametrize("text", ["10", "m", "1.5h", "-1m", "10 m"])
def test_what_is_no_duration_is_refused_with_its_field(text: str) -> None:
    with pytest.raises(HansaError, match="for example 10m") as refused:
        duration_ms(text, "--deadline")
    assert refused.value.field == "--deadline"


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(HansaError, match="ISO 8601"):
        moment_ms("tomorrow", "--from")


def test_a_zone_is_named_alone_with_its_operator_or_in_full() -> None:
    full = "operators/nordavind/zones/oslo-1"
    assert [zone_name(one) for one in ("oslo-1", "nordavind/oslo-1", full)] == ["operators/-/zones/oslo-1", full, full]
