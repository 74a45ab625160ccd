"""The twin's clocks and environment: the machine's own. Everything else is given them, or reads them here."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence


def monotonic_ns() -> int:
    """The clock that all processes of this machine share, ns; asyncio's loops go by the same."""
    return time.monotonic_ns()


def wall_ms() -> int:
    """Wall clock, ms since the Unix epoch, UTC: certificates begin now."""
    return time.time_ns() // 1_000_000


def kept_environment(names: Sequence[str]) -> dict[str, str]:
    """These variables of our own, as far as they are set."""
    own = os.environ  # noqa: TID251 - what other processes are started with
    return {name: own[name] for name in names if name in own}


def take_realtime(policy: int, priority: int) -> bool:
    """Asks for real-time scheduling (sched(7)), so that what else the machine does is not measured; whether it is."""
    try:
        os.sched_setscheduler(0, policy, os.sched_param(priority))
    except OSError:
        return False
    return True
