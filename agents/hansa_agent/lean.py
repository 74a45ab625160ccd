"""Keeps the agent small. To be imported before anything that imports structlog.

structlog loads rich, with its highlighters, to colour tracebacks on terminals. The agent logs JSON, and these are 4 MiB
of the 60 that it may take. Once structlog is loaded rich can be had again, for the help of the commands.
"""

from __future__ import annotations

import importlib
import sys

SETTLED_S = 2.0
"""So long after its start an agent has what it needs."""

if "rich" not in sys.modules and "structlog" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # which importlib takes for "not installed"
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]
