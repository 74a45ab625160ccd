"""The container runtime under the real supervisor, against an engine that fails at every step in every way.

The engine is a fake (``engine_fake``), which knows fields and answers from published definitions and from podman
4.3.1; test_agent_podman.py runs the real one.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from engine_fake import Container, FakeEngine, Fault
from engine_zone import IMAGE, MACHINE, ZONE, Zone
from hansa_agent import container_view, runtime_container
from hansa_agent.ports import PlatformSilent, StartRefused

from hansa.v1.common_pb2 import Capacity, PoolAmount
from hansa.v1.instance_pb2 import INSTANCE_STATE_FAILED

NAME = "hansa.nordfjell.osl-1.c1-0"
POOL = "nvidia/L4"


@pytest.fixture(params=["docker", "podman"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FakeEngine]:
    made = FakeEngine(tmp_path / "engine.sock", dialect=request.param, images={IMAGE})
    await made.start()
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def zone(tmp_path: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Zone]:
    monkeypatch.setattr("hansa_agent.supervisor.HOUSEKEEPING_S", 1.0)
    devices = {POOL: ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]}
    made = Zone(tmp_path, engine, devices=devices)
    await made.up()
    try:
        yield made
    finally:
        await made.down()


async def only(zone: Zone) -> Container:
    await zone.until(zone.is_ready)
    (container,) = zone.engine.containers.values()
    return container


async def test_order_becomes_one_labelled_container_and_goes_with_its_order(zone: Zone) -> None:
    await zone.order(zone.desired())
    container = await only(zone)
    assert container.name == NAME and container.image == IMAGE
    assert container.labels["hansa.zone"] == ZONE and container.labels["hansa.fencing-token"] == "7"
    assert zone.store.records["c1-0"].handle == container.id
    await zone.order()
    await zone.until(zone.is_empty)
    assert (zone.folder / "state/logs/c1-0.log").read_text() == "hello\n"


FAULTS = list(itertools.product(range(12), Fault))


@pytest.mark.parametrize(("number", "fault"), FAULTS, ids=[f"{number}-{fault}" for number, fault in FAULTS])
async def test_whatever_fails_at_whichever_call_leads_to_one_container_and_then_to_none(
    zone: Zone, number: int, fault: Fault
) -> None:
    zone.engine.faults = {number: fault}
    await zone.order(zone.desired())
    await zone.until(zone.is_ready)
    (container,) = zone.engine.of("c1-0")
    assert container.status == "running" and zone.engine.most_running == 1
    if fault is not Fault.BROKEN:
        assert zone.engine.made == 1, "what was begun is found again"
    await zone.order()
    await zone.until(zone.is_empty)
    if "crash" in fault and number < 6:
        assert zone.restarts == 1, "the fault did happen"


@pytest.mark.parametrize("seed", range(3))
async def test_every_other_call_failing_in_turn_leads_to_the_same_end(zone: Zone, seed: int) -> None:
    kinds = [Fault.CUT, Fault.LOST, Fault.LATE, Fault.BROKEN]
    zone.engine.faults = {2 * n + seed % 2: kinds[(n + seed) % 4] for n in range(12)}
    await zone.order(zone.desired())
    await zone.until(zone.is_ready)
    assert zone.engine.most_running == 1
    await zone.order()
    await zone.until(zone.is_empty)


async def test_engine_that_is_away_ends_nothing_and_what_happened_meanwhile_is_found_out(zone: Zone) -> None:
    await zone.order(zone.desired())
    container = await only(zone)
    await zone.engine.stop()
    await asyncio.sleep(0.3)
    assert zone.is_ready() and container.status == "running"
    zone.engine.end(container, 3)
    await asyncio.sleep(0.1)
    assert zone.is_ready(), "silence is not an end"
    await zone.engine.start()
    await zone.until(lambda: zone.supervisor.statuses()["c1-0"].restarts == 1)
    await zone.until(zone.is_ready)


async def test_agent_that_starts_while_the_engine_is_away_takes_over_what_was_written_down(zone: Zone) -> None:
    await zone.order(zone.desired())
    container = await only(zone)
    await zone.down()
    await zone.engine.stop()
    await zone.up()
    assert zone.is_ready(), "its port answers, whatever the engine does"
    await zone.engine.start()
    await asyncio.sleep(0.2)
    assert zone.engine.of("c1-0") == [container] and zone.is_ready()


async def test_container_that_ended_while_no_agent_watched_is_started_again(zone: Zone) -> None:
    await zone.order(zone.desired())
    container = await only(zone)
    await zone.down()
    zone.engine.end(container, 0)
    await zone.up()
    await zone.until(zone.is_ready)
    (fresh,) = zone.engine.of("c1-0")
    assert fresh.id != container.id


@pytest.mark.parametrize(("code", "words"), [(3, "status 3"), (143, "signal 15"), (137, "signal 9, out of memory")])
async def test_end_is_told_in_words(zone: Zone, code: int, words: str) -> None:
    await zone.order(zone.desired())
    told: list[str] = []
    container = await only(zone)
    running = (await zone.runtime.adopt())["c1-0"]
    zone.engine.end(container, code)
    told.append(await running.exited())
    assert words in told[0]


async def test_container_that_vanishes_without_an_event_is_missed_by_housekeeping(zone: Zone) -> None:
    await zone.order(zone.desired())
    container = await only(zone)
    zone.engine.remove_silently(container)
    await zone.until(lambda: zone.engine.made == 2 and zone.is_ready())


async def test_one_that_does_not_heed_sigterm_is_killed_after_the_grace(zone: Zone) -> None:
    zone.engine.ignores_term = True
    await zone.order(zone.desired())
    await only(zone)
    await zone.order()
    await zone.until(zone.is_empty)
    assert zone.engine.calls.count("POST kill") >= 2


async def test_paused_container_is_not_ready_and_says_why(zone: Zone) -> None:
    await zone.order(zone.desired())
    container = await only(zone)
    container.paused = True
    zone.engine._tell("pause", container)
    await zone.until(lambda: not zone.is_ready())
    assert zone.message() == "its container is paused"
    container.paused = False
    zone.engine._tell("unpause", container)
    await zone.until(zone.is_ready)
    assert zone.engine.made == 1
    container.paused = True
    await zone.order()
    await zone.until(zone.is_empty)


async def test_older_order_makes_room_and_a_newer_token_does_not(zone: Zone) -> None:
    await zone.order(zone.desired())
    first = await only(zone)
    await zone.down()
    zone.store.remove("c1-0")
    await zone.up()
    await zone.order(zone.desired(fencing_token=8, limits=Capacity(cpu_millis=250, memory_mib=256)))
    second = await only(zone)
    assert first.id != second.id and second.labels["hansa.fencing-token"] == "8"
    with pytest.raises(StartRefused, match="newer token 8") as refused:
        await zone.runtime.start(zone.desired(fencing_token=7))
    assert refused.value.permanent and zone.engine.of("c1-0") == [second]


async def test_token_that_grows_keeps_the_container(zone: Zone) -> None:
    await zone.order(zone.desired())
    container = await only(zone)
    await zone.order(zone.desired(fencing_token=9, workload="workloads/renamed"))
    assert zone.is_ready() and zone.engine.of("c1-0") == [container]
    assert (await zone.runtime.start(zone.desired(fencing_token=9))).container == container.id


async def test_leftovers_of_the_zone_go_and_those_of_others_stay(zone: Zone) -> None:
    zone.engine.put("hansa.nordfjell.osl-1.old-0", {"hansa.zone": ZONE, "hansa.instance": "old-0"})
    others = [
        zone.engine.put("hansa.nordfjell.osl-2.old-0", {"hansa.zone": "nordfjell/osl-2", "hansa.instance": "old-0"}),
        zone.engine.put("web", {}),
    ]
    await zone.order(zone.desired())
    await zone.until(lambda: zone.is_ready() and not zone.engine.of("old-0")[1:])
    assert all(other in zone.engine.containers.values() for other in others)
    assert len(zone.engine.containers) == 3


async def test_leftover_is_no_room_until_it_is_gone_and_what_is_wanted_never_is(zone: Zone) -> None:
    limits = Capacity(cpu_millis=300, memory_mib=200)
    await zone.order(zone.desired(limits=limits))
    kept = await only(zone)
    assert zone.told == [], "the operator subtracts what it ordered"
    marks = {"hansa.zone": ZONE, "hansa.instance": "old-0", "hansa.ordered": "[250,100,{}]"}
    zone.engine.put("hansa.nordfjell.osl-1.old-0", marks)
    zone.engine.put("hansa.nordfjell.osl-1.old-1", marks | {"hansa.instance": "old-1"}, "exited")
    await zone.until(lambda: len(zone.told) == 2)
    assert zone.told[0].capacity == Capacity(cpu_millis=750, memory_mib=900)
    assert zone.told[1].capacity == MACHINE.capacity and not zone.engine.of("old-0")
    await zone.down()
    zone.store.remove("c1-0")
    zone.orders.clear()
    await zone.up()
    await zone.until(lambda: len(zone.told) == 3)
    assert zone.told[2].capacity == Capacity(cpu_millis=700, memory_mib=800), kept.labels


async def test_name_that_is_another_s_is_left_alone(zone: Zone) -> None:
    foreign = zone.engine.put(NAME, {})
    await zone.order(zone.desired())
    await zone.until(lambda: "is another's container's" in zone.message())
    assert list(zone.engine.containers.values()) == [foreign]


async def test_each_device_serves_one_instance(zone: Zone) -> None:
    one = Capacity(cpu_millis=100, memory_mib=64, accelerators=[PoolAmount(pool=POOL, count=1)])
    await zone.order(*(zone.desired(f"c{index}-0", limits=one) for index in range(3)))
    await zone.until(lambda: sum(zone.is_ready(f"c{index}-0") for index in range(3)) == 2)
    devices = [each.labels["hansa.devices"] for each in zone.engine.containers.values()]
    assert sorted(devices) == ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]
    await zone.until(lambda: any("0 of its devices are free" in zone.message(f"c{i}-0") for i in range(3)))
    ready = next(f"c{index}-0" for index in range(3) if zone.is_ready(f"c{index}-0"))
    await zone.order(*(order.instance for name, order in zone.orders.items() if not name.endswith(ready)))
    await zone.until(lambda: sum(zone.is_ready(f"c{index}-0") for index in range(3)) == 2 and not zone.is_ready(ready))


async def test_pool_without_devices_is_refused_for_good(zone: Zone) -> None:
    limits = Capacity(accelerators=[PoolAmount(pool="nvidia/H100", count=1)])
    await zone.order(zone.desired(limits=limits))
    await zone.until(lambda: "names no device of pool nvidia/H100" in zone.message())
    assert zone.supervisor.statuses()["c1-0"].state == INSTANCE_STATE_FAILED


async def test_image_is_fetched_by_digest_only_where_that_is_allowed(zone: Zone, tmp_path: Path) -> None:
    zone.engine.images.clear()
    zone.engine.pullable.add(IMAGE)
    await zone.order(zone.desired())
    await zone.until(lambda: "container.pull is false" in zone.message())
    assert zone.engine.made == 0 and "POST create" not in zone.engine.calls
    await zone.down()
    zone.section = zone.section.model_copy(update={"pull": True})
    await zone.up()
    await zone.until(zone.is_ready)
    zone.engine.images.clear()
    zone.engine.pullable.clear()
    with pytest.raises(StartRefused, match="manifest unknown"):
        await zone.runtime.start(zone.desired("c2-0"))


async def test_start_waits_for_an_engine_that_is_away_and_then_says_so(
    zone: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_container, "START_PATIENCE_S", 3.0)
    zone.engine.deaf = True
    with pytest.raises(StartRefused, match="does not answer") as refused:
        await zone.runtime.start(zone.desired())
    assert not refused.value.permanent
    running = (await zone.runtime.adopt()) or {"c1-0": zone.runtime._running("c1-0", "0" * 64, zone.settings.ports[0])}
    with pytest.raises(PlatformSilent):
        await running["c1-0"].kill()
    zone.engine.deaf = False
    await zone.order(zone.desired())
    await zone.until(zone.is_ready)


def test_back_off_never_spins() -> None:
    assert container_view.BACKOFF_S_MIN >= 0.1 and runtime_container.RETRY_S >= 0.1
