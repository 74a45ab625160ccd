"""Partners as people read them."""

from __future__ import annotations

import pytest

from hansa.cli.documents import Screen
from hansa.cli.view_partner import partner_table
from hansa.v1 import federation_service_pb2 as federation_pb2
from hansa.v1 import partner_service_pb2

NOW_MS = 1_800_000_000_000
DIGEST = "sha256:" + "a" * 64


def standing(state: str, **times_ms: int) -> federation_pb2.AgreementStanding:
    number = federation_pb2.AgreementState.Value(f"AGREEMENT_STATE_{state}")
    return federation_pb2.AgreementStanding(state=number, version=3, digest=DIGEST, **times_ms)


def ours(held: federation_pb2.AgreementStanding) -> partner_service_pb2.Partnership:
    return partner_service_pb2.Partnership(
        partner="fjordby",
        direction=partner_service_pb2.PARTNER_DIRECTION_USES_OURS,
        federation=federation_pb2.FEDERATION_STATE_ACTIVE,
        standing=held,
        claims=2,
        quotas=[partner_service_pb2.QuotaUse(what="accelerators", where="in oslo-*", used=2, most=8)],
        reference="contract 7",
    )


def shown(
    capsys: pytest.CaptureFixture[str], *partnerships: partner_service_pb2.Partnership, wide: bool = False
) -> list[str]:
    Screen(width_columns=0).show(partner_table(partnerships, NOW_MS, wide=wide))
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_a_partner_that_uses_our_zones_is_shown_with_its_quota(capsys: pytest.CaptureFixture[str]) -> None:
    (_, row) = shown(capsys, ours(standing("IN_FORCE", valid_until_ms=NOW_MS)))
    assert row == "fjordby uses ours IN_FORCE 3 2 2/8 accelerators in oslo-* 2027-01-15 ACTIVE -"


def test_one_that_drains_says_how_long_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    (_, row) = shown(capsys, ours(standing("DRAINING", drain_deadline_ms=NOW_MS + 5_400_000)))
    assert row == "fjordby uses ours DRAINING 3 2 2/8 accelerators in oslo-* in 1.5 h ACTIVE -"
    (_, row) = shown(capsys, ours(standing("TERMINATED", drain_deadline_ms=NOW_MS + 5_400_000)))
    assert "is over" in row


def test_what_is_not_known_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    direction = partner_service_pb2.PARTNER_DIRECTION_USED_BY_US
    nothing = partner_service_pb2.Partnership(partner="skargard", direction=direction)
    (_, row) = shown(capsys, nothing)
    assert row == "skargard used by us UNKNOWN - 0 - - NONE -"


def test_wide_adds_contract_and_digest(capsys: pytest.CaptureFixture[str]) -> None:
    (_, row) = shown(capsys, ours(standing("IN_FORCE")), wide=True)
    assert row.endswith(f"contract 7 {DIGEST}")


def test_an_operator_without_partners_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys) == ["no partners"]
