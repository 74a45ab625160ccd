"""Several apps share accelerators: nothing is given twice, each is itself, and one app is as it was before."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hansa_sim.latency.optimum import best_split, waiting_at
from hansa_sim.latency.policies import plan_of, stations_of
from hansa_sim.latency.report import report_of
from hansa_sim.latency.results import Results, Row, as_json
from hansa_sim.latency.run import run_scenario
from hansa_sim.latency.scenario_file import ScenarioError, load_scenario
from hansa_sim.latency.scenario_schema import PolicyName
from hansa_sim.latency.sharing import plans_of
from hansa_sim.latency.table import tables_of, words_of
from hansa_sim.latency.views import View, ViewName, view_of
from hansa_sim.latency.world import World, build_world, seed_of_app
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenario_texts import SCENARIO, TWO_APPS, world_of, written

ALL = ("policies: [nearest]", "policies: [nearest, cheapest, greenest, least-loaded, least-latency, hansa, optimum]")
BOTH = ("compare: {law: false, federation: false}", "compare: {law: true, federation: true}")
FEW = ("requests: 40000, replications: 4", "requests: 12000, replications: 3")

ONE_APP_BEFORE = "4fd7373bd19bcdc16c65332482d5c8b72be4a84d2878e16b52846bbdec8bb689"
"""Of the results of the small scenario of one app, as they were when a scenario had one app only.

Since then differences, and the means that prices are percents of, are summed by access point, which changed their last
digits and nothing else here."""


def _digest(results: Results) -> str:
    """What was measured and compared, by the keys that results had then."""
    document = as_json(results)
    assert "apps" not in document
    rows = [{key: row[key] for key in sorted(row) if key in ROW_KEYS} for row in document["rows"]]
    for row in rows:
        row["points"] = [{key: point[key] for key in point if key != "lost_share"} for point in row["points"]]
    kept = {"rows": rows, "prices": document["prices"], "map": document["map"], "simulated_s": document["simulated_s"]}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


ROW_KEYS = frozenset(
    """policy view engine requests mean_ms p50_ms p95_ms p99_ms p999_ms miss_share wait_ms unserved_share
    cost_eur_per_hour power_kw carbon_g_per_hour unstable message predicted_ms zones points cdf_ms differs_ms
    regret_ms""".split()  # noqa: SIM905 - as it stands it is read faster than as a list
)


def test_a_scenario_of_one_app_gives_what_it_gave_before_there_could_be_several(tmp_path: Path) -> None:
    assert _digest(run_scenario(world_of(tmp_path, ALL, BOTH, FEW))) == ONE_APP_BEFORE


# --- capacity -------------------------------------------------------------------------------------------------------

APP = """  - name: app{n}
    home: {home}
    priority: {priority}
    accelerators: {{count: {count}}}
    latency: {{rtt_ms_max: 60, response_ms_max: 300}}
    residency: {residency}
    service: {{concurrency: {concurrency}, times: [{{mean_ms: {mean}}}]}}
