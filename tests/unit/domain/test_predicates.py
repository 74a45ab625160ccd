from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from deciding_world import H100, L4, NOW_MS, fact, facts, zone
from hansa_control.domain import attributes as known
from hansa_control.domain import predicates
from hansa_control.domain.model import Fact, FactKind, Reason
from hansa_control.domain.predicate_grammar import LENGTH_MAX
from hansa_control.domain.predicates import (
    COMPILED_MAX,
    Predicate,
    attributes_of,
    check_predicates,
    compile_predicate,
    evaluate,
    values_of,
)
from law_words import ATTRIBUTES, CARBON, CERTIFIED, OPERATION, SHARE, every_fact, lapsed

VALUES = values_of(ATTRIBUTES, every_fact(), NOW_MS)
LAW = FactKind.EXTRATERRITORIAL_LAW


def refusal(text: str) -> str:
    found = compile_predicate(text)
    assert isinstance(found, str), f"{text[:60]} was taken"
    return found


def values(*added: Fact, without: FactKind | None = None) -> known.Values:
    return values_of(ATTRIBUTES, (*(one for one in every_fact() if one.kind is not without), *added), NOW_MS)


def test_every_documented_attribute_has_its_value() -> None:
    at = zone(pools=(L4, H100), facts=every_fact(), inventory={"failure_domain": "hall-2"})
    assert values_of(attributes_of(at), at.facts, NOW_MS) == {
        "operator": "nordavind",
        "name": "oslo-1",
        "node": "oslo",
        "failure_domain": "hall-2",
        "price_eur_per_hour": 1.0,
        "models": ["H100", "L4"],
        "memory_gib_max": 81_559 / 1_024,
        "country": "NO",
        "headquarters_country": "NO",
        "parent_countries": ["NO"],
        "foreign_share_percent": 24.5,
        "laws": [],
        "operation_countries": ["NO"],
        "support_countries": ["SE"],
        "clearances": ["HEMMELIG"],
        "attestations": ["INTEL-TDX"],
        "certifications": ["EUCS", "ISO-27001"],
        "carbon_gco2_per_kwh": 30,
        "renewable_percent": 98,
    }


def test_the_table_of_attributes_is_the_one_in_the_text() -> None:
    rows = [line.split("|")[1:3] for line in str(known.__doc__).splitlines() if line.startswith("| zone.")]
    assert {name.strip(): kind.strip() for name, kind in rows} == {
        f"zone.{name}": kind for name, kind in known.TYPES.items()
    }


def test_the_table_in_the_documents_is_the_same() -> None:
    document = Path(__file__).parents[3] / "docs/predicates.md"
    rows = [line.replace("`", "") for line in document.read_text().splitlines() if line.startswith("| `zone.")]
    assert rows == [line for line in str(known.__doc__).splitlines() if line.startswith("| zone.")]


def test_what_is_not_known_is_absent() -> None:
    bare = attributes_of(zone(pools=()))
    assert set(values_of(bare, (), NOW_MS)) == {"operator", "name", "node", "price_eur_per_hour", "models"}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("country", values(fact(FactKind.SITE_COUNTRY, "SE"))),
        ("country", values(lapsed(FactKind.SITE_COUNTRY, "SE"))),
        ("operation_countries", values(lapsed(OPERATION, "IN"))),
        ("laws", values(fact(LAW, "CN-DSL"))),
        ("laws", values(lapsed(LAW, "US-CLOUD-ACT"))),
        ("laws", values(without=LAW)),
        ("foreign_share_percent", values(fact(SHARE, "99"))),
        ("foreign_share_percent", values(fact(SHARE, "x"), without=SHARE)),
        ("carbon_gco2_per_kwh", values(fact(CARBON, "31"))),
        ("carbon_gco2_per_kwh", values(lapsed(CARBON, "30"), without=CARBON)),
        ("certifications", values(lapsed(CERTIFIED, "C5"), without=CERTIFIED)),
    ],
)
def test_what_is_in_doubt_is_absent(name: str, found: known.Values) -> None:
    assert name not in found
    assert name in VALUES


