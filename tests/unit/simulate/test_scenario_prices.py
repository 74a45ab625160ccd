"""Prices and means on worlds that are worked out by hand: nobody waits, service takes 20 ms, and ways are in the table.

A way takes what its links say, and 5.4 ms for the access at both ends.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hansa_sim.latency.results import Interval, Results, Row, as_json
from hansa_sim.latency.run import run_scenario
from hansa_sim.latency.table import words_of
from scenario_texts import world_of

ACCESS, SERVICE = 5.4, 20.0
USERS = (
    "  - {access_point: oslo, requests_per_s: 60}\n  - {access_point: bergen, requests_per_s: 50}\n"
    "  - {access_point: malmo, requests_per_s: 90}\n"
)
QUIET = (
    ("times: [{mean_ms: 20}]", "times: [{mean_ms: 20}], distribution: fixed"),
    ("compare: {law: false, federation: false}", "compare: {law: true, federation: true}"),
    ("requests: 40000, replications: 4, seed: 7", "requests: 1000, replications: 2, seed: 8"),
)
BOTH_AT = (("        node: oslo\n", "        node: bergen\n"), ("        node: stockholm\n", "        node: oslo\n"))
"""Nordavind's zone stands in Bergen, and Skargard's in Oslo, at Nordavind's node."""


def _ran(folder: Path, users: dict[str, float], *changes: tuple[str, str]) -> Results:
    asked = "".join(f"  - {{access_point: {name}, requests_per_s: {rate}}}\n" for name, rate in users.items())
    return run_scenario(world_of(folder, (USERS, asked), *QUIET, *changes))


def _row(results: Results, view: str = "together") -> Row:
    row = results.row(results.base, view)
    assert row is not None
    return row


def _price(results: Results, what: str) -> tuple[float | None, float | None, float, float]:
    """The mean in ms, in percent, the share that is not served, and EUR an hour."""
    price = next(one for one in results.prices if one.what == what)
    return price.mean_ms.mean, price.mean_percent, price.unserved_share, price.cost_eur_per_hour


def _said(results: Results, what: str) -> str:
    return next(words for words in words_of(results) if words.startswith(f"Price of {what}"))


def test_law_costs_the_longer_way_to_the_zone_that_it_allows(tmp_path: Path) -> None:
    found = _ran(tmp_path, {"malmo": 0.001})
    lawful, lawless = 9 + ACCESS + SERVICE, 6 + ACCESS + SERVICE  # stockholm, and hamburg beyond denmark
    assert (_row(found).mean_ms.mean, _row(found, "lawless").mean_ms.mean) == pytest.approx((lawful, lawless))
    assert _price(found, "law") == pytest.approx((3.0, 100 * 3 / lawless, 0.0, 1.0 - 0.5))
    assert _said(found, "law").startswith(
        "Price of law: +3.00 ± 0.00 ms in the mean (+9.6 %) and EUR +0.50 an hour (nearest against nearest, no"
    )


def test_law_costs_nothing_where_the_nearest_zone_is_lawful_anyway(tmp_path: Path) -> None:
    found = _ran(tmp_path, {"oslo": 0.001, "bergen": 0.001})
    assert _price(found, "law") == pytest.approx((0.0, 0.0, 0.0, 0.0))
    assert "+0.00 ± 0.00 ms in the mean (+0.0 %) and EUR +0.00 an hour" in _said(found, "law")


def test_who_does_not_federate_goes_the_longer_way_to_its_own_zone(tmp_path: Path) -> None:
    found = _ran(tmp_path, {"oslo": 0.001}, *BOTH_AT)
    together = ACCESS + SERVICE
    assert _row(found).mean_ms.mean == pytest.approx(together)
    assert _row(found, "alone").mean_ms.mean == pytest.approx(7 + together)
    assert _price(found, "not federating") == pytest.approx((7.0, 100 * 7 / together, 0.0, 1.5 - 1.0))
    assert "unserved" not in _said(found, "not federating")


def test_users_whom_only_a_partner_can_serve_are_counted_and_do_not_count_in_the_mean(tmp_path: Path) -> None:
    found = _ran(tmp_path, {"bergen": 0.001, "malmo": 0.003}, ("        node: oslo\n", "        node: hamburg\n"))
    alone = {point.access_point: point for point in _row(found, "alone").points}
    assert alone["bergen"].why_not == "unreachable: no way in the network leads to any zone"
    assert alone["malmo"].mean_ms == pytest.approx(9 + ACCESS + SERVICE)
    bergen = {point.access_point: point.mean_ms for point in _row(found).points}["bergen"]
    assert bergen == pytest.approx(7 + 8 + ACCESS + SERVICE)
    ms, percent, unserved, _ = _price(found, "not federating")
    assert (ms, percent) == pytest.approx((0.0, 0.0))
    assert unserved == _row(found, "alone").unserved_share == pytest.approx(0.25, abs=0.05)
    assert f"and leaves {100 * unserved:.1f} % more of the requests unserved" in _said(found, "not federating")


def test_where_nobody_is_served_by_both_there_is_no_price_and_it_is_said(tmp_path: Path) -> None:
    found = _ran(tmp_path, {"bergen": 0.001}, ("        node: oslo\n", "        node: hamburg\n"))
    assert _price(found, "not federating")[:3] == (None, None, 1.0)
    assert _said(found, "not federating") == (
        "Price of not federating: not known, because a row is unstable or serves nobody."
    )


def test_users_whom_the_law_leaves_without_a_zone_are_part_of_its_price(tmp_path: Path) -> None:
    found = _ran(
        tmp_path, {"hamburg": 0.001, "oslo": 0.001}
    )  # the way from hamburg leaves the lawful countries at once
    assert _price(found, "law")[2] == _row(found).unserved_share == pytest.approx(0.5, abs=0.1)
    assert "Not served by nearest: hamburg: no lawful path to any zone." in list(words_of(found))


@pytest.mark.parametrize(("bound_ms", "missed"), [(30, 1.0), (40, 0.0)])
def test_requests_miss_the_bound_that_they_are_above_and_no_other(tmp_path: Path, bound_ms: int, missed: float) -> None:
    found = _ran(tmp_path, {"malmo": 0.001}, ("response_ms_max: 300", f"response_ms_max: {bound_ms}"))
    row = _row(found)  # every request takes 34.4 ms
    assert row.miss_share == Interval(missed, 0.0)
    assert [one.mean for one in (row.p50_ms, row.p99_ms)] == pytest.approx([34.4, 34.4], rel=0.004)
    assert row.wait_ms.mean == 0.0
    keeps = "not under nearest" if missed else f"p95 within {bound_ms} ms for those who are served: under nearest."
    assert any(keeps in words for words in words_of(found))


def test_a_run_in_which_no_request_comes_says_so_and_has_no_figures(tmp_path: Path) -> None:
    short = ("requests: 1000, replications: 2", "duration_s: 0.001, replications: 2")
    found = _ran(tmp_path, {"malmo": 0.001}, short)
    (row, *_) = found.rows
    assert (row.requests, row.unserved_share, row.mean_ms) == (0, 0.0, Interval(None, None))
    assert next(words_of(found)).startswith("No request came in while it was measured")
    assert json.loads(json.dumps(as_json(found), allow_nan=False))["rows"][0]["unserved_share"] == 0.0
