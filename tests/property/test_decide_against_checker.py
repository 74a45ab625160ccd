"""Deciding against a checker in plain Python that shares no code with it: loops, sets and Bellman-Ford."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from hansa_control.domain.breaches import LAW
from hansa_control.domain.feasibility import filter_zone, judge_zones, refusals_of_zone, unlawful
from hansa_control.domain.model import (
    AcceleratorNeed,
    AcceleratorPool,
    AccessDemand,
    ArtefactRef,
    Capacity,
    Decision,
    Evidence,
    EvidenceKind,
    Fact,
    FactKind,
    Inventory,
    LatencyBasis,
    LatencyBudget,
    LegalRule,
    LinkKind,
    NetworkLink,
    NetworkNode,
    Reason,
    ResidencyPolicy,
    RoundTrip,
    SiteRule,
    TransitRule,
    WorkloadSpec,
    Zone,
    ZoneId,
    ZoneState,
)
from hansa_control.domain.placement import PlacementRequest, decide
from hansa_control.domain.snapshot import build_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = 1_000_000
COUNTRIES = ("NO", "SE", "US")
OCR = ArtefactRef("ocr", "sha256:1")
ATTACHED_US = {50: 5_400, 95: 7_128, 99: 7_560}

World = tuple[WorkloadSpec, list[Zone], list[NetworkNode], list[NetworkLink]]

countries = st.sampled_from(COUNTRIES)
allowed = st.frozensets(countries, min_size=1)
often = st.sampled_from((True, True, True, True, False))


@st.composite
def claims(draw: st.DrawFn) -> tuple[Fact, ...]:
    made = []
    for kind in (FactKind.SITE_COUNTRY, FactKind.HEADQUARTERS_COUNTRY, FactKind.ULTIMATE_PARENT_COUNTRY):
        for value in draw(st.sampled_from((("NO",), ("NO",), ("SE",), ("US",), (), ("NO", "SE"), ("NO", "US")))):
            made.append(Fact(kind, value, draw(proofs())))
    for law in draw(st.sampled_from((("none",), ("none",), ("CLOUD",), ("OTHER",), (), ("none", "CLOUD")))):
        made.append(Fact(FactKind.EXTRATERRITORIAL_LAW, law, draw(proofs())))
    return tuple(made)


@st.composite
def proofs(draw: st.DrawFn) -> Evidence:
    starts, ends = draw(
        st.sampled_from([(1, NOW * 2)] * 8 + [(1, NOW), (NOW, NOW + 1), (NOW + 1, NOW * 2), (0, NOW * 2), (1, 0)])
    )
    return Evidence(EvidenceKind.REGISTER, "r", "s", starts, ends, "d")


@st.composite
def zones(draw: st.DrawFn, name: str, nodes: int) -> Zone:
    pools = draw(
        st.lists(
            st.sampled_from(
                (
                    AcceleratorPool("nv", "L4", 24, 4),
                    AcceleratorPool("nv", "H100", 80, 2),
                    AcceleratorPool("nv", "H100", 10, 7, "1g"),
                )
            ),
            unique=True,
        )
    )
    left = tuple(sorted((pool.key, draw(st.integers(1, pool.count))) for pool in pools if draw(often)))
    at = f"n{draw(st.integers(0, nodes))}"  # one more than there are: sometimes a node that is not in view
    artefacts = (OCR,) if draw(often) else (ArtefactRef("ocr", "sha256:2"),)
    inventory = Inventory(at, "", Capacity(), tuple(pools), artefacts, "", 1_000, "file", cordoned=not draw(often))
    free = Capacity(draw(st.integers(0, 12)) * 1_000, draw(st.integers(0, 12)) * 1_000, left)
    state = draw(st.sampled_from([ZoneState.AVAILABLE] * 4 + list(ZoneState)))
    return Zone(ZoneId(draw(st.sampled_from("ab")), name), inventory, free, draw(claims()), state, 1, NOW)


@st.composite
def specs(draw: st.DrawFn, nodes: int) -> WorkloadSpec:
    need = st.builds(
        AcceleratorNeed, st.sampled_from(((), ("L4",), ("H100", "L4"))), st.just(1), st.sampled_from((8, 40))
    )
    points = draw(st.lists(st.integers(0, nodes), min_size=1, max_size=2, unique=True))
    policy = ResidencyPolicy(
        draw(st.none() | st.builds(SiteRule, allowed)),
        draw(st.none() | st.builds(LegalRule, allowed, st.sampled_from((frozenset(), frozenset({"CLOUD"}))))),
        draw(st.none() | st.builds(TransitRule, allowed, st.sampled_from((frozenset(), frozenset({"b"}))))),
    )
    return WorkloadSpec(
        OCR,
        draw(st.none() | need),
        draw(st.sampled_from((0, 1_000, 3_000))),
        draw(st.sampled_from((0, 1_000, 3_000))),
        draw(st.integers(1, 3)),
        tuple(AccessDemand(f"n{at}", draw(st.integers(0, 9))) for at in points),
        LatencyBudget(draw(st.sampled_from((50, 95, 99))), draw(st.sampled_from((9_000, 15_000, 60_000)))),
        policy,
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    count = draw(st.integers(1, 6))
    lands = st.sampled_from((("NO", False), ("NO", False), ("SE", False), ("US", False), (None, True), (None, False)))
    nodes = []
    for at in range(count):
        country, at_sea = draw(lands)
        nodes.append(NetworkNode(f"n{at}", "", country, 0.0, 0.0, access_point=draw(often), at_sea=at_sea))
    ends = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    links = []
    for at, (a, b) in enumerate(draw(st.lists(ends, max_size=9))):
        p50 = draw(st.sampled_from((0, 1_000, 4_000)))
        rtt = RoundTrip(p50, p50 * 2, p50 * 3, LatencyBasis.MODELLED)
        crossed = draw(st.sampled_from(((), (), ("SE",), ("US",), None)))
        carrier = draw(st.sampled_from(("a", "a", "b", "")))
        links.append(NetworkLink(f"l{at}", f"n{a}", f"n{b}", 0, rtt, crossed, carrier, LinkKind.TERRESTRIAL))
    names = [f"z{at}" for at in range(draw(st.integers(1, 4)))]
    return draw(specs(count)), [draw(zones(name, count)) for name in names], nodes, links


# --- the checker ----------------------------------------------------------------------------------------------------


def fact_reasons(
    facts: tuple[Fact, ...], kind: FactKind, good: set[str], one: bool, names: tuple[Reason, Reason]
) -> set[Reason]:
    """Reasons for one kind of fact; names are (denied, unknown)."""
    mine = [x for x in facts if x.kind == kind]
    proved, found = set(), set()
    for x in mine:
        if 0 < x.evidence.valid_from_ms <= NOW < x.evidence.valid_until_ms:
            proved.add(x.value)
    for x in mine:
        if x.value not in proved:
            has_span = x.evidence.valid_from_ms > 0 and x.evidence.valid_until_ms > 0
            found.add(Reason.FACT_EXPIRED if has_span else names[1])
    if (
        not mine
        or (one and len(proved) > 1)
        or (kind == FactKind.EXTRATERRITORIAL_LAW and "none" in proved and len(proved) > 1)
    ):
        found.add(names[1])
    if any(value not in good for value in proved):
        found.add(names[0])
    return found


def law_reasons(spec: WorkloadSpec, zone: Zone) -> set[Reason]:
    found: set[Reason] = set()
    site, legal = spec.residency.site, spec.residency.legal
    if site:
        names = (Reason.SITE_COUNTRY_DENIED, Reason.SITE_COUNTRY_UNKNOWN)
        found |= fact_reasons(zone.facts, FactKind.SITE_COUNTRY, set(site.countries_allowed), True, names)
    if legal:
        names = (Reason.LEGAL_CONTROL_DENIED, Reason.LEGAL_CONTROL_UNKNOWN)
        good = set(legal.countries_allowed)
        found |= fact_reasons(zone.facts, FactKind.HEADQUARTERS_COUNTRY, good, True, names)
        found |= fact_reasons(zone.facts, FactKind.ULTIMATE_PARENT_COUNTRY, good, False, names)
        if legal.laws_denied:
            laws = {"none", "CLOUD", "OTHER"} - legal.laws_denied
            found |= fact_reasons(zone.facts, FactKind.EXTRATERRITORIAL_LAW, laws, False, names)
    return found


def capacity_reasons(spec: WorkloadSpec, zone: Zone) -> set[Reason]:
    found: set[Reason] = set()
    if zone.free.cpu_millis < spec.cpu_millis * spec.replicas:
        found.add(Reason.CPU_EXHAUSTED)
    if zone.free.memory_mib < spec.memory_mib * spec.replicas:
        found.add(Reason.MEMORY_EXHAUSTED)
    need = spec.accelerator
    if need:
        right = [x for x in zone.inventory.pools if not need.any_of or x.model in need.any_of]
        large = [x for x in right if x.memory_mib >= need.memory_mib_min]
        free = defaultdict(int, zone.free.accelerators)
        if not right:
            found.add(Reason.GPU_MODEL_MISSING)
        elif not large:
            found.add(Reason.GPU_MEMORY_TOO_SMALL)
        elif all(free[x.key] < need.count * spec.replicas for x in large):
            found.add(Reason.GPU_EXHAUSTED)
    return found


def place_state(rule: TransitRule, country: str | None, at_sea: bool) -> str:
    if country is None:
        return "good" if at_sea else "unknown"
    return "good" if country in rule.countries_allowed else "denied"


def link_state(rule: TransitRule, link: NetworkLink) -> str:
    if link.carrier in rule.carriers_denied or any(x not in rule.countries_allowed for x in link.countries or ()):
        return "denied"
    unknown = link.countries is None or (rule.carriers_denied and not link.carrier)
    return "unknown" if unknown else "good"


def costs(
    spec: WorkloadSpec, nodes: list[NetworkNode], links: list[NetworkLink], start: str, fine: set[str]
) -> dict[str, int]:
    """Bellman-Ford over what is in one of the fine states."""
    rule = spec.residency.transit
    open_nodes = {x.name for x in nodes if rule is None or place_state(rule, x.country, x.at_sea) in fine}
    best = {start: 0} if start in open_nodes else {}
    for _ in nodes:
        for x in links:
            if rule is not None and link_state(rule, x) not in fine:
                continue
            median_us = x.rtt.p50_us + -((x.rtt.p50_us - x.rtt.p95_us) // 5)
            us = {50: median_us, 95: x.rtt.p95_us, 99: x.rtt.p99_us}[spec.latency.percentile]
            for a, b in ((x.node_a, x.node_b), (x.node_b, x.node_a)):
                if a in best and b in open_nodes and best[a] + us < best.get(b, 1 << 60):
                    best[b] = best[a] + us
    return best


def path_reasons(world: World, zone: Zone) -> set[Reason]:
    spec, _, nodes, links = world
    rule, found, at = spec.residency.transit, set(), zone.inventory.node
    barred = rule is not None and zone.id.operator in rule.carriers_denied
    for point in spec.access:
        if not any(x.name == point.access_point and x.access_point for x in nodes):
            found.add(Reason.ACCESS_POINT_UNKNOWN)
            continue
        lawful = costs(spec, nodes, links, point.access_point, {"good"})
        if at in lawful and not barred:
            if lawful[at] + ATTACHED_US[spec.latency.percentile] > spec.latency.rtt_us_max:
                found.add(Reason.LATENCY_EXCEEDED)
        elif at not in costs(spec, nodes, links, point.access_point, {"good", "unknown", "denied"}):
            found.add(Reason.UNREACHABLE)
        elif not barred and at in costs(spec, nodes, links, point.access_point, {"good", "unknown"}):
            found.add(Reason.TRANSIT_UNKNOWN)
        else:
            found.add(Reason.TRANSIT_DENIED)
    return found


def place_reasons(world: World, zone: Zone) -> set[Reason]:
    """A site that is not where the zone's node stands is a contradiction, for every policy that asks for places."""
    spec, _, nodes, _ = world
    asked = (spec.residency.site, spec.residency.legal, spec.residency.transit)
    stands = next((x.country for x in nodes if x.name == zone.inventory.node), None)
    told = {
        x.value
        for x in zone.facts
        if x.kind == FactKind.SITE_COUNTRY
        and 0 < x.evidence.valid_from_ms <= NOW < x.evidence.valid_until_ms
        and x.value != stands
    }
    afloat = any(x.at_sea for x in nodes if x.name == zone.inventory.node)
    return {Reason.SITE_COUNTRY_UNKNOWN} if any(asked) and (afloat or (stands and told)) else set()


