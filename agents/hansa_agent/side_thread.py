"""One thread for calls that may hang, such as those into a driver: a call that hangs holds up nobody else.

The thread is a daemon, so a process can end although a call in it never returns.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Answer = TypeVar("Answer")


class SideThread(Generic[Answer]):
    """Calls ``function`` when asked, never twice at a time."""

    def __init__(self, name: str, function: Callable[[], Answer]) -> None:
        self._function = function
        self._asked: queue.SimpleQueue[asyncio.Future[Answer] | None] = queue.SimpleQueue()
        self._pending: asyncio.Future[Answer] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    async def call(self, timeout_s: float) -> Answer:
        """The next answer; raises TimeoutError while a call, this one or an earlier one, does not return."""
        if not self._thread.is_alive():
            self._thread.start()
        if self._pending is None:
            self._pending = asyncio.get_running_loop().create_future()
            self._asked.put(self._pending)
        async with asyncio.timeout(timeout_s):
            try:
                answer = await asyncio.shield(self._pending)
            except asyncio.CancelledError:
                raise
            except BaseException:
                self._pending = None
                raise
        self._pending = None
        return answer

    def stop(self) -> None:
        """Lets the thread end once it is done with what it does."""
        self._asked.put(None)

    def _run(self) -> None:
        while (future := self._asked.get()) is not None:
            try:
                answer: Any = self._function()
                error: BaseException | None = None
            except Exception as raised:
                answer, error = None, raised
            # The loop may have been closed meanwhile: then nobody waits any more.
            try:
                future.get_loop().call_soon_threadsafe(_settle, future, answer, error)
            except RuntimeError:
                return


def _settle(future: asyncio.Future[Any], answer: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(answer)
