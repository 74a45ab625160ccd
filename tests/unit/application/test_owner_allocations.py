"""Confirming a hold, and what is ordered of agents for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.ports import RefusalError, StoreFailed
from hansa_control.domain.model import (
    AcceleratorNeed,
    Capacity,
    ClaimState,
    ClaimStatus,
    DesiredInstance,
    Manifest,
    Reason,
)
from home_operator import ARTEFACT
from own_zones import GOTEBORG, L4, MANIFEST, OPERATOR, OSLO, PARTNER, granted, instance, own_zones, with_oslo

OTHER_MANIFEST = Manifest(MANIFEST.workload, b"another ca", MANIFEST.client_ids)


class Disk:
    """A pause for the memory store: the test says when a transaction takes effect."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()

    async def pause(self) -> None:
        await self.gate.wait()


async def everybody_runs() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


# --- confirming -----------------------------------------------------------------------------------------------------


async def test_a_confirmed_claim_keeps_its_manifest_and_says_how_it_stands() -> None:
    operator = await with_oslo()
    grant = granted(await operator.hold())
    status = await operator.confirm(grant)
    assert status == ClaimStatus("c1", ClaimState.ALLOCATED, 0, (), "", grant.fencing_token)
    assert operator.claim().manifest == MANIFEST
    assert operator.free_cpu() == 3_000


async def test_a_confirmation_with_an_older_token_is_fenced_and_changes_nothing() -> None:
    operator = await with_oslo()
    old = granted(await operator.hold())
    await operator.release()
    granted(await operator.hold())
    before = operator.claim()
    with pytest.raises(RefusalError, match="has token 2, not 1") as refused:
        await operator.confirm(old)
    assert refused.value.reason is Reason.FENCED
    assert operator.claim() == before


async def test_the_token_is_checked_before_the_manifest_of_what_is_confirmed() -> None:
    operator = await with_oslo()
    grant = await operator.serving()
    with pytest.raises(RefusalError) as refused:
        await operator.confirm(replace(grant, fencing_token=99), manifest=OTHER_MANIFEST)
    assert refused.value.reason is Reason.FENCED


@pytest.mark.parametrize("late_ms", [0, 1, 60_000])
async def test_a_confirmation_after_the_lease_is_refused(late_ms: int) -> None:
    operator = await with_oslo()
    grant = granted(await operator.hold(lease_ms=1_000))
    operator.clock.now_ms += 1_000 + late_ms
    with pytest.raises(RefusalError, match="expired") as refused:
        await operator.confirm(grant)
    assert refused.value.reason is Reason.HOLD_EXPIRED
    assert operator.ordered() == []


async def test_a_confirmation_in_the_last_millisecond_of_the_lease_counts() -> None:
    operator = await with_oslo()
    grant = granted(await operator.hold(lease_ms=1_000))
    operator.clock.now_ms += 999
    assert (await operator.confirm(grant)).state is ClaimState.ALLOCATED
    operator.pass_ms(100_000, heard=[OSLO])
    assert operator.state_of() is ClaimState.ALLOCATED


async def test_confirming_twice_answers_how_the_claim_stands_now() -> None:
    operator = await with_oslo()
    grant = await operator.serving()
    again = await operator.confirm(grant)
    assert (again.state, again.replicas_ready) == (ClaimState.SERVING, 1)
    assert again.endpoint_urls == (instance(grant).endpoint_url,)


@pytest.mark.parametrize(
    "manifest",
    [OTHER_MANIFEST, replace(MANIFEST, client_ids=()), replace(MANIFEST, workload="tenants/harbour/workloads/other")],
)
async def test_a_second_confirmation_with_another_manifest_lets_nobody_else_in(manifest: Manifest) -> None:
    operator = await with_oslo()
    grant = await operator.allocated()
    with pytest.raises(RefusalError, match="another manifest") as refused:
        await operator.confirm(grant, manifest=manifest)
    assert refused.value.reason is Reason.REQUEST_ID_REUSED
    assert operator.claim().manifest == MANIFEST


async def test_a_confirmation_that_is_answered_survives_a_crash_with_its_manifest() -> None:
    operator = await with_oslo()
    grant = granted(await operator.hold())
    await operator.confirm(grant)
    again = await operator.crash_and_restart()
    assert again.claim() == operator.claim()
    assert (await again.confirm(grant)).state is ClaimState.ALLOCATED


async def test_a_confirmation_that_cannot_be_kept_is_not_answered_and_orders_nothing() -> None:
    operator = await with_oslo()
    grant = granted(await operator.hold())
    operator.store.fail("disk full")
    with pytest.raises(StoreFailed, match="disk full"):
        await operator.confirm(grant)
    assert operator.ordered() == []