"""
APPS = st.lists(
    st.fixed_dictionaries(
        {
            "home": st.sampled_from(["nordavind", "skargard", "waldnetz"]),
            "priority": st.integers(-1, 1),
            "count": st.integers(1, 3),
            "concurrency": st.integers(1, 2),
            "residency": st.sampled_from(["none", "{data: [NO, SE]}", "{data: [DE], transit: [DE]}"]),
            "mean": st.integers(5, 60),
            "users": st.lists(st.sampled_from(["oslo", "bergen", "malmo", "hamburg"]), min_size=1, max_size=3),
            "rate": st.integers(1, 120),
        }
    ),
    min_size=2,
    max_size=4,
)


def _drawn(folder: Path, apps: list[dict[str, Any]], devices: list[int]) -> World:
    """The small scenario with these apps, and so many devices in its three zones."""
    head = SCENARIO.partition("apps:\n")[0]
    for old, count in zip(("L40S, count: 4}", "L40S, count: 3}", "L40S, count: 4}"), devices, strict=True):
        head = head.replace(old, f"L40S, count:  {count}}}", 1)
    text = head + "apps:\n" + "".join(APP.format(n=n, **app) for n, app in enumerate(apps)) + "users:\n"
    for n, app in enumerate(apps):
        for point in app["users"]:
            text += f"  - {{app: app{n}, access_point: {point}, requests_per_s: {app['rate']}}}\n"
    path = written(folder)
    path.write_text(text, encoding="utf-8")
    return build_world(load_scenario(path))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(apps=APPS, devices=st.lists(st.integers(1, 8), min_size=3, max_size=3), view=st.sampled_from(ViewName))
def test_no_policy_gives_more_of_a_zone_than_it_has_or_users_what_they_may_not_use(
    tmp_path: Path, apps: list[dict[str, Any]], devices: list[int], view: ViewName
) -> None:
    world = _drawn(tmp_path, apps, devices)
    views = [view_of(part, view) for part in world.parts]
    has = np.array([zone.inventory.pools[0].count for zone in world.zones])
    for policy in PolicyName:
        plans = plans_of(world.parts, views, policy)
        taken = sum(plan.replicas * app["count"] for plan, app in zip(plans, apps, strict=True))
        assert (taken <= has).all(), (policy, taken, has)
        for plan, mine in zip(plans, views, strict=True):
            assert (plan.replicas >= 0).all()
            if plan.share is not None:
                assert not plan.share[:, plan.replicas == 0].any()
                assert not plan.share[~mine.lawful].any()


def test_who_has_priority_is_placed_first_and_equals_as_they_stand(tmp_path: Path) -> None:
    oslo = {}
    for priority in (10, -10):
        more = (
            "{app: asr, access_point: oslo, requests_per_s: 10}",
            "{app: asr, access_point: oslo, requests_per_s: 60}",
        )
        world = world_of(tmp_path, *TWO_APPS, more, ("priority: 10", f"priority: {priority}"))
        views = [view_of(part, ViewName.TOGETHER) for part in world.parts]
        asr, ocr = plans_of(world.parts, views, PolicyName.NEAREST)
        oslo[priority] = (int(asr.replicas[0]), int(ocr.replicas[0]))
    assert oslo[10] == (2, 0)  # two devices each: all four of oslo
    assert oslo[-10][1] > 0
    assert oslo[-10][0] * 2 + oslo[-10][1] <= 4


# --- each by itself -------------------------------------------------------------------------------------------------

APART = (
    TWO_APPS[0],
    (
        TWO_APPS[1][0],
        "  - {app: ocr, access_point: oslo, requests_per_s: 60}\n"
        "  - {app: ocr, access_point: bergen, requests_per_s: 40}\n"
        "  - {app: asr, access_point: malmo, requests_per_s: 100}\n",
    ),
    ("{count: 2}", "{any_of: [L4], count: 2}"),
    (
        "node: hamburg\n        accelerators: {model: L40S, count: 4}",
        "node: hamburg\n        accelerators: {model: L4, count: 20}",
    ),
    ("  - name: ocr\n", "  - name: ocr\n    accelerators: {any_of: [L40S]}\n"),
)


def _by_itself(path: Path, app: int) -> Row:
    """The base row of a scenario that has this app only, half of the requests, and its chance."""
    loaded = load_scenario(path)
    mine = loaded.scenario.apps[app]
    users = [part for part in loaded.scenario.users if part.app == mine.name]
    scenario = loaded.scenario.model_copy(update={"apps": [mine], "users": users})
    alone = replace(loaded, scenario=scenario, laws=(loaded.laws[app],))
    row = run_scenario(
        build_world(alone.with_run(requests=loaded.scenario.run.requests // 2, seed=seed_of_app(7, mine.name)))
    ).row("hansa")
    assert row is not None
    return row


def test_two_apps_on_zones_apart_are_two_scenarios_by_themselves(tmp_path: Path) -> None:
    path = written(tmp_path, *APART, ("policies: [nearest]", "policies: [hansa, least-latency]"), FEW)
    both = run_scenario(build_world(load_scenario(path)))
    for app, rows in enumerate(both.apps):
        assert rows.rows[0] == _by_itself(path, app)
        assert rows.rows[0].is_sound


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Two apps on shared zones, every policy and both prices."""
    return run_scenario(world_of(tmp_path_factory.mktemp("two"), *TWO_APPS, ALL, BOTH, FEW))


def test_the_whole_is_the_sum_of_its_apps(shared: Results) -> None:
    assert [app.app for app in shared.apps] == ["asr", "ocr"]
    for at, row in enumerate(shared.rows):
        parts = [app.rows[at] for app in shared.apps]
        assert {part.name for part in parts} == {row.name}
        assert row.requests == sum(part.requests for part in parts)
        assert row.cost_eur_per_hour == pytest.approx(sum(part.cost_eur_per_hour for part in parts))
        unserved = sum(part.unserved_share * part.requests for part in parts)
        assert row.unserved_share * row.requests == pytest.approx(unserved)
        missed = sum((part.miss_share.mean or 0.0) * part.requests for part in parts)
        assert (row.miss_share.mean or 0.0) * row.requests == pytest.approx(missed, rel=0.02)
        for n, zone in enumerate(row.zones):
            assert zone.replicas == sum(part.zones[n].replicas for part in parts)
        if all(part.is_sound for part in parts):
            means = [part.mean_ms.mean or 0.0 for part in parts]
            assert min(means) <= (row.mean_ms.mean or 0.0) <= max(means)
            assert sum(zone.request_share for zone in row.zones) == pytest.approx(1.0)


