"""What a grant must say to be the answer to what was asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hansa_control.domain.grants import Asked, digest_of, mismatches, policy_digest, signed_bytes, terms_of, unfit
from hansa_control.domain.merging import merge
from hansa_control.domain.model import (
    AcceleratorNeed,
    AccessDemand,
    ArtefactRef,
    HoldGrant,
    LatencyBudget,
    OnChange,
    ResidencyPolicy,
    SiteRule,
    TransitRule,
    WorkloadSpec,
    ZoneBounds,
)
from hansa_control.domain.seals import GrantTerms, Seal, Signed

NOW_MS = 1_800_000_000_000
SKEW_MS = 300_000
NORDIC = ResidencyPolicy(site=SiteRule(frozenset({"NO", "SE"})))
STRICTER = merge([NORDIC, ResidencyPolicy(transit=TransitRule(frozenset({"NO"})))])
SPEC = WorkloadSpec(
    artefact=ArtefactRef("ocr-server", "sha256:" + "a" * 64),
    accelerator=None,
    cpu_millis=1_000,
    memory_mib=1_024,
    replicas=1,
    access=(AccessDemand("oslo", 1_000),),
    latency=LatencyBudget(95, 50_000),
    residency=NORDIC,
)
ASKED = Asked("skargard", "nordavind", "ctx-1", "c1", "sto-1", SPEC, 10_000)
GRANT = HoldGrant("c1", 7, 9_000, "")
SIGNED = Signed("ES256", b"signature", b"certificate")


def sealed(asked: Asked = ASKED, applied: ResidencyPolicy | None = None, **changed: Any) -> Seal:
    terms = terms_of(asked, GRANT, applied or asked.spec.residency, NOW_MS)
    return Seal(replace(terms, **changed), SIGNED, applied)


def wrong(seal: Seal, asked: Asked = ASKED, now_ms: int = NOW_MS) -> list[str]:
    return [one.field for one in mismatches(asked, seal, now_ms, SKEW_MS)]


def test_the_grant_of_what_was_asked_is_accepted() -> None:
    assert wrong(sealed()) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("owner", "waldnetz"),
        ("home", "blueridge"),
        ("context_id", "ctx-2"),
        ("claim", "c2"),
        ("zone", "sto-2"),
        ("pool", "nvidia/L4"),
        ("fencing_token", 0),
        ("lease_ms", 0),
        ("lease_ms", 10_001),
        ("spec_digest", "sha256:" + "0" * 64),
        ("policy_asked_digest", "sha256:" + "0" * 64),
        ("policy_applied_digest", "sha256:" + "0" * 64),
        ("granted_at_ms", NOW_MS - SKEW_MS - 1),
        ("granted_at_ms", NOW_MS + SKEW_MS + 1),
        ("format", 2),
    ],
)
def test_each_field_that_differs_is_named(field: str, value: object) -> None:
    assert wrong(sealed(**{field: value})) == [field]


def test_every_field_of_the_terms_is_signed() -> None:
    terms = sealed().terms
    changed = [
        replace(terms, **{name: f"{getattr(terms, name)}x" if isinstance(getattr(terms, name), str) else 12_345})
        for name in GrantTerms.__dataclass_fields__
    ]
    assert len({signed_bytes(one) for one in (terms, *changed)}) == len(changed) + 1


def test_clocks_that_differ_by_the_tolerated_skew_are_tolerated() -> None:
    assert wrong(sealed(granted_at_ms=NOW_MS - SKEW_MS)) == wrong(sealed(granted_at_ms=NOW_MS + SKEW_MS)) == []


def test_a_grant_that_is_looked_at_later_is_still_the_answer() -> None:
    assert unfit(ASKED, sealed(granted_at_ms=NOW_MS - 10 * SKEW_MS)) == ()


def test_a_need_of_accelerators_wants_a_pool() -> None:
    asked = replace(ASKED, spec=replace(SPEC, accelerator=AcceleratorNeed((), 1, 0)))
    assert wrong(sealed(asked), asked) == ["pool"]
    assert wrong(sealed(asked, pool="nvidia/L4"), asked) == []


def test_an_owner_may_apply_a_stricter_policy_that_it_shows() -> None:
    assert wrong(sealed(applied=STRICTER)) == []


def test_a_stricter_policy_that_is_not_shown_is_not_believed() -> None:
    assert wrong(replace(sealed(applied=STRICTER), policy_applied=None)) == ["policy_applied_digest"]


def test_a_policy_that_is_shown_must_be_the_one_that_was_signed() -> None:
    other = merge([STRICTER, ResidencyPolicy(on_change=OnChange.TERMINATE)])
    assert wrong(replace(sealed(applied=STRICTER), policy_applied=other)) == ["policy_applied_digest"]


@pytest.mark.parametrize("laxer", [ResidencyPolicy(), ResidencyPolicy(site=SiteRule(frozenset({"NO", "SE", "DE"})))])
def test_a_laxer_policy_is_refused_though_it_is_shown_and_signed(laxer: ResidencyPolicy) -> None:
    assert wrong(sealed(applied=laxer)) == ["policy_applied"]


def test_fields_that_have_their_defaults_do_not_count_in_a_digest() -> None:
    # A release that does not know a field agrees with one that does, as long as nobody uses it.
    assert digest_of(SPEC) == digest_of(replace(SPEC, zones=ZoneBounds(1, 1), price_millieur_per_hour_max=0))
    assert digest_of(SPEC) != digest_of(replace(SPEC, price_millieur_per_hour_max=1))


def test_a_digest_is_the_same_in_every_release() -> None:
    assert digest_of(NORDIC) == "sha256:" + NORDIC_DIGEST


NORDIC_DIGEST = __import__("hashlib").sha256(b'{"site":{"countries_allowed":["NO","SE"]}}').hexdigest()


def test_how_a_policy_is_written_down_does_not_count() -> None:
    twice = replace(NORDIC, predicates=("b", "a", "b"))
    assert policy_digest(twice) == policy_digest(replace(NORDIC, predicates=("a", "b")))