# --- orders ---------------------------------------------------------------------------------------------------------


async def test_a_hold_orders_nothing() -> None:
    operator = await with_oslo()
    await operator.hold()
    assert operator.ordered() == []


async def test_an_order_says_what_to_run_for_whom_and_within_which_limits() -> None:
    operator = await with_oslo()
    grant = granted(await operator.hold(replicas=2, accelerator=AcceleratorNeed(("L4",), 2, 0)))
    await operator.confirm(grant)
    limits = Capacity(1_000, 512, ((L4.key, 2),))
    expected = [
        DesiredInstance(
            f"c1-{grant.fencing_token}-{replica}",
            "c1",
            MANIFEST.workload,
            ARTEFACT,
            limits,
            grant.fencing_token,
            MANIFEST.client_ca_pem,
            MANIFEST.client_ids,
        )
        for replica in range(2)
    ]
    assert list(operator.plane.owner.desired_instances(OSLO)) == expected


async def test_orders_go_to_the_zone_of_the_claim_alone() -> None:
    operator = await with_oslo()
    await operator.connect(GOTEBORG, "goteborg")
    await operator.allocated("c1", zone=OSLO)
    await operator.allocated("c2", zone=GOTEBORG)
    assert operator.ordered(OSLO) == ["c1-1-0"]
    assert operator.ordered(GOTEBORG) == ["c2-1-0"]


async def test_claims_of_two_homes_under_one_name_have_instances_of_their_own() -> None:
    operator = await with_oslo()
    theirs = await operator.allocated("c1", home=PARTNER)
    ours = await operator.allocated("c1", home=OPERATOR)
    assert sorted(operator.ordered()) == [f"c1-{theirs.fencing_token}-0", f"c1-{ours.fencing_token}-0"]
    await operator.report(instance(ours))
    assert operator.state_of("c1", OPERATOR) is ClaimState.SERVING
    assert operator.state_of("c1", PARTNER) is ClaimState.ALLOCATED


async def test_orders_wait_for_the_confirmation_that_is_being_written_and_not_for_others() -> None:
    disk = Disk()
    operator = await own_zones(MemoryStore(disk.pause))
    await operator.connect(OSLO)
    await operator.allocated("old")
    grant = granted(await operator.hold("new"))
    disk.gate.clear()
    confirming = asyncio.create_task(operator.confirm(grant))
    await everybody_runs()
    assert operator.state_of("new") is ClaimState.ALLOCATED
    assert operator.ordered() == ["old-1-0"]
    disk.gate.set()
    await confirming
    assert operator.ordered() == ["new-2-0", "old-1-0"]


async def test_a_confirmation_whose_caller_went_away_is_ordered_once_it_is_durable() -> None:
    disk = Disk()
    operator = await own_zones(MemoryStore(disk.pause))
    await operator.connect(OSLO)
    grant = granted(await operator.hold())
    disk.gate.clear()
    confirming = asyncio.create_task(operator.confirm(grant))
    await everybody_runs()
    confirming.cancel()
    disk.gate.set()
    await everybody_runs()
    assert confirming.cancelled()
    assert operator.ordered() == ["c1-1-0"]


async def test_a_crash_while_a_confirmation_is_written_leaves_a_mere_hold_and_no_order() -> None:
    disk = Disk()
    operator = await own_zones(MemoryStore(disk.pause))
    await operator.connect(OSLO)
    grant = granted(await operator.hold())
    disk.gate.clear()
    confirming = asyncio.create_task(operator.confirm(grant))
    await everybody_runs()
    confirming.cancel()
    left = operator.store.reopen()
    disk.gate.set()
    again = await own_zones(left)
    assert again.state_of() is ClaimState.HELD
    assert again.ordered() == []
    assert (await again.confirm(grant)).state is ClaimState.ALLOCATED


async def test_confirming_and_releasing_tell_the_agent_of_that_zone_that_its_orders_changed() -> None:
    operator = await with_oslo()
    await operator.connect(GOTEBORG, "goteborg")
    here, there = (operator.plane.agents.orders_signal(zone) for zone in (OSLO, GOTEBORG))
    before = there.version
    grant = granted(await operator.hold())
    seen = here.version
    await operator.confirm(grant)
    assert here.version > seen
    seen = here.version
    await operator.release()
    assert here.version > seen
    assert there.version == before


async def test_orders_of_a_lost_zone_stand_so_that_its_agent_need_not_stop_what_runs() -> None:
    operator = await with_oslo()
    grant = await operator.serving()
    operator.pass_ms(operator.plane.settings.lost_after_ms)
    assert operator.state_of() is ClaimState.LOST
    assert operator.ordered() == [instance(grant).instance]
