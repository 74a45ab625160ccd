"""Structured logs: one JSON object a line on standard error. Nothing secret is ever passed to a logger."""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logs(level: str, zone: str) -> None:
    """Sets up logging for the process; ``level`` is debug, info, warning or error. ``zone`` is on every line."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # Standard error as it is when a line is written, which is not always what it was at the start.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
    structlog.contextvars.bind_contextvars(zone=zone)