def expected_reasons(world: World, zone: Zone) -> set[Reason]:
    """Every reason against a zone, by plain definition; none means that it is feasible."""
    spec = world[0]
    found = law_reasons(spec, zone) | capacity_reasons(spec, zone)
    found |= path_reasons(world, zone) | place_reasons(world, zone)
    if zone.state not in (ZoneState.AVAILABLE, ZoneState.SILENT):
        told = {ZoneState.LOST: "ZONE_LOST", ZoneState.STALE: "OFFER_STALE"}
        found.add(Reason(told.get(zone.state, zone.state.value)))
    if zone.inventory.cordoned:
        found.add(Reason.ZONE_CORDONED)
    if not any(form in zone.inventory.artefacts for form in (spec.artefact, *spec.artefact_forms)):
        found.add(Reason.ARTEFACT_NOT_ALLOWED)
    return found


# --- the properties -------------------------------------------------------------------------------------------------


def run(world: World, with_fix: bool = True) -> Decision:
    spec, zone_list, nodes, links = world
    return decide(PlacementRequest(spec, "a", with_fix=with_fix), build_snapshot(1, zone_list, nodes, links, NOW), NOW)


def mild(world: World) -> World:
    """The same world with half of the trouble removed, so that feasible zones are common."""
    spec, zone_list, nodes, links = world
    calm = [
        replace(
            zone,
            state=ZoneState.AVAILABLE,
            inventory=replace(zone.inventory, cordoned=False, artefacts=(OCR,), node=nodes[0].name),
            free=replace(zone.free, cpu_millis=99_000, memory_mib=99_000),
        )
        for zone in zone_list
    ]
    entered = [replace(node, access_point=True) for node in nodes]
    users = tuple(replace(x, access_point=nodes[0].name) for x in spec.access[:1])
    return replace(spec, access=users), calm, entered, links


