from __future__ import annotations

import json
import re
from pathlib import Path

import pycountry
import pytest
from hansa_control.domain import (
    assurance,
    capacity_filters,
    locations,
    path_words,
    place_filters,
    predicates,
    refusal_filter,
    residency,
    service,
)

from hansa.cli.actions_decision import explain_reason
from hansa.cli.options import OutputFormat
from hansa.constraints import REASONS_OF
from hansa.countries import COUNTRIES, nearest_country
from hansa.errors import HansaError, reason_names
from hansa.reasons import EXPLANATIONS, canonical_reason

PROTO = Path(__file__).parents[3] / "proto" / "hansa" / "v1" / "reason.proto"


def test_every_reason_is_explained_in_the_protos_order() -> None:
    assert tuple(EXPLANATIONS) == reason_names()


def test_the_meanings_are_those_of_the_proto() -> None:
    written = {name: text for text, name in re.findall(r"// (.*)\n  REASON_(\w+) = [1-9]", PROTO.read_text())}
    assert {name: explanation.meaning for name, explanation in EXPLANATIONS.items()} == written


def test_every_advice_is_a_sentence() -> None:
    assert all(explanation.advice.endswith(".") for explanation in EXPLANATIONS.values())


@pytest.mark.parametrize(
    "text", ["LATENCY_EXCEEDED", "latency_exceeded", "latency-exceeded", "LatencyExceeded", "REASON_LATENCY_EXCEEDED"]
)
def test_a_reason_is_found_however_it_is_typed(text: str) -> None:
    assert canonical_reason(text) == "LATENCY_EXCEEDED"


def test_every_constraint_of_the_tables_names_reasons_that_are_explained() -> None:
    named = {
        value
        for module in (
            assurance,
            capacity_filters,
            locations,
            path_words,
            place_filters,
            predicates,
            refusal_filter,
            residency,
            service,
        )
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str) and re.fullmatch("([A-Z][a-z]+)+", value)
    }
    assert len(named) == 25
    assert set(REASONS_OF) - named == {"OwnerConsent", "BetterTier", "PolicyHolds", "ZonePaused"}
    assert named <= set(REASONS_OF)
    assert {reason for reasons in REASONS_OF.values() for reason in reasons} <= set(EXPLANATIONS)


@pytest.mark.parametrize("text", ["SiteResidency", "siteresidency", "site-residency", "SITE_RESIDENCY"])
def test_a_constraint_is_explained_by_its_reasons(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain_reason(text, OutputFormat.WIDE) == 0
    out = capsys.readouterr().out
    assert out.startswith("SiteResidency refuses a zone with SITE_COUNTRY_DENIED or SITE_COUNTRY_UNKNOWN or FACT_EXP")
    assert EXPLANATIONS["SITE_COUNTRY_DENIED"].advice in out
    assert explain_reason(text, OutputFormat.JSON) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["constraint"], told["reasons"][0]["reason"]) == ("SiteResidency", "SITE_COUNTRY_DENIED")


@pytest.mark.parametrize(
    ("text", "tail"),
    [
        ("SiteResidncy", "did you mean SiteResidency?"),
        ("LatencyBond", "did you mean LatencyBound?"),
        ("latency-exceded", "did you mean LATENCY_EXCEEDED?"),
        ("xyz", "hansa explain lists all reasons"),
    ],
)
def test_what_is_neither_reason_nor_constraint_is_told_the_nearest_of_both(text: str, tail: str) -> None:
    with pytest.raises(HansaError, match="there is no reason and no constraint") as caught:
        explain_reason(text, OutputFormat.TABLE)
    assert (caught.value.reason, caught.value.field) == ("NOT_FOUND", "reason")
    assert caught.value.message.endswith(tail)


def test_the_countries_are_those_of_iso_3166() -> None:
    assert {country.alpha_2 for country in pycountry.countries} == COUNTRIES


@pytest.mark.parametrize(("text", "code"), [("no", "NO"), ("UK", "GB"), ("SW", "SE"), ("Atlantis", "")])
def test_the_country_that_was_meant_is_found(text: str, code: str) -> None:
    assert nearest_country(text) == code