def test_laws_that_reach_the_owner_are_listed_in_capitals() -> None:
    assert values(fact(LAW, "us-cloud-act"), fact(LAW, "CN-DSL"), without=LAW)["laws"] == ["CN-DSL", "US-CLOUD-ACT"]


def test_a_certificate_that_lapsed_beside_a_valid_one_is_not_listed() -> None:
    assert values(lapsed(CERTIFIED, "C5"))["certifications"] == ["EUCS", "ISO-27001"]


@pytest.mark.parametrize(
    "text",
    [
        'zone.country == "NO" && "L4" in zone.models',
        "zone.price_eur_per_hour < 2",
        "zone.price_eur_per_hour <= 1.0",
        'has(zone.laws) && !("US-CLOUD-ACT" in zone.laws)',
        '!has(zone.failure_domain) || zone.failure_domain.startsWith("hall")',
        'zone.models.exists(model, model.matches("^(L|H)[0-9]+S?$"))',
        'zone.parent_countries.all(country, country in ["NO", "SE"])',
        "zone.certifications.filter(one, one == 'EUCS').size() == 1",
        "zone.carbon_gco2_per_kwh < 50 ? zone.renewable_percent > 90 : false",
        'zone.country != "Ærø" && -1 < 0 && 0x1F == 31',
    ],
)
def test_a_predicate_that_is_true_passes(text: str) -> None:
    assert evaluate(text, VALUES) == (None, "true")


def test_a_predicate_that_is_false_rejects_with_what_it_read() -> None:
    text = 'zone.country == "SE" || zone.models.size() > 1'
    (found,) = check_predicates((text,), ATTRIBUTES, every_fact(), NOW_MS)
    assert found.reason is Reason.PREDICATE_FALSE
    assert found.result.constraint == "Predicate"
    assert (found.result.measured, found.result.bound) == ("false", text)
    assert found.result.evidence == "zone.country NO; zone.models {L4}"


def test_reading_what_is_absent_fails_and_rejects() -> None:
    (found,) = check_predicates(('zone.country == "NO"',), ATTRIBUTES, (), NOW_MS)
    assert found.reason is Reason.PREDICATE_FAILED
    assert "country" in found.result.measured
    assert found.result.evidence == "zone.country unknown"


@pytest.mark.parametrize("text", ["1 / (zone.models.size() - 1) == 0", "int(zone.name) == 1", 'zone.models[9] == "L4"'])
def test_an_error_while_it_runs_is_a_rejection_and_never_a_pass(text: str) -> None:
    found = evaluate(text, VALUES)
    assert found.reason is Reason.PREDICATE_FAILED
    assert found.measured.startswith("failed: ")


def test_the_negation_of_an_error_is_no_pass_either() -> None:
    assert evaluate('!("X" in zone.laws)', values(without=LAW)).reason is Reason.PREDICATE_FAILED


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"X" in zone.laws', "failed: zone.laws is not known"),
        ("1 / 0 == 1", "failed: divide by zero"),
        ("zone.models[99] == 'H100'", "failed: Index error: index=99 size="),
    ],
)
def test_a_failed_predicate_says_what_is_not_known_and_not_how_the_library_puts_it(text: str, said: str) -> None:
    assert evaluate(text, values(without=LAW)).measured.startswith(said)


