"""Which parts of a world fall, and when: by name and correlation, as scheduled, or as chance has it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hansa_control.application.settings import Settings
from hansa_sim.engines.model import AHEAD_NS_MAX, SECOND_NS
from hansa_sim.latency.fault_schedule import Cause, Fallen, Fault, causes_of, schedule
from hansa_sim.latency.scenario_faults import RecoveryPart
from hansa_sim.latency.scenario_file import ScenarioError
from hansa_sim.latency.traffic import traffic_of
from scenario_texts import world_of

CABLES = (
    "network:",
    "network:\n  cables: [{name: skagerrak, links: [[oslo, hamburg, malmo], [oslo, bergen]]}]",
)
RANDOM = "node: malmo, mtbf_s: 1, mttr_s: 1"
RUN = ("run: {requests: 40000,", "run: {duration_s: 1000,")


def causes(folder: Path, faults: str, *changes: tuple[str, str]) -> tuple[Cause, ...]:
    world = world_of(folder, ("policies:", f"faults: [{faults}]\npolicies:"), RUN, *changes)
    return causes_of(world.loaded, world.ground)


def names(falls: Fallen) -> tuple[list[str], list[str]]:
    return sorted(falls.zones), sorted(falls.links)


@pytest.mark.parametrize(
    ("target", "zones", "links"),
    [
        ("zone: nordavind/oslo-1", ["nordavind/oslo-1"], []),
        ("link: [stockholm, oslo]", [], ["oslo--stockholm"]),
        ("cable: skagerrak", [], ["bergen--oslo", "hamburg--malmo", "hamburg--oslo"]),
        ("node: malmo", [], ["hamburg--malmo", "malmo--stockholm"]),
        ("node: hamburg", ["waldnetz/hamburg-1"], ["hamburg--malmo", "hamburg--oslo"]),
        ("node: hamburg, parts: zones", ["waldnetz/hamburg-1"], []),
        ("country: DE, parts: network", [], ["hamburg--malmo", "hamburg--oslo"]),
        ("operator: nordavind", ["nordavind/oslo-1"], ["bergen--oslo", "hamburg--oslo", "oslo--stockholm"]),
        ("operator: nordavind, parts: zones", ["nordavind/oslo-1"], []),
    ],
)
def test_parts_that_fall_together_are_those_that_the_name_stands_for(
    tmp_path: Path, target: str, zones: list[str], links: list[str]
) -> None:
    (cause,) = causes(tmp_path, f"{{{target}, at_s: 10}}", CABLES)
    assert names(cause.falls) == (zones, links)


def test_scheduled_fault_is_as_it_is_written_in_every_replication(tmp_path: Path) -> None:
    found = causes(tmp_path, "{node: malmo, at_s: 10, for_s: 2.5}, {zone: nordavind/oslo-1, at_s: 4, notice_s: 3}")
    first, second = schedule(found, 1, 1000 * SECOND_NS)
    assert schedule(found, 2, 1000 * SECOND_NS) == (first, second)
    assert (first.begin_ns, first.end_ns, first.notice_ns) == (4 * SECOND_NS, AHEAD_NS_MAX, 3 * SECOND_NS)
    assert (second.begin_ns, second.end_ns, second.title) == (10 * SECOND_NS, 12_500_000_000, "node malmo")


def down_share(faults: Sequence[Fault], horizon_ns: int) -> float:
    return sum(min(one.end_ns, horizon_ns) - one.begin_ns for one in faults) / horizon_ns


def test_random_fault_is_down_for_mttr_of_mtbf_and_mttr(tmp_path: Path) -> None:
    """Availability of an alternating renewal process is MTBF / (MTBF + MTTR); over time T the share of time down has
    about the variance 2 (MTBF MTTR)^2 / (MTBF + MTTR)^3 / T for exponential times (D. R. Cox, "Renewal Theory", 1962).
    """
    found = causes(tmp_path, "{zone: nordavind/oslo-1, mtbf_s: 90, mttr_s: 10}")
    horizon_s = 500_000
    shares = [down_share(schedule(found, seed, horizon_s * SECOND_NS), horizon_s * SECOND_NS) for seed in range(8)]
    deviation = (2 * (90 * 10) ** 2 / 100**3 / horizon_s / 8) ** 0.5
    assert abs(np.mean(shares) - 0.1) < 4 * deviation
    assert len(set(shares)) == 8
    counts = [len(schedule(found, seed, horizon_s * SECOND_NS)) for seed in range(8)]
    assert np.mean(counts) == pytest.approx(horizon_s / 100, rel=0.03)


def test_correlated_parts_fall_together_and_others_each_by_itself(tmp_path: Path) -> None:
    together = causes(tmp_path, "{operator: nordavind, mtbf_s: 50, mttr_s: 5}")
    apart = causes(tmp_path, "{operator: nordavind, mtbf_s: 50, mttr_s: 5, each: true}")
    assert len(together) == 1
    assert [cause.title for cause in apart] == [
        f"operator nordavind: {name}"
        for name in ("nordavind/oslo-1", "bergen--oslo", "hamburg--oslo", "oslo--stockholm")
    ]
    begins = [[fault.begin_ns for fault in schedule([cause], 3, 1000 * SECOND_NS)] for cause in apart]
    assert len({tuple(one) for one in begins}) == 4


def test_another_fault_shifts_nothing(tmp_path: Path) -> None:
    one = "{zone: nordavind/oslo-1, mtbf_s: 50, mttr_s: 5}"
    alone = schedule(causes(tmp_path, one), 3, 1000 * SECOND_NS)
    both = schedule(causes(tmp_path, f"{{node: malmo, mtbf_s: 20, mttr_s: 5}}, {one}"), 3, 1000 * SECOND_NS)
    assert alone == tuple(fault for fault in both if fault.title == "zone nordavind/oslo-1")
    assert len(both) > len(alone) > 5


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("{zone: nordavind/oslo-2, at_s: 1}", "faults[0].zone: no zone 'nordavind/oslo-2' here; did you mean nor"),
        ("{operator: nordavin, at_s: 1}", "faults[0].operator: no operator 'nordavin' here; did you mean nordavind?"),
        ("{country: FI, at_s: 1}", "faults[0].country: no country 'FI' here"),
        ("{country: NX, at_s: 1}", "faults[0].country: 'NX' is not an ISO 3166-1 alpha-2 country code"),
        ("{link: [oslo, malmoe], at_s: 1}", "faults[0].link: no node 'malmoe' in the network; did you mean malmo?"),
        ("{link: [oslo, malmo], at_s: 1}", "oslo and malmo; oslo has links to bergen, hamburg, stockholm"),
        ("{cable: skagerak, at_s: 1}", "faults[0].cable: no cable 'skagerak' here; did you mean skagerrak?"),
        ("{node: malmoe, at_s: 1}", "faults[0].node: no node 'malmoe' here; did you mean malmo?"),
        ("{node: malmo, parts: zones, at_s: 1}", "faults[0]: node malmo has no zones that could fall"),
        ("{node: malmo, at_s: -1}", "faults[0].at_s: Input should be greater than or equal to 0; got -1"),
        ("{node: malmo, at_s: 1000}", "faults[0].at_s: 1000 s is not before the end of a replication, 1000 s"),
        ("{node: malmo, at_s: 1, mtbf: 3}", "faults[0].mtbf: unknown key; did you mean mtbf_s?"),
        ("{node: malmo, mtbf_s: 1}", "faults[0]: mtbf_s and mttr_s come together"),
        ("{node: malmo, mtbf_s: 1, mttr_s: 1, for_s: 2}", "faults[0]: for_s does not go with mtbf_s"),
        ("{node: malmo}", "faults[0]: give at_s, or mtbf_s and mttr_s, one of the two"),
        ("{at_s: 1}", "faults[0]: give exactly one of zone, operator, country, link, cable, node; given: none"),
        (f"{{{RANDOM}}}, {{{RANDOM}}}", "faults[1]: a second random fault of 'node malmo'"),
    ],
)  # fmt: skip
def test_fault_that_cannot_be_is_an_error_with_line_key_and_nearest_word(tmp_path: Path, fault: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        causes(tmp_path, fault, CABLES)
    (problem,) = caught.value.problems
    assert said in problem
    text = (tmp_path / "scenario.yaml").read_text(encoding="utf-8").splitlines()
    line = next(n for n, one in enumerate(text, 1) if one.startswith("faults:"))
    assert problem.startswith(f"{tmp_path / 'scenario.yaml'}:{line}: ")


def test_it_takes_as_long_to_know_as_the_control_plane_takes() -> None:
    assert RecoveryPart().detect_s * 1_000 == Settings("one").lost_after_ms


def test_surge_multiplies_the_requests_of_its_users_for_its_time_and_shifts_no_others(tmp_path: Path) -> None:
    run = ("run: {requests: 40000,", "run: {duration_s: 200,")
    surge = ("malmo, requests_per_s: 90", "malmo, requests_per_s: 90, surges: [{at_s: 50, for_s: 100, times: 4}]")
    usual, more = (traffic_of(world_of(tmp_path, run, *changes)) for changes in ((), (surge,)))
    assert usual.horizon_ns == more.horizon_ns == 200 * SECOND_NS
    counted = []
    for traffic in (usual, more):
        sent = list(traffic.requests(0))
        at_ns, point = (np.concatenate([getattr(one, name) for one in sent]) for name in ("at_ns", "user"))
        assert (np.diff(at_ns) >= 0).all()
        surging = (at_ns >= 50 * SECOND_NS) & (at_ns < 150 * SECOND_NS)
        point //= traffic.groups
        counted.append([int(((point == at) & inside).sum()) for at in range(3) for inside in (surging, ~surging)])
    before, after = counted
    assert after[:2] + after[3:] == before[:2] + before[3:]  # bergen, and malmo and oslo outside of it
    assert after[2] == pytest.approx(4 * 90 * 100, rel=0.03)
