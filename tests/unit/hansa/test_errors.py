from __future__ import annotations

import grpc
import pytest
from google.rpc import status_pb2

from hansa.errors import HansaError, from_rpc_error, grpc_code, invalid_field, reason_names, to_status
from hansa.v1 import reason_pb2


def over_the_wire(status: status_pb2.Status, code: grpc.StatusCode) -> HansaError:
    trailing = grpc.aio.Metadata(("grpc-status-details-bin", status.SerializeToString()))
    return from_rpc_error(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details=status.message))


@pytest.mark.parametrize("reason", reason_names())
def test_every_reason_comes_back_as_it_was_raised(reason: str) -> None:
    raised = HansaError(reason, "because", field="spec.latency.rtt_us_max", retry_after_ms=250)
    received = over_the_wire(to_status(raised), raised.code)
    assert (received.reason, received.message) == (reason, "because")
    assert (received.field, received.retry_after_ms) == ("spec.latency.rtt_us_max", 250)


@pytest.mark.parametrize("reason", reason_names())
def test_every_reason_has_a_code_that_is_an_error(reason: str) -> None:
    assert grpc_code(reason) not in (grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN)


def test_the_registry_is_the_protos_without_prefix_and_without_unset() -> None:
    assert len(reason_names()) == len(reason_pb2.Reason.keys()) - 1
    assert "LATENCY_EXCEEDED" in reason_names()
    assert "REASON_UNSPECIFIED" not in reason_names()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "UNAVAILABLE"),
        (grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
        (grpc.StatusCode.UNAUTHENTICATED, "PERMISSION_DENIED"),
        (grpc.StatusCode.DATA_LOSS, "INTERNAL"),
    ],
)
def test_an_error_without_details_gets_the_nearest_reason(code: grpc.StatusCode, reason: str) -> None:
    bare = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details="gone")
    assert from_rpc_error(bare).reason == reason


def test_details_that_cannot_be_read_leave_the_nearest_reason() -> None:
    bad_value = to_status(HansaError("NOT_FOUND", "x"))
    bad_value.details[0].value = b"\xff\xff"
    for content in (b"\xff\xff\xff", bad_value.SerializeToString()):
        trailing = grpc.aio.Metadata(("grpc-status-details-bin", content))
        error = grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), trailing, details="gone")
        assert (from_rpc_error(error).reason, from_rpc_error(error).message) == ("NOT_FOUND", "gone")


def test_a_reason_of_another_domain_is_not_believed() -> None:
    status = to_status(HansaError("NOT_FOUND", "x"))
    status.details[0].value = status.details[0].value.replace(b"hansa.v1", b"other.v1")
    assert over_the_wire(status, grpc.StatusCode.INTERNAL).reason == "INTERNAL"


def test_the_text_names_reason_field_and_message() -> None:
    assert str(invalid_field("spec.replicas", "must be positive")) == "INVALID_FIELD (spec.replicas): must be positive"
    assert str(HansaError("NOT_FOUND", "no such zone")) == "NOT_FOUND: no such zone"


def test_the_request_id_is_empty_until_a_client_sets_it() -> None:
    assert HansaError("NOT_FOUND", "x").request_id == ""
