"""What app teams are told under faults is explained by what is promised, and is not when a promise is broken."""

from __future__ import annotations

import asyncio

import pytest
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.journal import Journal
from hansa_control.application.ports import Change, Put, Table
from hansa_control.application.workloads import Workloads
from hansa_control.domain.model import WorkloadId
from hansa_sim.apps import AppTeam
from hansa_sim.geography import nordic_spec
from hansa_sim.history import History
from hansa_sim.network import Weather
from hansa_sim.scenario import Stage
from hansa_sim.workload_promise import judge
from stages import outcome_of, play_soundly

LOSSY = Weather(loss_share=0.3, straggler_share=0.5)


def teams_of(stage: Stage) -> tuple[History, AppTeam, AppTeam]:
    history = History(lambda: stage.world.loop.now_us)
    return history, AppTeam(stage.world, history, "fjord", 0), AppTeam(stage.world, history, "fjord", 1)


async def look_while_it_is_written(stage: Stage) -> None:
    """One team submits to a slow disk, another looks meanwhile, and nothing is durable when the control plane dies."""
    world = stage.world
    await world.pass_s(3)
    history, one, other = teams_of(stage)
    fjord = world.operators["fjord"]
    fjord.pause_us = (400_000, 400_001)
    await world.pass_s(1)
    async with asyncio.TaskGroup() as group:
        group.create_task(one.submit("ocr", nordic_spec()))
        await world.pass_s(0.1)
        looking = group.create_task(other.look("ocr"))
        await world.pass_s(0.1)
        fjord.kill()
        assert await looking is False
        await other.look("ocr")
        fjord.pause_us = (50, 3_000)
        fjord.start()
    await other.look("ocr")
    judge(history, stage.watcher.break_)


async def submit_and_crash(stage: Stage) -> None:
    """A submit is accepted, the control plane dies, and everybody looks."""
    await stage.world.pass_s(3)
    history, one, other = teams_of(stage)
    await one.submit("ocr", nordic_spec())
    stage.world.operators["fjord"].kill()
    stage.world.operators["fjord"].start()
    await stage.world.pass_s(2)
    await other.look_at_all(["ocr"])
    judge(history, stage.watcher.break_)


async def ask_again_in_foul_weather(stage: Stage) -> None:
    """Answers are lost, requests come late, and everybody asks again under the same request id."""
    world = stage.world
    await world.pass_s(3)
    history, one, other = teams_of(stage)
    for team in (one, other):
        world.network.set_weather(team.name, "fjord", LOSSY)
    until_us = world.loop.now_us + 15_000_000
    async with asyncio.TaskGroup() as group:
        for team in (one, other):
            group.create_task(team.live(["ocr"], [nordic_spec(), nordic_spec(2)], until_us))
    world.network.repair()
    await stage.calm()
    await one.look("ocr")
    judge(history, stage.watcher.break_)


async def submit_again_what_is_gone(stage: Stage) -> None:
    """A submit is repeated, by a proxy perhaps, when the workload that it once made has been deleted."""
    await stage.world.pass_s(3)
    history, one, other = teams_of(stage)
    await one.submit("ocr", nordic_spec(), "r1")
    await other.delete_all(["ocr"])
    await stage.world.pass_s(5)
    await one.submit("ocr", nordic_spec(), "r1")
    await other.look("ocr")
    judge(history, stage.watcher.break_)


def unexplained(broken: tuple[str, ...]) -> bool:
    return any("nothing explains" in what for what in broken)


def test_who_looks_while_it_is_written_is_not_told_what_never_was() -> None:
    play_soundly(look_while_it_is_written)


def test_a_look_at_what_is_not_durable_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(self: Journal, workload: WorkloadId) -> None:
        pass

    monkeypatch.setattr(Journal, "kept", at_once)
    with pytest.raises(BaseExceptionGroup):
        play_soundly(look_while_it_is_written)


def test_an_accepted_submit_survives_a_crash() -> None:
    play_soundly(submit_and_crash)


def test_a_store_that_loses_an_acknowledged_write_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    apply = MemoryStore._apply

    def lose_workloads(self: MemoryStore, change: Change) -> None:
        if not (isinstance(change, Put) and change.table is Table.WORKLOAD):
            apply(self, change)

    monkeypatch.setattr(MemoryStore, "_apply", lose_workloads)
    assert unexplained(outcome_of(submit_and_crash).broken)


@pytest.mark.parametrize("seed", range(1, 5))
def test_a_request_that_is_asked_again_is_carried_out_once(seed: int) -> None:
    play_soundly(ask_again_in_foul_weather, seed)


def test_a_request_that_comes_late_is_not_carried_out_again() -> None:
    play_soundly(submit_again_what_is_gone)


def test_a_request_id_that_is_not_remembered_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workloads, "_repeated", lambda self, caller, request_id, digest: False)
    assert unexplained(outcome_of(submit_again_what_is_gone).broken)
