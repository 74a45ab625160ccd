"""The world of an operator as a file: it reads back as it was, is strict, has no secrets, and is a scenario."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from deciding_world import NOW_MS
from estates import GOTEBORG, OSLO, ask, asks, estate, where
from hansa_control.adapters.decision_record import RecordUnreadable
from hansa_control.adapters.world_record import packed_world, read_world
from hansa_control.domain.canonical import canonical
from hansa_control.domain.model import Placement, PlacementState
from hansa_control.domain.record import parts_of
from hansa_control.domain.world_record import FORMAT, PartnerStanding, StandingPlacement, WorldRecord
from hansa_sim.latency.command import app
from hansa_sim.what_if.estate import estate_of
from hansa_sim.what_if.live import write_scenario
from typer.testing import CliRunner, Result


@pytest.fixture(scope="module")
def world() -> WorldRecord:
    present = estate([OSLO, GOTEBORG], yard=asks(4), gate=asks(4, "goteborg", 12))
    partner = PartnerStanding("skargard", True, "ACTIVE", "IN_FORCE", "contract 1", 0, NOW_MS)
    return WorldRecord(FORMAT, "nordavind", NOW_MS, 8, parts_of(present.snapshot), present.workloads, (partner,))


@pytest.fixture
def live(world: WorldRecord, tmp_path: Path) -> Path:
    write_scenario(canonical(world), tmp_path / "live.yaml")
    return tmp_path / "live.yaml"


def simulate(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_a_world_reads_back_as_it_was(world: WorldRecord) -> None:
    read = read_world(zlib.decompress(packed_world(world)))
    assert read == world
    assert where(ask(estate_of(read))) == {"yard": "nordavind/oslo-1", "gate": "skargard/goteborg-1"}


def test_a_placement_is_kept_without_what_is_secret() -> None:
    secret = Placement(
        "c-1", OSLO.id, 1, PlacementState.READY, (), ("https://there",), b"-----BEGIN", "told", 77, "nvidia/L4"
    )
    kept = StandingPlacement.of(secret)
    assert b"BEGIN" not in canonical(kept)
    assert b"there" not in canonical(kept)
    assert kept.placement() == replace(secret, endpoint_urls=(), endpoint_ca_pem=b"", message="", fencing_token=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"homes": "x"}, "homes: Unexpected keyword argument"),
        ({"home": 1}, "home: Input should be a valid string"),
        ({"format": 9}, "format: 9 is not known; this version reads 1"),
    ],
)
def test_what_is_no_world_is_refused_with_its_place(
    world: WorldRecord, change: dict[str, object], message: str
) -> None:
    tree = {**json.loads(canonical(world)), **change}
    with pytest.raises(RecordUnreadable, match=message):
        read_world(json.dumps(tree).encode())


def test_a_snapshot_is_a_scenario_that_can_be_checked_and_asked(live: Path) -> None:
    checked = simulate("check", live)
    assert checked.exit_code == 0, checked.output
    assert "the world of nordavind: 5 nodes, 5 links, 2 zones, 2 workloads, 2 of which have a place" in checked.output
    quiet = simulate("what-if", live)
    assert quiet.exit_code == 0, quiet.output
    assert "2 workloads: 2 stays" in quiet.output
    broken = simulate("what-if", live, "--fail", "zone:skargard/goteborg-1", "-o", "json")
    assert broken.exit_code == 1
    assert json.loads(broken.stdout)["counts"]["nowhere"] == 1


def test_bad_words_end_with_2_and_the_nearest_name(live: Path) -> None:
    refused = simulate("what-if", live, "--cut", "link:oslo/gotebor")
    assert refused.exit_code == 2
    assert "there is no node 'gotebor'; did you mean goteborg?" in refused.output
    assert simulate("what-if", live).exit_code == 0, "a file needs no operator"
    assert simulate("what-if", live, "--profile", "absent.yaml").exit_code == 2, "nor is it asked besides one"
    assert simulate("snapshot", "--out", live, "--profile", "absent.yaml").exit_code == 2


def test_a_snapshot_that_is_not_there_is_told_with_line_and_key(live: Path) -> None:
    live.with_name("live.world.json").unlink()
    refused = simulate("check", live)
    assert refused.exit_code == 2
    assert f"{live}:" in refused.output
    assert "network.snapshot: " in refused.output


def test_policies_are_not_run_on_a_snapshot_that_does_not_say_how_long_requests_take(live: Path) -> None:
    refused = simulate("run", live)
    assert refused.exit_code == 2
    assert "apps: missing" in refused.output


APPS = """
apps:
  - name: assist
    home: nordavind
    latency: {rtt_ms_max: 60, response_ms_max: 200}
    residency: none
    service: {times: [{mean_ms: 20}]}
users: [{access_point: oslo, requests_per_s: 20}]
run: {requests: 4000, replications: 2}
compare: {law: false, federation: false}
policies: [nearest, hansa]
"""


def test_policies_run_on_a_snapshot_with_apps(live: Path) -> None:
    live.write_text(live.read_text() + APPS)
    ran = simulate("run", live, "-o", "json")
    assert ran.exit_code == 0, ran.output
    assert {row["policy"] for row in json.loads(ran.stdout)["rows"]} == {"nearest", "hansa"}


def test_what_a_person_leaves_out_takes_its_default_and_what_has_none_is_asked_for(world: WorldRecord) -> None:
    tree = json.loads(canonical(world))
    del tree["partners"]
    assert read_world(json.dumps(tree).encode()) == replace(world, partners=())
    del tree["workloads"][1]["home"]
    with pytest.raises(RecordUnreadable, match=r"workloads\.1\.home: Field required"):
        read_world(json.dumps(tree).encode())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("replicas", 10**9, r"workloads\[1\]\.spec\.replicas: 1000000000 is not from 0 to"),
        ("replicas", -1, r"workloads\[1\]\.spec\.replicas: -1 is not from 0 to"),
        ("replicas_max", 10**9, r"workloads\[1\]\.spec\.replicas_max: 1000000000"),
    ],
)
def test_a_world_by_hand_cannot_ask_for_more_than_a_control_plane_takes_in(
    world: WorldRecord, key: str, value: int, message: str
) -> None:
    tree = json.loads(canonical(world))
    tree["workloads"][1]["spec"][key] = value
    with pytest.raises(RecordUnreadable, match=message):
        read_world(json.dumps(tree).encode())


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"format": 1}', b"\xff", b'{"format": 1', b"{} {}"])
def test_bytes_that_are_no_world_are_refused_and_nothing_worse(body: bytes) -> None:
    with pytest.raises(RecordUnreadable, match=r"\S"):
        read_world(body)
