"""What docs/simulation.md tells people to type can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hansa_sim.latency.scenario_changes import Change
from hansa_sim.latency.scenario_file import check_changes, load_scenario
from hansa_sim.latency.sweeps.grid import Axis, points_of

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "simulation.md").read_text(encoding="utf-8")
SCENARIOS = sorted((ROOT / "simulations" / "scenarios").glob("*.yaml"))


def test_the_sweep_of_the_page_has_a_grid_that_its_scenario_takes() -> None:
    found = re.search(r"^hansa simulate sweep (?:.*\\\n)*.*$", PAGE, flags=re.MULTILINE)
    assert found is not None
    words = shlex.split(found[0].replace("\\\n", " "))
    values = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
    points = points_of([Axis.of(one) for one in values])
    assert len(points) == 20
    path = ROOT / words[3]
    for changes in points:
        check_changes(path, changes)
        load_scenario(path, changes)


def test_every_change_that_the_page_shows_is_taken_by_a_worked_scenario() -> None:
    shown = [one for one in re.findall(r"`--set ([a-z][^`\s]*=[^`\s]*)`", PAGE) if "KEY" not in one]
    assert len(shown) >= 2
    for one in shown:
        assert any(_is_taken(path, one) for path in SCENARIOS), one


def _is_taken(path: Path, assignment: str) -> bool:
    try:
        load_scenario(path, [Change.of(assignment)])
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("path", SCENARIOS, ids=[path.stem for path in SCENARIOS])
def test_worked_scenarios_take_another_seed_and_size(path: Path) -> None:
    loaded = load_scenario(path, [Change("run.seed", "99"), Change("run.replications", "3")])
    assert (loaded.scenario.run.seed, loaded.scenario.run.replications) == (99, 3)
