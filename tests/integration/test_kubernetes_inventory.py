"""The inventory of a cluster: what counts, what does not, and that it follows whatever happens to its watches."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hansa_agent.inventory import full_capacity
from hansa_agent.kubernetes import api, follower
from hansa_agent.ports import Machine
from kubernetes_api.kube_bench import H100, ZONE, Bench, kube_bench
from kubernetes_api.kube_cluster import NAMESPACE, node, pod
from kubernetes_api.kube_faults import Fault
from kubernetes_api.kube_kinds import KINDS

WAIT_S = 20.0


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with kube_bench(tmp_path) as built:
        yield built


class Watched:
    """What a source told last."""

    def __init__(self) -> None:
        self.machines: list[Machine] = []
        self.told = asyncio.Event()

    def found(self, machine: Machine) -> None:
        self.machines.append(machine)
        self.told.set()

    async def until(self, predicate: Callable[[Machine], bool]) -> Machine:
        async with asyncio.timeout(WAIT_S):
            while not self.machines or not predicate(self.machines[-1]):
                self.told.clear()
                await self.told.wait()
        return self.machines[-1]


@contextlib.asynccontextmanager
async def watching(bench: Bench, **changes: Any) -> AsyncIterator[Watched]:
    source, watched = bench.source(**changes), Watched()
    await source.read()
    task = asyncio.create_task(source.watch(watched.found))
    try:
        yield watched
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def pools(machine: Machine) -> dict[str, int]:
    return {amount.pool: amount.count for amount in full_capacity(machine).accelerators}


async def read(bench: Bench, **changes: Any) -> Machine:
    source = bench.source(**changes)
    try:
        return await source.read()
    finally:
        await source.close()


def put_node(bench: Bench, name: str, labels: dict[str, str], **allocatable: str) -> None:
    bench.cluster.put("nodes", node(name, labels, **allocatable))


async def test_what_others_hold_does_not_count_and_own_pods_do(bench: Bench) -> None:
    own = pod("own", "gpu-1", NAMESPACE, cpu="2", memory="4Gi", gpu="2")
    marks = {"app.kubernetes.io/managed-by": "hansa-agent", "hansa-project.github.io/zone": ZONE.replace("/", "_")}
    bench.cluster.put("pods", own)
    first = await read(bench)
    assert pools(first) == {"nvidia/H100": 6} and first.capacity.cpu_millis == 14_000
    found = bench.cluster.store.objects[("pods", NAMESPACE, "own")]
    found["metadata"]["labels"] = {**marks, "hansa-project.github.io/zone": label_of_zone()}
    assert pools(await read(bench)) == {"nvidia/H100": 8}
    found["metadata"]["namespace"] = "others"
    assert pools(await read(bench)) == {"nvidia/H100": 6}, "marks of ours in a foreign namespace are forged"


def label_of_zone() -> str:
    from hansa_agent.kubernetes.names import label_value

    return label_value(ZONE)


async def test_most_that_one_node_has_for_this_zone_is_told(bench: Bench) -> None:
    async def told() -> tuple[int, int]:
        (pool,) = (await read(bench)).pools
        return pool.count, pool.node_count_max

    assert await told() == (8, 4)
    bench.cluster.put("pods", pod("one", "gpu-1", "others", gpu="3"))
    assert await told() == (5, 4)
    bench.cluster.put("pods", pod("two", "gpu-2", "others", gpu="2"))
    assert await told() == (3, 2)


async def test_mig_slices_are_pools_of_their_own_however_they_are_advertised(bench: Bench) -> None:
    mixed = {
        "nvidia.com/mig.strategy": "mixed",
        "nvidia.com/mig-1g.10gb.product": "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb",
        "nvidia.com/mig-1g.10gb.memory": "9856",
        "nvidia.com/mig-1g.10gb.count": "7",
    }
    bench.cluster.put("nodes", node("mixed", mixed, **{"nvidia.com/mig-1g.10gb": "7"}))
    single = {
        "nvidia.com/mig.strategy": "single",
        "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb",
        "nvidia.com/gpu.memory": "4864",
    }
    put_node(bench, "single", single, gpu="7")
    bench.cluster.put("pods", pod("a", "mixed", **{"nvidia.com/mig-1g.10gb": "2"}))
    assert pools(await read(bench)) == {"nvidia/H100": 8, "nvidia/H100/mig-1g.10gb": 5, "nvidia/A100/mig-1g.5gb": 7}


@pytest.mark.parametrize(
    "labels",
    [
        {"nvidia.com/gpu.product": "NVIDIA-L4-SHARED", "nvidia.com/gpu.replicas": "4"},
        {"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.replicas": "4"},
        {"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.sharing-strategy": "mps"},
    ],
)
async def test_shared_devices_are_no_whole_ones(bench: Bench, labels: dict[str, str]) -> None:
    put_node(bench, "shared", {**labels, "nvidia.com/gpu.memory": "23034"}, gpu="4")
    machine = await read(bench)
    assert pools(machine) == {"nvidia/H100": 8}
    assert machine.trouble == "left out: devices shared by time-slicing or MPS (4)" and not machine.unsound


async def test_devices_without_labels_are_unknown(bench: Bench) -> None:
    put_node(bench, "bare", {}, gpu="3")
    machine = await read(bench)
    assert pools(machine) == {"nvidia/H100": 8}
    assert machine.trouble == "left out: devices without labels of GPU feature discovery (3)"


async def test_cordoned_tainted_and_unready_nodes_take_nothing_new(bench: Bench) -> None:
    for name, change in (
        ("cordoned", {"unschedulable": True}),
        ("tainted", {"taints": [{"key": "maintenance", "effect": "NoSchedule"}]}),
        ("tolerated", {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]}),
        ("hint", {"taints": [{"key": "later", "effect": "PreferNoSchedule"}]}),
    ):
        body = node(name, H100, gpu="1")
        bench.cluster.put("nodes", {**body, "spec": change})
    body = node("broken", H100, gpu="1")
    body["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]
    bench.cluster.put("nodes", body)
    machine = await read(bench, tolerate=["nvidia.com/gpu"])
    assert pools(machine) == {"nvidia/H100": 10}
    assert machine.trouble == "left out: nodes cordoned (1), nodes not ready (1), nodes tainted (1)"


async def test_cordoned_node_counts_with_what_own_instances_hold_on_it(bench: Bench) -> None:
    body = node("cordoned", H100, gpu="4")
    bench.cluster.put("nodes", {**body, "spec": {"unschedulable": True}})
    own = pod("own", "cordoned", NAMESPACE, cpu="2", gpu="3")
    own["metadata"]["labels"] = {
        "app.kubernetes.io/managed-by": "hansa-agent",
        "hansa-project.github.io/zone": label_of_zone(),
    }
    bench.cluster.put("pods", own)
    machine = await read(bench)
    assert pools(machine) == {"nvidia/H100": 11} and machine.capacity.cpu_millis == 18_000


async def test_devices_of_resource_slices_are_told_where_the_api_has_them(bench: Bench) -> None:
    bench.cluster.rest.served = list(KINDS)
    devices = [{"name": f"gpu-{number}"} for number in range(3)]
    pool = {"name": "gpu-1", "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": "gpu.nvidia.com", "nodeName": "gpu-1", "pool": pool, "devices": devices}
    bench.cluster.put("resourceslices", {"metadata": {"name": "gpu-1-a"}, "spec": spec})
    machine = await read(bench)
    assert machine.trouble == "left out: devices of resource slices (3)" and not machine.unsound
    assert pools(machine) == {"nvidia/H100": 8}


async def test_resource_pool_that_is_being_changed_is_not_counted_until_it_is_whole(bench: Bench) -> None:
    bench.cluster.rest.served = list(KINDS)

    def put_slice(name: str, generation: int, devices: int) -> None:
        pool = {"name": "gpu-1", "generation": generation, "resourceSliceCount": 2}
        listed = [{"name": f"{name}-{number}"} for number in range(devices)]
        spec = {"driver": "gpu.nvidia.com", "nodeName": "gpu-1", "pool": pool, "devices": listed}
        bench.cluster.put("resourceslices", {"metadata": {"name": name}, "spec": spec})

    put_slice("a", 1, 2)
    put_slice("b", 1, 2)
    async with watching(bench) as watched:
        await watched.until(lambda machine: machine.trouble == "left out: devices of resource slices (4)")
        put_slice("a", 2, 3)
        await watched.until(lambda machine: machine.trouble == "left out: resource pools that are not whole (1)")
        put_slice("b", 2, 3)
        await watched.until(lambda machine: machine.trouble == "left out: devices of resource slices (6)")
        assert pools(watched.machines[-1]) == {"nvidia/H100": 8}


async def test_large_cluster_is_read_page_by_page(bench: Bench) -> None:
    bench.cluster.controllers.paused = True
    for number in range(1_203):
        put_node(bench, f"n-{number}", {})
    machine = await read(bench)
    assert machine.capacity.cpu_millis == 1_205 * 8_000
    assert bench.cluster.faults.count("GET", "/api/v1/nodes") == 3


async def test_list_whose_continue_token_expired_is_begun_again(bench: Bench) -> None:
    bench.cluster.controllers.paused = True
    for number in range(600):
        put_node(bench, f"n-{number}", {})
    bench.cluster.faults.add(Fault("GET", "continue=", status=410))
    async with watching(bench) as watched:
        machine = await watched.until(lambda machine: not machine.unsound)
    assert machine.capacity.cpu_millis == 602 * 8_000


async def test_changes_are_told(bench: Bench) -> None:
    async with watching(bench) as watched:
        bench.cluster.put("pods", pod("a", "gpu-1", gpu="3"))
        await watched.until(lambda machine: pools(machine) == {"nvidia/H100": 5})
        bench.cluster.drop("pods", "a", "others")
        await watched.until(lambda machine: pools(machine) == {"nvidia/H100": 8})
        bench.cluster.drop("nodes", "gpu-2")
        await watched.until(lambda machine: pools(machine) == {"nvidia/H100": 4})


async def test_pod_that_ended_gives_back_what_it_held(bench: Bench) -> None:
    bench.cluster.put("pods", pod("a", "gpu-1", gpu="3"))
    async with watching(bench) as watched:
        await watched.until(lambda machine: pools(machine) == {"nvidia/H100": 5})
        ended = bench.cluster.store.objects[("pods", "others", "a")]
        bench.cluster.put("pods", {**ended, "status": {"phase": "Succeeded"}})
        await watched.until(lambda machine: pools(machine) == {"nvidia/H100": 8})


async def test_cut_watch_is_resumed_where_it_ended_without_another_list(bench: Bench) -> None:
    async with watching(bench) as watched:
        await watched.until(lambda machine: not machine.unsound)
        lists = bench.cluster.faults.count("GET", "nodes.limit")
        bench.cluster.watching.cut()
        put_node(bench, "gpu-3", H100, gpu="4")
        await watched.until(lambda machine: pools(machine) == {"nvidia/H100": 12})
        assert bench.cluster.faults.count("GET", "nodes.limit") == lists


async def test_watch_that_is_too_old_leads_to_a_list(bench: Bench) -> None:
    async with watching(bench) as watched:
        await watched.until(lambda machine: not machine.unsound)
        bench.cluster.watching.deaf = {"nodes"}
        bench.cluster.drop("nodes", "gpu-2")
        bench.cluster.store.compact()
        bench.cluster.watching.deaf = set()
        bench.cluster.watching.cut()
        await watched.until(lambda machine: pools(machine) == {"nvidia/H100": 4})


async def test_bookmarks_keep_a_quiet_watch_from_becoming_too_old(bench: Bench) -> None:
    async with watching(bench) as watched:
        await watched.until(lambda machine: not machine.unsound)
        for number in range(5):
            bench.cluster.put("configmaps", {"metadata": {"name": f"c-{number}", "namespace": "others"}})
        newest = str(bench.cluster.store.version)
        async with asyncio.timeout(WAIT_S):
            while not bench.cluster.faults.count("GET", f"nodes.*resourceVersion={newest}"):
                bench.cluster.watching.cut()
                await asyncio.sleep(0.3)
        bench.cluster.store.compact()
        bench.cluster.watching.cut()
        lists = bench.cluster.faults.count("GET", "nodes.limit")
        put_node(bench, "gpu-3", H100, gpu="4")
        await watched.until(lambda machine: pools(machine) == {"nvidia/H100": 12})
        assert bench.cluster.faults.count("GET", "nodes.limit") == lists


async def test_cluster_that_does_not_answer_keeps_its_figures_and_takes_nothing_new(bench: Bench) -> None:
    async with watching(bench) as watched:
        await watched.until(lambda machine: not machine.unsound)
        bench.cluster.faults.down = True
        bench.cluster.watching.cut()
        machine = await watched.until(lambda machine: machine.unsound)
        assert pools(machine) == {"nvidia/H100": 8} and machine.trouble.startswith("no answer from the API server")
        assert len(machine.trouble) < 200 and machine.trouble.isprintable()
        bench.cluster.faults.down = False
        machine = await watched.until(lambda machine: not machine.unsound)
        assert pools(machine) == {"nvidia/H100": 8} and not machine.trouble


async def test_cluster_that_never_answered_has_nothing(bench: Bench) -> None:
    bench.cluster.faults.down = True
    machine = await read(bench)
    assert machine.unsound and not machine.pools and not machine.capacity.cpu_millis


async def test_half_a_list_is_nothing_to_count_with(bench: Bench) -> None:
    bench.cluster.faults.add(Fault("GET", "/api/v1/pods", times=9, cut="middle"))
    machine = await read(bench)
    assert machine.unsound and not machine.pools and machine.trouble


@pytest.mark.parametrize(("status", "told"), [(401, "401"), (403, "403 Forbidden"), (429, "429"), (503, "503")])
async def test_refused_list_is_told_and_tried_again(bench: Bench, status: int, told: str) -> None:
    bench.cluster.faults.add(Fault("GET", "/api/v1/pods", times=3, status=status))
    async with watching(bench, unsound_after_s=0.0) as watched:
        assert (await watched.until(lambda machine: machine.unsound)).trouble.startswith(told)
        await watched.until(lambda machine: pools(machine) == {"nvidia/H100": 8} and not machine.unsound)


async def test_asked_to_wait_it_waits(bench: Bench) -> None:
    bench.cluster.faults.add(Fault("GET", "/api/v1/pods", times=2, status=429, retry_after_s=1))
    async with watching(bench) as watched:
        began = asyncio.get_running_loop().time()
        await watched.until(lambda machine: not machine.unsound)
        assert asyncio.get_running_loop().time() - began >= 0.9


async def test_watch_that_is_not_answered_is_given_up_and_begun_again(bench: Bench) -> None:
    bench.cluster.faults.add(Fault("GET", "nodes.*watch=", hold="before"))
    async with watching(bench, request_timeout_s=0.5) as watched:
        put_node(bench, "gpu-3", H100, gpu="4")
        await watched.until(lambda machine: pools(machine) == {"nvidia/H100": 12})


async def test_watch_that_falls_silent_is_given_up_and_resumed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "SPARE_S", -9.0)
    bench.cluster.watching.deaf = {"nodes"}
    bench.cluster.watching.bookmark_interval_s = 60.0
    async with watching(bench, watch_s=10.0) as watched:
        await watched.until(lambda machine: not machine.unsound)
        put_node(bench, "gpu-3", H100, gpu="4")
        assert pools(watched.machines[-1]) == {"nvidia/H100": 8}
        bench.cluster.watching.deaf = set()
        await watched.until(lambda machine: pools(machine) == {"nvidia/H100": 12})


async def test_line_and_page_without_bounds_are_not_read_to_their_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "PAGE_BYTES_MAX", 1_000)
    machine = await read(bench)
    assert machine.unsound and "too long" in machine.trouble
    monkeypatch.setattr(api, "PAGE_BYTES_MAX", 1 << 20)
    async with watching(bench, unsound_after_s=0.0) as watched:
        await watched.until(lambda machine: not machine.unsound)
        monkeypatch.setattr(api, "LINE_BYTES_MAX", 1_000)
        put_node(bench, "long", {f"label-{number}": "x" * 60 for number in range(2_000)})
        await watched.until(lambda machine: machine.unsound and "too long" in machine.trouble)


async def test_answer_of_another_shape_is_told_and_ends_nothing(bench: Bench) -> None:
    async with watching(bench, unsound_after_s=0.0) as watched:
        await watched.until(lambda machine: not machine.unsound)
        body = node("odd", H100, gpu="4")
        odd = {**body, "apiVersion": "v1", "kind": "Node", "spec": {"taints": ["odd"]}}
        kind = next(kind for kind in KINDS if kind.plural == "nodes")
        bench.cluster.store.create(kind, odd)
        await watched.until(lambda machine: machine.unsound and "cannot be read" in machine.trouble)
        bench.cluster.drop("nodes", "odd")
        bench.cluster.store.compact()
        bench.cluster.watching.cut()
        await watched.until(lambda machine: not machine.unsound)


async def test_server_that_calls_every_watch_too_old_is_not_hammered(bench: Bench) -> None:
    bench.cluster.faults.add(Fault("GET", "nodes.*watch=", times=1_000, status=410))
    async with watching(bench) as watched:
        await watched.until(lambda machine: not machine.unsound)
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(WAIT_S):
            while bench.cluster.faults.count("GET", "nodes.*watch=") < 5:
                await asyncio.sleep(0.05)
        assert asyncio.get_running_loop().time() - began >= 2.0
