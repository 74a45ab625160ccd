"""What can go wrong, and how it crosses the wire: one registry, both ways.

A refusal is a ``HansaError`` with a ``Reason``. The server turns it into a gRPC status with ``google.rpc.ErrorInfo``
(reason and domain), and where it helps ``BadRequest`` (field), ``RetryInfo`` (delay) or ``PreconditionFailure``. The
client turns the status back into the same ``HansaError``. Only UNAVAILABLE is retried automatically.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError

from hansa.v1 import reason_pb2

# The messages of a rich status are loaded with the first one: an agent, which counts its memory, never has any.
if TYPE_CHECKING:
    from google.rpc import error_details_pb2, status_pb2

ERROR_DOMAIN = "hansa.v1"

_CODES: Mapping[str, grpc.StatusCode] = MappingProxyType(
    {
        "INVALID_FIELD": grpc.StatusCode.INVALID_ARGUMENT,
        "REQUEST_ID_REUSED": grpc.StatusCode.INVALID_ARGUMENT,
        "PROTOCOL_VIOLATION": grpc.StatusCode.INVALID_ARGUMENT,
        "NOT_FOUND": grpc.StatusCode.NOT_FOUND,
        "ALREADY_EXISTS": grpc.StatusCode.ALREADY_EXISTS,
        "ETAG_MISMATCH": grpc.StatusCode.ABORTED,
        "FENCED": grpc.StatusCode.ABORTED,
        "GENERATION_CHANGED": grpc.StatusCode.ABORTED,
        "IDENTITY_MISMATCH": grpc.StatusCode.PERMISSION_DENIED,
        "PERMISSION_DENIED": grpc.StatusCode.PERMISSION_DENIED,
        "LIMIT_EXCEEDED": grpc.StatusCode.RESOURCE_EXHAUSTED,
        "QUOTA_EXCEEDED": grpc.StatusCode.RESOURCE_EXHAUSTED,
        "PARTNER_UNREACHABLE": grpc.StatusCode.UNAVAILABLE,
        "UNAVAILABLE": grpc.StatusCode.UNAVAILABLE,
        "INTERNAL": grpc.StatusCode.INTERNAL,
    }
)


def reason_names() -> tuple[str, ...]:
    """Every reason of the registry, without the wire's prefix, in order of number."""
    names: list[str] = reason_pb2.Reason.keys()
    return tuple(name.removeprefix("REASON_") for name in names if name != "REASON_UNSPECIFIED")


def grpc_code(reason: str) -> grpc.StatusCode:
    """The gRPC code of a reason; what the world forbids and the caller could mend is FAILED_PRECONDITION."""
    return _CODES.get(reason, grpc.StatusCode.FAILED_PRECONDITION)


class HansaError(Exception):
    """A refusal. ``reason`` is a name of the registry; ``field`` names the wrong field, dotted, if one is.

    ``request_id`` is set by the client to the id of the call that failed, under which the server's log has more.
    """

    def __init__(self, reason: str, message: str, *, field: str = "", retry_after_ms: int = 0) -> None:
        super().__init__(message)
        self.request_id = ""
        self.reason = reason
        self.message = message
        self.field = field
        self.retry_after_ms = retry_after_ms

    def __str__(self) -> str:
        where = f" ({self.field})" if self.field else ""
        return f"{self.reason}{where}: {self.message}"

    @property
    def code(self) -> grpc.StatusCode:
        return grpc_code(self.reason)


class ProtocolViolation(HansaError):
    """The other side of a stream broke its rules; the stream ends."""

    def __init__(self, message: str) -> None:
        super().__init__("PROTOCOL_VIOLATION", message)


def invalid_field(field: str, message: str) -> HansaError:
    """A malformed field; ``field`` is its dotted path in the request."""
    return HansaError("INVALID_FIELD", message, field=field)


def to_status(error: HansaError) -> status_pb2.Status:
    """The rich status of a refusal, for the wire."""
    from google.rpc import code_pb2, error_details_pb2, status_pb2

    details = [error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN)]
    packed = [_packed(detail) for detail in details]
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.message)
        packed.append(_packed(error_details_pb2.BadRequest(field_violations=[violation])))
    if error.retry_after_ms:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(error.retry_after_ms)
        packed.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    number = code_pb2.Code.Value(error.code.name)
    return status_pb2.Status(code=number, message=error.message, details=packed)


def _packed(
    message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo,
) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def from_rpc_error(error: grpc.RpcError) -> HansaError:
    """Turns a failed call back into the refusal that the server raised; without details that can be read, into the
    nearest reason.
    """
    has_status = isinstance(error, (grpc.Call, grpc.aio.AioRpcError))
    code = error.code() if has_status else grpc.StatusCode.UNKNOWN
    text = (error.details() if has_status else None) or str(error)
    try:
        status = _rich_status(error)
        return HansaError(_reason_of_code(code), text) if status is None else _from_status(status, code)
    except DecodeError:
        return HansaError(_reason_of_code(code), text)


def _from_status(status: status_pb2.Status, code: grpc.StatusCode) -> HansaError:
    from google.rpc import error_details_pb2

    reason, field, retry_after_ms = _reason_of_code(code), "", 0
    for packed in status.details:
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if packed.Unpack(info):
            if info.domain == ERROR_DOMAIN and info.reason in reason_names():
                reason = info.reason
        elif packed.Unpack(bad):
            field = bad.field_violations[0].field if bad.field_violations else ""
        elif packed.Unpack(retry):
            retry_after_ms = retry.retry_delay.ToMilliseconds()
    return HansaError(reason, status.message, field=field, retry_after_ms=retry_after_ms)


def _rich_status(error: grpc.RpcError) -> status_pb2.Status | None:
    from google.rpc import status_pb2
    from grpc_status import rpc_status

    if not isinstance(error, grpc.aio.AioRpcError):
        try:
            return rpc_status.from_call(error) if isinstance(error, grpc.Call) else None
        except ValueError:
            return None
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            return status_pb2.Status.FromString(value if isinstance(value, bytes) else value.encode())
    return None


def _reason_of_code(code: grpc.StatusCode) -> str:
    return {
        grpc.StatusCode.INVALID_ARGUMENT: "INVALID_FIELD",
        grpc.StatusCode.NOT_FOUND: "NOT_FOUND",
        grpc.StatusCode.PERMISSION_DENIED: "PERMISSION_DENIED",
        grpc.StatusCode.UNAUTHENTICATED: "PERMISSION_DENIED",
        grpc.StatusCode.RESOURCE_EXHAUSTED: "LIMIT_EXCEEDED",
        grpc.StatusCode.UNAVAILABLE: "UNAVAILABLE",
        grpc.StatusCode.DEADLINE_EXCEEDED: "UNAVAILABLE",
        grpc.StatusCode.UNIMPLEMENTED: "PROTOCOL_VIOLATION",
    }.get(code, "INTERNAL")


def said(error: Exception) -> str:
    """What to tell of an error in one line: of a file that cannot be used, which one and why; else what it says."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())
