"""What a sweep goes over is written in few words, and what cannot be meant is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hansa_sim.latency.scenario_changes import Change, ChangeError
from hansa_sim.latency.sweeps.grid import Axis, points_of


def _texts(assignment: str) -> list[str]:
    return [step[0].text for step in Axis.of(assignment).steps]


@pytest.mark.parametrize(
    ("assignment", "texts"),
    [
        ("k=100,200, 400", ["100", "200", "400"]),
        ("k=1..4", ["1", "2", "3", "4"]),
        ("k=0.5..2..0.5", ["0.5", "1.0", "1.5", "2.0"]),
        ("k=-1..1", ["-1", "0", "1"]),
        ("k=1..3,10", ["1", "2", "3", "10"]),
        ("k=[a,b],[c]", ["[a,b]", "[c]"]),
        ("k={x: [1,2]},none", ["{x: [1,2]}", "none"]),
        ("k='a,b',\"c\"", ["'a,b'", '"c"']),
        ("k=7", ["7"]),
    ],
)
def test_values_are_lists_spans_and_steps(assignment: str, texts: list[str]) -> None:
    assert _texts(assignment) == texts


@pytest.mark.parametrize(
    ("assignments", "said"),
    [
        (["k=1,,2"], "empty value"),
        (["k=1,1"], "k has 1 twice"),
        (["k=1..2,2"], "k has 2 twice"),
        (["k=4..1"], "no span"),
        (["k=1..9..0"], "no span"),
        (["k=1..1000000"], "the most are 100000"),
        (["k=1..999", "j=1..999"], "these are 998001 points"),
        (["k=1", "k=2"], "k is given twice"),
        (["k"], "not KEY=VALUE"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(assignments: list[str], said: str) -> None:
    with pytest.raises(ChangeError, match=said):
        points_of([Axis.of(one) for one in assignments])


def test_all_values_are_combined_and_the_last_key_changes_first() -> None:
    texts = [[change.text for change in point] for point in points_of([Axis.of("a=1,2"), Axis.of("b=x,y")])]
    assert texts == [["1", "x"], ["1", "y"], ["2", "x"], ["2", "y"]]
    assert points_of([]) == [()]


def test_points_of_a_file_go_together(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text('users.0.requests_per_s,policies\n10,"[nearest,hansa]"\n20,[nearest]\n', encoding="utf-8")
    points = points_of([Axis.of_file(path), Axis.of("run.seed=1..2")])
    assert len(points) == 4
    first = {change.key: change.text for change in points[0]}
    assert first == {"users.0.requests_per_s": "10", "policies": "[nearest,hansa]", "run.seed": "1"}
    assert points[3][0] == Change("users.0.requests_per_s", "20")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1\n", "points.csv:2: every line has one value for each of a, b"),
        ("a,b\n1,\n", "points.csv:2: every line has one value"),
        ("a,b\n", "at least one of values"),
        (None, "No such file"),
    ],
)
def test_a_file_of_points_that_cannot_be_is_refused_with_its_line(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "points.csv"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ChangeError, match=said):
        Axis.of_file(path)
