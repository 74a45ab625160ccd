from __future__ import annotations

import re
from pathlib import Path

import pycountry
import pytest

from hansa.countries import COUNTRIES, nearest_country
from hansa.errors import reason_names
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


def test_the_countries_are_those_of_iso_3166() -> None:
    assert {country.alpha_2 for country in pycountry.countries} == COUNTRIES


@pytest.mark.parametrize(("text", "code"), [("no", "NO"), ("UK", "GB"), ("SW", "SE"), ("Atlantis", "")])
def test_the_country_that_was_meant_is_found(text: str, code: str) -> None:
    assert nearest_country(text) == code
