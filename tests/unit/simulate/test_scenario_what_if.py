"""What-if on a scenario that a person wrote: its apps are placed by production, and cut, failed and agreed upon."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hansa_sim.latency.command import app
from hansa_sim.latency.estates import estate_in
from scenario_texts import TWO_APPS, world_of, written
from typer.testing import CliRunner

CABLE = ("  node_countries:", "  cables: [{name: skagerrak, links: [[oslo, stockholm]]}]\n  node_countries:")


def what_if(path: Path, *options: str) -> tuple[int, Any]:
    answered = CliRunner().invoke(app, ["what-if", str(path), *options, "-o", "json"])
    assert answered.exit_code in {0, 1}, answered.output
    return answered.exit_code, json.loads(answered.stdout)


def zones(answer: Any) -> set[str]:
    return {at["zone"] for one in answer["workloads"] for at in one["after"]["zones"]}


def test_an_app_is_where_production_places_it(tmp_path: Path) -> None:
    estate = estate_in(world_of(tmp_path))
    (ocr,) = estate.workloads
    assert ocr.name == "tenants/scenario/workloads/ocr"
    assert {str(at.zone) for at in ocr.placements} <= {"nordavind/oslo-1", "skargard/stockholm-1"}
    code, answer = what_if(tmp_path / "scenario.yaml")
    assert (code, answer["counts"]["stays"], answer["unsettled"]) == (0, 1, [])


def test_a_zone_that_fails_leaves_the_other_lawful_one(tmp_path: Path) -> None:
    path = written(tmp_path, ("requests_per_s: 90", "requests_per_s: 9"), ("requests_per_s: 60", "requests_per_s: 6"))
    before = zones(what_if(path)[1])
    _, answer = what_if(path, "--fail", f"zone:{sorted(before)[0]}")
    assert zones(answer) == {"nordavind/oslo-1", "skargard/stockholm-1"} - {sorted(before)[0]}


def test_a_cable_of_the_scenario_takes_all_its_links(tmp_path: Path) -> None:
    path = written(tmp_path, CABLE)
    code, answer = what_if(path, "--cut", "cable:skagerrak")
    assert code == 1
    felt = {at["access_point"]: at["rtt_us"] for at in answer["workloads"][0]["after"]["felt"]}
    assert None in felt.values()
    refused = CliRunner().invoke(app, ["what-if", str(path), "--cut", "cable:skagerak"])
    assert refused.exit_code == 2
    assert "there is no cable 'skagerak'; did you mean skagerrak?" in refused.output


def test_several_apps_share_what_there_is(tmp_path: Path) -> None:
    path = written(tmp_path, *TWO_APPS)
    _, answer = what_if(path)
    assert len(answer["workloads"]) == 2
    _, failed = what_if(path, "--fail", "zone:skargard/stockholm-1")
    assert "skargard/stockholm-1" not in zones(failed)


def test_a_table_is_for_people(tmp_path: Path) -> None:
    answered = CliRunner().invoke(app, ["what-if", str(written(tmp_path)), "--fail", "country:SE"])
    assert answered.exit_code == 1
    assert answered.output.startswith("what if: fail country:SE\n1 workload: ")
    assert "BREAKS" in answered.output


@pytest.mark.parametrize("options", [("--cut", "link:oslo"), ("--fail", "oslo"), ("--law", "absent.yaml")])
def test_what_does_not_fit_ends_with_2(options: tuple[str, ...], tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["what-if", str(written(tmp_path)), *options]).exit_code == 2


def refusal(path: Path, *options: str) -> str:
    answered = CliRunner().invoke(app, ["what-if", str(path), *options], terminal_width=400)
    assert answered.exit_code == 2, answered.output
    return answered.stderr


def test_a_file_and_a_running_operator_are_not_asked_at_once(tmp_path: Path) -> None:
    path = written(tmp_path)
    told = " ".join(refusal(path, "--profile", str(tmp_path / "profile.yaml")).split())
    assert "--profile" in told
    assert "leave one of the two out" in told


def test_a_file_that_cannot_be_read_is_told_with_its_option_and_what_it_must_be(tmp_path: Path) -> None:
    path, absent = written(tmp_path), tmp_path / "absent.yaml"
    must = {"--law": f"--law {absent}: ", "--accept": f"--accept agreement {absent}: "}
    law = refusal(path, "--law", str(absent))
    assert law == f"{must['--law']}No such file or directory; it must be a file with kind: Law, see docs/residency.md\n"
    offer = refusal(path, "--accept", f"agreement:{absent}")
    assert offer.startswith(f"{must['--accept']}No such file or directory; it must be a file with kind: Offer")
    assert refusal(path, "--law", str(tmp_path)).startswith(f"--law {tmp_path}: Is a directory; it must be a file")


def test_a_law_file_with_an_error_is_told_with_its_option_line_and_valid_words(tmp_path: Path) -> None:
    path, law = written(tmp_path), tmp_path / "law.yaml"
    law.write_text("kind: Law\nnation: {preset: gdpr-eaa}\n", encoding="utf-8")
    assert refusal(path, "--law", str(law)).startswith(f"--law {law}:2: there is no preset 'gdpr-eaa'")


def test_a_link_that_there_is_not_is_told_with_the_nearest(tmp_path: Path) -> None:
    (link, *_) = estate_in(world_of(tmp_path)).snapshot.links
    told = refusal(tmp_path / "scenario.yaml", "--cut", f"link:{link.name}x")
    assert told == f"--cut link: there is no link '{link.name}x'; did you mean {link.name}?\n"


def test_a_form_that_there_is_not_is_refused(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["what-if", str(written(tmp_path)), "-o", "xml"]).exit_code == 2
