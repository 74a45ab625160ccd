"""hansa law: presets, groups and laws as people and programs see them, without a server or a profile."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import yaml

from hansa.cli import actions_law
from hansa.cli.main import main
from hansa.law.expansion import load_presets
from hansa.law.membership import load_groups, policy_reader
from hansa.system import utc_date
from hansa.yaml_tree import read_yaml

NOW_MS = 1_795_348_800_000  # 2026-11-22T12:00:00Z


@dataclass(frozen=True)
class Answer:
    code: object
    out: str
    err: str


Law = Callable[..., Answer]


class Noon:
    """A clock that stands."""

    def now_ms(self) -> int:
        return NOW_MS


@pytest.fixture
def law(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Law:
    monkeypatch.setattr(actions_law, "SystemClock", Noon)
    monkeypatch.setenv("HANSA_PROFILE", "/nowhere/profile.yaml")
    monkeypatch.delenv("COLUMNS", raising=False)

    def call(*args: str) -> Answer:
        with pytest.raises(SystemExit) as stopped:
            main(["law", *args])
        written = capsys.readouterr()
        return Answer(stopped.value.code, written.out, written.err)

    return call


def test_the_day_of_a_moment_is_that_of_utc() -> None:
    assert utc_date(NOW_MS).isoformat() == "2026-11-22"
    assert utc_date(NOW_MS - 12 * 3_600_000 - 1).isoformat() == "2026-11-21"


def test_list_has_a_row_for_every_preset_with_what_it_restricts(law: Law) -> None:
    lines = law("list").out.splitlines()
    assert lines[0].split() == ["PRESET", "VERSION", "TITLE", "RESTRICTS"]
    assert [line.split()[0] for line in lines[1:]] == list(load_presets())
    assert lines[4].endswith("data, transit, personnel")


def test_show_tells_what_it_stands_for_what_not_sources_and_the_policy(law: Law) -> None:
    answer = law("show", "gdpr-eea")
    lines = answer.out.splitlines()
    assert answer.code == 0
    assert lines[0] == "gdpr-eea as of 2026-11-22, version 2026-11-01"
    headings = ["what it stands for", "what it does not promise", "sources", "policy, in the words of a workload file"]
    assert [line for line in lines if line in headings] == headings
    assert "    http://data.europa.eu/eli/reg/2016/679/oj" in lines
    assert lines[-1] == next(iter(json.loads(law("show", "gdpr-eea", "-o", "json").out)["provenance"].splitlines()))
    assert answer.err == ""


def test_show_says_which_source_nobody_compared(law: Law) -> None:
    assert "19.2 and 19.6 (not compared with the text)" in law("show", "secnumcloud").out


@pytest.mark.parametrize("columns", [80, 120])
def test_prose_and_policy_fit_the_terminal(law: Law, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = law("show", "eu-sovereign").out.splitlines()
    assert max(len(line) for line in lines) <= columns
    start = lines.index("policy, in the words of a workload file") + 1
    policy = lines[start : lines.index("", start)]
    assert len(policy) >= 6
    assert all(line.startswith("  ") for line in policy)


@pytest.mark.parametrize("name", ["dora", "eu-sovereign", "gdpr-adequate", "no-sikkerhetsloven", "secnumcloud"])
@pytest.mark.parametrize("columns", ["", "80"])
def test_the_policy_that_is_shown_may_be_pasted_into_a_workload_file(
    law: Law, name: str, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = law("show", name).out.splitlines()
    start = lines.index("policy, in the words of a workload file") + 1
    pasted = "\n".join(lines[start : lines.index("", start)])
    data = yaml.safe_load(law("show", name, "-o", "yaml").out)
    assert yaml.safe_load(pasted) == data["policy"]
    assert policy_reader(None).read(read_yaml(pasted)).site.countries_allowed


@pytest.mark.parametrize(
    "args", [("list",), ("show", "dora"), ("groups",), ("groups", "adequate", "--as-of", "2025-01-01"), ("laws",)]
)
def test_every_answer_parses_as_json_and_as_yaml(law: Law, args: tuple[str, ...]) -> None:
    assert yaml.safe_load(law(*args, "-o", "yaml").out) == json.loads(law(*args, "-o", "json").out)


def test_show_as_of_a_day_is_the_preset_of_that_day(law: Law) -> None:
    data = json.loads(law("show", "gdpr-adequate@2026-11-02", "-o", "json").out)
    assert (data["as_of"], data["version"]) == ("2026-11-02", "2026-11-01")
    assert data["provenance"].startswith("gdpr-adequate@2026-11-02 sha256:")
    assert data["policy"]["data"] == sorted(data["groups"][0]["countries"] + data["groups"][1]["countries"])


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (("show", "gdpr-eeu"), "NOT_FOUND (preset): there is no preset 'gdpr-eeu'; did you mean gdpr-eea?"),
        (("show", "dora@2026-11-23"), "INVALID_FIELD (preset): dora@2026-11-23 lies after 2026-11-22"),
        (("groups", "EAA"), "NOT_FOUND (group): there is no group of countries 'EAA'; did you mean EEA?"),
        (("groups", "--as-of", "2026-1-1"), "INVALID_FIELD (as-of): '2026-1-1' is no day"),
        (("groups", "EEA", "--as-of", "1990-01-01"), "EEA is known from 1995-05-01"),
    ],
)
def test_an_error_is_one_line_with_the_nearest(law: Law, args: tuple[str, ...], part: str) -> None:
    answer = law(*args)
    assert (answer.code, answer.out) == (255, "")
    assert answer.err.startswith("error: ")
    assert part in answer.err
    assert answer.err.count("\n") == 1


def test_groups_of_a_day_list_who_belonged_and_note_what_is_not_known(law: Law) -> None:
    answer = law("groups", "--as-of", "1994-06-01")
    rows = {line.split()[0]: line.split()[1] for line in answer.out.splitlines()[2:]}
    assert rows == {"EU": "12", "Nordic": "5"}
    assert "note: EEA is known from 1995-05-01" in answer.err.splitlines()
    assert len(law("groups").out.splitlines()) == 2 + len(load_groups())


def test_one_group_shows_every_membership_with_its_dates_source_and_note(law: Law) -> None:
    lines = law("groups", "adequate-in-part").out.splitlines()
    rows = [line.split()[:4] for line in lines if line.startswith("US ")]
    assert rows == [["US", "2016-07-12", "2020-07-16", "no"], ["US", "2023-07-10", "-", "member"]]
    assert any(line.startswith("  - US from 2023-07-10: organisations on the Data Privacy Framework") for line in lines)


def test_data_that_should_have_been_looked_at_are_noted_on_standard_error(
    law: Law, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Noon, "now_ms", lambda _: NOW_MS + 60 * 86_400_000)
    answer = law("show", "gdpr-adequate", "-o", "json")
    assert answer.err.startswith("note: adequate was last compared with its sources as of ")
    assert json.loads(answer.out)["name"] == "gdpr-adequate"


def test_laws_lists_the_names_that_a_policy_may_deny(law: Law) -> None:
    answer = law("laws")
    assert "US-FISA-702" in [line.split()[0] for line in answer.out.splitlines()]
    assert "note: the citation of US-FISA-702 was not compared with its text" in answer.err
