"""What the bidirectional streams have in common on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Generic, TypeVar

from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import Reason

HELLO_TIMEOUT_S = 5.0

MessageT = TypeVar("MessageT")


class Downstream(Generic[MessageT]):
    """The way to the caller. What is sent together stays together, whichever of several tasks sends it."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._lock = asyncio.Lock()

    async def send(self, *messages: MessageT) -> None:
        async with self._lock:
            for message in messages:
                await self._context.write(message)


async def first_message(messages: AsyncIterator[MessageT], timeout_s: float) -> MessageT | None:
    """The hello of a stream; None if the caller went away at once, PROTOCOL_VIOLATION if it says nothing in time."""
    try:
        async with asyncio.timeout(timeout_s):
            return await anext(messages, None)
    except TimeoutError:
        message = f"no hello within {timeout_s:g} s"
        raise RefusalError(Reason.PROTOCOL_VIOLATION, message, "hello") from None
