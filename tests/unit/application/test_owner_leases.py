"""How long an owner's promises last, how they are numbered, and that none of them is made twice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.ports import HoldRequest, RefusalError
from hansa_control.domain.ledger import used
from hansa_control.domain.model import (
    AcceleratorNeed,
    Capacity,
    ClaimState,
    HoldGrant,
    Reason,
)
from own_zones import (
    GOTEBORG,
    L4,
    MANIFEST,
    NEEDS_L4,
    OPERATOR,
    OSLO,
    PARTNER,
    OwnZones,
    granted,
    need,
    own_zones,
    reasons,
    with_oslo,
)

# --- leases ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked_ms", "given_ms"), [(1, 1), (9_999, 9_999), (10_000, 10_000), (10_001, 10_000)])
async def test_a_hold_lasts_as_long_as_was_answered_and_not_a_millisecond_longer(asked_ms: int, given_ms: int) -> None:
    operator = await with_oslo()
    assert granted(await operator.hold(lease_ms=asked_ms)).lease_ms == given_ms
    operator.pass_ms(given_ms - 1, heard=[OSLO])
    assert operator.state_of() is ClaimState.HELD
    operator.pass_ms(1, heard=[OSLO])
    assert operator.state_of() is None
    assert operator.free_cpu() == 4_000


async def test_only_the_holds_whose_lease_is_over_expire() -> None:
    operator = await with_oslo()
    await operator.hold("short", lease_ms=1_000)
    await operator.hold("long", lease_ms=9_000)
    confirmed = granted(await operator.hold("confirmed", lease_ms=1_000))
    await operator.confirm(confirmed)
    operator.pass_ms(5_000, heard=[OSLO])
    assert operator.state_of("short") is None
    assert operator.state_of("long") is ClaimState.HELD
    assert operator.state_of("confirmed") is ClaimState.ALLOCATED
    assert operator.free_cpu() == 2_000


async def test_capacity_of_a_lease_that_is_over_is_granted_without_waiting_for_a_tick() -> None:
    operator = await with_oslo()
    await operator.hold("c1", cpu_millis=4_000, lease_ms=1_000)
    assert reasons(await operator.hold("c2", cpu_millis=4_000)) == [Reason.CPU_EXHAUSTED]
    operator.clock.now_ms += 1_000
    assert isinstance(await operator.hold("c2", cpu_millis=4_000), HoldGrant)
    assert operator.state_of("c1") is None


async def test_a_claim_that_expired_may_be_held_anew_under_a_new_token() -> None:
    operator = await with_oslo()
    first = granted(await operator.hold(lease_ms=1_000))
    operator.clock.now_ms += 1_000
    second = granted(await operator.hold(lease_ms=1_000, cpu_millis=2_000))
    assert second.fencing_token > first.fencing_token
    with pytest.raises(RefusalError) as refused:
        await operator.confirm(first)
    assert refused.value.reason is Reason.FENCED


async def test_an_expiry_is_durable_with_the_refusal_that_tells_of_it() -> None:
    operator = await with_oslo()
    grant = granted(await operator.hold(lease_ms=1_000))
    operator.clock.now_ms += 1_000
    with pytest.raises(RefusalError):
        await operator.confirm(grant)
    again = await operator.crash_and_restart()
    assert again.state_of() is None


# --- restarts -------------------------------------------------------------------------------------------------------


async def test_open_holds_have_a_full_lease_after_a_restart_whatever_was_asked_or_is_gone_by() -> None:
    operator = await with_oslo()
    await operator.hold("short", lease_ms=100)
    await operator.hold("old", lease_ms=10_000)
    operator.clock.now_ms += 50
    again = await operator.crash_and_restart()
    lease_ms = again.plane.settings.hold_lease_ms
    for claim in ("short", "old"):
        assert again.claim(claim).lease_until_ms == again.clock.monotonic_ms() + lease_ms
    again.pass_ms(lease_ms - 1, heard=[OSLO])
    assert again.state_of("short") is ClaimState.HELD
    again.pass_ms(1, heard=[OSLO])
    assert (again.state_of("short"), again.state_of("old")) == (None, None)


async def test_a_restart_renews_holds_alone_and_changes_nothing_else() -> None:
    operator = await with_oslo()
    await operator.serving("serving")
    await operator.allocated("allocated")
    before = [operator.claim(name) for name in ("allocated", "serving")]
    again = await operator.crash_and_restart()
    assert [again.claim(name) for name in ("allocated", "serving")] == before


async def test_what_was_promised_before_a_restart_is_not_promised_again() -> None:
    operator = await with_oslo()
    await operator.hold("c1", cpu_millis=3_000)
    again = await operator.crash_and_restart()
    assert again.free_cpu() == 1_000
    assert reasons(await again.hold("c2", cpu_millis=2_000)) == [Reason.CPU_EXHAUSTED]


async def test_a_hold_that_was_never_answered_may_be_asked_for_again_after_a_restart() -> None:
    gate = asyncio.Event()
    gate.set()

    async def pause() -> None:
        await gate.wait()

    operator = await own_zones(MemoryStore(pause))
    await operator.connect(OSLO)
    gate.clear()
    asking = asyncio.create_task(operator.hold())
    for _ in range(5):
        await asyncio.sleep(0)
    asking.cancel()
    again_store = operator.store.reopen()
    gate.set()
    again = await own_zones(again_store)
    assert again.state_of() is None
    assert isinstance(await again.hold(), HoldGrant)


# --- tokens ---------------------------------------------------------------------------------------------------------


async def test_tokens_grow_with_every_grant_of_a_zone_across_releases_expiries_and_restarts() -> None:
    operator = await with_oslo()
    tokens = [granted(await operator.hold("c1")).fencing_token]
    await operator.release("c1")
    tokens.append(granted(await operator.hold("c1", lease_ms=1)).fencing_token)
    operator.clock.now_ms += 1
    tokens.append(granted(await operator.hold("c1", home=OPERATOR)).fencing_token)
    again = await operator.crash_and_restart()
    tokens.append(granted(await again.hold("c2")).fencing_token)
    assert tokens == sorted(set(tokens))


async def test_refusals_use_up_no_token() -> None:
    operator = await with_oslo()
    first = granted(await operator.hold("c1"))
    assert reasons(await operator.hold("c2", cpu_millis=9_000)) == [Reason.CPU_EXHAUSTED]
    await operator.hold("c1")
    assert granted(await operator.hold("c3")).fencing_token == first.fencing_token + 1


async def test_zones_count_their_tokens_apart() -> None:
    operator = await with_oslo()
    await operator.connect(GOTEBORG, "goteborg")
    await operator.hold("c1", zone=OSLO)
    await operator.hold("c2", zone=OSLO)
    assert granted(await operator.hold("c3", zone=GOTEBORG)).fencing_token == 1


# --- no zone is promised twice --------------------------------------------------------------------------------------


async def test_many_homes_that_ask_at_once_get_no_more_than_there_is() -> None:
    homes = [f"home-{number}" for number in range(12)]
    operator = await with_oslo(partners=frozenset(homes))
    answers = await asyncio.gather(
        *(operator.plane.owner.hold(home, HoldRequest("c1", OSLO, need(cpu_millis=900), 5_000)) for home in homes)
    )
    assert [isinstance(answer, HoldGrant) for answer in answers] == [True] * 4 + [False] * 8
    assert {reason for answer in answers[4:] for reason in reasons(answer)} == {Reason.CPU_EXHAUSTED}
    assert operator.free_cpu() == 400


@pytest.mark.parametrize(
    ("asked", "grants"),
    [
        ({"cpu_millis": 1_500}, 2),
        ({"memory_mib": 3_000}, 2),
        ({"cpu_millis": 500, "replicas": 3}, 2),
        ({"accelerator": NEEDS_L4, "cpu_millis": 10}, 4),
        ({"accelerator": AcceleratorNeed((), 3, 0), "cpu_millis": 10}, 1),
    ],
)
async def test_a_zone_is_full_when_any_one_thing_is_used_up(asked: Mapping[str, Any], grants: int) -> None:
    operator = await with_oslo()
    answers = [await operator.hold(f"c{number}", **asked) for number in range(6)]
    assert sum(isinstance(answer, HoldGrant) for answer in answers) == grants
    zone = operator.zone()
    taken = used(operator.plane.world.claims_in(OSLO))
    assert taken.cpu_millis <= zone.inventory.capacity.cpu_millis
    assert taken.memory_mib <= zone.inventory.capacity.memory_mib
    assert dict(taken.accelerators).get(L4.key, 0) <= L4.count


async def test_a_home_that_is_refused_gets_what_another_gives_back() -> None:
    operator = await with_oslo(partners=frozenset({"first", "second"}))
    await operator.hold("c1", home="first", cpu_millis=4_000)
    assert reasons(await operator.hold("c1", home="second", cpu_millis=4_000)) == [Reason.CPU_EXHAUSTED]
    await operator.release("c1", home="first")
    assert isinstance(await operator.hold("c1", home="second", cpu_millis=4_000), HoldGrant)


async def test_an_inventory_that_shrinks_below_its_use_grants_nothing_and_takes_nothing_back() -> None:
    operator = await with_oslo()
    await operator.hold("c1", cpu_millis=3_000)
    await operator.connect(OSLO, capacity=Capacity(2_000, 8_192))
    assert operator.free_cpu() == 0
    assert reasons(await operator.hold("c2", cpu_millis=1)) == [Reason.CPU_EXHAUSTED]
    assert operator.state_of("c1") is ClaimState.HELD


async def test_the_zones_of_an_operator_share_no_capacity() -> None:
    operator = await with_oslo()
    await operator.connect(GOTEBORG, "goteborg")
    await operator.hold("c1", zone=OSLO, cpu_millis=4_000)
    assert operator.free_cpu(GOTEBORG) == 4_000
    assert isinstance(await operator.hold("c2", zone=GOTEBORG, cpu_millis=4_000), HoldGrant)


async def test_a_grant_names_the_smallest_pool_that_serves_and_takes_from_it() -> None:
    operator = await with_oslo()
    grant = granted(await operator.hold(accelerator=NEEDS_L4, replicas=3))
    assert grant.pool == L4.key
    assert operator.zone().free.accelerators == ((L4.key, 1),)
    assert granted(await operator.hold("c2")).pool == ""


async def test_the_operator_holds_for_its_own_workloads_by_the_same_rules() -> None:
    operator = await with_oslo()
    own = operator.plane.owner.hold_in_memory(OPERATOR, HoldRequest("c1", OSLO, need(cpu_millis=3_000), 5_000))
    assert isinstance(own, HoldGrant)
    assert reasons(await operator.hold("c1", cpu_millis=2_000)) == [Reason.CPU_EXHAUSTED]


async def test_an_own_hold_is_durable_with_the_next_commit_and_not_before() -> None:
    operator = await with_oslo()
    operator.plane.owner.hold_in_memory(OPERATOR, HoldRequest("c1", OSLO, need(), 5_000))
    operator.plane.owner.hold_in_memory(OPERATOR, HoldRequest("c2", OSLO, need(), 5_000))
    lost: OwnZones = await operator.crash_and_restart()
    assert (lost.state_of("c1", OPERATOR), lost.state_of("c2", OPERATOR)) == (None, None)
    lost.plane.owner.hold_in_memory(OPERATOR, HoldRequest("c1", OSLO, need(), 5_000))
    await lost.plane.state.commit()
    kept = await lost.crash_and_restart()
    assert kept.state_of("c1", OPERATOR) is ClaimState.HELD


async def test_own_claims_wake_their_workload_and_partners_claims_do_not() -> None:
    operator = await with_oslo()
    woken: list[str] = []
    operator.plane.owner.on_own_claim = woken.append
    await operator.hold("theirs", home=PARTNER)
    own = granted(await operator.hold("ours", home=OPERATOR))
    await operator.plane.owner.confirm(OPERATOR, "ours", own.fencing_token, MANIFEST)
    assert woken == ["ours", "ours"]