either = st.one_of(worlds(), worlds().map(mild))


@settings(max_examples=120, derandomize=True, deadline=None)
@given(either)
def test_a_zone_is_chosen_exactly_if_nothing_is_wrong_with_it_and_rejected_for_exactly_what_is(world: World) -> None:
    decision = run(world, with_fix=False)
    found: dict[ZoneId, set[Reason]] = defaultdict(set)
    for rejection in decision.rejections:
        found[rejection.zone].add(rejection.reason)
    for zone in world[1]:
        assert found[zone.id] - {Reason.NOT_EVALUATED} == expected_reasons(world, zone), zone.id
    assert {choice.zone for choice in decision.choices} == {x.id for x in world[1] if not found[x.id]}
    assert decision.zones_evaluated == len(world[1])


@settings(max_examples=50, derandomize=True, deadline=None)
@given(either)
def test_every_path_of_a_choice_is_lawful_and_within_the_budget(world: World) -> None:
    spec, _, nodes, links = world
    rule = spec.residency.transit
    for choice in run(world, with_fix=False).choices:
        assert [x.access_point for x in choice.latencies] == [x.access_point for x in spec.access]
        for path in choice.latencies:
            assert path.rtt_us <= spec.latency.rtt_us_max
            visited = [next(x for x in nodes if x.name == name) for name in path.path]
            if rule is None:
                continue
            assert all(place_state(rule, x.country, x.at_sea) == "good" for x in visited)
            assert set(path.countries) <= rule.countries_allowed
            for a, b in zip(path.path, path.path[1:], strict=False):
                hops = [x for x in links if {x.node_a, x.node_b} == {a, b}]
                assert any(link_state(rule, x) == "good" for x in hops)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(either)
