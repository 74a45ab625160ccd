"""Whose law applies: the app team's, the tenant's, the nation's and the owner's, merged; presets as of the day."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hansa_control.application.lawbook import LawBook, LawDesk, PresetUnknown
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import (
    LegalRule,
    Preferences,
    Reason,
    ResidencyPolicy,
    Selector,
    SiteRule,
    SoftConstraint,
    WorkloadSpec,
)
from hansa_control.domain.overlay import Overlay
from home_operator import HandClock, spec

NORDIC = ResidencyPolicy(site=SiteRule(frozenset({"NO", "SE"})))


@dataclass
class Laws:
    """A law source that a test changes by hand."""

    on_the_books: LawBook = field(default_factory=LawBook)
    presets: dict[str, ResidencyPolicy] = field(default_factory=dict)
    edition: int = 0

    def version(self, now_ms: int) -> int:
        return self.edition

    def book(self, now_ms: int) -> LawBook:
        return self.on_the_books

    def expand(self, preset: str, now_ms: int) -> ResidencyPolicy:
        if preset not in self.presets:
            raise PresetUnknown(f"no preset {preset}")
        return self.presets[preset]


def asked(policy: ResidencyPolicy = NORDIC) -> WorkloadSpec:
    return replace(spec(), residency=policy)


def sites(wanted: WorkloadSpec) -> set[str]:
    assert wanted.residency.site is not None
    return set(wanted.residency.site.countries_allowed or ())


def test_without_other_law_the_request_stays_as_it_is() -> None:
    assert LawDesk(Laws(), HandClock()).checked(asked(), "havneby") == asked()


def test_nation_and_tenant_narrow_what_the_app_team_allows() -> None:
    book = LawBook(
        nation=ResidencyPolicy(site=SiteRule(None, frozenset({"SE"}))),
        tenants={"havneby": ResidencyPolicy(legal=LegalRule(frozenset({"NO"})))},
    )
    desk = LawDesk(Laws(book), HandClock())
    ours, others = desk.checked(asked(), "havneby"), desk.checked(asked(), "fjordby")
    assert ours.residency.site is not None
    assert not ours.residency.site.countries.allows("SE")
    assert ours.residency.site.countries.allows("NO")
    assert ours.residency.legal == LegalRule(frozenset({"NO"}))
    assert others.residency.legal is None


def test_a_preset_is_expanded_and_the_others_hold_beside_it() -> None:
    laws = Laws(presets={"only-no": ResidencyPolicy(site=SiteRule(frozenset({"NO"})), presets=("only-no@2026-11-01",))})
    wanted = LawDesk(laws, HandClock()).checked(asked(replace(NORDIC, presets=("only-no",))), "havneby")
    assert sites(wanted) == {"NO"}
    assert wanted.residency.presets == ("only-no@2026-11-01",)


def test_an_unknown_preset_is_refused_at_submission_by_its_field() -> None:
    with pytest.raises(RefusalError) as refused:
        LawDesk(Laws(), HandClock()).checked(asked(replace(NORDIC, presets=("gdrp",))), "havneby")
    assert (refused.value.reason, refused.value.field) == (Reason.INVALID_FIELD, "spec.residency.presets[0]")


def test_an_unknown_preset_is_named_by_its_place_among_the_others() -> None:
    laws = Laws(presets={"only-no": NORDIC})
    with pytest.raises(RefusalError, match="no preset gdrp") as refused:
        LawDesk(laws, HandClock()).checked(asked(ResidencyPolicy(presets=("only-no", "gdrp"))), "havneby")
    assert refused.value.field == "spec.residency.presets[1]"


def test_an_overlays_policy_is_made_explicit_like_a_workloads() -> None:
    laws = Laws(presets={"only-no": ResidencyPolicy(site=SiteRule(frozenset({"NO"})), presets=("only-no@2026-11-01",))})
    desk = LawDesk(laws, HandClock())
    explicit = desk.supposed(Overlay(policy=replace(NORDIC, presets=("only-no",))), asked()).policy
    assert explicit == ResidencyPolicy(site=SiteRule(frozenset({"NO"})), presets=("only-no@2026-11-01",))
    assert desk.supposed(Overlay(), asked()) == Overlay()
    with pytest.raises(RefusalError, match="no preset nope") as refused:
        desk.supposed(Overlay(policy=ResidencyPolicy(presets=("nope",))), asked())
    assert (refused.value.reason, refused.value.field) == (Reason.INVALID_FIELD, "overlay.policy.presets[0]")


@pytest.mark.parametrize(
    ("predicates", "said"),
    [
        (("true",) * 17, "17 predicates with 68 characters in all; at most 16 with 2000 are taken"),
        (("true" + " " * 996,) * 3, "3 predicates with 3000 characters in all; at most 16 with 2000 are taken"),
    ],
)
def test_an_app_team_has_only_so_many_predicates(predicates: tuple[str, ...], said: str) -> None:
    with pytest.raises(RefusalError, match=said) as caught:
        LawDesk(Laws(), HandClock()).checked(asked(replace(NORDIC, predicates=predicates)), "havneby")
    assert (caught.value.reason, caught.value.field) == (Reason.LIMIT_EXCEEDED, "spec.residency.predicates")


def chosen(count: int) -> Preferences:
    """Two tiers and wishes with so many predicates in all."""
    picks = [Selector(predicate=f"zone.name != 'p-{n}'") for n in range(count)]
    wishes = tuple(SoftConstraint(pick, 100) for pick in picks[2:])
    return Preferences((*picks[:2], Selector(frozenset({"nordavind"}))), wishes)


@pytest.mark.parametrize(
    ("of_policy", "of_preferences", "of_overlay", "field_path"),
    [
        (8, 8, 0, None),
        (6, 5, 5, None),
        (15, 2, 0, "spec.preferences.ordered"),
        (8, 9, 0, "spec.preferences.soft"),
        (8, 8, 1, "overlay.policy.predicates"),
        (0, 0, 17, "overlay.policy.predicates"),
    ],
)
def test_policy_preferences_and_what_is_supposed_share_the_predicates_of_a_request(
    of_policy: int, of_preferences: int, of_overlay: int, field_path: str | None
) -> None:
    policy = replace(NORDIC, predicates=tuple(f"zone.name != 'r-{n}'" for n in range(of_policy)))
    wanted = replace(asked(policy), preferences=chosen(of_preferences))
    overlay = Overlay(policy=replace(NORDIC, predicates=tuple(f"zone.name != 'o-{n}'" for n in range(of_overlay))))
    desk = LawDesk(Laws(), HandClock())
    if field_path is None:
        assert desk.checked(wanted, "havneby") == wanted
        assert len((desk.supposed(overlay, wanted).policy or NORDIC).predicates) == of_overlay
        return
    with pytest.raises(
        RefusalError, match=r"17 predicates with .* at most 16 with 2000 are taken of a request"
    ) as caught:
        desk.checked(wanted, "havneby")
        desk.supposed(overlay, wanted)
    assert (caught.value.reason, caught.value.field) == (Reason.LIMIT_EXCEEDED, field_path)


def test_what_the_nation_adds_to_the_most_that_an_app_team_may_ask_still_holds() -> None:
    most = tuple(f"zone.name != 'z-{n}'" for n in range(16))
    book = LawBook(nation=replace(NORDIC, predicates=("has(zone.country)",)))
    checked = LawDesk(Laws(book), HandClock()).checked(asked(replace(NORDIC, predicates=most)), "havneby")
    assert len(checked.residency.predicates) == 17


def test_a_preset_that_is_gone_allows_nothing_for_what_was_accepted() -> None:
    enforced = LawDesk(Laws(), HandClock()).enforced(asked(replace(NORDIC, presets=("gone",))), "havneby")
    assert sites(enforced) == set()


def test_a_new_edition_of_the_law_counts_from_then_on() -> None:
    laws = Laws(presets={"adequate": ResidencyPolicy(site=SiteRule(frozenset({"NO", "GB"})))})
    desk, wanted = LawDesk(laws, HandClock()), asked(ResidencyPolicy(presets=("adequate",)))
    assert sites(desk.enforced(wanted, "havneby")) == {"NO", "GB"}
    laws.presets["adequate"] = ResidencyPolicy(site=SiteRule(frozenset({"NO"})))
    laws.edition += 1
    assert sites(desk.enforced(wanted, "havneby")) == {"NO"}


def test_a_demand_of_the_owner_that_cannot_be_expanded_allows_nothing() -> None:
    laws = Laws(LawBook(owner=ResidencyPolicy(presets=("gone",))))
    assert sites(LawDesk(laws, HandClock()).owned(asked())) == set()


def test_what_an_owner_demands_holds_for_what_partners_ask_too() -> None:
    owner = ResidencyPolicy(legal=LegalRule(frozenset({"NO"})), presets=("quiet",))
    laws = Laws(LawBook(owner=owner), {"quiet": ResidencyPolicy(site=SiteRule(None, frozenset({"SE"})))})
    owned = LawDesk(laws, HandClock()).owned(asked())
    assert owned.residency.legal == LegalRule(frozenset({"NO"}))
    assert owned.residency.site is not None
    assert not owned.residency.site.countries.allows("SE")
