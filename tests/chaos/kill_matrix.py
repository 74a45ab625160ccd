"""Plays the kill matrix, or one cell of it: ``make kill-matrix``, ``make kill-matrix CELL=submit/held/home/kill``.

Prints a line for each cell as it ends and a table at the end; with ``--page`` writes the table as a page. Exits with 1
if a promise was broken, and says how each cell that failed is played alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

from matrix_cells import CELL_OF, CELLS, STORE_CELLS, Cell, play
from matrix_page import Outcome, page, remembered, table
from proxied_world import ProxiedWorld
from replicated_world import ReplicatedWorld, play_store

JOBS = 2
WorldT = TypeVar("WorldT", ProxiedWorld, ReplicatedWorld)


def main() -> int:
    arguments = _arguments()
    if arguments.worker:
        asyncio.run(_work())
        return 0
    cells = [cell for cell in CELLS if cell.name.startswith(arguments.cell)]
    if not cells:
        print(f"no cell is named {arguments.cell}; there are:", *(cell.name for cell in CELLS), sep="\n  ")
        return 2
    if arguments.list:
        print(*(cell.name for cell in cells), sep="\n")
        return 0
    outcomes = asyncio.run(_play_all(cells, min(arguments.jobs, len(cells))))
    print(table(outcomes))
    failed = [outcome for outcome in outcomes if outcome.wrong]
    for outcome in failed:
        print(f"{outcome.cell.name} failed: {outcome.wrong}\n  alone: make kill-matrix CELL={outcome.cell.name}")
    if arguments.page:
        arguments.page.write_text(page(remembered(outcomes)), encoding="utf-8")
    print(f"{len(outcomes) - len(failed)} of {len(outcomes)} cells kept every promise")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", default="", help="a cell, or the beginning of the names of several")
    parser.add_argument("--jobs", type=int, default=JOBS, help="worlds that are played in side by side")
    parser.add_argument("--page", type=Path, help="where the table goes as a page")
    parser.add_argument("--list", action="store_true", help="names the cells and plays none")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


# --- many worlds ----------------------------------------------------------------------------------------------------


async def _play_all(cells: Sequence[Cell], jobs: int) -> list[Outcome]:
    """Each job has a process and a world of its own; cells go to whoever is free."""
    waiting = list(reversed(cells))
    outcomes: list[Outcome] = []

    async def work() -> None:
        command = [sys.executable, __file__, "--worker"]
        pipe = asyncio.subprocess.PIPE
        worker = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=1 << 20)
        assert worker.stdin is not None
        assert worker.stdout is not None
        while waiting:
            cell = waiting.pop()
            worker.stdin.write(f"{cell.name}\n".encode())
            answer = await worker.stdout.readline()
            said = json.loads(answer) if answer else {"wrong": "the worker ended", "seconds": 0.0}
            outcomes.append(Outcome(cell, said["wrong"], said["seconds"]))
            how = f"FAILED {said['wrong']}" if said["wrong"] else "ok"
            print(f"{len(outcomes):4}/{len(cells)} {cell.name:52} {said['seconds']:5.1f} s  {how}", flush=True)
            if not answer:
                return
        worker.stdin.close()
        await worker.wait()

    await asyncio.gather(*(work() for _ in range(jobs)))
    order = {cell: number for number, cell in enumerate(CELLS)}
    return sorted(outcomes, key=lambda outcome: order[outcome.cell])


async def _work() -> None:
    """Plays the cells that are named on standard input; a world in which a promise was broken is left for another."""
    loop = asyncio.get_running_loop()
    worlds = _Worlds()
    try:
        while name := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
            began_s, wrong = time.monotonic(), ""  # noqa: TID251 - a person waits
            try:
                await worlds.play(CELL_OF[name])
            except Exception as error:
                # Whatever it is: this cell has failed, and the next one is played.
                wrong = f"{type(error).__name__}: {error} (logs in {worlds.folder}/world/logs)"
                await worlds.leave(keep=True)
            print(json.dumps({"wrong": wrong, "seconds": time.monotonic() - began_s}), flush=True)  # noqa: TID251
    finally:
        await worlds.leave(keep=False)


class _Worlds:
    """One world at a time, of the kind that the cell needs."""

    def __init__(self) -> None:
        self.folder = Path()
        self._stack = AsyncExitStack()
        self._world: ProxiedWorld | ReplicatedWorld | None = None

    async def play(self, cell: Cell) -> None:
        if cell in STORE_CELLS:
            await play_store(await self._of_kind(ReplicatedWorld), cell.victim, cell.fault)
        else:
            await play(await self._of_kind(ProxiedWorld), cell)

    async def _of_kind(self, kind: type[WorldT]) -> WorldT:
        if not isinstance(self._world, kind):
            await self.leave(keep=False)
            self.folder = Path(tempfile.mkdtemp(prefix="hansa-kill-"))
            world = await self._stack.enter_async_context(kind(self.folder / "world"))
            self._world = world
            return world
        return self._world

    async def leave(self, *, keep: bool) -> None:
        """Ends what runs; what it has written stays if it is to be looked at."""
        await self._stack.aclose()
        self._world = None
        if not keep and self.folder.name:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder = Path()


if __name__ == "__main__":
    sys.exit(main())
