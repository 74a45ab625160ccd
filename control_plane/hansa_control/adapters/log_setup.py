"""Structured logs: one JSON object a line on standard error, without secrets."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any, TextIO

import structlog

from hansa_control.adapters.call_context import merge_call

_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.*?(-----END [A-Z ]+-----|$)", re.DOTALL)
_SECRET_KEYS = re.compile(r"(^|_)(password|passwd|secret|token|authorization|private_key|key_pem)$", re.IGNORECASE)
_HARMLESS_KEYS = frozenset({"fencing_token", "page_token"})
REDACTED = "[redacted]"
_ENCODER = json.JSONEncoder(default=repr)
"""Made once: ``json.dumps`` would make one for every line."""


def set_up_logs(operator: str, level: str = "info", stream: TextIO | None = None, *, for_good: bool = False) -> None:
    """Configures logs of this process; call once. ``level`` is debug, info, warning or error.

    What is configured ``for_good`` is not looked up again at every line.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            merge_call,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(serializer=_as_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        # Standard error as it is when a line is written, which is not always what it was at the start.
        logger_factory=lambda *_: structlog.WriteLogger(stream or sys.stderr),
        cache_logger_on_first_use=for_good,
    )
    structlog.contextvars.bind_contextvars(operator=operator)
    logging.basicConfig(level=max(number, logging.WARNING), stream=stream or sys.stderr, force=True)


def _as_json(event: Any, **_: Any) -> str:
    return _ENCODER.encode(event)


def redact(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Takes out what must not be written: values under names of secrets, PEM blocks anywhere, bytes."""
    for key, value in event.items():
        event[key] = REDACTED if _is_secret(key) else _clean(value)
    return event


@lru_cache(1_024)
def _is_secret(key: str) -> bool:
    return key not in _HARMLESS_KEYS and _SECRET_KEYS.search(key) is not None


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _PEM.sub(REDACTED, value) if "-----BEGIN" in value else value
    if isinstance(value, bytes):
        return f"[{len(value)} bytes]"
    if isinstance(value, dict):
        return {key: REDACTED if _is_secret(str(key)) else _clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(inner) for inner in value]
    return value
