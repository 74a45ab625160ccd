"""Plays points on processes of this machine. A process that dies takes one point with it, which says so.

Processes are started afresh, not forked, so that they are the same on every system. They take no Ctrl-C: it ends the
one who gave them work, and with it them. One that loses its parent ends after its point.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from hansa_sim.latency.sweeps.bundle import Bundle, code_digest
from hansa_sim.latency.sweeps.playing import Outcome, Status, Task, play

CONTEXT = multiprocessing.get_context("spawn")


@dataclass(slots=True, eq=False)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    task: Task

    @classmethod
    def start(cls, bundle: Bundle, task: Task) -> _Worker:
        mine, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(target=_work, args=(theirs, bundle), daemon=True)
        process.start()
        theirs.close()
        worker = cls(process, mine, task)
        worker.hand(task)
        return worker

    def hand(self, task: Task) -> None:
        """Gives it a point; a process that has died is noticed where its outcome is read."""
        self.task = task
        with suppress(OSError):
            self.pipe.send(task)

    def outcome(self) -> Outcome | None:
        """What it sent; None where its process has died."""
        try:
            found: Outcome = self.pipe.recv()
        except (EOFError, OSError):
            return None
        return found

    def stop(self) -> None:
        self.process.terminate()
        self.process.join()
        self.pipe.close()


@dataclass(slots=True)
class Processes:
    """So many processes of this machine; one plays in this process itself."""

    jobs: int
    workers: list[_Worker] = field(default_factory=list)

    def play(self, bundle: Bundle, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Every task's outcome, as it is done."""
        if self.jobs == 1:
            yield from (play(bundle, task) for task in tasks)
            return
        waiting = deque(tasks)
        try:
            while waiting or self.workers:
                while waiting and len(self.workers) < self.jobs:
                    self.workers.append(_Worker.start(bundle, waiting.popleft()))
                pipes = wait([worker.pipe for worker in self.workers])
                for worker in [one for one in self.workers if one.pipe in pipes]:
                    yield self._taken(worker, waiting)
        finally:
            for worker in self.workers:
                worker.stop()
            self.workers.clear()

    def _taken(self, worker: _Worker, waiting: deque[Task]) -> Outcome:
        """What a worker sent or left behind; it gets the next point, or goes."""
        task, outcome = worker.task, worker.outcome()
        if outcome is not None and waiting:
            worker.hand(waiting.popleft())
            return outcome
        worker.stop()
        self.workers.remove(worker)
        said = f"its process ended with {worker.process.exitcode}; the machine may have run out of memory"
        return outcome or Outcome(task.digest, Status.FAILED, said, code=code_digest())


def _work(pipe: Connection, bundle: Bundle) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, OSError):
        while True:
            pipe.send(play(bundle, pipe.recv()))