def test_a_text_that_is_no_predicate_rejects_every_zone() -> None:
    found = evaluate("zone.nope", VALUES)
    assert found.reason is Reason.PREDICATE_FAILED
    (finding,) = check_predicates(("zone.nope",), ATTRIBUTES, facts(), NOW_MS)
    assert (finding.reason, finding.result.evidence) == (Reason.PREDICATE_FAILED, "no attribute read")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "at character 1: the expression is empty"),
        (" \n", "empty"),
        ("zone.contry == 'NO'", "character 1: zone.contry is not an attribute; did you mean zone.country?"),
        ("has(zone.contry)", "character 5: zone.contry is not an attribute"),
        ("zone.xyz", "attributes are attestations, carbon"),
        ("true &&\n zone.xyz", "character 10: "),
        ('"\x1b[31m" == zone.name', "at character 2: U+001B cannot be printed; write \\x1b"),
        ("zone.name != 'a\u202eb'", "at character 16: U+202E cannot be printed; write \\u202e"),
        ("zone.name != '\x00'", "at character 15: U+0000 cannot be printed"),
        ("zone.name != '\ud800'", "at character 15: U+D800 cannot be printed"),
        ("true \x1b", "at character 6: '\\x1b' is not taken here"),
        ("zone", "zone stands for nothing by itself"),
        ('zone["country"] == "NO"', "zone stands for nothing by itself"),
        ("[1].all(zone, zone > 1)", "zone stands for nothing by itself"),
        (".zone.country == 'NO'", "zone stands for nothing by itself"),
        ("zone.country", "at character 1: the expression comes to string"),
        ("true && has(zone.country) && zone.country + 1 == 2", "character 43: found no matching overload"),
        ("true &&\n\n other == 1", "at character 11: undeclared reference to 'other'"),
        ("zone.price_eur_per_hour", "comes to dyn"),
        ("zone.country + 1 == 2", "character 14: found no matching overload"),
        ("zone.carbon_gco2_per_kwh == '30'", "character 26: found no matching overload"),
        ("zone.models.exists(m, m == 1)", "no matching overload"),
        ("other == 1", "character 1: undeclared reference to 'other'"),
        ("true ||", "character 8: Syntax error"),
        ("has(zone.models[0])", "has() takes one attribute"),
        ("has(true)", "has() takes one attribute"),
        ("has(zone.name", "has() takes one attribute"),
        ("zone.name.matches(", "character 11: matches() takes a literal pattern"),
        ("zone.name.matches('a'", "character 11: matches() takes a literal pattern"),
        ("has", "undeclared"),
        ("{1: 2}[1] == 2", "'{' is not taken here"),
        ("true // all is well", "'/' is not taken here"),
        ('r"a" == "a"', "plain"),
        ('"""a""" == "a"', "plain"),
        ("b'a' == b'a'", "plain"),
        ("zone.name == `x`", "'`' is not taken here"),
        ("99999999999999999999 > 1", "character 1: invalid int literal"),
        ("timestamp('2026-01-01T00:00:00Z') > timestamp('2025-01-01T00:00:00Z')", "timestamp() is not taken"),
        ("dyn(zone.name) == 1", "dyn() is not taken"),
        ("google.protobuf.Int64Value{value: 1} == 1", "'{' is not taken here"),
    ],
)
def test_a_bad_expression_is_refused_with_its_place(text: str, says: str) -> None:
    assert says in refusal(text)


