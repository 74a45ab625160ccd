"""Whatever a scenario file has in it, the answer is an error with its line and key, or a world; never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from hansa_sim.latency import scenario_file
from hansa_sim.latency.scenario_changes import Change
from hansa_sim.latency.scenario_file import ScenarioError, load_scenario
from hansa_sim.latency.world import build_world
from scenario_texts import ROUND_TRIPS, SCENARIO, written

LAW = "{data: [NO, SE], control: [NO, SE], transit: [NO, SE]}"


def _problems(path: Path) -> list[str]:
    """What is said of a file, without its folder."""
    with pytest.raises(ScenarioError) as caught:
        build_world(load_scenario(path))
    assert list(caught.value.problems) == str(caught.value).split("\n")
    return [problem.replace(f"{path.parent}/", "") for problem in caught.value.problems]


def _of_text(folder: Path, text: str | bytes) -> list[str]:
    path = folder / "scenario.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return _problems(path)


def _line_of(text: str) -> int:
    return next(n for n, line in enumerate(SCENARIO.splitlines(), 1) if text in line)


# --- YAML -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("!!int soon", "'soon' is no int"),
        ("!!float soon", "'soon' is no float"),
        ("!!bool soon", "'soon' is no bool"),
        ("!!timestamp soon", "'soon' is no timestamp"),
        ("0x_", "'0x_' is no int"),
        ("9" * 5_000, f"'{'9' * 40}' is no int"),
        ("!!python/object/apply:os.getpid []", "could not determine a constructor"),
        ("!own 7", "could not determine a constructor for the tag '!own'"),
        ("*nobody", "found undefined alias 'nobody'"),
        ("{? [a] : 1}", "found unhashable key"),
        ("{<<: 3}", "expected a mapping or list of mappings for merging"),
    ],
    ids=range(11),
)
def test_a_value_that_yaml_cannot_have_is_refused_with_its_line(tmp_path: Path, value: str, said: str) -> None:
    (problem,) = _problems(written(tmp_path, ("seed: 7}", f"seed: {value} }}")))
    assert problem.startswith(f"scenario.yaml:{_line_of('seed: 7')}: not YAML: {said}")


def test_a_value_that_yaml_cannot_have_is_said_of_the_change_that_puts_it(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"^--set run\.seed: not YAML: 'soon' is no int$"):
        load_scenario(written(tmp_path), [Change.of("run.seed=!!int soon")])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "scenario.yaml:1: not a mapping"),
        ("# nothing\n", "scenario.yaml:1: not a mapping"),
        ("scenario", "scenario.yaml:1: not a mapping"),
        ("version: 1\n\tname: x\n", "scenario.yaml:2: not YAML: found character '\\t'"),
        (b"\x7fELF\x00\x01", "scenario.yaml: not YAML in UTF-8"),
        ("title: é".encode("latin-1"), "scenario.yaml: not YAML in UTF-8"),
        ("version: 1\n".encode("utf-16"), "scenario.yaml: not YAML in UTF-8"),
        (SCENARIO + "---\n" + SCENARIO, f"scenario.yaml:{len(SCENARIO.splitlines()) + 1}: not YAML"),
        ("a: " + "[" * 2_000 + "]" * 2_000, "scenario.yaml: nested too deep"),
    ],
    ids=["empty", "comment", "scalar", "tab", "binary", "latin-1", "utf-16", "two documents", "deep"],
)
def test_what_is_no_scenario_at_all_is_one_problem(tmp_path: Path, text: str | bytes, said: str) -> None:
    (problem,) = _of_text(tmp_path, text)
    assert problem.startswith(said)


def test_a_byte_order_mark_before_a_scenario_is_no_fault(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_scenario(path).scenario.name == "small"


def test_a_file_larger_than_the_bound_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path)
    monkeypatch.setattr(scenario_file, "FILE_BYTES_MAX", path.stat().st_size)
    assert load_scenario(path).scenario.name == "small"
    monkeypatch.setattr(scenario_file, "FILE_BYTES_MAX", path.stat().st_size - 1)
    assert _problems(path) == [f"scenario.yaml: larger than {path.stat().st_size - 1} bytes"]


def test_a_folder_is_no_scenario(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="Is a directory"):
        load_scenario(tmp_path)


def test_aliases_of_aliases_are_looked_at_once_and_not_ten_times_ten_times_ten(tmp_path: Path) -> None:
    lines = ["x0: &x0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, 18)]
    problems = _of_text(tmp_path, "\n".join(lines))
    assert problems[:2] == ["scenario.yaml:1: x0: unknown key", "scenario.yaml:2: x1: unknown key"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("policies: [nearest]", "policies: &a [*a]", "policies[0]"),
        ("title: A small world", "title: &a {a: *a}", "title: Input should be a valid string"),
        (LAW, "&a {data: *a}", "unknown key 'data'"),
    ],
)
def test_an_alias_that_leads_round_in_a_circle_ends(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert said in _problems(written(tmp_path, (old, new)))[0]


def test_keys_merged_from_an_anchor_are_keys_like_others(tmp_path: Path) -> None:
    first = ("{access_point: oslo, requests_per_s: 60}", "&first {access_point: oslo, requests_per_s: 60}")
    second = ("{access_point: bergen, requests_per_s: 50}", "{<<: *first, access_point: bergen}")
    users = load_scenario(written(tmp_path, first, second)).scenario.users
    assert [(part.access_point, part.requests_per_s) for part in users[:2]] == [("oslo", 60), ("bergen", 60)]
    (problem,) = _problems(written(tmp_path, (first[0], first[1].replace("60}", "sixty}")), second))[1:]
    assert problem.startswith(f"scenario.yaml:{_line_of('oslo, requests_per_s')}: users[1].requests_per_s: ")


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("        node: oslo\n", "        node: oslo\n        node: bergen\n", "node"),
        ("seed: 7}", "seed: 7, seed: 8}", "seed"),
        (LAW, "{data: [NO], data: [SE]}", "data"),
        ("mean_ms: 20", "mean_ms: 20, mean_ms: 20", "mean_ms"),
    ],
)
def test_a_key_that_stands_twice_is_refused_at_every_depth(tmp_path: Path, old: str, new: str, key: str) -> None:
    line = next(n for n, text in enumerate(SCENARIO.splitlines(), 1) if old.strip().splitlines()[0] in text)
    assert _problems(written(tmp_path, (old, new))) == [
        f"scenario.yaml:{line + old.count(chr(10))}: {key}: given twice"
    ]


# --- keys and values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "misspelt", "key"),
    [
        ("as_of:", "asof:", "asof: unknown key; did you mean as_of?"),
        ("round_trips:", "round_trip:", "network.round_trip: unknown key; did you mean round_trips?"),
        ("{headquarters: NO", "{headquarter: NO", "operators[0].legal.headquarter: unknown key; did you mean headquar"),
        (
            "device_watts: 300",
            "device_watt: 300",
            "operators[0].zones[0].device_watt: unknown key; did you mean device",
        ),
        ("model: L40S", "modell: L40S", "operators[0].zones[0].accelerators.modell: unknown key; did you mean model?"),
        ("response_ms_max", "response_ms", "apps[0].latency.response_ms: unknown key; did you mean response_ms_max?"),
        ("mean_ms: 20", "mean: 20", "apps[0].service.times[0].mean: unknown key; did you mean mean_ms?"),
        ("{law: false", "{laws: false", "compare.laws: unknown key; did you mean law?"),
    ],
)
def test_a_misspelt_key_has_its_path_and_the_nearest_before_what_is_missing(
    tmp_path: Path, old: str, misspelt: str, key: str
) -> None:
    first = _problems(written(tmp_path, (old, misspelt)))[0]
    assert first.startswith(f"scenario.yaml:{_line_of(old)}: {key}")


@pytest.mark.parametrize("value", [".nan", ".inf", "-1", "true", "'60'", "null", "1e3"])
@pytest.mark.parametrize(
    ("old", "key"),
    [
        ("requests_per_s: 60", "users[0].requests_per_s"),
        ("price_eur_per_hour: 1.5", "operators[0].zones[0].price_eur_per_hour"),
        ("rtt_ms_max: 60", "apps[0].latency.rtt_ms_max"),
        ("count: 3}", "operators[1].zones[0].accelerators.count"),
        ("seed: 7}", "run.seed"),
    ],
)
def test_what_is_no_number_of_its_kind_is_refused_wherever_a_number_is_wanted(
    tmp_path: Path, old: str, key: str, value: str
) -> None:
    name, _, rest = old.partition(": ")
    closing = "}" if rest.endswith("}") else ""
    (problem,) = _problems(written(tmp_path, (old, f"{name}: {value}{closing}")))
    assert problem.startswith(f"scenario.yaml:{_line_of(old)}: {key}: Input should be ")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("policies: [nearest]", "policies: []", "policies: List should have at least 1 item"),
        ("policies: [nearest]", "policies: nearest", "policies: Input should be a valid list; got 'nearest'"),
        ("policies: [nearest]", "policies: [nearest, nearest]", "policy 'nearest' is there twice"),
        ("times: [{mean_ms: 20}]", "times: []", "apps[0].service: give times or tokens, one of the two"),
        ("name: waldnetz", "name: nordavind", "operator 'nordavind' is there twice"),
        ("name: ocr", "name: Ocr", "apps[0].name: String should match pattern"),
        ("as_of: 2026-11-01", "as_of: 2026-02-30", "as_of: '2026-02-30' is not a day such as 2026-11-01"),
        ("as_of: 2026-11-01", "as_of: 20261101", "as_of: Input should be a valid date; got 20261101"),
        ("countries: [NO]", "countries: [no]", "operators[0].countries[0]: 'no' is not an ISO 3166-1"),
        ("island: SE", "1: SE", "network.node_countries[1].[key]: Input should be a valid string; got 1"),
        ("title: A small world", "title: ''", "title: String should have at least 1 character"),
        ("{access_point: oslo,", "{countries: [IS],", "users[0].countries: no access point of the network is in"),
        ("{access_point: oslo,", "{access_point: oslo, countries: [NO],", "users[0]: give access_point or countries"),
        ("{access_point: oslo,", "{", "users[0]: give access_point or countries, one of the two"),
        ("rtt_ms_max: 60", "percentile: 90, rtt_ms_max: 60", "percentile: Input should be 50, 95 or 99; got 90"),
        ("{law: false", "{policy: nerest, law: false", "compare.policy: no policy 'nerest'; did you mean nearest?"),
        ("policies:", "faults: [{zone: nordavind/oslo-2, at_s: 1}]\npolicies:", "did you mean nordavind/oslo-1?"),
        ("policies:", "faults: [{operator: skargad, at_s: 1}]\npolicies:", "did you mean skargard?"),
        ("policies:", "faults: [{cable: c-lion, at_s: 1}]\npolicies:", "faults[0].cable: no cable 'c-lion' here"),
        ("policies:", "faults: [{node: bergn, at_s: 1}]\npolicies:", "did you mean bergen?"),
        ("  node_countries", "  loss_percent: {bergn--oslo: 1}\n  node_countries", "did you mean bergen--oslo?"),
        ("access_point: oslo,", "access_point: oslo, app: orc,", "users[0].app: no app 'orc'; did you mean ocr?"),
    ],
)
def test_what_does_not_fit_is_said_by_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    (problem,) = _problems(written(tmp_path, (old, new)))
    assert said in problem
    assert problem.startswith("scenario.yaml:")


def test_every_problem_of_a_file_is_said_at_once_and_each_at_its_own_line(tmp_path: Path) -> None:
    changes = [("seed: 7", "seed: -7"), ("mean_ms: 20", "mean_ms: 0"), ("as_of: 2026-11-01", "as_of: soon")]
    problems = _problems(written(tmp_path, *changes))
    places = [(_line_of(old), key) for (old, _), key in zip(changes, ("seed", "mean_ms", "as_of"), strict=True)]
    assert [tuple(one.split(": ")[:2]) for one in problems] == [
        (f"scenario.yaml:{line}", {"seed": "run.seed", "mean_ms": "apps[0].service.times[0].mean_ms"}.get(key, key))
        for line, key in sorted(places)
    ]


# --- tables and graphs that a scenario names ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("countries", "hint"), [("Norge", "; did you mean NO?"), ("no", "; did you mean NO?"), ("NO;SE", "")]
)
def test_a_word_that_is_no_country_of_a_link_is_refused_with_its_line(
    tmp_path: Path, countries: str, hint: str
) -> None:
    trips = ROUND_TRIPS.replace("malmo,hamburg,6,DK,", f"malmo,hamburg,6,{countries},")
    (problem,) = _problems(written(tmp_path, trips=trips))
    said = f"trips.csv:5: countries: '{countries}' is not an ISO 3166-1 alpha-2 country code{hint}"
    assert problem == f"scenario.yaml:{_line_of('round_trips')}: network.round_trips: {said}"


def test_a_table_as_spreadsheets_write_it_is_the_same_table(tmp_path: Path) -> None:
    plain = build_world(load_scenario(written(tmp_path))).ground
    marked = build_world(load_scenario(written(tmp_path, trips="\ufeff" + ROUND_TRIPS.replace("\n", "\r\n")))).ground
    assert marked == plain


@pytest.mark.parametrize(("rtt", "row"), [("nan", 2), ("inf", 2), ("-1", 2), ("0", 2), ("10001", 2)])
def test_a_round_trip_that_cannot_be_is_refused_with_its_row(tmp_path: Path, rtt: str, row: int) -> None:
    trips = ROUND_TRIPS.replace("oslo,stockholm,8,", f"oslo,stockholm,{rtt},")
    (problem,) = _problems(written(tmp_path, trips=trips))
    assert f"trips.csv:{row}: oslo to stockholm, rtt_ms {rtt}: two nodes and 0 < rtt_ms <= 10000" in problem


@pytest.mark.parametrize("source", ["round_trips", "snapshot", "graph"])
@pytest.mark.parametrize("name", ['"a\\0b"', ".", "none.csv", "scenario.yaml"])
def test_a_file_that_cannot_be_what_is_wanted_is_an_error_of_its_key(tmp_path: Path, source: str, name: str) -> None:
    (problem,) = _problems(written(tmp_path, ("round_trips: trips.csv", f"{source}: {name}")))
    assert problem.startswith(f"scenario.yaml:{_line_of('round_trips')}: network.{source}: ")


GRAPH = """graph [
  node [ id 0 label "oslo" country "NO" lat {lat} lon 10.7 ]
  node [ id 1 label "bergen" country "NO" lat 60.4 lon 5.3 ]
  edge [ source 0 target 1 rtt_ms {rtt} countries "{countries}" ]
]
"""


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"lat": '"north"'}, "oslo: lat is 'north', which is no number"),
        ({"lat": "+INF"}, "oslo: lat is inf, which is no number"),
        ({"rtt": "+INF"}, "bergen--oslo: rtt_ms is inf, which is no number"),
        ({"countries": "Norge"}, "bergen--oslo: countries: 'Norge' is not an ISO 3166-1 alpha-2 country code"),
    ],
)
def test_a_graph_whose_figures_cannot_be_is_refused_with_node_or_link(
    tmp_path: Path, wrong: dict[str, str], said: str
) -> None:
    (tmp_path / "net.gml").write_text(GRAPH.format(**{"lat": "59.9", "rtt": "7", "countries": "-"} | wrong))
    (problem,) = _problems(written(tmp_path, ("round_trips: trips.csv", "graph: net.gml")))
    assert said in problem
