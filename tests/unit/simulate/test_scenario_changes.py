"""Values of a scenario can be changed from the command line, by key, and what is wrong is said of the change."""

from __future__ import annotations

from pathlib import Path

import pytest
from hansa_sim.latency.command import app
from hansa_sim.latency.scenario_changes import Change, ChangeError
from hansa_sim.latency.scenario_file import Loaded, ScenarioError, load_scenario, value_of
from hansa_sim.latency.world import build_world
from scenario_texts import SCENARIO, written
from typer.testing import CliRunner


def _changed(folder: Path, *assignments: str) -> Loaded:
    return load_scenario(written(folder), [Change.of(one) for one in assignments])


def test_values_are_put_at_keys_that_are_there_and_at_keys_that_are_not(tmp_path: Path) -> None:
    scenario = _changed(tmp_path, "run.seed=9", "arrivals.kind=diurnal", "compare={law: true}").scenario
    assert scenario.run.seed == 9
    assert scenario.run.requests == 40_000  # what stands beside it stays
    assert scenario.arrivals.kind == "diurnal"
    assert (scenario.compare.law, scenario.compare.federation) == (True, True)


def test_items_of_lists_are_named_by_number_or_by_name(tmp_path: Path) -> None:
    by_number = _changed(tmp_path, "users.1.requests_per_s=5", "operators[0].zones[0].accelerators.count=9").scenario
    by_name = _changed(
        tmp_path, "users.bergen.requests_per_s=5", "operators.nordavind.zones.oslo-1.accelerators.count=9"
    ).scenario
    assert by_number == by_name
    assert by_name.users[1].requests_per_s == 5
    assert by_name.operators[0].zones[0].accelerators.count == 9
    assert _changed(tmp_path, "policies.0=cheapest").scenario.policies == ["cheapest"]


def test_the_law_can_be_changed_and_norway_is_norway(tmp_path: Path) -> None:
    loaded = _changed(tmp_path, "apps.ocr.residency={data: [NO]}")
    assert loaded.residency.site is not None
    assert loaded.residency.site.countries_allowed == frozenset({"NO"})
    assert value_of("[NO, 1, true]") == ["NO", 1, True]


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("run.sed=1", "--set run.sed: unknown key; did you mean seed?"),
        ("users.9.requests_per_s=1", "--set users.9.requests_per_s: users has no '9'; valid: bergen, malmo, oslo"),
        ("users.osl.requests_per_s=1", "users has no 'osl'; did you mean oslo?"),
        ("run.seed.low=1", "--set run.seed.low: run.seed is one value and has no low"),
        ("run.seed=soon", "--set run.seed: run.seed: Input should be a valid integer; got 'soon'"),
        ("run={seed: 1", "--set run: not YAML"),
        ("run.seed=#", "--set run.seed: no value"),
        ("policies=[nearst]", "--set policies: policies[0]: no policy 'nearst'; did you mean nearest?"),
        ("apps.0.residency={data: [XE]}", "--set apps.0.residency:1: 'XE'"),
        ("apps.0.residency={preset: none-such}", "--set apps.0.residency"),
        ("users.0.access_point=osl", "--set users.0.access_point: users[0].access_point: no node 'osl'"),
        ("operators.nordavind.zones.oslo-1.facts.0.value=x", "no operators.nordavind.zones.oslo-1.facts"),
    ],
)
def test_what_is_wrong_with_a_change_is_said_of_the_change(tmp_path: Path, assignment: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        build_world(_changed(tmp_path, assignment))
    assert said in str(caught.value)


def test_what_is_wrong_elsewhere_keeps_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, ("home: nordavind", "home: 3"))
    line = next(n for n, text in enumerate(SCENARIO.splitlines(), 1) if "home:" in text)
    with pytest.raises(ScenarioError, match=f"{path}:{line}: apps"):
        load_scenario(path, [Change.of("run.seed=1")])


@pytest.mark.parametrize("text", ["run.seed", "=3", "run.seed=", " = "])
def test_a_change_is_key_and_value(text: str) -> None:
    with pytest.raises(ChangeError, match="is not KEY=VALUE"):
        Change.of(text)


def test_run_and_check_take_changes(tmp_path: Path) -> None:
    path = str(written(tmp_path))
    small = ["--set", "run.requests=2000", "--set", "run.replications=2"]
    ran = CliRunner().invoke(app, ["run", path, *small, "--seed", "3", "-o", "json"])
    assert ran.exit_code == 0, ran.output
    assert '"seed": 3' in ran.stdout
    assert '"requests": 2000' in ran.stdout
    refused = CliRunner().invoke(app, ["check", path, "--set", "run.sed=1"])
    assert refused.exit_code == 2
    assert "did you mean seed?" in refused.stderr
    assert CliRunner().invoke(app, ["check", path, "--set", "run.seed"]).exit_code == 2