HOSTILE = {
    "too long": "true" + " || true" * LENGTH_MAX,
    "deep brackets": "(" * 13 + "true" + ")" * 13,
    "very deep brackets": "(" * 499 + ")" * 499,
    "deep lists": "[" * 499 + "]" * 499,
    "long sum": "1" + "+1" * 400 + " > 0",
    "long select": "zone.name" + ".size" * 190,
    "ternaries": "true ? " * 100 + "true" + " : true" * 30,
    "macro in macro": "[1].all(a, [1].all(b, true))",
    "macro in a macro's list": "[1].filter(a, [1].exists(b, true)).size() > 0",
    "five macros": " && ".join(["[1].all(a, true)"] * 5),
    "map": "[1, 2].map(a, a) == [1, 2]",
    "pattern from outside": "zone.name.matches(zone.node)",
    "pattern pasted together": 'zone.name.matches("a" + "b")',
    "long pattern": f'zone.name.matches("{"a" * 101}")',
    "bad pattern": 'zone.name.matches("(")',
    "huge repetition": 'zone.name.matches("((a{1000}){1000}){1000}")',
    "repetition that takes milliseconds": 'zone.name.matches("a{1,101}")',
    "class of Unicode": r'zone.name.matches("\\pL{1,20}")',
    "class of Unicode, spelt": r'zone.name.matches("\u005cpL{1,20}")',
    "repetition, spelt": r'zone.name.matches("a\x7b1,101}")',
    "repetition after a quote": r'zone.name.matches("\\Q[\\E(a{50}){50}]")',
    "many patterns": " || ".join(['zone.name.matches("a{1,30}b")'] * 4),
    "null byte outside of a string": "true\x00",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_expression_is_refused_before_it_runs(kind: str) -> None:
    assert refusal(HOSTILE[kind])
    assert evaluate(HOSTILE[kind], VALUES).reason is Reason.PREDICATE_FAILED


def test_the_bounds_of_an_expression_are_those_that_are_documented_to_the_character() -> None:
    within = ("true" + " " * 996, "(" * 12 + "true" + ")" * 12, f'zone.name.matches("{"a" * 100}")')
    for text in (*within, " && ".join(["[1].all(a, true)"] * 4), "([1, 2][0] + (1)) > (0)", "has(zone.name)&&true"):
        assert isinstance(compile_predicate(text), Predicate), text
    assert (
        refusal("true" + " " * 997) == "at character 1001: the expression has 1001 characters; at most 1000 are taken"
    )
    assert refusal(HOSTILE["deep brackets"]) == "at character 13: brackets are more than 12 deep"
    assert refusal(HOSTILE["long pattern"]) == "at character 19: a pattern has at most 100 characters"
    words = "at most 4 of all, exists, exists_one, filter, none in another"
    assert refusal(HOSTILE["five macros"]) == f"at character 85: {words}"
    assert refusal(HOSTILE["macro in macro"]) == f"at character 16: {words}"


@pytest.mark.parametrize(
    "text",
    [
        "!" * (LENGTH_MAX - 4) + "true",
        "true" + "&&true" * 166,
        'zone.name.matches("(a+)+$")',
        'zone.name.matches("(a|a)*(a|a)*(a|a)*b")',
        " && ".join(['zone.clearances.all(a, a.contains("aaaaaaaaaaaaab"))'] * 4),
    ],
    ids=["negations", "conjunctions", "nested repetition", "alternation", "four macros"],
)
def test_the_costliest_that_is_taken_is_answered_on_the_largest_values(text: str) -> None:
    assert isinstance(compile_predicate(text), Predicate)
    large = replace(ATTRIBUTES, name="a" * 63)
    held = tuple(fact(FactKind.PERSONNEL_CLEARANCE, f"{'a' * 60}{i}") for i in range(100))
    assert evaluate(text, values_of(large, held, NOW_MS)).reason in (None, Reason.PREDICATE_FALSE)


def test_compiled_expressions_are_kept_and_bounded() -> None:
    first = compile_predicate('zone.node == "kept"')
    assert compile_predicate('zone.node == "kept"') is first
    for number in range(COMPILED_MAX + 1):
        compile_predicate(f"zone.nope{number}")
    assert compile_predicate.cache_info().currsize <= COMPILED_MAX


def test_countries_of_site_headquarters_and_parents_are_told_apart() -> None:
    found = values_of(ATTRIBUTES, facts(site="NO", headquarters="SE", parent="FI"), NOW_MS)
    assert (found["country"], found["headquarters_country"], found["parent_countries"]) == ("NO", "SE", ["FI"])


def test_what_was_worked_out_for_one_zone_is_not_said_of_another() -> None:
    text = 'zone.country in ["NO", "SE"] && zone.models.exists(m, m == "L4")'
    said = [
        predicates.evaluate(text, values).measured
        for values in (
            {"country": "NO", "models": ["L4"]},
            {"country": "DE", "models": ["L4"]},
            {"country": "NO", "models": []},
            {"models": ["L4"]},
            {"country": "NO", "models": ["L4"]},
        )
    ]
    assert said[0] == said[4] == "true"
    assert said[1] == said[2] == "false"
    assert said[3].startswith("failed: ")


def test_a_predicate_is_worked_out_once_for_the_values_that_it_reads() -> None:
    predicates._outcome.cache_clear()
    for price in range(50):
        predicates.evaluate('zone.country == "NO"', {"country": "NO", "price_eur_per_hour": price / 10})
    assert predicates._outcome.cache_info().misses == 1
