"""What ``optimize`` does."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from hansa.cli import exits
from hansa.cli.session import Session, note
from hansa.cli.view_optimize import optimization_document
from hansa.errors import HansaError

_TICK_MS = 1_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for."""

    plan: bool
    exact: bool
    exact_time_ms: int


async def optimize(session: Session, asked: Asked) -> int:
    """Says what packing anew would move; the exit code says whether anything. HansaError where acting is asked for."""
    if not asked.plan:
        raise HansaError("INVALID_FIELD", "acting comes with planned moves; use --plan", field="--plan")
    if asked.exact_time_ms and not asked.exact:
        raise HansaError("INVALID_FIELD", "is for --exact alone", field="--exact-time-s")
    ticking = asyncio.create_task(_show_progress(session))
    try:
        found = await session.client.optimize(exact=asked.exact, exact_time_ms_max=asked.exact_time_ms)
    finally:
        ticking.cancel()
        _clear()
    session.emit(found, optimization_document(found, wide=session.wide))
    took = f"{found.elapsed_us / 1_000_000:.1f} s"
    note(f"network generation {found.snapshot_generation}, searched {took}; nothing was moved")
    return exits.CHANGE if found.moves else exits.OK


async def _show_progress(session: Session) -> None:
    """Counts the seconds on a terminal; elsewhere it says once that it searches."""
    if not sys.stderr.isatty():
        note("packing all workloads anew")
        return
    began_ms = session.clock.monotonic_ms()
    while True:
        seconds = (session.clock.monotonic_ms() - began_ms) // 1_000
        print(f"\rpacking all workloads anew, {seconds} s", end="", file=sys.stderr, flush=True)
        await session.clock.sleep(_TICK_MS)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
