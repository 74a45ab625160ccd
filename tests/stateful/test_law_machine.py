"""No sequence of what app teams, agents, owners and time do places a workload where its policy forbids it.

The judge is plain Python over the test's own record of facts and network; it shares nothing with the core.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.control_plane import ControlPlane, Surroundings
from hansa_control.application.ports import StoredAdvert
from hansa_control.application.settings import Settings
from hansa_control.domain.model import (
    AccessDemand,
    ArtefactRef,
    Capacity,
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
    OnChange,
    Placement,
    PlacementState,
    ResidencyPolicy,
    RoundTrip,
    SiteRule,
    TransitRule,
    WorkloadId,
    WorkloadSpec,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

OPERATOR = "nordavind"
ARTEFACT = ArtefactRef("ocr-server", "sha256:" + "a" * 64)
NODES = {"oslo": "NO", "goteborg": "SE", "kobenhavn": "DK", "hamburg": "DE", "nowhere": None}
LINKS = (
    ("oslo", "goteborg"),
    ("goteborg", "kobenhavn"),
    ("kobenhavn", "hamburg"),
    ("oslo", "nowhere"),
    ("nowhere", "hamburg"),
)
ZONES = {"zone-a": "oslo", "zone-b": "goteborg", "zone-c": "hamburg"}
COUNTRIES = ("NO", "SE", "DK", "DE", "US")
KINDS = (FactKind.SITE_COUNTRY, FactKind.HEADQUARTERS_COUNTRY, FactKind.ULTIMATE_PARENT_COUNTRY)
LINK_RTT = RoundTrip(2_000, 3_000, 4_000, LatencyBasis.MODELLED)
LIVE = {PlacementState.STARTING, PlacementState.READY}


class HandClock:
    def __init__(self) -> None:
        self.now_ms = 10_000

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic_ms(self) -> int:
        return self.now_ms

    def elapsed_us(self) -> int:
        return self.now_ms * 1_000

    async def sleep_ms(self, duration_ms: int) -> None:
        await asyncio.Event().wait()


class CountedIds:
    def __init__(self) -> None:
        self.count = 0

    def new_id(self) -> str:
        self.count += 1
        return f"u{self.count:019d}"

    def fraction(self) -> float:
        return 0.5


@dataclass(frozen=True)
class Claimed:
    """What the test told the core of a zone under one kind of fact."""

    value: str
    until_ms: int


countries = st.frozensets(st.sampled_from(COUNTRIES[:4]), min_size=1)
policies = st.builds(
    ResidencyPolicy,
    st.none() | st.builds(SiteRule, countries),
    st.none() | st.builds(LegalRule, countries),
    st.none() | st.builds(TransitRule, countries),
    st.sampled_from(OnChange),
)


class LawMachine(RuleBasedStateMachine):
    """One operator, three zones whose agents the test plays, and app teams with any policy."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = HandClock()
        self.claims: dict[tuple[str, FactKind], Claimed] = {}
        self.judged: set[str] = set()
        self.requests = 0

    @initialize()
    def start(self) -> None:
        nodes = tuple(
            NetworkNode(name, name, country, 55.0 + at, 10.0, access_point=True)
            for at, (name, country) in enumerate(NODES.items())
        )
        links = tuple(
            NetworkLink(f"{a}--{b}", a, b, 100_000, LINK_RTT, (), OPERATOR, LinkKind.TERRESTRIAL) for a, b in LINKS
        )
        surroundings = Surroundings(MemoryStore(), self.clock, CountedIds(), {})
        self.plane = ControlPlane(Settings(OPERATOR), (nodes, links), surroundings)
        self.run(self.plane.start())
        for zone in ZONES:
            self.connect(zone)

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    @rule(zone=st.sampled_from(sorted(ZONES)))
    def connect(self, zone: str) -> None:
        self.plane.agents.welcome(zone, "boot", self.clock.now_ms)
        capacity = Capacity(4_000, 8_192)
        inventory = Inventory(ZONES[zone], zone, capacity, (), (ARTEFACT,), "", 100, "file", cordoned=False)
        advert = StoredAdvert(zone, "inventory", "e", inventory)
        assert self.run(self.plane.agents.adverts(zone, [advert], [])) == ()

    @rule(
        zone=st.sampled_from(sorted(ZONES)),
        kind=st.sampled_from(KINDS),
        value=st.sampled_from(COUNTRIES),
        valid_ms=st.sampled_from([-1, 5_000, 10_000_000]),
    )
    def claim(self, zone: str, kind: FactKind, value: str, valid_ms: int) -> None:
        until_ms = self.clock.now_ms + valid_ms
        evidence = Evidence(EvidenceKind.DECLARATION, OPERATOR, "declaration", 1, until_ms, "")
        advert = StoredAdvert(zone, f"facts/{kind}/0", f"e{value}{until_ms}", Fact(kind, value, evidence))
        self.run(self.plane.agents.adverts(zone, [advert], []))
        self.claims[zone, kind] = Claimed(value, until_ms)

    @rule(zone=st.sampled_from(sorted(ZONES)), kind=st.sampled_from(KINDS))
    def withdraw(self, zone: str, kind: FactKind) -> None:
        self.run(self.plane.agents.adverts(zone, [], [f"facts/{kind}/0"]))
        self.claims.pop((zone, kind), None)

    @rule(
        name=st.sampled_from(["w1", "w2", "w3"]),
        policy=policies,
        points=st.lists(st.sampled_from(["oslo", "goteborg", "hamburg"]), min_size=1, max_size=2, unique=True),
        budget_us=st.sampled_from([10_000, 14_000, 60_000]),
    )
    def submit(self, name: str, policy: ResidencyPolicy, points: list[str], budget_us: int) -> None:
        self.requests += 1
        access = tuple(AccessDemand(point, 1_000) for point in points)
        spec = WorkloadSpec(ARTEFACT, None, 1_000, 512, 1, access, LatencyBudget(95, budget_us), policy)
        workload = WorkloadId("t", name)
        held = self.plane.state.workloads.get(str(workload))
        if held is None or held.state.value != "DELETING":
            self.run(self.plane.workloads.submit("t", f"r{self.requests}", workload, spec, f"d{self.requests}"))

    @rule(name=st.sampled_from(["w1", "w2", "w3"]))
    def delete(self, name: str) -> None:
        self.requests += 1
        workload = WorkloadId("t", name)
        if str(workload) in self.plane.state.workloads:
            self.run(self.plane.workloads.delete("t", f"r{self.requests}", workload, "", f"d{self.requests}"))

    @rule(pass_ms=st.sampled_from([500, 3_000, 6_000]), silent=st.sets(st.sampled_from(sorted(ZONES))))
    def wait(self, pass_ms: int, silent: set[str]) -> None:
        self.clock.now_ms += pass_ms
        for zone in sorted(ZONES.keys() - silent):
            self.plane.agents.heard(zone)
        self.plane.agents.tick()
        self.plane.owner.expire_holds()

    @rule()
    def look(self) -> None:
        for key in list(self.plane.state.workloads):
            self.run(self.plane.reconciler.look(key))
            self.judge_new(key)

    def judge_new(self, key: str) -> None:
        workload = self.plane.state.workloads.get(key)
        for placement in workload.placements if workload else ():
            if placement.claim not in self.judged and placement.state in LIVE:
                self.judged.add(placement.claim)
                assert workload is not None
                assert placement.generation == workload.generation
                self.judge(workload.spec, placement)

    def judge(self, spec: WorkloadSpec, placement: Placement) -> None:
        zone, rules = placement.zone.zone, spec.residency
        if rules.site is not None:
            assert self.fact(zone, FactKind.SITE_COUNTRY) in rules.site.countries_allowed
        if rules.legal is not None:
            assert self.fact(zone, FactKind.HEADQUARTERS_COUNTRY) in rules.legal.countries_allowed
            assert self.fact(zone, FactKind.ULTIMATE_PARENT_COUNTRY) in rules.legal.countries_allowed
        assert {found.access_point for found in placement.latencies} == {at.access_point for at in spec.access}
        for found in placement.latencies:
            assert found.path[0] == found.access_point
            assert found.path[-1] == ZONES[zone]
            assert all((a, b) in LINKS or (b, a) in LINKS for a, b in zip(found.path, found.path[1:], strict=False))
            assert found.rtt_us <= spec.latency.rtt_us_max
            if rules.transit is not None:
                assert {NODES[node] for node in found.path} <= rules.transit.countries_allowed

    def fact(self, zone: str, kind: FactKind) -> str:
        claimed = self.claims.get((zone, kind))
        return claimed.value if claimed and claimed.until_ms > self.clock.now_ms else "unknown or expired"

    @invariant()
    def no_zone_is_oversold(self) -> None:
        for zone in ZONES if hasattr(self, "plane") else ():
            used = sum(claim.amount.cpu_millis for claim in self.plane.world.claims_in(zone))
            assert used <= 4_000

    def teardown(self) -> None:
        self.runner.close()


TestLaw = LawMachine.TestCase
TestLaw.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
