"""A workload that the law catches up with is told whose rule it is, and where it is placed meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hansa_control.application.lawbook import LawBook, LawDesk, PresetUnknown
from hansa_control.domain.model import (
    ClaimState,
    ConditionStatus,
    Evidence,
    EvidenceKind,
    Fact,
    FactKind,
    OnChange,
    ResidencyPolicy,
    SiteRule,
)
from home_operator import OWNER, spec
from home_stage import Stage, home_stage

ZONE = f"{OWNER}/oslo-9"
NORDIC = ResidencyPolicy(site=SiteRule(frozenset({"NO", "SE"})), on_change=OnChange.DRAIN)


@dataclass
class Laws:
    """A law source that a test changes by hand."""

    on_the_books: LawBook = field(default_factory=LawBook)
    edition: int = 0

    def version(self, now_ms: int) -> int:
        return self.edition

    def book(self, now_ms: int) -> LawBook:
        return self.on_the_books

    def expand(self, preset: str, now_ms: int) -> ResidencyPolicy:
        raise PresetUnknown(preset)

    def pass_law(self, **book: object) -> None:
        self.on_the_books, self.edition = LawBook(**book), self.edition + 1  # type: ignore[arg-type]


def denying(*countries: str, allowed: frozenset[str] | None = None) -> ResidencyPolicy:
    return ResidencyPolicy(site=SiteRule(allowed, frozenset(countries)), on_change=OnChange.KEEP_AND_ALERT)


async def running(policy: ResidencyPolicy) -> tuple[Stage, Laws]:
    """A workload that answers in its only zone, in Norway."""
    stage, laws = await home_stage(), Laws()
    desk = LawDesk(laws, stage.clock)
    stage.plane.decider.laws = desk
    proof = Evidence(EvidenceKind.REGISTER, "register", "company-register", 1, 4_000_000_000_000, "")
    await stage.offer(OWNER, "oslo-9", facts=(Fact(FactKind.SITE_COUNTRY, "NO", proof),))
    await stage.submit(replace(spec(), residency=policy))
    await stage.look()
    await stage.tell(ClaimState.SERVING)
    await stage.look()
    return stage, laws


async def test_a_broken_policy_names_the_nation_whose_rule_it_is() -> None:
    stage, laws = await running(NORDIC)
    laws.pass_law(nation=denying("NO"))
    await stage.look()
    told = "SiteResidency: site country NO, bound {NO,SE} but not {NO} (rule of the nation)"
    assert stage.condition("Lawful").message == told
    assert stage.event("PolicyBroken") == f"{ZONE}: {told}"


async def test_a_rule_that_several_have_is_of_all_of_them() -> None:
    stage, laws = await running(NORDIC)
    tenant = stage.workload.id.tenant
    laws.pass_law(nation=denying("NO"), tenants={tenant: denying("NO")}, owner=denying("NO"))
    await stage.look()
    assert stage.condition("Lawful").message.endswith(f"(rule of the contract of {tenant} and the nation)")


async def test_the_workloads_own_rule_is_named_as_such() -> None:
    stage, _ = await running(NORDIC)
    proof = Evidence(EvidenceKind.REGISTER, "register", "company-register", 1, 4_000_000_000_000, "")
    await stage.offer(OWNER, "oslo-9", facts=(Fact(FactKind.SITE_COUNTRY, "FI", proof),))
    await stage.look()
    rule, place = stage.condition("Lawful").message.split("; ")
    assert rule == "SiteResidency: site country FI, bound {NO,SE} (rule of the workload)"
    assert place.endswith("the country of node oslo (rule of the workload)")


async def test_a_workload_that_stays_for_want_of_a_zone_is_placed_there_and_stranded() -> None:
    stage, laws = await running(NORDIC)
    laws.pass_law(nation=denying("NO"))
    await stage.look()
    placed, stranded = stage.condition("Placed"), stage.condition("Stranded")
    assert (placed.status, placed.reason, placed.message) == (ConditionStatus.TRUE, "Placed", ZONE)
    assert (stranded.status, stranded.reason) == (ConditionStatus.TRUE, "NoFeasibleZone")


async def test_why_goes_on_to_say_why_it_is_where_it_stays() -> None:
    stage, laws = await running(NORDIC)
    before = stage.decision
    assert [str(choice.zone) for choice in before.choices] == [ZONE]
    laws.pass_law(nation=denying("NO"))
    await stage.look()
    assert stage.conditions()["Stranded"] == "TRUE"
    found = await stage.plane.queries.explain(stage.workload.id, None)
    assert (found.decision, found.now.choices) == (before, ())


async def test_a_law_that_is_taken_back_leaves_no_word_of_it() -> None:
    stage, laws = await running(NORDIC)
    laws.pass_law(nation=denying("NO"))
    await stage.look()
    laws.pass_law()
    await stage.look()
    assert stage.condition("Lawful").message == ZONE
    for kind, status in (("Placed", ConditionStatus.TRUE), ("Stranded", ConditionStatus.FALSE)):
        found = stage.condition(kind)
        assert (found.status, found.reason, found.message) == (status, "Placed", ZONE)


async def test_what_was_stopped_by_law_is_not_said_to_stay_anywhere() -> None:
    stage, laws = await running(replace(NORDIC, on_change=OnChange.TERMINATE))
    laws.pass_law(nation=denying("RU"))
    await stage.look()
    laws.pass_law(nation=denying("NO"))
    await stage.look(times=2)
    assert stage.conditions()["Placed"] == "FALSE"
    assert (stage.condition("Stranded").status, stage.condition("Stranded").message) == (
        ConditionStatus.FALSE,
        "it runs nowhere",
    )
