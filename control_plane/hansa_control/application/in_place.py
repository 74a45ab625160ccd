"""Work that is done where it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class InPlace:
    """Does work at once, while others wait: for virtual time and for tests."""

    async def run(self, job: Callable[[], T]) -> T:
        return job()