def test_every_policy_sees_the_same_requests_of_each_app(shared: Results) -> None:
    for app in shared.apps:
        assert len({row.requests for row in app.rows}) == 1


def test_table_words_and_report_show_each_app_by_its_own_bound(shared: Results) -> None:
    titles = [[str(column.header) for column in table.columns] for table in tables_of(shared)]
    assert [next(name for name in each if name.startswith(">")) for each in titles] == [
        "> bound",
        "> 200 ms",
        "> 300 ms",
    ]
    words = "\n".join(words_of(shared))
    assert "asr: p95 within 200 ms" in words
    assert "ocr: p95 within 300 ms" in words
    page = report_of(shared)
    assert "asr by itself" in page
    assert "over 200 ms" in page
    assert json.loads(json.dumps(as_json(shared), allow_nan=False))["apps"][1]["app"] == "ocr"


# --- the optimum ----------------------------------------------------------------------------------------------------


def _mean_s(world: World, view: View, replicas: np.ndarray[Any, np.dtype[np.int64]]) -> float:
    """Seconds of way, wait and service that an app's users spend in a second under their best split."""
    stations = stations_of(world)
    demand = np.array([user.millirps for user in world.users]) / 1_000
    servers = replicas * stations.concurrency
    share = best_split(view, demand, stations.mean_us, (servers, 1.0))
    if not share.any():
        return float("inf")
    load, service_s = demand @ share, stations.mean_us / 1e6
    if (load >= np.maximum(servers, 1e-9) / service_s).any():
        return float("inf")
    ways = float((demand[:, None] * share * view.rtt_ns / 1e9).sum())
    return ways + float((load * service_s).sum()) + float(waiting_at(load, servers, service_s, 1.0).sum())


def test_no_other_division_of_devices_beats_the_joint_optimum(tmp_path: Path) -> None:
    world = world_of(tmp_path, *TWO_APPS, ("requests_per_s: 40", "requests_per_s: 70"))
    views = [view_of(part, ViewName.TOGETHER) for part in world.parts]
    asr, ocr = world.parts
    cost = {}
    for first in product(range(3), range(3), range(2)):  # asr takes two devices each of 4, 4 and 3
        left = np.array([4, 4, 3]) - 2 * np.array([first[0], first[1], first[2]])
        cost[first] = _mean_s(asr, views[0], np.array(first)) + _mean_s(ocr, views[1], left)
    names = [str(zone.id) for zone in world.zones]
    assert names == ["nordavind/oslo-1", "skargard/stockholm-1", "waldnetz/hamburg-1"]
    plans = plans_of(world.parts, views, PolicyName.OPTIMUM)
    found = sum(_mean_s(*one) for one in zip(world.parts, views, (plan.replicas for plan in plans), strict=True))
    assert found <= min(cost.values()) * 1.002


# --- what is wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{app: ocr, access_point: oslo", "{access_point: oslo", "users[0]: app is needed, one of asr, ocr"),
        ("{app: ocr, access_point: oslo", "{app: ocrr, access_point: oslo", "no app 'ocrr'; did you mean ocr?"),
        ("{app: ocr,", "{app: asr,", "apps[1].name: nobody uses app 'ocr'"),
        ("- name: ocr", "- name: asr", "app 'asr' is there twice"),
        ("{data: [NO, SE], control: [NO, SE], transit: [NO, SE]}", "{preset: none-such}", "apps[1].residency"),
    ],
)  # fmt: skip
def test_users_and_apps_that_do_not_fit_are_said_with_their_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = written(tmp_path, *TWO_APPS, (old, new))
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path}:")


def test_who_asks_for_the_one_app_of_several_is_told(tmp_path: Path) -> None:
    world = world_of(tmp_path, *TWO_APPS)
    with pytest.raises(ValueError, match="has 2 apps"):
        plan_of(world, view_of(world.parts[0], ViewName.TOGETHER), PolicyName.NEAREST)
