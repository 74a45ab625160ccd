"""The agreements file: read strictly, every slip named with its place and the nearest valid word, and read again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hansa_control.adapters.agreement_file import load_agreements
from hansa_control.adapters.agreement_source import RETRY_MS, AgreementFiles, agreements_of
from hansa_control.domain.agreement import (
    ANYBODY,
    OPEN,
    Amounts,
    NetworkShown,
    PlaceShown,
    Reoffer,
    RoomShown,
    Stance,
    Terms,
    Wish,
)
from structlog.testing import capture_logs

from hansa.errors import HansaError

EXAMPLE = Path(__file__).parents[3] / "control_plane/agreements.example.yaml"
PARTNERS = ("fjordby", "skargard")
PLAIN = "kind: Agreements\npartners:\n  fjordby: {standing: in-force}\n"
NODES = ("bergen", "oslo")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "agreements.yaml"
    path.write_text(text)
    return path


def refusal(tmp_path: Path, agreed: str) -> HansaError:
    with pytest.raises(HansaError) as error:
        load_agreements(written(tmp_path, f"kind: Agreements\npartners:\n  fjordby: {agreed}\n"), PARTNERS, NODES)
    return error.value


def test_the_example_says_what_it_says() -> None:
    stance = load_agreements(EXAMPLE, PARTNERS, NODES)["fjordby"]
    agreement = stance.agreement
    (disclosure,), (quota, each) = agreement.disclosures, agreement.quotas
    assert (stance.wish, agreement.reference) == (Wish.IN_FORCE, "contract 2026-17")
    assert agreement.zones == ("oslo-*", "bergen-1")
    assert (disclosure.place, disclosure.room) == (PlaceShown.COARSE, RoomShown.BANDS)
    assert disclosure.most == Amounts(4, 32_000, 131_072)
    assert (quota.each, quota.most, quota.claims) == (False, Amounts(8, 64_000, 262_144), 20)
    assert (each.each, each.most, each.claims) == (True, Amounts(2), None)
    assert agreement.prices is not None
    assert agreement.prices.accelerator_milli == (("L40S", 1_200), ("nvidia/H100", 3_000))
    assert agreement.prices.cpu_core_milli == 30
    assert (agreement.network, agreement.gateways) == (NetworkShown.ABSTRACT, ("oslo",))
    assert agreement.reoffer == Reoffer(("oslo-*",), ("skargard",))
    assert agreement.passes_on == ("waldnetz/berlin-*",)
    assert agreement.terms == Terms(1_767_225_600_000, 1_798_761_600_000, 48 * 3_600_000)


def test_a_partner_of_whom_nothing_but_the_standing_is_said_may_use_everything(tmp_path: Path) -> None:
    assert load_agreements(written(tmp_path, PLAIN), PARTNERS) == {"fjordby": Stance(OPEN, Wish.IN_FORCE)}


@pytest.mark.parametrize(
    ("agreed", "field", "message"),
    [
        ("{standing: in-force, zone: [a]}", "partners.fjordby.zone", "did you mean zones?"),
        ("{standing: suspend}", "partners.fjordby.standing", "did you mean suspended?"),
        ("{zones: [a]}", "partners.fjordby", "'standing' is missing"),
        ("{standing: in-force, zones: []}", "partners.fjordby.zones", "1 to 100 elements"),
        ("{standing: in-force, zones: [Oslo]}", "partners.fjordby.zones[0]", "for example oslo-*"),
        ("{standing: in-force, quotas: [{of: all}]}", "partners.fjordby.quotas[0]", "bounds nothing"),
        ("{standing: in-force, quotas: [{claim: 2}]}", "partners.fjordby.quotas[0].claim", "did you mean claims?"),
        ("{standing: in-force, quotas: [{claims: -1}]}", "partners.fjordby.quotas[0].claims", "nearest valid: 0"),
        ("{standing: in-force, disclose: [{place: vague}]}", "partners.fjordby.disclose[0].place", "exact, coarse"),
        ("{standing: in-force, network: abstrct}", "partners.fjordby.network", "full, abstract"),
        ("{standing: in-force, gateways: [oslo]}", "partners.fjordby.gateways", "network: abstract"),
        ("{standing: in-force, network: abstract, gateways: []}", "partners.fjordby.gateways", "1 to 100 elements"),
        (
            "{standing: in-force, network: abstract, gateways: [oslo, bregen]}",
            "partners.fjordby.gateways[1]",
            "'bregen' is no node of the network; did you mean bergen?",
        ),
        ("{standing: in-force, prices: {currency: euro}}", "partners.fjordby.prices.currency", "ISO 4217"),
        (
            "{standing: in-force, prices: {currency: EUR, accelerator_hour: {L4: 0.0001}}}",
            "partners.fjordby.prices.accelerator_hour.L4",
            "finer than 1/1000",
        ),
        (
            "{standing: in-force, prices: {currency: EUR, accelerator_hour: {"
            + ", ".join(f"m{n}: 1" for n in range(101))
            + "}}}",
            "partners.fjordby.prices.accelerator_hour",
            "at most 100",
        ),
        ("{standing: in-force, reoffer: {zones: ['*']}}", "partners.fjordby.reoffer", "'to' is missing"),
        ("{standing: in-force, reoffer: {to: any}}", "partners.fjordby.reoffer", "'zones' is missing"),
        ("{standing: in-force, reoffer: {zones: ['*'], to: all}}", "partners.fjordby.reoffer.to", "list"),
        ("{standing: in-force, reoffer: {zones: ['*'], to: ['*']}}", "partners.fjordby.reoffer.to[0]", "to: any"),
        ("{standing: in-force, passes_on: ['berlin-*']}", "partners.fjordby.passes_on[0]", "waldnetz/berlin-*"),
        ("{standing: in-force, terms: {notice: 2 weeks}}", "partners.fjordby.terms.notice", "for example 48h"),
        ("{standing: in-force, terms: {notice: 9999d}}", "partners.fjordby.terms.notice", "nearest valid: 3650d"),
        ("{standing: in-force, terms: {valid_until: 2026}}", "partners.fjordby.terms.valid_until", "no moment"),
        ("{standing: in-force, terms: {valid_until: 2026-02-30}}", "partners.fjordby.terms.valid_until", "no moment"),
        (
            "{standing: in-force, terms: {valid_from: 2026-05-01, valid_until: 2026-05-01}}",
            "partners.fjordby.terms.valid_until",
            "not after valid_from",
        ),
    ],
)
def test_what_is_not_understood_is_refused_by_name(tmp_path: Path, agreed: str, field: str, message: str) -> None:
    error = refusal(tmp_path, agreed)
    assert (error.reason, error.field) == ("INVALID_FIELD", field)
    assert message in error.message
    assert "agreements.yaml:3" in error.message


def test_anybody_is_written_as_one_word(tmp_path: Path) -> None:
    text = PLAIN.replace("in-force}", "in-force, reoffer: {zones: [a], to: any}}")
    agreed = load_agreements(written(tmp_path, text), PARTNERS)["fjordby"].agreement
    assert agreed.reoffer == Reoffer(("a",), ANYBODY)
    assert (agreed.reoffer.permits("a", "havnby"), agreed.reoffer.permits("b", "havnby")) == (True, False)


def test_a_partner_that_is_not_in_the_configuration_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(HansaError, match=r"'fjorby' is no partner of the configuration; did you mean fjordby\?"):
        load_agreements(written(tmp_path, PLAIN.replace("fjordby", "fjorby")), PARTNERS)


# --- read again ---


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    source = AgreementFiles(written(tmp_path, PLAIN), PARTNERS, 0)
    first = source.stances(1)
    assert source.stances(2) is first
    written(tmp_path, PLAIN.replace("in-force", "suspended"))
    assert source.stances(3)["fjordby"].wish is Wish.SUSPENDED


def test_a_file_that_cannot_be_read_any_more_changes_nothing_and_is_told_once(tmp_path: Path) -> None:
    source = AgreementFiles(written(tmp_path, PLAIN), PARTNERS, 0)
    written(tmp_path, PLAIN.replace("in-force", "inforce"))
    with capture_logs() as lines:
        for now_ms in range(5):
            assert source.stances(now_ms)["fjordby"].wish is Wish.IN_FORCE
    assert [line["event"] for line in lines] == ["agreements_not_read"]


def test_a_file_that_is_gone_changes_nothing_and_counts_again_when_it_is_back(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN)
    source = AgreementFiles(path, PARTNERS, 0)
    path.rename(tmp_path / "away")
    assert source.stances(1)["fjordby"].wish is Wish.IN_FORCE
    (tmp_path / "away").rename(path)
    with capture_logs() as lines:
        source.stances(1 + RETRY_MS)
    assert [line["event"] for line in lines] == ["agreements_read"]


def test_a_file_that_cannot_be_read_at_the_start_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        AgreementFiles(tmp_path / "none.yaml", PARTNERS, 0)
    with pytest.raises(HansaError):
        AgreementFiles(written(tmp_path, "kind: Agreement\npartners: {}\n"), PARTNERS, 0)


def test_without_a_file_nothing_is_read() -> None:
    assert agreements_of(None, PARTNERS, 0) is None
