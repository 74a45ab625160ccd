"""Records re-verify, and whatever is changed in one shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from hashlib import sha256
from typing import Any

import pytest
from deciding_world import NOW_MS, facts, link, node, spec, zone
from hansa_control.domain.canonical import Roll, canonical
from hansa_control.domain.model import (
    AccessDemand,
    ConstraintResult,
    DataClass,
    LatencyBasis,
    LatencyBudget,
    Objective,
    Preferences,
    ProbeResult,
    Reason,
    Rejection,
    ResidencyPolicy,
    RoundTrip,
    Selector,
    ServiceProfile,
    ServiceTime,
    SiteRule,
    SoftConstraint,
    TransitRule,
    ZoneBounds,
    ZoneId,
)
from hansa_control.domain.network import NetworkChange, build_network
from hansa_control.domain.placement import PlacementRequest, decide
from hansa_control.domain.record import (
    Afterwards,
    DecisionInputs,
    DecisionRecord,
    Digests,
    parts_of,
    record_of,
    snapshot_of,
    verify,
)
from hansa_control.domain.snapshot import Measured, Snapshot, assemble_snapshot

NODES = (
    node("oslo", "NO", latitude_deg=59.91, longitude_deg=10.75),
    node("goteborg", "SE", latitude_deg=57.71, longitude_deg=11.97),
    node("umea", "SE", latitude_deg=63.83, longitude_deg=20.26),
    node("helsinki", "FI", latitude_deg=60.17, longitude_deg=24.94),
)
LINKS = (
    link("oslo", "goteborg", 10, length_m=1_000),  # too short and too fast: lifted to what physics allows
    link("goteborg", "umea", 12_000, length_m=1_100_000),
    link("goteborg", "helsinki", 9_000, length_m=900_000, forward_permille=400),
    link("helsinki", "umea", 7_000, length_m=600_000, one_way=True),
)
ZONES = (
    zone(),
    zone("skargard/gbg-1", "goteborg", facts=facts("SE")),
    zone("skargard/umea-1", "umea", facts=facts("SE")),
    zone("waldnetz/hel-1", "helsinki", facts=facts("FI")),
)
MEASURED = RoundTrip(9_000, 9_500, 9_900, LatencyBasis.MEASURED, 500, NOW_MS)
PROBES = (ProbeResult(ZONES[0].id, ZONES[1].id, MEASURED, 8_900, 10, 1),)
SPEC = spec(
    access=(AccessDemand("oslo", 5_000), AccessDemand("helsinki", 3_000)),
    latency=LatencyBudget(95, 60_000, 400_000),
    residency=ResidencyPolicy(
        site=SiteRule(frozenset({"NO", "SE"})), transit=TransitRule(None, frozenset({"smugler"}), frozenset({"RU"}))
    ),
    replicas=2,
    replicas_max=3,
    zones=ZoneBounds(2, 2),
    service=ServiceProfile((ServiceTime("", 50_000, 90_000, 120_000, 500),), 2, 10_000, 1_000),
    preferences=Preferences((), (SoftConstraint(Selector(operators=frozenset({"nordavind"})), 200),)),
    objective=Objective(900, 60, 0),
)


def snapshot() -> Snapshot:
    network = build_network(5, NODES, LINKS)
    built = assemble_snapshot(7, ZONES, network, Measured.between(PROBES, ZONES), NOW_MS)
    return replace(built, own="nordavind")


def recorded(world: Snapshot | None = None, **changes: Any) -> DecisionRecord:
    world = world or snapshot()
    request = PlacementRequest(replace(SPEC, **changes), "nordavind", frozenset({ZoneId("x", "y"), ZoneId("a", "b")}))
    decision = decide(request, world, NOW_MS)
    inputs = DecisionInputs(request, NOW_MS, parts_of(world))
    return record_of(inputs, replace(decision, digest=Digests().of(inputs), elapsed_us=123))


def test_a_record_verifies() -> None:
    record = recorded()
    assert record.decision.plan is not None
    assert len(record.decision.plan.assignments) > 1
    assert verify(record) == ()


def test_a_record_of_a_patched_and_warm_snapshot_verifies() -> None:
    world = snapshot()
    recorded(world)
    slower = link("goteborg", "umea", 15_000, length_m=1_100_000)
    network = world.network.with_changes(8, NetworkChange(links=(slower,)))
    cordoned = replace(ZONES[1], inventory=replace(ZONES[1].inventory, cordoned=True), generation=4)
    later = world.updated(9, [cordoned, *ZONES[2:], ZONES[0]], NOW_MS + 5, network)
    record = recorded(later)
    assert record.inputs.snapshot.network_generation == 8
    assert verify(record) == ()


def test_a_record_of_an_infeasible_workload_verifies() -> None:
    record = recorded(latency=LatencyBudget(95, 10, 20))
    assert record.decision.choices == ()
    assert verify(record) == ()


def test_the_snapshot_is_the_same_once_rebuilt() -> None:
    world = snapshot()
    again = snapshot_of(parts_of(world))
    assert parts_of(again) == parts_of(world)
    assert again.links != LINKS, "the sample has a link that is counted otherwise than given"


def test_what_owners_refused_afterwards_is_part_of_the_record() -> None:
    record, refusal = refused()
    assert verify(record) == ()
    assert verify(replace(record, afterwards=())) != ()
    assert refusal.zone not in {choice.zone for choice in record.decision.choices}


def refused() -> tuple[DecisionRecord, Rejection]:
    """A record whose best zone was refused by its owner, and of which only the first choice kept its evidence."""
    record = recorded()
    gone = record.decision.choices[0].zone
    refusal = Rejection(gone, Reason.OWNER_REFUSED, ConstraintResult("OwnerConsent", "full", "granted", "answer"))
    kept = tuple(replace(choice, passed=()) if n else choice for n, choice in enumerate(record.decision.choices[1:]))
    rejections = (*record.decision.rejections, refusal)
    decision = replace(record.decision, choices=kept, rejections=rejections, plan=None)
    return record_of(record.inputs, decision, Afterwards((refusal,))), refusal


def test_a_left_out_zone_that_is_told_afterwards_counts_as_evaluated() -> None:
    told = Rejection(ZoneId("x", "y"), Reason.PARTNER_UNREACHABLE, ConstraintResult("OwnerConsent", "-", "-", "-"))
    record = recorded()
    decision = replace(
        record.decision,
        rejections=(*record.decision.rejections, told),
        zones_evaluated=record.decision.zones_evaluated + 1,
    )
    assert verify(record_of(record.inputs, decision, Afterwards((told,), 1))) == ()


# --- tampering ---


def test_every_field_of_a_record_that_is_changed_shows() -> None:
    silent = [place for place, changed in tampered(refused()[0]) if not verify(changed)]
    assert silent == []


def test_every_field_of_a_decision_with_a_plan_that_is_changed_shows() -> None:
    of_decision = [(place, changed) for place, changed in tampered(recorded()) if place.startswith("decision.")]
    assert any(place.startswith("decision.plan.assignments") for place, _ in of_decision)
    assert [place for place, changed in of_decision if not verify(changed)] == []


def test_the_changes_reach_every_part_of_a_record() -> None:
    places = [place for sample in (recorded(), refused()[0]) for place, _ in tampered(sample)]
    assert len(places) > 300
    parts = {
        *(f"inputs.snapshot.{name}" for name in ("zones", "nodes", "links", "probes")),
        "inputs.request.spec.residency",
    }
    parts |= {*(f"decision.{name}" for name in ("choices", "rejections", "plan")), "digest", "format", "afterwards"}
    assert {part for part in parts if not any(place.startswith(part) for place in places)} == set()


def test_evidence_that_is_claimed_beyond_what_there_is_shows() -> None:
    record = recorded()
    assert [found.field for found in verify(replace(record, evidenced=record.evidenced + 1))] == ["evidenced"]


def test_inputs_that_nobody_could_decide_on_show_even_if_their_digest_is_right() -> None:
    record = recorded()
    request = replace(record.inputs.request, spec=replace(SPEC, latency=LatencyBudget(96, 60_000)))
    inputs = replace(record.inputs, request=request)
    digest = Digests().of(inputs)
    changed = replace(record, inputs=inputs, digest=digest, decision=replace(record.decision, digest=digest))
    assert [(found.field, found.recomputed[:20]) for found in verify(changed)] == [("inputs", "cannot be decided on")]


def tampered(record: DecisionRecord) -> Iterator[tuple[str, DecisionRecord]]:
    """The record with one leaf changed at a time; of lists the first, the last and one between, and one less."""
    return _changes(record, "")


def _changes(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            for where, changed in _changes(getattr(value, field.name), f"{place}.{field.name}".lstrip(".")):
                yield where, replace(value, **{field.name: changed})
    elif isinstance(value, tuple):
        at = sorted({0, len(value) - 1, len(value) // 2}) if value else []
        for index in range(len(value)) if hasattr(value, "_fields") else at:
            for where, changed in _changes(value[index], f"{place}[{index}]"):
                items = [*value[:index], changed, *value[index + 1 :]]
                yield where, type(value)(*items) if hasattr(value, "_fields") else tuple(items)
        if value and not hasattr(value, "_fields"):
            yield f"{place}[less]", value[:-1]
    else:
        yield from ((place, changed) for changed in _other(value))


def _other(value: Any) -> Iterator[Any]:
    if isinstance(value, Enum):
        members = list(type(value))
        yield members[(members.index(value) + 1) % len(members)]
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield value + 1
    elif isinstance(value, str):
        yield value + "x"
    elif isinstance(value, frozenset) and value:
        yield frozenset(sorted(value)[1:])


# --- digests ---


def test_the_digest_is_that_of_equal_values_in_any_process() -> None:
    inputs = recorded().inputs
    assert Digests().of(inputs) == Digests().of(recorded().inputs)
    shuffled = replace(inputs, request=replace(inputs.request, exclude=frozenset({ZoneId("a", "b"), ZoneId("x", "y")})))
    assert Digests().of(shuffled) == Digests().of(inputs)
    assert len({Digests().of(inputs), Digests().of(replace(inputs, hypothetical=True))}) == 2


def test_a_digest_that_reuses_is_the_digest_from_scratch() -> None:
    digests, world = Digests(), snapshot()
    for zones in (ZONES, ZONES[1:], (replace(ZONES[0], generation=2), *ZONES[1:]), ZONES, ()):
        inputs = DecisionInputs(PlacementRequest(SPEC, "nordavind"), NOW_MS, replace(parts_of(world), zones=zones))
        assert digests.of(inputs) == Digests().of(inputs)


def test_the_digest_covers_the_canonical_bytes_of_the_whole_question() -> None:
    digests = Digests()
    for exclude in (frozenset[ZoneId](), frozenset({ZoneId("waldnetz", "jena-1")})):
        inputs = recorded().inputs
        inputs = replace(inputs, request=replace(inputs.request, exclude=exclude))
        lists = ("zones", "nodes", "links", "probes")
        snapshot_said = {
            field.name: Roll().digest(getattr(inputs.snapshot, field.name)).hex()
            if field.name in lists
            else getattr(inputs.snapshot, field.name)
            for field in sorted(fields(inputs.snapshot), key=lambda field: field.name)
        }
        whole = {
            "decided_at_ms": inputs.decided_at_ms,
            "format": recorded().format,
            "hypothetical": inputs.hypothetical,
            "request": inputs.request,
            "snapshot": snapshot_said,
        }
        assert digests.of(inputs) == "sha256:" + sha256(canonical(whole)).hexdigest()


def test_a_roll_depends_on_order_and_number() -> None:
    a, b = zone(), zone("skargard/b")
    rolls = {Roll().digest(items) for items in ((), (a,), (b,), (a, b), (b, a), (a, a, b))}
    assert len(rolls) == 6


def test_canonical_bytes_are_sorted_json() -> None:
    value = SiteRule(frozenset({"SE", "NO"}), frozenset())
    assert canonical(value) == b'{"countries_allowed":["NO","SE"],"countries_denied":[]}'
    assert canonical((DataClass.INPUT, None, True, 1.5, "\u00e5")) == '["INPUT",null,true,1.5,"\u00e5"]'.encode()
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical((float("nan"),))
