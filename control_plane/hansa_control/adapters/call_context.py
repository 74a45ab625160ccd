"""Which call is being answered, for whatever is logged meanwhile."""

from __future__ import annotations

from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any

CALL: ContextVar[tuple[str, str] | None] = ContextVar("hansa_call", default=None)
"""Request id and method, "service/method"; None outside calls."""


def merge_call(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Adds both to a line that is logged within a call. Only then, as most calls log nothing."""
    if (call := CALL.get()) is not None:
        event.setdefault("request_id", call[0])
        event.setdefault("method", call[1])
    return event
