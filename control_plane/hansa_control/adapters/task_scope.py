"""Two patterns of concurrent work: the first to end ends all, and what has begun is finished."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")

_unfinished: set[asyncio.Task[Any]] = set()


async def first_to_end(*work: Coroutine[Any, Any, None]) -> None:
    """Runs everything until one ends or fails; then the others are cancelled and its failure, if any, is raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if task in done:
            task.result()


async def to_the_end(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Awaits work that goes on to its end even if the caller is cancelled meanwhile, as a commit must."""
    task = asyncio.ensure_future(work)
    _unfinished.add(task)
    task.add_done_callback(_unfinished.discard)
    return await asyncio.shield(task)
