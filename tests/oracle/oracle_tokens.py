"""Continuous batching, written a second time from its description: a coroutine a replica, every step by itself.

Nothing of the product is used. Time is a whole number of picoseconds.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

import simpy  # type: ignore[import-untyped,import-not-found,unused-ignore]

PS = 1_000


@dataclass
class Machine:
    """What a replica can do; times in ps."""

    step: int
    token: int
    sample: int
    context: int
    attention: int
    sequences: int
    budget: int
    blocks: int
    block: int


@dataclass(eq=False)
class Job:
    """One request, and what became of it, ns."""

    reach: int
    prompt: int
    wanted: int
    begun: int | None = None
    first: int | None = None
    last: int | None = None
    cache: int = 0
    """Tokens of which keys and values are there."""
    pages: int = 0
    ghosts: int = 0
    """Pages that it left and nobody has taken."""
    given: int = 0
    out: int = 0


class Gpu:
    """A replica in a SimPy world."""

    def __init__(self, env: simpy.Environment, machine: Machine) -> None:
        self.env, self.m = env, machine
        self.batch: list[Job] = []
        self.queue: list[Job] = []
        self.blank = machine.blocks
        self.bell = env.event()
        env.process(self.live())

    @property
    def load(self) -> int:
        return len(self.batch) + len(self.queue)

    def enter(self, job: Job) -> None:
        self.queue.append(job)
        if not self.bell.triggered:
            self.bell.succeed()

    def live(self) -> Generator[simpy.Event, None, None]:
        while True:
            if not self.batch and not self.queue:
                self.bell = self.env.event()
                yield self.bell
            # Everything else of this moment first: who comes now is seen by the step that begins now.
            yield self.env.timeout(0)
            self.plan()
            yield self.env.timeout(self.cost())
            self.harvest()

    def available(self) -> int:
        return self.blank + sum(job.ghosts for job in self.queue)

    def grab(self, job: Job, tokens: int) -> None:
        for _ in range(math.ceil(tokens / self.m.block) - job.pages):
            job.pages += 1
            if self.blank:
                self.blank -= 1
            else:
                [other for other in self.queue if other.ghosts][-1].ghosts -= 1

    def plan(self) -> None:
        budget, evicted = self.m.budget, False
        for job in self.batch:
            job.given = 0
        for job in list(self.batch):
            if job not in self.batch or not budget:
                break
            share = min(job.prompt + job.out - job.cache, budget)
            while math.ceil((job.cache + share) / self.m.block) - job.pages > self.available():
                evicted, loser = True, self.batch.pop()
                loser.ghosts = loser.cache // self.m.block
                self.blank += loser.pages - loser.ghosts
                loser.cache = loser.pages = loser.given = 0
                self.queue.insert(0, loser)
                if loser is job:
                    break
            if job not in self.batch:
                break
            self.grab(job, job.cache + share)
            job.given = share
            budget -= share
        while not evicted and self.queue and budget and len(self.batch) < self.m.sequences:
            job, whole = self.queue[0], self.queue[0].prompt + self.queue[0].out
            if math.ceil(whole / self.m.block) > self.available():
                break
            self.queue.pop(0)
            known = min(job.ghosts, (whole - 1) // self.m.block)
            self.blank += job.ghosts - known
            job.ghosts, job.pages, job.cache = 0, known, known * self.m.block
            job.given = min(whole - job.cache, budget)
            self.grab(job, job.cache + job.given)
            budget -= job.given
            job.begun = math.ceil(self.env.now / PS) if job.begun is None else job.begun
            self.batch.append(job)

    def cost(self) -> int:
        total, pairs = self.m.step, 0
        for job in self.batch:
            rest = job.prompt + job.out - job.cache
            total += self.m.token * job.given + (self.m.sample if job.given == rest else 0)
            total += self.m.context * job.cache if job.given else 0
            pairs += job.given * (2 * job.cache + job.given) if rest > 1 else 0
        return total + self.m.attention * pairs // 2

    def harvest(self) -> None:
        now = math.ceil(self.env.now / PS)
        for job in list(self.batch):
            job.cache += job.given
            if job.given and job.cache == job.prompt + job.out:
                job.out += 1
                job.first = now if job.out == 1 else job.first
            if job.out == job.wanted:
                job.last = now
                self.blank += job.pages
                self.batch.remove(job)


def play(machine: Machine, replicas: int, requests: list[tuple[int, int, int]]) -> list[Job]:
    """Requests (reaching ns, prompt, generated; in order) on replicas, each where the fewest are."""
    env = simpy.Environment()
    gpus = [Gpu(env, machine) for _ in range(replicas)]
    jobs = [Job(*request) for request in requests]

    def arrive() -> Generator[simpy.Event, None, None]:
        for job in jobs:
            if job.reach * PS > env.now:
                yield env.timeout(job.reach * PS - env.now)
            min(gpus, key=lambda gpu: gpu.load).enter(job)

    env.process(arrive())
    env.run()
    return jobs