def test_a_nearest_fix_never_names_a_zone_that_was_feasible_or_fails_for_two_kinds_of_reason(world: World) -> None:
    fix = run(world).nearest_fix
    if not fix:
        return
    zone = next(x for x in world[1] if str(x.id) == fix.rsplit(" -> ", 1)[1])
    reasons = expected_reasons(world, zone)
    full = {Reason.GPU_EXHAUSTED, Reason.CPU_EXHAUSTED, Reason.MEMORY_EXHAUSTED}
    assert len(reasons) == 1 or (reasons and reasons <= full)
    assert reasons.isdisjoint({Reason.FACT_EXPIRED, Reason.TRANSIT_UNKNOWN, Reason.ZONE_LOST, Reason.ZONE_CORDONED})


@settings(max_examples=30, derandomize=True, deadline=None)
@given(either, st.permutations(range(4)), st.permutations(range(8)))
def test_other_names_give_the_same_decision_under_other_names(
    world: World, zone_to: list[int], node_to: list[int]
) -> None:
    spec, zone_list, nodes, links = world
    name = {f"n{at}": f"n{node_to[at]}" for at in range(8)}
    called = {f"z{at}": f"z{zone_to[at]}" for at in range(4)}
    other = (
        replace(spec, access=tuple(replace(x, access_point=name[x.access_point]) for x in spec.access)),
        [
            replace(
                x,
                id=ZoneId(x.id.operator, called[x.id.zone]),
                inventory=replace(x.inventory, node=name[x.inventory.node]),
            )
            for x in zone_list
        ],
        [replace(x, name=name[x.name]) for x in nodes],
        [replace(x, node_a=name[x.node_a], node_b=name[x.node_b]) for x in links],
    )
    before, after = run(world, with_fix=False), run(other, with_fix=False)
    scores = {(x.zone.operator, called[x.zone.zone]): (x.score, x.pool) for x in before.choices}
    assert {tuple(x.zone): (x.score, x.pool) for x in after.choices} == scores
    assert [x.score for x in after.choices] == [x.score for x in before.choices]
    reasons = sorted((x.zone.operator, called[x.zone.zone], x.reason) for x in before.rejections)
    assert sorted((*x.zone, x.reason) for x in after.rejections) == reasons


