"""Orders, faults, foreign hands and dying agents in random order: in the end exactly what was ordered last."""

from __future__ import annotations

import asyncio
import random  # noqa: TID251 - seeded
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kubernetes_api.kube_bench import PARTS, Agent, Bench, desired, kube_bench
from kubernetes_api.kube_cluster import NAMESPACE
from kubernetes_api.kube_faults import Fault

from hansa.v1.instance_pb2 import DesiredInstance

INSTANCES = ("c1-0", "c1-1", "c2-0")
STEPS = 60


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with kube_bench(tmp_path) as built:
        yield built


class Chaos:
    """One zone's bad day."""

    def __init__(self, bench: Bench, agent: Agent, seed: int) -> None:
        self.bench = bench
        self.agent = agent
        self.ordered: tuple[DesiredInstance, ...] = ()
        self._random = random.Random(seed)
        self._token = 7

    async def step(self) -> None:
        chosen = self._random.choice([self._order, self._order, self._fail, self._fail, self._meddle, self._die])
        await chosen()
        await asyncio.sleep(self._random.choice([0.0, 0.0, 0.05, 0.2]))

    async def _order(self) -> None:
        self._token += 1
        several = self._random.sample(INSTANCES, self._random.randint(0, len(INSTANCES)))
        callers = [f"spiffe://nordavind/app/{self._random.choice('ab')}"]
        self.ordered = tuple(desired(name, fencing_token=self._token, client_ids=callers) for name in sorted(several))
        self.agent.order(*self.ordered)

    async def _fail(self) -> None:
        kind = self._random.choice(
            [Fault(status=503), Fault(status=429), Fault(status=409), Fault(cut="before"), Fault(cut="after")]
        )
        kind.method = self._random.choice(["GET", "PATCH", "DELETE", ""])
        kind.times = self._random.randint(1, 3)
        self.bench.cluster.faults.add(kind)

    async def _meddle(self) -> None:
        store = self.bench.cluster.store
        pods, deployments = (self.bench.cluster.names(plural) for plural in ("pods", "deployments"))
        if pods and self._random.random() < 0.5:
            self.bench.cluster.drop("pods", self._random.choice(pods), NAMESPACE)
        elif deployments and self._random.random() < 0.3:
            self.bench.cluster.drop("deployments", self._random.choice(deployments), NAMESPACE)
        elif self._random.random() < 0.5:
            store.compact()
        self.bench.cluster.watching.cut()

    async def _die(self) -> None:
        await self.agent.stop()
        self.agent = await self.bench.agent(orphan_grace_s=5.0)
        self.agent.order(*self.ordered)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_happens_in_the_end_there_is_exactly_what_was_ordered(bench: Bench, seed: int) -> None:
    chaos = Chaos(bench, await bench.agent(orphan_grace_s=5.0), seed)
    for _ in range(STEPS):
        await chaos.step()
    bench.cluster.faults.waiting.clear()
    final = tuple(desired(name, fencing_token=1_000) for name in INSTANCES[:2])
    chaos.agent.order(*final)
    for each in final:
        await chaos.agent.ready(each.instance)
        assert tuple(bench.made(each.instance)) == PARTS
    await chaos.agent.until(lambda: set(chaos.agent.store.records) == set(INSTANCES[:2]))
    await chaos.agent.until(lambda: all(len(bench.cluster.names(plural)) == 2 for plural in (*PARTS, "pods")))
    chaos.agent.order()
    await chaos.agent.until(lambda: not chaos.agent.store.records and bench.is_empty())
