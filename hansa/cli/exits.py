"""Exit codes of the command, as documented in its help."""

from __future__ import annotations

OK = 0
CHANGE = 1
INFEASIBLE = 2
INTERRUPTED = 130
ERROR = 255
