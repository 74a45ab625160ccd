"""How an agreement stands, over the wire: what is not understood is unknown, never in force."""

from __future__ import annotations

from typing import Any

import pytest
from hansa_control.adapters.codec_agreement import StandingTold, standing_in, standing_out
from hansa_control.adapters.codec_federation import offers_response_in, owner_standing_out
from hansa_control.domain.agreement import AgreementState
from hansa_control.domain.model import Standing

from hansa.v1 import federation_service_pb2 as federation_pb2

DIGEST = "sha256:" + "a" * 64
STANDING = Standing(AgreementState.DRAINING, 3, DIGEST, 1_800_000_000_000, 1_900_000_000_000)


@pytest.mark.parametrize("state", AgreementState)
def test_every_state_comes_back_as_it_went(state: AgreementState) -> None:
    standing = Standing(state, 3, DIGEST, 1_800_000_000_000, 1_900_000_000_000)
    assert standing_in(standing_out(standing), "standing") == standing


@pytest.mark.parametrize(
    "changes",
    [
        {"state": 0},
        {"state": 99},
        {"version": 0},
        {"version": -1},
        {"digest": ""},
        {"digest": "sha256:x"},
        {"drain_deadline_ms": -1},
        {"valid_until_ms": 2**62},
    ],
)
def test_what_cannot_be_read_is_unknown(changes: dict[str, Any]) -> None:
    wire = standing_out(STANDING)
    for name, value in changes.items():
        setattr(wire, name, value)
    assert standing_in(wire, "standing") is None


def test_what_was_never_said_is_unknown() -> None:
    assert standing_in(federation_pb2.AgreementStanding(), "standing") is None
    assert standing_in(standing_out(None), "standing") is None


def test_a_stream_of_offers_carries_it() -> None:
    assert offers_response_in(owner_standing_out(StandingTold(STANDING)), "fjordby") == StandingTold(STANDING)
