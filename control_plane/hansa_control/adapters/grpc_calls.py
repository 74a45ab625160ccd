"""What happens around every call, whatever the service: request id, log, metrics, and errors as rich statuses.

A servicer returns or raises; nothing else leaves it. ``RefusalError`` and ``HansaError`` become the status of their
reason, a store that failed becomes UNAVAILABLE (the process ends itself), and a defect becomes INTERNAL: logged once
with its origin under the request id, told to the caller without a word about the inside.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Never, TypeAlias

import grpc
import structlog
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from hansa.errors import HansaError, to_status
from hansa_control.adapters.call_context import CALL
from hansa_control.adapters.codec_fields import request_id_in
from hansa_control.adapters.grpc_options import REQUEST_ID_KEY
from hansa_control.adapters.metrics import Metrics
from hansa_control.adapters.precedence import Precedence
from hansa_control.adapters.task_scope import first_to_end
from hansa_control.application.ports import Clock, IdSource, RefusalError, StoreFailed
from hansa_control.domain.model import Reason

REQUEST_ID_KEYS = (REQUEST_ID_KEY, "x-request-id")
_ASKING_MORE = frozenset({"SubmitWorkload", "DeleteWorkload", "Propose", "Hold"})
"""Calls that ask for a new promise. Those that keep one (Confirm, Release) wait for the store."""
RETRY_AFTER_MS = 1_000

log = structlog.get_logger(__name__)

Behaviour = Callable[[Any, Any], Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_REFUSALS = (RefusalError, HansaError, StoreFailed)


class _Malformed:
    """Stands for a message that is no message of its type."""


def _tolerant(deserializer: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    def read(content: bytes) -> Any:
        try:
            return content if deserializer is None else deserializer(content)
        except DecodeError:
            return _Malformed()

    return read


def _unless_written(serializer: Callable[[Any], bytes] | None) -> Callable[[Any], bytes]:
    """A response that is given again and again may be kept, and given, as it goes over the wire."""

    def write(response: Any) -> bytes:
        return response if serializer is None or type(response) is bytes else serializer(response)

    return write


def _checked(message: Any) -> Any:
    if isinstance(message, _Malformed):
        raise RefusalError(Reason.INVALID_FIELD, "the message cannot be read: truncated, or of another type", "message")
    return message


class _CheckedStream(AsyncIterator[Any]):
    """What a caller sends, straight from the call: generators around generators would cost more than a message."""

    def __init__(self, context: Any) -> None:
        self._read = context.read

    async def __anext__(self) -> Any:
        message = await self._read()
        if message is grpc.aio.EOF:
            raise StopAsyncIteration
        return _checked(message)


async def _written(outcome: Any, context: Any) -> None:
    """Runs a handler that streams its responses, whether it yields them or writes them itself."""
    if not inspect.isasyncgen(outcome):
        await outcome
        return
    async with aclosing(outcome):
        async for response in outcome:
            await context.write(response)


def as_hansa_error(error: RefusalError | HansaError | StoreFailed) -> HansaError:
    """What a refusal looks like on the wire."""
    if isinstance(error, HansaError):
        return error
    if isinstance(error, StoreFailed):
        return HansaError("UNAVAILABLE", "the operator's store has failed")
    retry_after_ms = RETRY_AFTER_MS if error.reason is Reason.UNAVAILABLE else 0
    return HansaError(error.reason.value, error.message, field=error.field, retry_after_ms=retry_after_ms)


class CallGuard:
    """Around every method of every server: each is guarded once, when it is registered.

    An interceptor would be asked again at every call, which a call that is answered from memory feels.
    """

    def __init__(self, metrics: Metrics, clock: Clock, ids: IdSource) -> None:
        self.precedence = Precedence(clock)
        self._metrics = metrics
        self._clock = clock
        self._ids = ids
        self._stopping = asyncio.Event()
        self.trouble: Callable[[], str] = lambda: ""
        """Why nothing new can be promised at present; "" while it can."""

    def end_streams(self) -> None:
        """Ends every stream with UNAVAILABLE; streams have no end of their own for which a server could wait."""
        self._stopping.set()

    def guarded(self, method: str, handler: Handler) -> Handler:
        """The handler of "service/method" with all that happens around a call."""
        reads, writes = _tolerant(handler.request_deserializer), _unless_written(handler.response_serializer)
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary), reads, writes)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(self._stream(method, handler.unary_stream), reads, writes)
        if handler.stream_stream:
            return grpc.stream_stream_rpc_method_handler(self._stream(method, handler.stream_stream), reads, writes)
        raise TypeError(f"{method}: hansa has no calls that stream only the request")

    def _unary(self, method: str, behaviour: Behaviour) -> Behaviour:
        asks_more = method.rpartition("/")[2] in _ASKING_MORE
        answering, elapsed_us = self.precedence.answering(), self._clock.elapsed_us
        counts = self._metrics.calls_of(method)

        async def answer(request: Any, context: Any) -> Any:
            started_us = elapsed_us()
            if asks_more:
                self._check_may_promise()
            with answering:
                response = await behaviour(_checked(request), context)
            counts.took(elapsed_us() - started_us)
            return response

        return self._around(method, answer)

    def _stream(self, method: str, behaviour: Behaviour) -> Behaviour:
        async def serve(request: Any, context: Any) -> None:
            streamed = hasattr(request, "__aiter__")
            outcome = behaviour(_CheckedStream(context) if streamed else _checked(request), context)
            await first_to_end(_written(outcome, context), self._until_stopping())

        return self._around(method, serve)

    def _around(self, method: str, work: Behaviour) -> Behaviour:
        counts = self._metrics.calls_of(method)

        async def guarded(request: Any, context: Any) -> Any:
            request_id = _request_id_given(context) or await self._new_request_id(context)
            code, outer = grpc.StatusCode.OK, CALL.set((request_id, method))
            try:
                return await work(request, context)
            except BaseException as error:  # however a call ends, it is counted, and raised on
                code = self._code_of(error, context)
                await self._tell(error, context, request_id)
                raise
            finally:
                CALL.reset(outer)
                counts.ended(code.name)

        return guarded

    def _check_may_promise(self) -> None:
        if trouble := self.trouble():
            raise RefusalError(Reason.UNAVAILABLE, f"nothing new can be promised, the store waits: {trouble}")

    async def _until_stopping(self) -> None:
        await self._stopping.wait()
        raise RefusalError(Reason.UNAVAILABLE, "the operator's control plane is stopping")

    async def _new_request_id(self, context: Any) -> str:
        """An id for a call whose caller gave none; it is told."""
        request_id = self._ids.new_id()
        await context.send_initial_metadata(((REQUEST_ID_KEY, request_id),))
        return request_id

    def _code_of(self, error: BaseException, context: Any) -> grpc.StatusCode:
        if isinstance(error, _REFUSALS):
            return as_hansa_error(error).code
        if isinstance(error, asyncio.CancelledError):
            return grpc.StatusCode.CANCELLED
        if isinstance(error, grpc.aio.AbortError):
            return context.code() or grpc.StatusCode.UNKNOWN
        return grpc.StatusCode.INTERNAL

    async def _tell(self, error: BaseException, context: Any, request_id: str) -> None:
        """Ends the call with the status of a refusal or a defect; of the rest the caller knows already."""
        if isinstance(error, _REFUSALS):
            await _abort(context, self._refused(error))
        elif isinstance(error, Exception) and not isinstance(error, grpc.aio.AbortError):
            log.exception("defect")
            await _abort(context, HansaError("INTERNAL", f"a defect; the log has more under {request_id}"))

    def _refused(self, error: RefusalError | HansaError | StoreFailed) -> HansaError:
        refusal = as_hansa_error(error)
        if isinstance(error, StoreFailed):
            log.error("store_failed", error=str(error))
        else:
            log.warning("refused", reason=refusal.reason, field=refusal.field, message=refusal.message)
        return refusal


def _request_id_given(context: Any) -> str:
    """The first good id that the caller gave for this call, under whichever key; "" if it gave none."""
    for key, value in context.invocation_metadata() or ():
        if key in REQUEST_ID_KEYS and isinstance(value, str):
            try:
                return request_id_in(value, key)
            except RefusalError:
                continue
    return ""


async def _abort(context: Any, refusal: HansaError) -> Never:
    await context.abort_with_status(rpc_status.to_status(to_status(refusal)))
    raise AssertionError("abort returned")
