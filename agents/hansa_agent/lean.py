"""Keeps the agent small. To be imported before anything that imports structlog.

structlog loads rich, with its highlighters, to colour tracebacks on terminals. The agent logs JSON, and these are 4 MiB
of the 60 that it may take. Once structlog is loaded rich can be had again, for the help of the commands.
"""

from __future__ import annotations

import importlib
import sys

SETTLED_S = 2.0
"""So long after its start an agent has what it needs."""

_M_ARENA_MAX = -8
"""mallopt(3), of the GNU C library."""

if (_mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
    _mallopt(_M_ARENA_MAX, 1)  # threads are few and short here; a heap for each of them would be kept for ever

if "rich" not in sys.modules and "structlog" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # which importlib takes for "not installed"
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]
