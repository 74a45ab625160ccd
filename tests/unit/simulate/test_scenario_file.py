"""A scenario file is read strictly, and what is wrong with it is said with line, key and the nearest valid one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hansa_sim.latency.scenario_file import ScenarioError, load_scenario, value_of
from hansa_sim.latency.scenario_schema import PolicyName, reference
from hansa_sim.latency.scenario_words import number_meant
from hansa_sim.latency.world import build_world
from scenario_texts import ROUND_TRIPS, SCENARIO, written

ROOT = Path(__file__).resolve().parents[3]


def _refused(path: Path) -> str:
    with pytest.raises(ScenarioError) as caught:
        build_world(load_scenario(path))
    return str(caught.value)


def _line_of(text: str) -> int:
    return next(n for n, line in enumerate(SCENARIO.splitlines(), 1) if text in line)


def test_the_small_scenario_is_read_as_written(tmp_path: Path) -> None:
    loaded = load_scenario(written(tmp_path))
    assert loaded.scenario.policies == [PolicyName.NEAREST]
    assert loaded.scenario.operators[0].countries == ["NO"]
    assert loaded.residency.site is not None
    assert loaded.residency.site.countries_allowed == frozenset({"NO", "SE"})


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("requests: 40000", "reqests: 40000", "requests: 40000", "run.reqests: unknown key; did you mean requests?"),
        ("requests_per_s: 60", "requests_per_second: 60", "requests_per_s: 60", "did you mean requests_per_s?"),
        ("countries: [NO]", "countries: [NX]", "countries: [NO]", "'NX' is not an ISO 3166-1 alpha-2 country code"),
        ("[nearest]", "[nearst]", "policies:", "no policy 'nearst'; did you mean nearest?"),
        ("home: nordavind", "home: nordavin", "apps:", "apps: home 'nordavin' is no operator here"),
        ("node: stockholm", "node: stokholm", "node: stockholm", "did you mean stockholm?"),
        ("{access_point: malmo", "{access_point: malmoe", "access_point: malmo", "did you mean malmo?"),
        ("data: [NO, SE]", "data: [NO, XE]", "residency:", "XE"),
        ("transit: [NO, SE]", "transits: [NO, SE]", "residency:", "did you mean transit?"),
        ("replications: 4", "replications: 1", "replications: 4", "greater than or equal to 2; got 1"),
        ("as_of: 2026-11-01", "as_of: soon", "as_of", "'soon' is not a day such as 2026-11-01"),
        ("version: 1", "version: 2", "version: 1", "version: 2 is no version of this schema; write version: 1"),
        ("version: 1", "version: true", "version: 1", "version: True is no version of this schema"),
        ("version: 1", "version: 1.0", "version: 1", "version: 1.0 is no version of this schema"),
        ("[nearest]", "[nearest, nearest]", "policies:", "policies: policy 'nearest' is there twice"),
        ("requests_per_s: 60", "requests_per_s: 1e2", "requests_per_s: 60", "'1e2', which is a text in YAML; write 1"),
        ("requests: 40000", "requests: 4e4", "requests: 40000", "got '4e4', which is a text in YAML; write 40000"),
        ("requests: 40000", "requests: 40000.0", "requests: 40000", "got 40000.0; write 40000"),
        ("round_trips: trips.csv", "round_trips: trips.csv\n  topohub: backbone/europe", "network:", "exactly one of"),
        ("title: A small world", "title: A small world\nname: other", None, "name: given twice"),
        ("device_watts: 300", "facts: [{kind: SUPPORT_CUNTRY, value: SE}]", "device_watts", "'SUPPORT_COUNTRY'"),
        ("device_watts: 300", "facts: [{kind: SUPPORT_COUNTRY, value: XY}]", "device_watts", "'XY' is"),
        ("mean_ms: 20", "mean_ms: 20, scv: 3", "service:", "scv is 3.0, but exponential times have 1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_line_and_key(
    tmp_path: Path, old: str, new: str, line: str | None, said: str
) -> None:
    path = written(tmp_path, (old, new))
    message = _refused(path)
    assert said in message
    where = f"{path}:{_line_of(line)}:" if line else f"{path}:"
    assert where in message


@pytest.mark.parametrize(("given", "told"), [("4.5", "4.5"), ("true", "True"), ("many", "'many'"), ("1e-3", "'1e-3'")])
def test_a_number_that_cannot_be_meant_gets_no_advice(tmp_path: Path, given: str, told: str) -> None:
    assert _refused(written(tmp_path, ("requests: 40000", f"requests: {given}"))).endswith(f"got {told}")


@pytest.mark.parametrize(
    "text", ["1e9", "1.0e9", "-2E3", "1e-7", "2.5e-9", "1.25e300", "123456.5", "1e22", "7", "-.5", "inf", "nan", "x"]
)
def test_the_advised_form_of_a_number_is_one_in_yaml(text: str) -> None:
    advised = number_meant(text)
    if text in {"inf", "nan", "x"}:
        assert advised is None
    else:
        assert advised is not None
        value = value_of(advised)
        assert isinstance(value, int | float)
        assert value == float(text)


@pytest.mark.parametrize(
    ("trips", "said"),
    [
        ("a,b\noslo,bergen\n", "trips.csv:2: column 'rtt_ms' is missing"),
        ("a,b,rtt_ms\noslo,bergen,fast\n", "rtt_ms fast: two nodes and 0 < rtt_ms"),
        ("a,b,rtt_ms\noslo,oslo,3\n", "two nodes and 0 < rtt_ms"),
    ],
)
def test_a_table_of_round_trips_that_cannot_be_is_refused_with_its_line(tmp_path: Path, trips: str, said: str) -> None:
    assert said in _refused(written(tmp_path, trips=trips))


def test_a_file_that_is_not_there_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    assert "No such file" in _refused(tmp_path / "none.yaml")
    assert "No such file" in _refused(written(tmp_path, ("trips.csv", "other.csv")))


def test_what_is_no_yaml_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("version: 1\nname: [\n", encoding="utf-8")
    assert f"{path}:3: not YAML" in _refused(path)
    path.write_text("- 1\n", encoding="utf-8")
    assert "not a mapping" in _refused(path)


def test_a_preset_is_expanded_by_the_law_of_the_day(tmp_path: Path) -> None:
    law = "{data: [NO, SE], control: [NO, SE], transit: [NO, SE]}"
    loaded = load_scenario(written(tmp_path, (law, "{preset: gdpr-eea}")))
    assert [name.partition(" ")[0] for name in loaded.residency.presets] == ["gdpr-eea@2026-11-01"]
    assert loaded.residency.site is not None
    assert "DE" in (loaded.residency.site.countries_allowed or ())
    assert "none-such" in _refused(written(tmp_path, (law, "{preset: none-such}")))


def test_every_key_of_the_schema_is_in_the_documentation_as_the_schema_has_it() -> None:
    page = (ROOT / "docs" / "simulation.md").read_text(encoding="utf-8")
    missing = [key for key, default, text in reference() if f"| `{key}` | {default} | {text} |" not in page]
    assert missing == []


def test_every_key_says_what_it_is_for() -> None:
    assert [key for key, _, text in reference() if not text] == []
    assert len(ROUND_TRIPS.splitlines()) == 7
