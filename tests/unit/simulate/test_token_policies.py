"""Policies for apps that serve tokens: who is served where, with how many replicas, and beside what else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hansa_sim.engines.histogram import bounds_ns
from hansa_sim.engines.model import Zones
from hansa_sim.engines.recorder import Run
from hansa_sim.engines.tokens import Fleet, serve
from hansa_sim.latency.policies import plan_of, stations_of
from hansa_sim.latency.results import Results, Row
from hansa_sim.latency.run import run_scenario
from hansa_sim.latency.scenario_schema import PolicyName
from hansa_sim.latency.table import tables_of
from hansa_sim.latency.traffic import paths_of, traffic_of, zones_of
from hansa_sim.latency.views import ViewName, view_of
from hansa_sim.latency.world import World
from scenario_texts import TWO_APPS, world_of

ENGINE = "{step_ms: 10, token_us: 50, sample_us: 2, context_ns: 100, sequences: 16, kv_tokens: 20000}"
SERVICE = f"{{tokens: {{prompt: {{mean: 300, scv: 0.5}}, generated: {{mean: 20, scv: 0.5}}, engines: [{ENGINE}]}}}}"
TOKENS = (
    ("service: {times: [{mean_ms: 20}]}", f"service: {SERVICE}"),
    ("response_ms_max: 300", "response_ms_max: 3000"),
    ("requests: 40000, replications: 4", "requests: 6000, replications: 3"),
)
FIXED = "policies: [nearest, cheapest, greenest, hansa, optimum]"
FEWER = tuple((f"requests_per_s: {rate}}}", f"requests_per_s: {rate / 2}}}") for rate in (60, 50, 90))
ALL = (*FEWER, ("policies: [nearest]", FIXED), ("{law: false, federation: false}", "{law: true, federation: true}"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world_of(tmp_path_factory.mktemp("policies"), *TOKENS, *ALL)


@pytest.fixture(scope="module")
def results(world: World) -> Results:
    return run_scenario(world)


def _row(results: Results, policy: str, view: str = "together") -> Row:
    row = results.row(policy, view)
    assert row is not None
    return row


@pytest.mark.parametrize("policy", ["nearest", "cheapest", "greenest", "hansa", "optimum"])
def test_every_fixed_policy_serves_everybody_in_time(results: Results, policy: str) -> None:
    row = _row(results, policy)
    assert row.is_sound and row.unserved_share == 0.0
    assert row.p95_ms.mean is not None and row.p95_ms.mean < 3_000
    assert row.engine == "tokens" and row.tokens is not None


def test_every_row_has_tokens_those_of_the_two_prices_too(results: Results) -> None:
    assert [(row.policy, row.view) for row in results.rows][-2:] == [("hansa", "lawless"), ("hansa", "alone")]
    assert all(row.tokens is not None for row in results.rows)
    assert {price.what for price in results.prices} == {"law", "not federating"}


def test_the_planners_prediction_is_of_full_batches_and_so_is_not_below_what_comes(results: Results) -> None:
    row = _row(results, "hansa")
    assert row.predicted_ms is not None
    for name in ("p50", "p95", "p99"):
        seen = getattr(row, f"{name}_ms").mean
        assert seen is not None and row.predicted_ms[name] > seen


def test_more_devices_give_earlier_and_quicker_tokens(results: Results) -> None:
    few, most = _row(results, "hansa"), _row(results, "optimum")
    assert sum(zone.replicas for zone in few.zones) < sum(zone.replicas for zone in most.zones)
    assert few.tokens is not None and most.tokens is not None
    for name in ("first_mean_ms", "first_p95_ms", "each_mean_ms"):
        assert getattr(most.tokens, name).mean < getattr(few.tokens, name).mean


def test_the_same_tokens_are_generated_under_every_policy_that_serves_all(results: Results) -> None:
    rates = {row.tokens.generated_per_s.mean for row in results.rows if row.tokens and not row.unserved_share}
    assert len(rates) == 1


def test_zones_serve_at_once_what_their_replicas_batch(world: World, results: Results) -> None:
    slots = stations_of(world).concurrency
    for zone in _row(results, "nearest").zones:
        assert zone.servers == zone.replicas * slots
        assert 0 <= zone.utilisation <= 1


def test_users_get_their_first_token_after_their_way_and_a_step_at_least(world: World) -> None:
    traffic, view = traffic_of(world), view_of(world, ViewName.TOGETHER)
    plan = plan_of(world, view, PolicyName.NEAREST)
    assert traffic.models is not None
    fleet = Fleet(traffic.models, tuple(plan.replicas.tolist()))
    paths = paths_of(view, plan, traffic.places)
    run = Run.of(traffic.classes, paths, Zones.of(fleet.servers()), traffic.window)
    found = serve(traffic.requests(0), zones_of(view, plan, traffic.places), run, fleet)
    assert found.tokens is not None
    nearest_ns = int(np.where(view.lawful, view.rtt_ns, np.iinfo(np.int64).max).min())
    begins_ns = np.flatnonzero(found.tokens.first.counts)[0]
    assert bounds_ns()[begins_ns + 1] >= nearest_ns + 10_000_000


def test_an_app_that_serves_tokens_runs_beside_one_that_does_not(tmp_path: Path) -> None:
    mixed = (
        *TWO_APPS,
        ("service: {times: [{mean_ms: 30}]}", f"service: {SERVICE}"),
        ("response_ms_max: 200", "response_ms_max: 3000"),
        ("requests: 40000, replications: 4", "requests: 6000, replications: 3"),
    )
    found = run_scenario(world_of(tmp_path, *mixed))
    speaking, reading = found.apps
    assert (speaking.app, reading.app) == ("asr", "ocr")
    assert speaking.rows[0].tokens is not None and reading.rows[0].tokens is None
    assert (speaking.rows[0].engine, reading.rows[0].engine) == ("tokens", "static")
    titles = [str(table.title) for table in tables_of(found, 190)]
    assert titles[-1] == "asr: tokens" and "ocr: tokens" not in titles


def test_a_policy_that_finds_no_room_serves_nobody_and_says_no_times(tmp_path: Path) -> None:
    huge = ENGINE.replace("step_ms: 10", "step_ms: 60000").replace("sequences: 16", "sequences: 1")
    found = run_scenario(
        world_of(tmp_path, *TOKENS, (ENGINE, huge), ("policies: [nearest]", "policies: [hansa]")),
    )
    row = found.rows[0]
    assert row.unserved_share == 1.0 and row.message
    assert row.tokens is not None
    assert (row.tokens.first_mean_ms.mean, row.tokens.generated_per_s.mean) == (None, 0.0)
