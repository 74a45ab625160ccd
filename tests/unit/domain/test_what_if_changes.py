"""What is supposed, one change and several: which ways and zones it takes away, and what it leaves as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from deciding_world import LINKS, NODES, NOW_MS
from estates import BODO, GOTEBORG, HELSINKI, OSLO, ask, asks, cores, estate, outcomes, where
from hansa_control.domain.intake import Intake
from hansa_control.domain.model import (
    ConstraintResult,
    LinkKind,
    Preferences,
    Reason,
    Rejection,
    Selector,
    ZoneId,
    ZoneState,
)
from hansa_control.domain.snapshot import build_snapshot
from hansa_sim.what_if.answer import Answer, Change, Outcome
from hansa_sim.what_if.changes import Changes, SuppositionError, suppose
from hansa_sim.what_if.estate import Estate
from hansa_sim.what_if.sides import AccessFelt, Side
from hansa_sim.what_if.words import access_table, as_json, breaks, lines_of, table_of

EVERYWHERE = (OSLO, BODO, GOTEBORG, HELSINKI)


def links_of(present: Estate) -> set[str]:
    return {link.name for link in present.snapshot.links}


def gone(present: Estate, **changes: tuple[str, ...]) -> set[str]:
    """The links that a supposition takes away."""
    return links_of(present) - links_of(suppose(present, Changes(**changes)))


def states(present: Estate) -> dict[str, ZoneState]:
    return {str(zone.id): zone.state for zone in present.snapshot.zones}


# --- ways ---


def test_a_carrier_that_is_cut_takes_its_links_and_no_other() -> None:
    present = estate(EVERYWHERE)
    first = LINKS[0].carrier
    assert gone(present, cut=(f"carrier:{first}",)) == {link.name for link in LINKS if link.carrier == first}


def test_a_node_that_fails_takes_its_links_and_its_zones_and_leaves_the_others() -> None:
    present = estate(EVERYWHERE)
    after = suppose(present, Changes(fail=("node:goteborg",)))
    assert gone(present, fail=("node:goteborg",)) == {
        one.name for one in LINKS if "goteborg" in (one.node_a, one.node_b)
    }
    assert after.lost == {GOTEBORG.id}
    assert {name for name, state in states(after).items() if state is not ZoneState.AVAILABLE} == {str(GOTEBORG.id)}


def test_a_cable_is_a_link_in_the_sea_or_several_that_fall_together() -> None:
    present = estate(EVERYWHERE)
    wet = replace(LINKS[1], kind=LinkKind.SEA_CABLE)
    at_sea = replace(present, snapshot=build_snapshot(1, EVERYWHERE, NODES, (LINKS[0], wet, *LINKS[2:]), NOW_MS))
    assert gone(at_sea, cut=(f"cable:{wet.name}",)) == {wet.name}
    trunk = replace(present, cables={"trunk": frozenset({LINKS[0].name, LINKS[2].name})})
    assert gone(trunk, cut=("cable:trunk",)) == {LINKS[0].name, LINKS[2].name}
    with pytest.raises(SuppositionError, match=f"there is no cable '{LINKS[0].name}'"):
        suppose(trunk, Changes(cut=(f"cable:{LINKS[0].name}",)))


def test_a_link_that_is_cut_twice_or_with_its_node_is_cut_once() -> None:
    present = estate(EVERYWHERE)
    twice = gone(present, cut=(f"link:{LINKS[0].name}", f"link:{LINKS[0].node_b}/{LINKS[0].node_a}"))
    assert twice == {LINKS[0].name}
    both = gone(present, cut=(f"link:{LINKS[0].name}",), fail=(f"node:{LINKS[0].node_a}",))
    assert LINKS[0].name in both


# --- zones ---


def test_an_operator_that_fails_leaves_offers_that_grow_stale_and_a_zone_is_lost() -> None:
    present = estate(EVERYWHERE)
    silent = suppose(present, Changes(fail=("operator:skargard",)))
    assert silent.silent == {"skargard"}
    assert states(silent)[str(GOTEBORG.id)] is states(silent)[str(HELSINKI.id)] is ZoneState.STALE
    lost = suppose(present, Changes(fail=("zone:skargard/goteborg-1",)))
    assert states(lost)[str(GOTEBORG.id)] is ZoneState.LOST
    assert lost.silent == frozenset()


def test_failures_add_up_and_come_to_those_that_were_there() -> None:
    present = replace(estate(EVERYWHERE), lost=frozenset({BODO.id}))
    after = suppose(present, Changes(fail=("zone:nordavind/oslo-1", "country:FI")))
    assert after.lost == {BODO.id, OSLO.id, HELSINKI.id}


def test_a_zone_that_is_drained_takes_nothing_new_and_is_not_lost() -> None:
    after = suppose(estate(EVERYWHERE), Changes(drain=("zone:nordavind/oslo-1",)))
    assert {zone.id for zone in after.snapshot.zones if zone.upkeep.intake is Intake.DRAINING} == {OSLO.id}
    assert (after.lost, set(states(after).values())) == (frozenset(), {ZoneState.AVAILABLE})


def test_a_zone_that_is_drained_and_fails_is_lost() -> None:
    present = estate([OSLO, GOTEBORG], app=asks(4))
    both = ask(present, drain=("zone:nordavind/oslo-1",), fail=("zone:nordavind/oslo-1",))
    assert where(both) == where(ask(present, fail=("zone:nordavind/oslo-1",))) == {"app": "skargard/goteborg-1"}


def test_what_is_supposed_changes_nothing_of_what_is() -> None:
    present = estate(EVERYWHERE, app=asks(4))
    before = (present.snapshot, present.workloads, present.lost)
    ask(present, fail=("country:NO",), cut=("link:oslo/goteborg",), drain=("zone:skargard/goteborg-1",))
    assert (present.snapshot, present.workloads, present.lost) == before
    assert set(outcomes(ask(present)).values()) == {"STAYS"}


def test_changes_are_told_in_the_order_in_which_they_are_applied(tmp_path: Path) -> None:
    law = tmp_path / "law.yaml"
    changes = Changes(cut=("link:a/b",), fail=("zone:x/y",), drain=("zone:v/w",), accept=("agreement:o.yaml",), law=law)
    assert [words.split()[0] for words in changes.words()] == ["accept", "law", "cut", "fail", "drain"]
    assert Changes().words() == ()


OFFER = """\
kind: Offer
operator: {operator}
agreement: {{standing: in-force, zones: ["{pattern}"], quotas: [{{zones: ["*"], of: all, cpu_cores: 4}}]}}
zones: [{{zone: {zone}, node: goteborg, cpu_cores: 8, memory_gib: 8, artefacts: []}}]
"""


@pytest.mark.parametrize(
    ("operator", "zone", "pattern", "message"),
    [
        ("waldnetz", "skargard/kiel-1", "*", "skargard/kiel-1 is not of waldnetz, who offers"),
        ("skargard", "skargard/goteborg-1", "*", "skargard/goteborg-1 is there already"),
        ("waldnetz", "waldnetz/kiel-1", "berlin-*", "names none of the zones"),
        ("waldnetz", "kiel-1", "*", "expected OPERATOR/ZONE"),
        ("Waldnetz", "waldnetz/kiel-1", "*", "waldnetz"),
    ],
)
def test_an_offer_that_gives_nothing_usable_is_refused(
    operator: str, zone: str, pattern: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "offer.yaml").write_text(OFFER.format(operator=operator, zone=zone, pattern=pattern))
    with pytest.raises(SuppositionError) as refused:
        ask(estate([OSLO, GOTEBORG]), accept=(f"agreement:{tmp_path / 'offer.yaml'}",))
    assert message in str(refused.value)


def test_a_law_that_is_no_law_is_refused(tmp_path: Path) -> None:
    law = tmp_path / "law.yaml"
    law.write_text("kind: Law\nnatoin: {data: ['NO']}\n")
    with pytest.raises(SuppositionError, match=r"law\.yaml.*natoin"):
        ask(estate([OSLO]), law=law)


# --- who goes where ---


def test_a_preferred_tier_that_has_room_again_is_gone_back_to() -> None:
    wish = Preferences(ordered=(Selector(operators=frozenset({"skargard"})),))
    zones = [cores(4, GOTEBORG), cores(8, OSLO)]
    present = estate(zones, first=asks(4, "goteborg"), second=asks(4, preferences=wish))
    assert where(ask(present)) == {"first": "skargard/goteborg-1", "second": "nordavind/oslo-1"}
    first, second = present.workloads
    left = replace(present, workloads=(replace(first, placements=()), second))
    freed = replace(
        left,
        snapshot=left.snapshot.with_changed(9, [cores(4, GOTEBORG)], left.snapshot.taken_at_ms),
        workloads=(second,),
    )
    found = ask(freed)
    assert where(found) == {"second": "skargard/goteborg-1"}
    assert found.unsettled == (second.name,)


def test_who_comes_first_by_claim_gets_the_room_of_the_others() -> None:
    zones = [cores(8, OSLO), cores(4, BODO)]
    present = estate(zones, zulu=asks(4), alpha=asks(4))
    found = ask(present, fail=("zone:nordavind/oslo-1",))
    assert outcomes(found) == {"zulu": "NOWHERE", "alpha": "MOVES"}


# --- one change, as a value ---


def change(before: Side, after: Side, outcome: Outcome = Outcome.STAYS, response_us_max: int = 0) -> Change:
    return Change("tenants/t/workloads/w", outcome, before, after, 10_000, response_us_max, 95)


def felt(*rtts_us: int | None, response_us: int | None = None, **more: object) -> Side:
    points = tuple(AccessFelt(f"p{at}", rtt, response_us) for at, rtt in enumerate(rtts_us))
    return Side(zones=((OSLO.id, 1),), felt=points, **more)  # type: ignore[arg-type]


def test_a_budget_is_broken_by_what_was_kept_before_and_not_by_what_never_was() -> None:
    found = change(felt(10_000, 12_000, None), felt(10_001, 15_000, None))
    assert [at.access_point for at in found.over_budget] == ["p0"]
    assert found.breaks_promise
    assert not change(felt(12_000), felt(15_000)).breaks_promise
    assert not change(felt(12_000), felt(9_000)).breaks_promise


def test_who_had_no_way_before_and_has_a_slow_one_now_has_lost_nothing() -> None:
    assert change(felt(None), felt(15_000)).over_budget == ()


def test_a_response_may_be_late_though_its_way_is_not() -> None:
    late = change(felt(9_000, response_us=20_000), felt(9_000, response_us=30_500), response_us_max=30_000)
    assert list(breaks(late)) == ["p0: response 30.5 ms > 30 ms"]
    unbounded = change(felt(9_000, response_us=20_000), felt(9_000, response_us=30_500))
    assert unbounded.over_budget == ()
    unknown = change(felt(9_000), felt(9_500), response_us_max=30_000)
    assert unknown.over_budget == ()


def rejection() -> Rejection:
    result = ConstraintResult("SiteResidency", "DE", "NO", "by hand")
    return Rejection(ZoneId("a", "b"), Reason.ZONE_LOST, result)


def test_only_law_that_was_kept_before_is_broken_by_a_change() -> None:
    broken = (rejection(),)
    assert change(felt(1), felt(1, broken=broken)).breaks_law
    assert not change(felt(1, broken=broken), felt(1, broken=broken)).breaks_law
    assert list(breaks(change(felt(1), felt(1, broken=broken)))) == ["runs on against SiteResidency: DE, bound NO"]


def test_a_fallback_is_gained_or_lost_only_by_what_runs_on_both_sides() -> None:
    with_one, without = felt(1, fallback=BODO.id), felt(1)
    assert change(with_one, without).loses_fallback
    assert change(without, with_one).gains_fallback
    assert not change(with_one, Side(), Outcome.NOWHERE).loses_fallback
    assert not change(Side(), with_one, Outcome.PLACED).gains_fallback
    assert not change(with_one, without).breaks_promise


@pytest.mark.parametrize("outcome", list(Outcome))
def test_whoever_loses_its_place_breaks_a_promise_and_nobody_else(outcome: Outcome) -> None:
    loses = {Outcome.NOWHERE, Outcome.GIVES_WAY, Outcome.UNHEARD, Outcome.PARTLY}
    found = Answer((), (change(felt(1), felt(1), outcome),), (), 1, 1)
    assert found.breaks_promise == (outcome in loses)
    assert found.of(outcome) == found.changes
    assert as_json(found)["counts"] == {one.name.lower(): int(one is outcome) for one in Outcome}


def test_the_slowest_of_users_who_are_cut_off_is_unknown_and_shown_as_no_way() -> None:
    assert felt(5, 9).slowest_rtt_us == 9
    assert felt(5, None).slowest_rtt_us is None
    assert Side().slowest_rtt_us is None
    table = table_of(Answer((), (change(felt(5_000), felt(None)),), (), 1, 1))
    assert table is not None
    assert next(iter(table.columns[4].cells)).plain == "5.0 -> no way"  # type: ignore[union-attr]


def test_the_longest_way_of_an_access_point_is_that_of_its_worst_workload() -> None:
    changes = (change(felt(5_000), felt(8_000)), change(felt(6_000), felt(7_000)), change(felt(3_000), felt(3_000)))
    table = access_table(Answer((), changes, (), 1, 1))
    assert table is not None
    cells = [str(next(iter(column.cells))) for column in table.columns]
    assert cells == ["p0", "2", "6.0 -> 8.0", "+2.0"]


def test_who_is_on_the_move_anyway_is_named_and_one_workload_is_not_several() -> None:
    found = Answer(("fail zone:a/b",), (), ("tenants/t/workloads/w",), 0, 0)
    told = list(lines_of(found))
    assert "0 workloads: none" in told
    assert "on the move even without it: w" in told