@settings(max_examples=30, derandomize=True, deadline=None)
@given(either, zones("z9", 0))
def test_a_zone_that_is_infeasible_changes_nothing_for_the_others(world: World, extra: Zone) -> None:
    spec, zone_list, nodes, links = world
    useless = replace(extra, inventory=replace(extra.inventory, cordoned=True))
    before = run(world, with_fix=False)
    after = run((spec, [useless, *zone_list], nodes, links), with_fix=False)
    assert after.choices == before.choices
    assert tuple(x for x in after.rejections if x.zone != useless.id) == before.rejections


@settings(max_examples=30, derandomize=True, deadline=None)
@given(either)
def test_the_order_of_the_input_and_what_was_decided_before_change_nothing(world: World) -> None:
    spec, zone_list, nodes, links = world
    snapshot = build_snapshot(1, zone_list, nodes, links, NOW)
    request = PlacementRequest(spec, "a")
    first = decide(request, snapshot, NOW)
    for other_ms in (NOW - 1, NOW + 1, NOW * 2):
        untouched = build_snapshot(1, zone_list, nodes, links, NOW)
        assert decide(request, snapshot, other_ms) == decide(request, untouched, other_ms)
    assert decide(request, snapshot, NOW) == first == run((spec, zone_list[::-1], nodes[::-1], links[::-1]))


@settings(max_examples=30, derandomize=True, deadline=None)
@given(either)
def test_a_narrower_law_never_makes_a_zone_feasible(world: World) -> None:
    spec, *rest = world
    rules = spec.residency
    narrow = replace(
        rules,
        site=SiteRule((rules.site.countries_allowed if rules.site else frozenset(COUNTRIES)) - {"US"}),
        transit=TransitRule((rules.transit.countries_allowed if rules.transit else frozenset(COUNTRIES)) - {"US"}),
    )
    wide = {x.zone for x in run(world, with_fix=False).choices}
    strict = {x.zone for x in run((replace(spec, residency=narrow), *rest), with_fix=False).choices}
    assert strict <= wide


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_the_law_alone_says_what_the_filters_say_of_the_law(world: World) -> None:
    spec, zone_list, nodes, links = world
    snapshot = build_snapshot(1, zone_list, nodes, links, NOW)
    for row, zone in enumerate(snapshot.zones):
        filtered = filter_zone(spec, snapshot, zone, NOW).rejections
        alone = unlawful(spec, snapshot, row, NOW)
        assert [x for x in alone if x.reason in LAW] == [x for x in filtered if x.reason in LAW]


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_a_zone_is_judged_among_the_others_as_it_is_alone(world: World) -> None:
    spec, zone_list, nodes, links = world
    snapshot = build_snapshot(1, zone_list, nodes, links, NOW)
    alone = [filter_zone(spec, snapshot, zone, NOW) for zone in snapshot.zones]
    judge_zones(spec, snapshot, NOW)  # from now on the snapshot knows what there is to say of the request
    for _ in range(2):
        assert [filter_zone(spec, snapshot, zone, NOW) for zone in snapshot.zones] == alone
    briefly = [refusals_of_zone(spec, snapshot, zone, NOW) for zone in snapshot.zones]
    assert briefly == [(found.rejections, found.pool) for found in alone]
